"""Steps from an engine, each drawn once."""

from collections.abc import Sequence

from winnow.pipeline.contracts import ContinuingEngine, EngineError
from winnow.pipeline.names import Message, rollout_seed
from winnow.synth.sampling import PERMANENT, counts
from winnow.synth.tree.memo import Drawing, Memo, Row, step_row
from winnow.synth.tree.node import SearchError, State, Step

NOT_DRAWN = "not drawn yet"


class EnginePolicy:
    """A `Policy` over an engine and what is stored. Without an `engine`, only what is stored is there.

    A request that fails is tried again, `max_attempts` times in all. A failure that stands ends the
    search where another try might mend it, or where nothing was drawn yet; a permanent one further
    down (the solution has outgrown the context) is a step with an error, where the path ends.
    `retry`: failures that were stored earlier do not stand.
    """

    def __init__(
        self,
        engine: ContinuingEngine | None,
        messages: Sequence[Message],
        drawing: Drawing,
        memo: Memo,
        *,
        retry: bool = False,
    ) -> None:
        self._engine, self._messages = engine, messages
        self._drawing, self._memo, self._retry = drawing, memo, retry

    async def step(self, state: State, index: int) -> Step:
        """The stored step, or a new one, on disk before it is here. Raises SearchError."""
        tries = self._memo.tries(state.name, self._drawing, index)
        limit, enough = self._drawing.max_tokens, self._drawing.max_attempts
        row = counts(tries, limit, None if self._retry else enough)
        while row is None:
            made = await self._ask(state, index, tries)
            await self._memo.add_step(made)
            tries.append(made)
            row = counts(tries, limit, enough)
        error = row["error"]
        if error is not None and not (state.steps and error.startswith(PERMANENT)):
            raise SearchError(error)
        return Step(row["step_id"], row["completion"], row["n_tokens"], row["finish_reason"], error)

    async def _ask(self, state: State, index: int, tries: Sequence[Row]) -> Row:
        if self._engine is None:
            raise SearchError(NOT_DRAWN)
        drawing = self._drawing
        failures = sum(row["finish_reason"] == "error" for row in tries)
        seed = rollout_seed(state.name, drawing.seed, index, failures)
        # An engine that cannot continue an answer still serves where there is nothing to continue.
        begun = {"prefix": state.text} if state.text else {}
        answer, error = None, None
        try:
            answer = await self._engine.complete(
                self._messages, drawing.sampling, seed=seed, max_tokens=drawing.max_tokens, **begun
            )
        except EngineError as failure:
            error = f"{PERMANENT if failure.permanent else ''}{failure}"
        attempt = tries[-1]["attempt"] + 1 if tries else 0
        return step_row(self._memo.prompt, state, drawing, index, attempt, seed, answer, error)
