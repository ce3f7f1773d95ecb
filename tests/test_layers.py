"""Imports go one way: cli -> assets -> stages -> synth | selectors -> pipeline."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the import linter over a copy of the package.

    The linter follows neither links nor folders without `__init__.py`, so the copy has plain folders
    with one in each.
    """
    package = folder / "winnow"
    if not package.exists():
        shutil.copytree(ROOT / "src" / "winnow", package)
        for path in [package, *package.rglob("*")]:
            if path.is_dir() and path.name != "__pycache__":
                (path / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_go_one_way(tmp_path: Path) -> None:
    found = _lint(tmp_path)
    assert found.returncode == 0, found.stdout
    assert "1 kept, 0 broken" in found.stdout


def test_an_import_against_the_layers_is_found(tmp_path: Path) -> None:
    _lint(tmp_path)
    for folder in ("pipeline", "selectors"):
        planted = tmp_path / "winnow" / folder / "planted.py"
        planted.write_text("from winnow.synth import sampling\n")
        found = _lint(tmp_path)
        planted.unlink()
        assert found.returncode != 0, f"an import of synth in {folder} went unseen"
