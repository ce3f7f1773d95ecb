"""An OpenAI-compatible server that goes on with solutions in steps, values steps, judges solutions, and
writes down what it answered.

Run as a program: `python step_server.py LOG [SECONDS]`. It prints its port and answers each request
after about SECONDS with the next step of `scripted.step_text`. LOG gets one line per answered request:
its seed and a hash of what was asked. A prompt that holds `FAULT` gets one of several faults, by its text.
A value is a number from 0 to 10 by the text that is valued; a solution is right where it comes to 7.
"""

import hashlib
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.synth.tree.scripted import step_text


def said(question: str) -> str | None:
    """The reply to a request for a value or a judgement; None where it is another one."""
    if "VERDICT:" in question:
        return f"Perhaps.\nVERDICT: {random.Random(question).randint(0, 10)}"
    if "Begin your reply with True." in question:
        return "True. It says 7." if "Final Answer: 7\n" in question else "False. It does not."
    return None


def _outgrown(question: str, begun: str) -> bool:
    """`full`: after a step; `grown`: whatever has begun."""
    return ("FAULT full" in question and "Step" in begun) or (
        "FAULT grown" in question and begun != ""
    )


def _broken(question: str, begun: str) -> bool:
    """`broken`: always; `hint`: where an answer has begun; `value`: where a value is asked for."""
    if "FAULT hint" in question:
        return begun != ""
    return "FAULT broken" in question or ("FAULT value" in question and said(question) is not None)


def main(log: str, seconds: float) -> None:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages, seed = body["messages"], body["seed"]
            begun = messages[-1]["content"] if body.get("continue_final_message") else ""
            asked = messages[:-1] if begun else messages
            time.sleep(seconds * (0.5 + random.Random(seed).random()))
            question = asked[-1]["content"]
            text = said(question) or step_text(asked, begun, seed)
            choice: dict[str, Any] = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
            reply: Any = {
                "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
                "choices": [choice],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            }  # fmt: skip
            status = 200
            if "FAULT garbage" in question:
                reply = ["no", "completion"]
            elif "FAULT empty" in question:
                reply["choices"] = []
            elif "FAULT long" in question:
                status, reply = 400, {"error": {"message": "maximum context length is 10 tokens"}}
            elif _broken(question, begun):
                status, reply = 500, {"error": {"message": "broken"}}
            elif "FAULT endless" in question:
                choice["finish_reason"] = "length"
            elif _outgrown(question, begun):
                status, reply = 400, {"error": {"message": "maximum context length is 10 tokens"}}
            data = json.dumps(reply).encode()
            name = hashlib.sha256(json.dumps([asked, begun, seed]).encode()).hexdigest()
            with lock, open(log, "a") as file:  # noqa: PTH123
                file.write(f"{seed}-{name}\n")
            self.send_response(status)
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
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
