"""The verifier `judge`: any rubric, by a model through an `Engine`.

The model is asked n times, with seeds that depend on what it is shown and on the number of the vote,
and a majority of the n votes decides (self-consistency, arXiv 2203.11171). Where the answer is
compared with the reference answer, each vote asks in both orders and counts only where both prefer
the same one, since judges favour a place (arXiv 2306.05685, section 3.4). Whatever is no majority is
unjudged: `disagreement`, `unreadable_judgement`, or `judge_error: reason` where the engine failed.
`extracted` holds the raw judgement as JSON: {"judge": policy, "replies": [{"verdict", "text"}]}.
"""

import asyncio
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from winnow.pipeline.contracts import Completion, Engine, EngineError, Sampling, Task, Verdict
from winnow.pipeline.names import Message, digest
from winnow.pipeline.verify.extract import after_thinking
from winnow.pipeline.verify.judge_arguments import JudgeArguments
from winnow.pipeline.verify.judge_prompt import (
    conversation,
    judgement_request,
    preference_request,
)
from winnow.pipeline.verify.judge_reply import read_label, read_score

MAX_RECORD = 3_800  # characters of the raw judgement, of which verdicts keep 4,000
_PREFERENCES = ("A", "B", "TIE")

Side = Literal["for", "against"]


@dataclass(frozen=True)
class Reply:
    """One answer of the judging model: its verdict, None where it gave none, and its text; or the
    engine's error."""

    verdict: str | int | None = None
    text: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Vote:
    """What one vote came to. `split`: two orders preferred different answers, or neither."""

    side: Side | None
    replies: Sequence[Reply]
    split: bool = False


class ModelJudge:
    """Asks a model. `parts`: `votes_for`, `votes_against`, `agreement` (votes of the larger side / n)
    and, with a scale, `score` (the median). Reward 1.0 or 0.0, with a scale the median in 0..1."""

    name = "judge"
    version = "1"
    needs_answer = False
    extracts_answer = False  # `extracted` is no answer that the audit could count
    Arguments = JudgeArguments

    def verify(self, completion: str, task: Task) -> Verdict:
        """Unjudged: without an engine nobody can be asked."""
        JudgeArguments.read(task.args)
        return Verdict.unjudged("needs_engine")

    def needs_engine(self, args: Mapping[str, Any]) -> bool:
        return True

    async def ask(self, completion: str, task: Task, engine: Engine) -> Verdict:
        """Judge `completion` by the rubric of `task.args`. Raises BadArguments."""
        args = JudgeArguments.read(task.args)
        reference = None if args.reference == "hidden" else (task.answer or "").strip() or None
        if args.needs_reference and reference is None:
            return Verdict.unjudged("bad_reference")
        answer = after_thinking(completion)
        if is_blank(answer):
            return Verdict("wrong", 0.0, detail="no_answer")
        question = conversation(task.messages)
        requests = _requests(args, question, reference, answer)
        replies = await _replies(requests, args, engine)
        return _decided(args, _votes(args, replies), engine.identity.policy)


def _requests(
    args: JudgeArguments, question: str, reference: str | None, answer: str
) -> list[list[Message]]:
    """What one vote asks: once, or with the answer first and then second."""
    if not args.compare:
        return [judgement_request(args.rubric_text, question, reference, answer, args.form)]
    assert reference is not None
    return [
        preference_request(args.rubric_text, question, *pair)
        for pair in ((answer, reference), (reference, answer))
    ]


async def _replies(
    requests: Sequence[list[Message]], args: JudgeArguments, engine: Engine
) -> list[Reply]:
    """The replies to every request of every vote, vote by vote, all asked at once."""
    calls = [
        _reply(messages, args, engine, vote) for vote in range(args.n) for messages in requests
    ]
    # Not a task group: its failures would come wrapped, and its cancelled requests half done.
    found = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return [reply for reply in found if isinstance(reply, Reply)]


async def _reply(messages: list[Message], args: JudgeArguments, engine: Engine, vote: int) -> Reply:
    try:
        completion = await engine.complete(
            messages,
            Sampling(temperature=args.temperature),
            seed=seed(messages, vote),
            max_tokens=args.max_tokens,
        )
    except EngineError as error:
        return Reply(error=str(error))
    return Reply(_read(args, completion), completion.text)


def seed(messages: Sequence[Message], vote: int) -> int:
    """Random stream of one request, in [0, 2^31). The messages hold answer, rubric and reference, so
    that judging again asks the same again."""
    plain = [dict(message) for message in messages]
    return int(digest("judge-seed/1", [plain, vote])[:8], 16) & 0x7FFF_FFFF


def _read(args: JudgeArguments, completion: Completion) -> str | int | None:
    if completion.finish_reason == "length":
        return None  # cut off: what looks like its last line need not have been
    if args.scale is not None:
        return read_score(completion.text, *args.scale)
    return read_label(completion.text, _PREFERENCES if args.compare else args.labels)


def _votes(args: JudgeArguments, replies: Sequence[Reply]) -> list[Vote]:
    if args.compare:
        pairs = zip(replies[::2], replies[1::2], strict=True)
        return [_preference(answer_first, answer_second) for answer_first, answer_second in pairs]
    return [Vote(side_of(args, reply.verdict), [reply]) for reply in replies]


def side_of(args: JudgeArguments, verdict: str | int | None) -> Side | None:
    """What a reply says of the answer; None where it gave no verdict."""
    if verdict is None:
        return None
    if isinstance(verdict, int):
        return "for" if args.threshold is not None and verdict >= args.threshold else "against"
    return "for" if verdict in args.accept else "against"


def _preference(answer_first: Reply, answer_second: Reply) -> Vote:
    """The vote of two replies; in the first the answer was A, in the second B."""
    replies = [answer_first, answer_second]
    said = (answer_first.verdict, answer_second.verdict)
    if said == ("A", "B"):
        return Vote("for", replies)
    if said == ("B", "A"):
        return Vote("against", replies)
    return Vote(None, replies, split=None not in said)


def _decided(args: JudgeArguments, votes: Sequence[Vote], policy: str) -> Verdict:
    counts = {side: sum(vote.side == side for vote in votes) for side in ("for", "against")}
    larger = max(counts.values())
    agreement = larger / args.n
    parts = {
        "votes_for": float(counts["for"]),
        "votes_against": float(counts["against"]),
        "agreement": agreement,
    }
    replies = [reply for vote in votes for reply in vote.replies]
    scores = [reply.verdict for reply in replies if isinstance(reply.verdict, int)]
    if scores:
        parts["score"] = float(statistics.median(scores))
    raw = record(policy, replies)
    if is_agreed(larger, args.n, args.min_agreement):
        correct = counts["for"] == larger
        reward = float(correct)
        if args.scale is not None:
            # The median lies on the side of the majority: more than half of the scores do.
            low, high = args.scale
            reward = (parts["score"] - low) / (high - low)
        return Verdict("correct" if correct else "wrong", reward, parts, raw)
    return Verdict("unjudged", None, parts, raw, _why_not(votes, larger))


def is_blank(answer: str) -> bool:
    """Whether there is nothing to ask about."""
    return not answer.strip()


def is_agreed(votes: int, n: int, share: float) -> bool:
    """Whether one side has at least `share` of all n votes, the unreadable ones included (to 1e-9:
    2/3 is two of three). n is odd and the share at least one half, so that this is a majority."""
    return votes >= share * n - 1e-9


def _why_not(votes: Sequence[Vote], larger: int) -> str:
    """Why there is no majority."""
    read = sum(vote.side is not None for vote in votes)
    if read > larger or any(vote.split for vote in votes):
        return "disagreement"
    errors = [reply.error for vote in votes for reply in vote.replies if reply.error is not None]
    return f"judge_error: {errors[0][:200]}" if errors else "unreadable_judgement"


def record(policy: str, replies: Sequence[Reply]) -> str:
    """The raw judgement as JSON of at most MAX_RECORD characters; of long replies the ends are kept,
    where the verdict stands."""
    room = MAX_RECORD
    while True:
        found = [_recorded(reply, room) for reply in replies]
        text = json.dumps(
            {"judge": policy[:200], "replies": found}, ensure_ascii=False, separators=(",", ":")
        )
        if len(text) <= MAX_RECORD or room == 0:
            return text
        room = room * 3 // 4


def _recorded(reply: Reply, room: int) -> dict[str, Any]:
    if reply.error is not None:
        return {"error": reply.error[: min(room, 200)]}
    text = reply.text if len(reply.text) <= room else "…" + reply.text[len(reply.text) - room :]
    return {"verdict": reply.verdict, "text": text}
