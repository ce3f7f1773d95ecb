"""How a model is asked to solve a problem in steps that a search can cut apart.

The answer's form is ThinkLite-VL's (arXiv 2504.07934): `### Step 1: ... <end>`, `### Step 2: ...
<end>`, and at last `### Final Answer: ... <end>`, shown by two worked examples. Wording and examples
are ours.
"""

import re
from collections.abc import Sequence

from winnow.pipeline.names import Message

END = "<end>"
FINAL = "Final Answer: "  # what the last step of a solution contains

_HEADING = re.compile(r"\A[#\s]*Step\s*[0-9]*\s*:")

_INSTRUCTION = f"""\
Solve the problem at the end in small steps. Write every step on a line of its own in this form:

### Step 1: the first step {END}
### Step 2: the next step {END}

Each step does one thing and ends with {END}. When you know the answer, write it as the last line:

### {FINAL}the answer {END}

Write nothing after the final answer. Here are two examples."""

_EXAMPLES = (
    (
        "A baker fills 6 trays with 12 rolls each and sells all but 9 rolls. How many does she sell?",
        (
            "The baker makes 6 times 12 = 72 rolls.",
            "All but 9 of them are sold, so she sells 72 - 9 = 63 rolls.",
        ),
        "63",
    ),
    (
        "Ann is taller than Ben, Carl shorter than Ben. Who is the shortest? A. Ann B. Ben C. Carl",
        (
            "Ann is taller than Ben, so Ann is not the shortest.",
            "Carl is shorter than Ben, so Ben is not the shortest.",
            "Only Carl is left, which is option C.",
        ),
        "C",
    ),
)


def step_prompt(messages: Sequence[Message]) -> list[Message]:
    """The conversation that asks for steps: the last message of the user, put behind instruction and
    examples; the others as they are. Where no message is the user's, the instruction is added as
    one."""
    found = [{"role": m["role"], "content": m["content"]} for m in messages]
    asked = max((at for at, m in enumerate(found) if m["role"] == "user"), default=None)
    if asked is None:
        return [*found, {"role": "user", "content": _asking("as stated above")}]
    found[asked]["content"] = _asking(found[asked]["content"])
    return [dict(message) for message in found]


def content(step: str) -> str:
    """What a step says, without its heading and the mark that ends it."""
    return _HEADING.sub("", step.strip().removesuffix(END)).strip()


def without_marks(steps: Sequence[str], marks: Sequence[str] = (END,)) -> str:
    """The text of a solution's steps without the marks that end them."""
    return "".join(_unmarked(step, marks) for step in steps)


def _unmarked(step: str, marks: Sequence[str]) -> str:
    for mark in marks:
        if mark and step.endswith(mark):
            return step[: -len(mark)].rstrip(" ") + "\n"
    return step


def _asking(problem: str) -> str:
    examples = [
        "\n".join(
            (
                f"Problem: {question}",
                *(f"### Step {n}: {step} {END}" for n, step in enumerate(steps, 1)),
                f"### {FINAL}{answer} {END}",
            )
        )
        for question, steps, answer in _EXAMPLES
    ]
    return "\n\n".join((_INSTRUCTION, *examples, f"Problem: {problem}"))
