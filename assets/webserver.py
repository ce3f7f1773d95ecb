"""Dagster's webserver for this machine only: `python -m winnow.assets.webserver`, same options.

Dagster's webserver answers whoever can send it requests; `OnlyLocal` stands before it.
"""

from typing import Any

from winnow.pipeline.only_local import OnlyLocal


def main() -> None:
    """Run the webserver with the guard in front of everything that it serves."""
    from dagster_webserver import cli, webserver
    from starlette.middleware import Middleware

    plain = webserver.DagsterWebserver.build_middleware

    def guarded(self: Any) -> list[Middleware]:
        return [Middleware(OnlyLocal), *plain(self)]

    webserver.DagsterWebserver.build_middleware = guarded  # type: ignore[method-assign]
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
