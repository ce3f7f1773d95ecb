"""The package installs, imports and starts as it should, from a checkout and from a wheel."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "selectors", "synth", "assets")
HEAVY = ("torch", "vllm", "faiss", "dagster", "transformers", "sentence_transformers")


def test_selectors_folder_does_not_shadow_the_standard_library() -> None:
    code = "import asyncio, selectors; selectors.DefaultSelector"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_top_level_folders_are_namespaces(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()
    link = ROOT / "src" / "winnow" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder


def _modules() -> list[str]:
    package = ROOT / "src" / "winnow"
    found = [
        path.relative_to(package.parent).with_suffix("").as_posix().replace("/", ".")
        for folder in (package, *(package / name for name in FOLDERS))
        for path in folder.rglob("*.py")
    ]
    return sorted({name.removesuffix(".__init__") for name in found})


def test_light_modules_import_nothing_heavy() -> None:
    light = [name for name in _modules() if name.startswith(("winnow.pipeline", "winnow.cli.main"))]
    code = (
        f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\n"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd="/", check=True)


def test_help_names_every_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for command in (
        "run",
        "build",
        "check",
        "import-rollouts",
        "versions",
        "diff",
        "why",
        "gc",
        "ui",
    ):
        assert f" {command} " in found.stdout


@pytest.mark.timeout(600)
def test_wheel_installs_and_every_module_imports(tmp_path: Path) -> None:
    """Nested folders reach the wheel; a fresh environment with its own copy imports them all."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("winnow_data-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert {f"{name.replace('.', '/')}.py" for name in _modules()} <= {
        name.replace("/__init__.py", ".py") for name in packed
    }
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True
    )
    # Third-party packages are the test environment's; winnow itself must be the installed wheel.
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    code = (
        f"import importlib, sys\nsys.path.append({str(site)!r})\nimport winnow\n"
        f"assert {str(home)!r} in winnow.__file__, winnow.__file__\n"
        f"for name in {_modules()}:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert {str(home)!r} in module.__file__, module.__file__"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([python, "-c", code], cwd=tmp_path, env=environment, check=True)
