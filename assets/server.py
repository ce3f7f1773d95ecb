"""The Dagster UI on this machine: code server, webserver and daemon, started and stopped together.

`dagster dev` starts the same three; here the webserver answers only this machine's own pages
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
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from winnow.assets.report import dagster_home
from winnow.pipeline.errors import UsageError, WinnowError

HOST = "127.0.0.1"
LOCATION = "winnow"
_GRACE_SECONDS = 20.0
_QUIET = ["--log-level", "warning"]

_DAGSTER_YAML = """\
# Written by `winnow ui`; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false # no sign-up window
concurrency:
  pools:
    default_limit: 1 # the pool "gpu": one model pass at a time
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 30 # places in the pool that a killed step held
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
    url = f"http://{HOST}:{port}"
    with (
        _interrupted_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        # A folder of this user alone: whoever reaches the code server can launch runs.
        tempfile.TemporaryDirectory(prefix="winnow-ui-") as private,
        _Processes(env) as processes,
    ):
        # What `winnow run` made before there was a UI shows as well. This comes first because it
        # makes Dagster's tables where there are none, which several processes must not do at once.
        if processes.start(_REPORTER).wait():
            raise WinnowError(f"{folder}: Dagster cannot keep its history there (see above)")
        place, workspace = Path(private) / "code", Path(private) / "workspace.yaml"
        server = json.dumps({"socket": str(place), "location_name": LOCATION})
        workspace.write_text(f"load_from:\n  - grpc_server: {server}\n")
        # One code server for both: each by itself would start its own, the daemon a new one every
        # minute. It is the first to be interrupted, so that runs can write down their end.
        servers = {"code server": processes.start(_code_server(place))}
        _wait(place.exists, servers)
        servers["webserver"] = processes.start(_webserver(workspace, port))
        servers["daemon"] = processes.start(
            ["dagster._daemon", "run", "-w", str(workspace), *_QUIET]
        )
        _wait(lambda: _answers(url), servers)
        on_ready(url)
        seen = _recipes(home)
        while True:
            _require_alive(servers)
            time.sleep(1.0)
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


def _code_server(place: Path) -> list[str]:
    return ["dagster", "code-server", "start", "-m", "winnow.assets.definitions",
            "--location-name", LOCATION, "--socket", str(place), *_QUIET]  # fmt: skip


def _webserver(workspace: Path, port: int) -> list[str]:
    return ["winnow.assets.webserver", "-h", HOST, "-p", str(port), "-w", str(workspace),
            "--dagster-log-level", "warning", *_QUIET]  # fmt: skip


def _wait(ready: Callable[[], bool], servers: Mapping[str, subprocess.Popen[bytes]]) -> None:
    while not ready():
        _require_alive(servers)
        time.sleep(0.2)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: cannot be used ({error.strerror}); choose another"
            ) from None


def _require_alive(servers: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in servers.items():
        if (code := process.poll()) is not None:
            raise WinnowError(f"the Dagster {name} stopped by itself (exit code {code})")


class _Processes:
    """Python modules that run in process groups of their own and are gone when the block ends."""

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
        """Interrupt one group after the other: runs write down their end before the servers go."""
        latest = time.monotonic() + _GRACE_SECONDS
        for process in self._started:
            if process.poll() is not None:  # its number may be another process's by now
                continue
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, latest - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what did not end, or was left behind
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
    """Have the code server load the recipes again; where that fails, the UI says why."""
    body = json.dumps({"query": _RELOAD, "variables": {"name": LOCATION}}).encode()
    request = urllib.request.Request(
        f"{url}/graphql", body, {"Content-Type": "application/json"}, method="POST"
    )
    with (
        contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError),
        urllib.request.urlopen(request, timeout=120),
    ):
        pass
