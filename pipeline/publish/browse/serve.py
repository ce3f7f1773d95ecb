"""Serving a version's pages on this machine until somebody says stop."""

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from winnow.pipeline.errors import UsageError
from winnow.pipeline.only_local import HOST
from winnow.pipeline.publish.browse.app import Browser
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
    with _bound(port) as place:
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
            _Server(config, on_ready).run(sockets=[place])
        finally:
            browser.close(_GRACE_SECONDS)


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for place in sockets or []:
            self._on_ready(f"http://{HOST}:{place.getsockname()[1]}/")


def _bound(port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((HOST, port))
    except OSError as error:
        place.close()
        raise UsageError(
            f"--port {port}: cannot be used ({error.strerror}); choose another, or 0"
        ) from None
    return place
