"""From somebody's file to a recipe that runs on it."""

from dataclasses import dataclass, replace

from winnow.pipeline.errors import UsageError
from winnow.pipeline.first_contact.judged import Judged
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles, Wishes, roles
from winnow.pipeline.first_contact.sizes import Sizes, sizes
from winnow.pipeline.first_contact.trials import Bench
from winnow.pipeline.first_contact.verifier_guess import guess
from winnow.pipeline.verify import needs_answer, verifier_names
from winnow.pipeline.verify.worker_pool import VerifierPool


@dataclass(frozen=True)
class Guess:
    """All that was guessed about a file."""

    roles: Roles
    judged: Judged
    sizes: Sizes

    @property
    def prompt(self) -> tuple[str, ...]:
        """The prompt's columns, those among them that only the verifier asks for."""
        return (*self.roles.prompt, *self.judged.prompt)


async def guessed(look: Look, wishes: Wishes, *, workers: int, timeout_seconds: float) -> Guess:
    """Guess columns, verifier and sizes. Raises UsageError where no column can be a prompt, or
    `wishes` name a column or a verifier that is not there, or one that cannot do its work."""
    if wishes.verifier is not None and wishes.verifier not in verifier_names():
        known = ", ".join(verifier_names())
        raise UsageError(f"--verifier {wishes.verifier}: is not known; known here: {known}")
    found = roles(look, wishes)
    # Nobody is made ready before it is known who is asked: the time limit covers that, too.
    async with VerifierPool(workers, timeout_seconds) as pool:
        judged = await guess(look, found, Bench(pool), wishes.verifier)
    if judged.answer is None and wishes.answer is not None:
        judged = replace(judged, answer=wishes.answer)
    if judged.answer is None and needs_answer(judged.verifier):
        raise UsageError(
            f"{look.config.path}: the verifier {judged.verifier} compares with a reference, and no "
            "column looks like one; name it with --answer COLUMN"
        )
    prompt = (*found.prompt, *judged.prompt)
    return Guess(found, judged, sizes(look, prompt, found.completion, judged.verifier))
