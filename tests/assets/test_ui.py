"""`winnow ui`: what it serves, to whom, and what is left when it ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from tests.assets.ui import LAUNCH, STATUS, UI, serving, until
from winnow.assets.dead_runs import close_dead_runs
from winnow.assets.server import prepare, serve
from winnow.pipeline.errors import UsageError
from winnow.pipeline.only_local import OnlyLocal


@pytest.fixture
def ui(copy_of_ran: Path, tmp_path: Path) -> Iterator[UI]:
    # A module of the user's that is called as a library of Dagster's must not be in the way.
    (tmp_path / "gql.py").write_text("raise SystemExit('not this one')")
    with serving(copy_of_ran, tmp_path) as started:
        yield started


def test_serves_edited_recipes_pins_runs_and_leaves_nothing_behind(
    ui: UI, copy_of_ran: Path
) -> None:
    import psutil

    # Only this machine's own pages are served.
    assert ui.get() == 200
    assert ui.get(Host="localhost:1") == 200
    assert ui.get(Host="evil.example") == 403
    assert ui.get(Origin="http://evil.example") == 403
    addresses = {
        connection.laddr.ip
        for pid in ui.group()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}

    # The code server's children see the recipe as it was at the launch, whatever is done to it.
    recipe = copy_of_ran / "recipes" / "tiny.yaml"
    text = recipe.read_text()
    chosen = [{"path": ["tiny", stage]} for stage in ("prompts", "rollouts")]
    launched = ui.ask(LAUNCH, job="tiny_all", assets=chosen)["launchRun"]
    run = launched["run"]["runId"]
    recipe.write_text("dataset: [")

    def ended() -> Any:
        found = ui.ask(STATUS, run=run)["runOrError"]
        return found if found["status"] in ("SUCCESS", "FAILURE") else None

    found = until(ended, 240)
    assert found["status"] == "SUCCESS", found
    until(lambda: set(ui.assets()) == {"tiny/recipe"})

    # What is mended shows again, and what else the recipe says now is stale.
    recipe.write_text(text.replace("n: 4", "n: 3"))
    until(lambda: ui.assets().get("tiny/rollouts") == "STALE")
    assert ui.assets()["tiny/prompts"] == "FRESH"

    group = ui.group()
    ui.process.send_signal(signal.SIGINT)
    assert ui.process.wait(60) == 0
    until(lambda: not [pid for pid in group if psutil.pid_exists(pid)], 20)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: cannot be used .*choose another"):
            serve(tmp_path, port)
    assert list(tmp_path.iterdir()) == []


def test_without_dagster_the_package_to_install_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from winnow.cli.main import app

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "dagster" in name else find(name)
    )
    result = CliRunner().invoke(app, ["ui", "--home", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "winnow-data[dagster]" in str(result.exception)


def test_settings_that_exist_are_left_alone(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    settings = yaml.safe_load((folder / "dagster.yaml").read_text())
    assert settings["telemetry"] == {"enabled": False}
    assert settings["concurrency"]["pools"]["default_limit"] == 1
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert not instance.telemetry_enabled
    (folder / "dagster.yaml").write_text("# mine")
    prepare(tmp_path)
    assert (folder / "dagster.yaml").read_text() == "# mine"


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"host": "127.0.0.1:3000"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:3000"}, True),
        ({"host": "localhost:3000", "origin": "http://localhost:3000"}, True),
        ({"host": "localhost:3000", "origin": "http://localhost:5000"}, False),
        ({"host": "localhost:3000", "origin": "null"}, False),
        ({"host": "localhost.evil.example"}, False),
        ({"host": "127.0.0.1.evil.example:3000"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "[::1"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_local_requests_pass(kind: str, headers: dict[str, str], passes: bool) -> None:
    reached: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    async def receive() -> Any:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(OnlyLocal(app)({"type": kind, "headers": pairs}, receive, send))
    assert reached == ([kind] if passes else [])
    if not passes:
        assert sent[0].get("status") == 403 or sent[0]["type"] == "websocket.close"


def test_runs_of_a_killed_ui_are_closed(tmp_path: Path) -> None:
    @dg.job
    def job() -> None: ...

    living, home = tmp_path / "living", tmp_path / "home"
    home.mkdir()
    with (
        socket.socket(socket.AF_UNIX) as server,
        dg.DagsterInstance.local_temp(str(home)) as instance,
    ):
        server.bind(str(living))
        server.listen()
        runs = {
            name: instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
            for name, tags in {
                "dead": {".dagster/grpc_info": json.dumps({"socket": str(tmp_path / "gone")})},
                "alive": {".dagster/grpc_info": json.dumps({"socket": str(living)})},
                "elsewhere": {},
            }.items()
        }
        assert close_dead_runs(instance) == [runs["dead"].run_id]
        statuses = {
            name: getattr(instance.get_run_by_id(run.run_id), "status", None)
            for name, run in runs.items()
        }
    assert statuses == {
        "dead": dg.DagsterRunStatus.FAILURE,
        "alive": dg.DagsterRunStatus.STARTED,
        "elsewhere": dg.DagsterRunStatus.STARTED,
    }


def test_dagsters_own_commands_accept_the_definitions(copy_of_ran: Path) -> None:
    root = Path(__file__).parents[2]
    (copy_of_ran / "recipes" / "broken.yaml").write_text("dataset: [")
    env = {**os.environ, "WINNOW_HOME": str(copy_of_ran), "WINNOW_PINNED_RECIPES": ""}
    scripts = Path(sys.executable).parent
    for command in (
        ["dg", "check", "defs"],
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
    ):
        done = subprocess.run(
            [str(scripts / command[0]), *command[1:]],
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_loading_the_definitions_imports_no_model_and_no_plots(copy_of_ran: Path) -> None:
    heavy = ("torch", "vllm", "faiss", "matplotlib", "transformers", "sentence_transformers",
             "datasets", "reasoning_gym", "math_verify")  # fmt: skip
    code = f"import sys, winnow.assets.definitions\nprint([m for m in {heavy} if m in sys.modules])"
    env = {**os.environ, "WINNOW_HOME": str(copy_of_ran), "WINNOW_PINNED_RECIPES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
