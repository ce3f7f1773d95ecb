"""An OpenAI-compatible server for tests: scripted answers, every request counted.

Run as a program: `python stub_server.py LOG [SECONDS]`. It prints its port, answers each request
after about SECONDS, and appends one line per answered request, the request's seed, to LOG. The
answer to "What is A + B?" is right for about half of the seeds and depends on the seed alone. Where a
prompt shows images, it says the colours of their first pixels, in order.
"""

import base64
import io
import json
import random
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

_COLOURS = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}
_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")


def answer(prompt: str, seed: int) -> str:
    """The scripted answer: one per (prompt, seed)."""
    found = _SUM.search(prompt)
    if found is None:
        return "I do not know."
    total = int(found[1]) + int(found[2])
    chance = random.Random(seed)
    if chance.random() < 0.5:
        total += chance.randint(1, 9)
    return f"The answer is {total}." + " Sure." * chance.randint(0, 5)


def colours(parts: list[dict[str, Any]], seed: int) -> str:
    """What the images among the parts of a message show; for about half of the seeds the first one only."""
    found = []
    for part in parts:
        if part["type"] == "image_url":
            head, body = part["image_url"]["url"].split(",")
            assert head == "data:image/png;base64"
            with Image.open(io.BytesIO(base64.b64decode(body))) as image:
                first: Any = image.convert("RGB").getpixel((0, 0))
                found.append(_COLOURS[first])
    return "The answer is: " + " ".join(found[: None if random.Random(seed).random() < 0.5 else 1])


def main(log: str, seconds: float) -> None:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seed = body["seed"]
            time.sleep(seconds * (0.5 + random.Random(seed).random()))
            content = body["messages"][-1]["content"]
            text = answer(content, seed) if isinstance(content, str) else colours(content, seed)
            reply: dict[str, Any] = {
                "id": str(seed),
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": text},
                        "logprobs": {"content": [{"token": "t", "logprob": -0.5, "bytes": None,
                                                  "top_logprobs": []}]},
                    }
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }  # fmt: skip
            data = json.dumps(reply).encode()
            with lock, open(log, "a") as file:  # noqa: PTH123
                file.write(f"{seed}\n")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.02)
