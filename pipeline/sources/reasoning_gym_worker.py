"""The process that runs reasoning-gym's generators, spoken to in lines of JSON.

Run as a module with `PYTHONHASHSEED=0`: some families walk over sets of words while they draw, so
that with Python's random string hashes every process would make other items from one seed.

A request `{"describe": family}` is answered by one line `{"families", "fields"}`. A request
`{"family", "seed", "config", "start", "stop"}` is answered by one line for each index:
`{"question", "answer", "domain"}`, `{"error"}` if that item failed, or `{"refused"}` if there can be
no dataset with this configuration.
"""

import json
import os
import signal
import sys
from dataclasses import fields
from types import FrameType
from typing import Any

from winnow.pipeline.procedural import dataset, entry

# A generator that searches for a puzzle with the wanted properties may never find one.
ITEM_SECONDS = 60


def main() -> None:
    """Answer requests from the standard input until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Some generators print: what they say must not run into the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGALRM, _too_slow)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when it is over
    for line in sys.stdin:
        request = json.loads(line)
        for reply in _describe(request) if "describe" in request else _items(request):
            try:
                replies.write(json.dumps(reply) + "\n")
                replies.flush()
            except BrokenPipeError:  # nobody listens any more
                os._exit(0)


def _describe(request: dict[str, Any]) -> Any:
    from reasoning_gym.factory import DATASETS

    known = DATASETS.get(request["describe"])
    names = [f.name for f in fields(known[1])] if known else []
    yield {"families": sorted(DATASETS), "fields": sorted(set(names) - {"seed", "size"})}


def _items(request: dict[str, Any]) -> Any:
    which = request["family"], request["config"], request["seed"]
    for index in range(request["start"], request["stop"]):
        # Third-party code on a user's settings, here and below: whatever it raises is this
        # dataset's or this item's failure, told to the parent, and nothing else's.
        try:
            made = dataset(*which, index)
        except Exception as error:  # noqa: BLE001
            yield {"refused": _reason(error)}
            continue
        signal.alarm(ITEM_SECONDS)
        try:
            item = entry(*which, index)
            reply = {"question": item["question"], "answer": item["answer"]}
            if reply["answer"] is not None:
                reply["answer"] = str(reply["answer"])
        except Exception as error:  # noqa: BLE001
            reply = {"error": _reason(error)}
        finally:
            signal.alarm(0)
        yield {**reply, "domain": f"{made.category}/{request['family']}"}


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no item after {ITEM_SECONDS} s")


if __name__ == "__main__":
    main()
