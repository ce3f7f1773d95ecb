"""The verifier `none`: for rows that nobody can judge.

Every answer that says anything is unjudged (`no_verifier`): free text without a reference, say, from
which a set with `verdicts: not_wrong` can still choose by other signals. An answer without text is
wrong (`no_answer`). Where a model may say what is good, there is the verifier `judge`.
"""

from winnow.pipeline.arguments import NoArguments
from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.contracts import Task, Verdict


class Unverified:
    """Judges nothing: every answer with text in it stays unjudged."""

    name = "none"
    version = "1"
    needs_answer = False
    Arguments = NoArguments

    def verify(self, completion: str, task: Task) -> Verdict:
        self.Arguments.read(task.args)
        if is_blank(completion):
            return Verdict("wrong", 0.0, detail="no_answer")
        return Verdict.unjudged("no_verifier")
