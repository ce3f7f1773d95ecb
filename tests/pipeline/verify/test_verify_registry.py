import subprocess
import sys
from importlib.metadata import version

import pytest

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.verify import VERIFIERS, get_verifier, verifier_label, verifier_names
from winnow.pipeline.verify.rules import prejudge

HEAVY = ["sympy", "math_verify", "latex2sympy2_extended", "reasoning_gym", "torch", "polars"]


@pytest.mark.parametrize("name", sorted(VERIFIERS))
def test_every_verifier_is_found_under_its_own_name(name: str) -> None:
    verifier = get_verifier(name)
    assert verifier.name == name
    assert get_verifier(name) is verifier
    assert name in verifier_names()


def test_labels_carry_the_version_of_what_decides() -> None:
    assert verifier_label("math") == f"math@2+math-verify{version('math-verify')}"
    label = f"reasoning_gym@1+reasoning-gym{version('reasoning-gym')}"
    assert verifier_label("reasoning_gym") == label


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="verifier 'mathh' is not known.*math, .*reasoning_gym"):
        get_verifier("mathh")


def test_labels_cost_no_heavy_import() -> None:
    code = (
        "import sys; from winnow.pipeline.verify import verifier_label, verifier_names\n"
        "import winnow.pipeline.verify.worker_pool\n"
        "[verifier_label(name) for name in verifier_names()]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("finish_reason", "verdict"),
    [
        ("stop", None),
        ("length", Verdict.unjudged("truncated")),
        ("error", Verdict.unjudged("no_completion")),
    ],
)
def test_the_finish_reason_decides_before_any_verifier(
    finish_reason: str, verdict: Verdict | None
) -> None:
    assert prejudge(finish_reason) == verdict
