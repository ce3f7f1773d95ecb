"""Names to selectors, ours and other packages'."""

import subprocess
import sys
from pathlib import Path

import pytest

from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Selector
from winnow.selectors.registry import SELECTORS, family, get_selector, selector_names

HEAVY = ["torch", "faiss", "sklearn", "transformers"]

OTHER = '''"""Another package's selector."""

import numpy as np

from winnow.selectors.base import Choice, Selector
from winnow.selectors.parameters import NoParameters


class Last(Selector[NoParameters]):
    """The last by name."""

    name = "last"
    paper = "none"
    parameters = NoParameters

    def inputs(self, parameters):
        return ()

    def choose(self, pool, room, parameters):
        n = len(pool)
        return Choice(np.arange(n)[::-1].copy(), np.arange(n, dtype=float))


class Broken:
    def __init__(self):
        raise ValueError("no licence")
'''


@pytest.mark.parametrize("name", SELECTORS)
def test_every_selector_is_found_under_its_own_name(name: str) -> None:
    selector = get_selector(name)
    assert isinstance(selector, Selector)
    assert selector.name == name
    assert get_selector(name) is selector
    assert family(name)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="selector 'randon' is not known.*random"):
        get_selector("randon")
    assert selector_names()[: len(SELECTORS)] == list(SELECTORS)


def test_the_list_costs_no_heavy_import() -> None:
    code = (
        "import sys; from winnow.selectors.registry import get_selector, selector_names\n"
        "from winnow.selectors.documentation import document\n"
        "[document(get_selector(name)) for name in selector_names()]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_package_adds_its_own(tmp_path: Path) -> None:
    (tmp_path / "other_selectors.py").write_text(OTHER)
    package = tmp_path / "other-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[winnow.selectors]\n"
        "last = other_selectors:Last\n"
        "broken = other_selectors:Broken\n"
        "random = other_selectors:Last\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import pyarrow as pa\n"
        "from winnow.selectors.registry import get_selector, selector_names\n"
        "from winnow.selectors.run import select\n"
        "print(select('last', pa.table({'row_id': ['a', 'b', 'c']}), budget=1)['selected'].to_pylist())\n"
        "print('last' in selector_names(), type(get_selector('random')).__name__)\n"
        "try:\n"
        "    get_selector('broken')\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[False, False, True]",
        "True RandomRows",
        "selector 'broken' of package other cannot be loaded: ValueError: no licence",
    ]
