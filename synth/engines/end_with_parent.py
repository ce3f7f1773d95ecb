"""A vLLM plugin: the engine core ends when the process that started it is gone, and not before.

A core whose parent was killed would stay for ever, and with it the memory of the GPU. One that took
Ctrl-C for itself, as vLLM's does, would take along the answers that its parent wants to finish: it
leaves the terminal's process group. vLLM calls
`install` in each of its processes (entry point group `vllm.general_plugins`); it does something only
where the engine was started by winnow.
"""

import os
import threading
import time

PARENT = "WINNOW_ENGINE_PARENT"  # process id of the process that started the engine
_SECONDS = 0.5


def install() -> None:
    """Watch this process's parent: the one that started the engine, or the core of a worker; and be
    out of reach of the terminal's signals."""
    starter = os.environ.get(PARENT)
    if starter is not None and int(starter) != os.getpid():
        if os.getpgid(0) == os.getpgid(int(starter)):
            os.setpgid(0, 0)
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)  # nobody is left to whom an orderly end would matter
