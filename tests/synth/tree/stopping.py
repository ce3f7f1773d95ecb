"""Runs that are stopped on their way: in order, by their gate, and dead, by a signal."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from tests.synth.tree.test_trees_stage import Server
from winnow.synth.tree.gate import Gate


def stop_after(server: Server, more: int) -> Callable[[Gate], None]:
    """For a stage's `opened`: stops it in order when the server has answered `more` requests."""
    wanted = len(server.asked()) + more

    def opened(gate: Gate) -> None:
        def wait() -> None:
            while len(server.asked()) < wanted:
                time.sleep(0.002)
            gate.stop()

        threading.Thread(target=wait, daemon=True).start()

    return opened


def killed_after(server: Server, more: int, words: Sequence[str]) -> bool:
    """Runs the command `winnow WORDS` and kills it when the server has answered `more` requests;
    whether it was killed before it came to its end."""
    wanted = len(server.asked()) + more
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow.cli.main", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while process.poll() is None and len(server.asked()) < wanted:
        time.sleep(0.002)
    if process.poll() is not None:
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read().decode()
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True
