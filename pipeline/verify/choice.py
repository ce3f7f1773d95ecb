r"""The verifier `choice`: multiple choice, by letter or by the option's text.

The last committed choice counts ("First I thought A, but the answer is C"). Two choices in one
answer ("A or B", `\boxed{A, B}`) are wrong, unless the reference itself has several letters: then
the two sets must be equal. A letter that is followed by the text of another option contradicts
itself and is wrong. A finished answer that names no choice is wrong (`no_answer`); a reference that
is no choice leaves every answer unjudged (`bad_reference`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from pydantic import Field

from winnow.pipeline.arguments import Arguments, BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.choice_mentions import (
    mentions,
    options_in,
    options_named,
    same_text,
    unwrapped,
)
from winnow.pipeline.verify.notation import normalise, words

LETTERS = "ABCDEFGHIJ"
MAX_TEXT = 100_000  # characters; the end of a longer text is looked at

# What commits to the choice that follows it. The last one in a text counts.
COMMITMENTS = (
    r"\b(?:choose|chose|choosing|pick|select|going with|go with|opt for|goes to)\b",
    r"\b(?:correct|right|best|final|only)\s+(?:option|choice|answer|one|statement|response)?\s*(?:is|would be|:)",
    r"\b(?:option|choice|selection)\s+(?:is|would be)\b",
    r"\b(?:it|this)(?:'s| is| must be| should be| has to be)\b(?!\s+not\b)",
    r"\bconclude\b[^.\n]{0,40}?(?:is|:)",
)
# What follows the choice that it commits to: "C is correct".
_IS_RIGHT = re.compile(
    r"[).*]*\s*(?:is|must be|would be|seems|appears to be)\s+(?:clearly |therefore |thus |indeed )?"
    r"(?:the\s+)?(?:only\s+)?(?:correct|right|best|true|answer)\b(?!\s+(?:not|only if))",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"\s*\(?(?P<letter>[A-Za-z])\s*(?:[).:]+|\s-)\s*(?P<text>\S.*)", re.DOTALL)
_ALONE = re.compile(r"\s*[(\[*\"'`]*(?P<letter>[A-Za-z])[)\]*\"'`.:]*\s*")
_SEVERAL = re.compile(r"[A-Z](?:\s*(?:[,;&/]|,?\s*\b(?:and|or)\b)?\s*[A-Z])+")
_REASONS = re.compile(r"[,;]?\s+(?:because|since|as|given that|due to)\b.*", re.DOTALL)


class ChoiceArguments(Arguments):
    """What the question offered."""

    options: dict[str, str] | None = Field(
        default=None,
        description="Letter of each option: its text. Without it, the letters A to J are choices, "
        "and answers are read by letter only.",
    )


class Choice:
    """Judges answers to multiple-choice questions; reward 1.0 for correct, 0.0 for wrong."""

    name = "choice"
    version = "1"
    Arguments = ChoiceArguments

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`: a letter, several, or an option's text."""
        options = _options(self.Arguments.read(task.args).options)
        labels = frozenset(options) or frozenset(LETTERS)
        wanted = reference(task.answer or "", labels, options)
        if not wanted:
            return Verdict.unjudged("bad_reference")
        chosen, conflict = Reader(labels, options).chosen(completion)
        if not chosen:
            return Verdict("wrong", 0.0, detail="no_answer")
        extracted = ", ".join(sorted(chosen))
        if conflict:
            return Verdict("wrong", 0.0, {}, extracted, "conflicting_answers")
        if len(chosen) > 1 and len(wanted) == 1:
            return Verdict("wrong", 0.0, {}, extracted, "several_choices")
        correct = chosen == wanted
        return Verdict("correct" if correct else "wrong", float(correct), {}, extracted)


def _options(given: Mapping[str, str] | None) -> dict[str, str]:
    """The options by their bare upper-case letters. Raises BadArguments."""
    options: dict[str, str] = {}
    for label, text in (given or {}).items():
        letter = label.strip(" ().:").upper()
        if len(letter) != 1 or not letter.isalpha() or letter in options:
            raise BadArguments(f"options: {label!r} is no letter, or there twice")
        options[letter] = text
    return options


def reference(answer: str, labels: frozenset[str], options: Mapping[str, str]) -> frozenset[str]:
    """The letters that a reference names; empty where it names none."""
    text = unwrapped(answer).strip()
    if alone := _ALONE.fullmatch(text):
        return _known({alone["letter"]}, labels)
    by_text = {letter for letter, option in options.items() if _says(option, answer)}
    if len(by_text) == 1:
        return frozenset(by_text)
    labelled = _LABELLED.fullmatch(text)
    if labelled and labelled["letter"].upper() in labels:
        letter = labelled["letter"].upper()
        if not options or same_text(options[letter], labelled["text"]) or not by_text:
            return frozenset({letter})
    return _listed(text, labels)


def _listed(text: str, labels: frozenset[str]) -> frozenset[str]:
    """The letters of "A, C", "A and C" and "AC"."""
    if not _SEVERAL.fullmatch(text):
        return frozenset()
    letters = set(re.findall(r"[A-Z]", text))
    return frozenset(letters) if letters <= labels and len(letters) > 1 else frozenset()


def _says(option: str, text: str) -> bool:
    return words(normalise(option)) == words(normalise(text)) or same_text(option, text)


def _known(letters: set[str], labels: frozenset[str]) -> frozenset[str]:
    upper = {letter.upper() for letter in letters}
    return frozenset(upper) if upper <= labels else frozenset()


class Reader:
    """Reads the choice out of completions for one set of `labels` and `options`."""

    def __init__(self, labels: frozenset[str], options: Mapping[str, str]) -> None:
        self.labels = labels
        self.options = options

    def chosen(self, completion: str) -> tuple[frozenset[str], bool]:
        """(letters that the completion commits to, whether it contradicts itself)."""
        text = extract.said(completion[-MAX_TEXT:])
        found = extract.find_in(text)
        if found is not None and found.form in ("boxed", "hashes"):
            letters, conflict = self.stated(found.text)
            if letters and (later := extract.last_phrase(text, found.end)):
                after, _ = self.stated(self.statement(later.text))
                conflict = conflict or bool(after and after != letters)
            if letters:
                return letters, conflict
        elif found is not None:
            letters, conflict = self.stated(self.statement(found.text))
            if letters:
                return self.last_commitment(text, found.end) or letters, conflict
        committed = self.last_commitment(text, 0)
        return (committed, False) if committed else self.closing(text)

    def statement(self, text: str) -> str:
        """The sentence that begins `text`, without its reasons; "A. London" is one, where London
        is an option."""
        sentence = extract.first_sentence(extract.unwrapped(text))
        rest = text[text.find(sentence) + len(sentence) :].lstrip(" .)*")
        if _ALONE.fullmatch(sentence) and rest:
            following = extract.first_sentence(rest)
            if any(at == 0 for _, at in options_in(following, self.options)):
                return f"{sentence.strip('.')}. {following}"
        return _REASONS.sub("", sentence).strip(" *")

    def stated(self, answer: str) -> tuple[frozenset[str], bool]:
        """What a short text that is an answer names: "C", "(C) 12", "12", "A or B"."""
        text = unwrapped(answer).strip(" *`").rstrip(".")
        if alone := _ALONE.fullmatch(text):
            return _known({alone["letter"]}, self.labels), False
        several = _listed(text, self.labels)
        if several and not (self.options and options_named(answer, self.options)):
            return several, False
        by_text = options_named(answer, self.options) if self.options else set()
        whole = {letter for letter in by_text if same_text(self.options[letter], answer)}
        if whole:
            return frozenset(whole), False
        labelled = _LABELLED.fullmatch(text)
        if labelled and labelled["letter"].upper() in self.labels:
            return self.labelled(labelled["letter"].upper(), labelled["text"])
        named = [m for m in mentions(text, self.labels) if not m.rejected]
        letters = frozenset(m.letter for m in named)
        if len(letters) == 1 and self.options:
            return letters, self.contradicts(next(iter(letters)), text, named[0].start)
        return letters or frozenset(by_text), False

    def labelled(self, letter: str, text: str) -> tuple[frozenset[str], bool]:
        """`C) Paris`, and whatever else the text names."""
        others = {m.letter for m in mentions(text, self.labels) if not m.rejected}
        named = {option for option, at in options_in(text, self.options) if at == 0}
        whole = {option for option in self.options if same_text(self.options[option], text)}
        named = whole or named
        return frozenset({letter} | others), bool(named) and letter not in named

    def contradicts(self, letter: str, text: str, at: int) -> bool:
        """`12 (B)` where 12 is another option's text: the text before the letter is one."""
        before = text[:at].strip(" ,:(-")
        named = {option for option in self.options if same_text(self.options[option], before)}
        return bool(before) and bool(named) and letter not in named

    def last_commitment(self, text: str, start: int) -> frozenset[str]:
        """The letters (or options) that the last committing phrase behind `start` names."""
        plain = unwrapped(text[start:])
        best, letters = -1, frozenset[str]()
        for match in _commitment(COMMITMENTS).finditer(plain):
            rest = self.statement(plain[match.end() : match.end() + 300])
            named = frozenset(m.letter for m in mentions(rest, self.labels) if not m.rejected)
            if not named and self.options:
                named = frozenset(
                    letter for letter, at in options_in(rest, self.options) if at < 25
                )
            if named:
                best, letters = match.end(), named
        for mention in mentions(plain, self.labels):
            if mention.end > best and not mention.rejected:
                if _IS_RIGHT.match(plain, mention.end):
                    best, letters = mention.end, frozenset({mention.letter})
        return letters

    def closing(self, text: str) -> tuple[frozenset[str], bool]:
        """What the last line names, where nothing before it is an announcement."""
        line = extract.last_line(text)
        letters, conflict = self.stated(_last_sentence(unwrapped(line)))
        return letters, conflict


@lru_cache(maxsize=8)
def _commitment(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def _last_sentence(line: str) -> str:
    parts = re.split(r"(?<=[a-z0-9)\"'])[.!?]\s+(?=[A-Z(*])", line.strip())
    return parts[-1].strip(" .!*")
