"""The equations of a written calculation, in order: what rejection-sampling fine-tuning (RFT, Yuan et
al. 2023, arXiv 2308.01825) tells two reasoning paths apart by.

An equation is arithmetic over numbers with an equals sign and at least one operation: "3 + 4 = 7",
"$1,200 / 4 = $300", "2 x (3 + 1) = 8 = 16/2" (a chain is one equation). Letters end it: of "Total = 3 + 4
= 7" the part "3+4=7" counts, of "2x + 3 = 7" none does, nor of "3 apples + 4 apples = 7 apples". GSM8K's
annotations, <<3+4=7>>, are equations as they stand, each in place of the written one that it stands in.
Spaces, currency signs, thousands separators and the spelling of the operations (x, × and \\times are *, ÷
is /, a \\frac with plain numbers is a division) make no difference; values do: 0.5 is not 1/2.

How the authors extract equations from traces without annotations is not stated; this is our choice.
Time is linear in the text.
"""

import re
from collections.abc import Iterator

_ANNOTATION = re.compile(r"<<([^<>\n]{0,200})>>")
_MARK = "\x00"  # where an annotation stood
_TIDIED = [
    (re.compile(r"\\[dt]?frac\s*\{\s*([\d.,]{1,40})\s*\}\s*\{\s*([\d.,]{1,40})\s*\}"), r"(\1)/(\2)"),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])|[×·∗⋅]"), "*"),
    (re.compile(r"\\div(?![A-Za-z])|÷"), "/"),
    (re.compile(r"\\(?:left|right)(?![A-Za-z])"), ""),
    (re.compile(r"\\[()\[\],;! ]"), " "),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"(?<=[\w)])(?: \*\* |\*\*)(?=[\d(])"), "^"),
    (re.compile(r"\*\*"), ""),  # what is left sets type bold
    (re.compile(r"\\(?=[%$])|[$€£]"), ""),
    (re.compile(r"(?<=[\d)%])([ \t]*)[xX]([ \t]*)(?=\d)"), r"\1*\2"),
    (re.compile(r"(?<=[\d)%])[ \t]+[xX][ \t]+(?=\()"), " * "),  # "2x(3 + 1)" may be algebra
    (re.compile(r"^[ \t]{0,20}(?:[-*•][ \t]+|\d{1,3}[.)][ \t]+)", re.MULTILINE), ""),
]  # fmt: skip
_NO_TOKEN = rf"[^\d.+\-*/^=(){_MARK}"  # of a bracket that stays open
_TOKEN = re.compile(
    rf"(?P<number>(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)(?:\.\d+)?%?|\.\d+%?)"
    rf"|(?P<operator>[-+*/^])|(?P<equals>=)|(?P<open>\()|(?P<close>\))|(?P<space>[ \t]+)"
    rf"|(?P<mark>{_MARK})"
    rf"|(?P<other>{_NO_TOKEN} \t](?:{_NO_TOKEN}]*{_NO_TOKEN} \t])?|.)",
    re.DOTALL,
)  # fmt: skip

_Token = tuple[str, str, bool]  # kind, text, whether space (or what is no letter) is before it


def equations(text: str) -> list[str]:
    """The equations of `text`, in order, without spaces."""
    noted = iter([_plain(m[1]) for m in _ANNOTATION.finditer(text)])
    found: list[str] = []
    for run in _runs(_tidied(_ANNOTATION.sub(_MARK, text.replace(_MARK, " ")))):
        marks = sum(kind == "mark" for kind, _, _ in run)
        annotated = [each for each in (next(noted) for _ in range(marks)) if "=" in each]
        found += annotated or _written([token for token in run if token[0] != "mark"])
    return found


def _tidied(text: str) -> str:
    for pattern, plain in _TIDIED:
        text = pattern.sub(plain, text)
    return text


def _plain(annotation: str) -> str:
    return re.sub(r"[\s,]", "", _tidied(annotation))


def _runs(text: str) -> Iterator[list[_Token]]:
    """The longest stretches of arithmetic."""
    run: list[_Token] = []
    spaced = True
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "space":
            spaced = True
            continue
        if kind == "other":
            if run:
                yield run
            run, spaced = [], not match[0][-1].isalnum()
            continue
        # "3 4" is two numbers that stand next to each other
        if kind == "number" and run and run[-1][0] == "number" and spaced:
            yield run
            run = []
        run.append((kind, match[0], spaced))
        spaced = False
    if run:
        yield run


def _written(run: list[_Token]) -> list[str]:
    """The equations in a stretch: neighbouring sides that are arithmetic."""
    sides: list[list[_Token]] = [[]]
    for token in run:
        if token[0] == "equals":
            sides.append([])
        else:
            sides[-1].append(token)
    found: list[str] = []
    chain: list[tuple[str, bool]] = []
    for number, side in enumerate([*sides, []]):
        read = _side(side, first=number == 0)
        if read is not None:
            chain.append(read)
            continue
        if len(chain) > 1 and any(operation for _, operation in chain):
            found.append("=".join(text for text, _ in chain))
        chain = []
    return found


def _side(tokens: list[_Token], *, first: bool) -> tuple[str, bool] | None:
    """One side without spaces, and whether it has an operation; None where it is no arithmetic.

    A sign may stand before a number, close to it. What follows a letter at once (`first`: nothing of
    the stretch is before it) is joined to it, as in "2x+3" and "x(3 + 4)".
    """
    depth, operation, wants = 0, False, True  # wants: an operand comes next
    if first and tokens and not tokens[0][2]:
        return None
    for at, (kind, text, _) in enumerate(tokens):
        if kind == "number":
            if not wants:
                return None
            wants = False
        elif kind == "open":
            operation = operation or not wants  # 2(3 + 4)
            depth, wants = depth + 1, True
        elif kind == "close":
            if wants or depth == 0:
                return None
            depth -= 1
        elif not wants:
            operation = wants = True
        else:
            close = at + 1 < len(tokens) and not tokens[at + 1][2]
            begins = at == 0 or tokens[at - 1][0] in ("open", "operator")
            if text not in "+-" or not close or not begins:
                return None
    if wants or depth:
        return None
    return "".join(text for _, text, _ in tokens).replace(",", ""), operation
