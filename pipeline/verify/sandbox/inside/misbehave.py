"""A worker that takes too much of what the limits are for, so that `protections` can see it ended."""

import hashlib
import os
import threading
import time


def main(payload: bytes) -> bytes:
    """`payload` says how: loop, sleep, flood or crowd. Does not return."""
    match payload.decode():
        case "loop":
            while True:
                pass
        case "flood":
            while True:
                os.write(1, b"x" * 2**16)
        case "crowd":  # two threads that need the same processor at the same time
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            for _ in range(2):
                threading.Thread(target=_work, daemon=True).start()
    while True:
        time.sleep(60)


def _work() -> None:
    while True:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10_000_000)  # lets other threads run beside it
