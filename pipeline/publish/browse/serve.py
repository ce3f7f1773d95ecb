"""Serving a version's pages on this machine until somebody says stop."""

import socket
from collections.abc import Callable
from pathlib import Path

from winnow.pipeline.errors import UsageError
from winnow.pipeline.only_local import HOST
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.version import Version

_GRACE_SECONDS = 2


def serve(
    version: Version, home: Path, port: int, on_ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve the pages of `version` at `port` of the loopback address (0: one that is free).

    `on_ready` gets the address when it can be asked. Ends with KeyboardInterrupt at Ctrl-C. Raises
    UsageError where the port is taken, WinnowError where a file of the version is missing or wrong.
    """
    import uvicorn

    from winnow.pipeline.publish.browse.app import Browser

    with _listening(port) as listener:
        browser = Browser(catalogue(version, home))
        config = uvicorn.Config(
            browser.app(),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        try:
            browser.start()
            on_ready(f"http://{HOST}:{listener.getsockname()[1]}/")
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            browser.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"--port {port}: cannot be used ({error.strerror}); choose another, or 0"
        ) from None
    listener.listen(128)  # a page asked for from now on is answered as soon as the server runs
    return listener
