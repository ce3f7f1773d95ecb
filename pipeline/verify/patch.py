r"""The verifier `patch`: how similar a code change is to the reference change. It ranks, and never
accepts: the reward of a wrong patch that touches the right lines is close to the best one.

The reward is the one of SWE-RL (arXiv 2502.18449). An answer is well formed where it has exactly one
`<think>` and one `<solution>` block, thoughts that are not empty, and in the solution at least one
search/replace edit; every edit's search text stands at the start of a line of its file and differs
from its replacement. The edits are applied, and for each file that the answer or the reference
changes, the two unified diffs (3 lines of context, no file header) are compared by difflib's ratio; a
file that one of them does not change counts 0. The reward is the mean: in [0, 1], and 1 where neither
changes anything. A well formed answer is `unjudged` with detail `ranking_only` and that reward.

A malformed answer is `wrong`, reward -1, with what is malformed in the detail.

With `form` `diff`, the solution is a unified diff, and its text is compared as it stands: a renamed
file adds a first line, binary files are skipped.

`answer` is the reference change: a JSON object of paths and new texts, search/replace edits, or a
unified diff.
"""

import re
from typing import Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.names import canonical_json
from winnow.pipeline.verify.literals import NoLiteral, strict_json
from winnow.pipeline.verify.patches import diffs
from winnow.pipeline.verify.patches.edits import MalformedPatch, applied, read_edits
from winnow.pipeline.verify.text_format import read_blocks

MALFORMED = -1.0


class Patch:
    """Ranks code changes by their similarity to the reference change; accepts none."""

    name = "patch"
    version = "1"

    class Arguments(arguments.Arguments):
        files: dict[str, str] = Field(
            default={}, description="The files before the change: path and text."
        )
        form: Literal["edits", "diff"] = Field(
            default="edits",
            description="What the solution holds: search/replace edits, or a unified diff.",
        )
        tags: bool = Field(
            default=True,
            description="Whether the answer must consist of <think> and <solution>; if not, all of "
            "it is the solution.",
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Rank `completion` by its similarity to `task.answer`. Parts: `similarity`, `format`."""
        args = self.Arguments.read(task.args)
        try:
            gold = gold_diffs(task.answer, args.files)
        except MalformedPatch as error:
            return Verdict.unjudged(f"bad_reference: {error}")
        try:
            found = found_diffs(completion, args)
        except MalformedPatch as error:
            return Verdict("wrong", MALFORMED, {"format": 0.0}, detail=str(error))
        reward = diffs.reward(gold, found)
        extracted = canonical_json(found)
        parts = {"similarity": reward, "format": 1.0}
        return Verdict("unjudged", reward, parts, extracted, "ranking_only")


def gold_diffs(answer: str | None, files: dict[str, str]) -> dict[str, str]:
    """The reference's diff of every file. Raises MalformedPatch."""
    if answer is None or not answer.strip():
        raise MalformedPatch("empty")
    try:
        texts = strict_json(answer)
    except NoLiteral:
        pass
    else:
        if not isinstance(texts, dict) or not all(isinstance(t, str) for t in texts.values()):
            raise MalformedPatch("not an object of paths and texts")
        return diffs.between(files, texts)
    if re.search(r"^<{5,9} ?SEARCH", answer, re.MULTILINE):
        return diffs.between(files, applied(read_edits(answer), files))
    return diffs.read_diffs(answer)


def found_diffs(completion: str, args: Patch.Arguments) -> dict[str, str]:
    """The answer's diff of every file. Raises MalformedPatch."""
    if not completion.strip():
        raise MalformedPatch("no_answer")
    solution = _solution(completion) if args.tags else completion
    if args.form == "diff":
        return diffs.read_diffs(solution)
    return diffs.between(args.files, applied(read_edits(solution), args.files))


def _solution(completion: str) -> str:
    blocks, problem = read_blocks(completion, ["think", "solution"], around=True)
    if problem is not None:
        raise MalformedPatch(problem)
    return blocks["solution"]
