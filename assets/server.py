"""The Dagster UI on this machine: webserver and daemon, started, watched and stopped together.

`dagster dev` starts the same two; here the webserver answers only this machine's own pages
(`winnow.assets.webserver`), and an edited recipe is loaded without a click. Nothing here imports
Dagster: the servers are processes of their own.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import winnow
from winnow.assets.report import dagster_home
from winnow.pipeline.errors import UsageError, WinnowError

HOST = "127.0.0.1"
LOCATION = "winnow"
_GRACE_SECONDS = 20.0
_POLL_SECONDS = 1.0

_DAGSTER_YAML = """\
# Written by `winnow ui`; yours to change.
telemetry:
  enabled: false
concurrency:
  pools:
    default_limit: 1 # the pool "gpu": one model pass at a time
"""

_WORKSPACE_YAML = f"""\
load_from:
  - python_module:
      module_name: winnow.assets.definitions
      location_name: {LOCATION}
"""

_REPORTER = ["winnow.assets.runless"]
_RELOAD = """\
mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


def serve(home: Path, port: int, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve the UI of a home folder until this process is interrupted or told to end.

    `on_ready` gets the address as soon as it answers. Raises UsageError where the port is taken,
    WinnowError where a server stops by itself.
    """
    _require_free(port)
    folder = prepare(home)
    env = {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "WINNOW_HOME": str(home.absolute()),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONSAFEPATH": "1",  # a gql.py in the user's folder is not the library of that name
    }
    workspace = ["-w", str(_workspace(folder))]
    quiet = ["--log-level", "warning"]
    commands = {
        "webserver": ["winnow.assets.webserver", "-h", HOST, "-p", str(port), *workspace, *quiet,
                      "--dagster-log-level", "warning", "--code-server-log-level", "warning"],
        "daemon": ["dagster._daemon", "run", *workspace, *quiet],
    }  # fmt: skip
    url = f"http://{HOST}:{port}"
    with (
        _interrupted_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        _Processes(env) as processes,
    ):
        # What `winnow run` made before there was a UI shows as well. This comes first because it
        # makes Dagster's tables where there are none, which several processes must not do at once.
        if processes.start(_REPORTER).wait():
            raise WinnowError(f"{folder}: Dagster cannot keep its history there (see above)")
        servers = {name: processes.start(command) for name, command in commands.items()}
        while not _answers(url):
            _require_alive(servers)
            time.sleep(0.3)
        on_ready(url)
        seen = _recipes(home)
        while True:
            _require_alive(servers)
            time.sleep(_POLL_SECONDS)
            if (found := _recipes(home)) != seen:
                seen = found
                _reload(url)
                processes.start(_REPORTER)


def prepare(home: Path) -> Path:
    """Make the Dagster home of a home folder, with its settings where there are none."""
    folder = dagster_home(home)
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_YAML)
    return folder


def _workspace(folder: Path) -> Path:
    """The checkout's workspace.yaml; an installed package has none, so its own is written."""
    checkout = Path(winnow.__file__).parents[2] / "workspace.yaml"
    if checkout.is_file():
        return checkout
    path = folder / "workspace.yaml"
    path.write_text(_WORKSPACE_YAML)
    return path


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"--port {port}: cannot be used ({why}); choose another") from None


def _require_alive(servers: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in servers.items():
        if (code := process.poll()) is not None:
            raise WinnowError(f"the Dagster {name} stopped by itself (exit code {code})")


class _Processes:
    """Python modules that run as processes of their own and are gone when the block ends.

    Each has its own process group: a Ctrl-C of the terminal would otherwise reach the code servers
    before the servers that they belong to.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `python -m arguments`."""
        command = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(
            command, env=self._env, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self._started.append(process)
        return process

    def __exit__(self, *raised: object) -> None:
        # Waited for already: its number may be another process by now.
        running = [process for process in self._started if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGINT)
        latest = time.monotonic() + _GRACE_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, latest - time.monotonic()))
            # What did not end by then, and what it left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """These signals end the block as Ctrl-C does, so that it stops what it started."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _recipes(home: Path) -> list[tuple[str, int, int]]:
    """What tells whether a recipe came, went or was edited."""
    found = []
    for path in sorted((home / "recipes").glob("*.yaml")):
        with contextlib.suppress(OSError):  # gone since it was listed
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _reload(url: str) -> None:
    """Have the webserver load the recipes again; where that fails, its page says why."""
    body = json.dumps({"query": _RELOAD, "variables": {"name": LOCATION}}).encode()
    request = urllib.request.Request(
        f"{url}/graphql", body, {"Content-Type": "application/json"}, method="POST"
    )
    with (
        contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError),
        urllib.request.urlopen(request, timeout=120),
    ):
        pass
