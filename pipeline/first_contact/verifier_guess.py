"""Which verifier can judge answers to somebody's rows, found by trying.

Candidates are asked in turn, from the most particular form of reference to the least. One is taken
when it reads nearly all references of the sample; where none does, nobody can judge (`none`).
"""

from collections.abc import Awaitable, Callable, Mapping

from winnow.pipeline.first_contact import calls, code_tests, queries, short_answers
from winnow.pipeline.first_contact.judged import Judged
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.trials import Bench
from winnow.pipeline.verify import needs_answer

Candidate = Callable[[Look, Roles, Bench], Awaitable[Judged | None]]

# Asked in this order; the first that fits is taken. To add one: a function like these.
CANDIDATES: Mapping[str, Candidate] = {
    "python": code_tests.python,
    "sql": queries.sql,
    "tool_call": calls.tool_call,
    "choice": short_answers.choice,
    "math": short_answers.math,
    "exact": short_answers.exact,
}


async def guess(look: Look, roles: Roles, bench: Bench, wished: str | None = None) -> Judged:
    """The first candidate that fits; `wished`: the verifier that the user names, whatever fits."""
    for name, candidate in CANDIDATES.items():
        if wished in (None, name):
            found = await candidate(look, roles, bench)
            if found is not None:
                return found
    if wished is not None:
        answer = roles.answers[0] if roles.answers and needs_answer(wished) else None
        return Judged(wished, "as you say", answer)
    there = "free text" if roles.answers or roles.completion else "there are none"
    return Judged("none", f"no verifier can read the references ({there}): answers stay unjudged")
