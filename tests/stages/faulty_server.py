"""The counting server with faults, chosen by the prompt's text: `FAULT name: What is A + B?`.

Run as a program: `python faulty_server.py LOG [PORT [healed]]`. It prints its port and appends the
seed of each request that it answered in full to LOG. Healed, it answers every prompt as
`tests/stub_server.py` does.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.stub_server import answer

CONTEXT = "This model's maximum context length is 10 tokens. However, you requested 900 tokens."
_FAULT = re.compile(r"FAULT ([a-z_]+):")


class Reply:
    """What is sent: a status, headers and a body, of which `cut` leaves half."""

    def __init__(self, body: Any) -> None:
        self.status, self.cut = 200, False
        self.headers = {"Content-Type": "application/json"}
        self.body = body

    def error(self, status: int, message: str, **headers: str) -> None:
        self.status, self.body = status, {"error": {"message": message}}
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def _choice(**values: Any) -> Callable[[Reply, int], None]:
    return lambda reply, asked: reply.body["choices"][0].update(values)


def _body(body: Any, **headers: str) -> Callable[[Reply, int], None]:
    def change(reply: Reply, asked: int) -> None:
        reply.body = body
        reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    return change


def _error(status: int, message: str, **headers: str) -> Callable[[Reply, int], None]:
    return lambda reply, asked: reply.error(status, message, **headers)


def _once(fault: Callable[[Reply, int], None]) -> Callable[[Reply, int], None]:
    return lambda reply, asked: fault(reply, asked) if asked == 1 else None


def _half(reply: Reply, asked: int) -> None:
    reply.cut = True


def _usage(**counts: Any) -> Callable[[Reply, int], None]:
    return lambda reply, asked: reply.body["usage"].update(counts)


def _endless(reply: Reply, asked: int) -> None:
    _choice(finish_reason="length")(reply, asked)
    _usage(completion_tokens=reply.body["max_tokens"])(reply, asked)


# Each changes a good reply; `asked` counts the requests for the same answer.
FAULTS: dict[str, Callable[[Reply, int], None]] = {
    "busy_once": _once(_error(429, "slow down", Retry_After="0.05")),
    "busy_once_no_date": _once(_error(429, "slow down")),
    "busy": _error(429, "slow down", Retry_After="0.05"),
    "broken_once": _once(_error(500, "out of luck")),
    "broken": _error(500, "out of luck"),
    "garbage": _body(b"\x00\xff{{{ no JSON"),
    "page": _body(b"<html>Bad gateway</html>", Content_Type="text/html"),
    "zip": _body(b"no zip at all", Content_Encoding="gzip"),
    "deep": _body(b"[" * 100_000),
    "other": _body({"object": "list", "data": [1, 2, 3]}),
    "parts": _choice(message={"role": "assistant", "content": [{"type": "text", "text": "4"}]}),
    "count": _usage(completion_tokens="many"),
    "over": _usage(completion_tokens=1_000),
    "empty": lambda reply, asked: reply.body.update(choices=[]),
    "null": _choice(message={"role": "assistant", "content": None}),
    "half": _half,
    "long": _error(400, CONTEXT),
    "endless": _endless,
}
HANGS = ("silent", "trickle", "reset")


def main(log: str, port: int, healed: bool) -> None:
    lock = threading.Lock()
    tries: dict[int, int] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt, seed = body["messages"][-1]["content"], body["seed"]
            found = _FAULT.match(prompt)
            fault = None if healed or found is None else found[1]
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": answer(prompt, seed)},
            }
            reply = Reply(
                {
                    "id": str(seed), "object": "chat.completion", "created": 0,
                    "model": body["model"], "choices": [choice], "max_tokens": body["max_tokens"],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                }
            )  # fmt: skip
            with lock:
                tries[seed] = tries.get(seed, 0) + 1
                asked = tries[seed]
            if fault in HANGS:
                self._hang(fault)
                return
            if fault is not None:
                FAULTS[fault](reply, asked)
            data = reply.data
            if not reply.cut and reply.status == 200:
                with lock, open(log, "a") as file:  # noqa: PTH123
                    file.write(f"{seed}\n")
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if reply.cut else data)
            self.close_connection = self.close_connection or reply.cut

        def _hang(self, fault: str) -> None:
            """Say nothing, say it for ever, or hang up."""
            self.close_connection = True
            if fault == "reset":
                return
            if fault == "trickle":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000000")
                self.end_headers()
            while True:
                time.sleep(0.2)
                if fault == "trickle":
                    self.wfile.write(b" ")

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # with the usual 5, requests that come together are turned away

    server = Server(("127.0.0.1", port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0, "healed" in sys.argv[3:])
