"""A tree for people: as text for a terminal, and as a page that needs nothing but a browser.

Steps are a model's words, so both are written for hostile text: characters that could move the
cursor, change colours or turn the direction of reading are shown as escapes; the page escapes the
rest, runs no script, loads nothing and forbids both to itself.
"""

from collections.abc import Iterator
from html import escape

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.page import content_policy, visible
from winnow.synth.tree.node import Node, Simulation, Tree

_MARKS = {"correct": "✓", "wrong": "✗", "unjudged": "?"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 70rem; color: #1b1f24; }
h1 { font-size: 1.2rem; } pre { white-space: pre-wrap; margin: .3rem 0; }
details { margin: .25rem 0 .25rem 1.1rem; border-left: 1px solid #c8ced6; padding-left: .7rem; }
summary { cursor: pointer; } small { color: #59636e; }
.correct { color: #116329; } .wrong { color: #a40e26; } .unjudged { color: #7d5b00; }
.simulation { background: #f4f6f8; padding: .2rem .6rem; margin: .25rem 0 .25rem 1.1rem; }
"""
_HEAD = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1>
"""


def as_text(tree: Tree, *, title: str = "", width: int = 100) -> str:
    """The tree in lines of about `width` characters: each node with its step, visits and value, and
    under it the solutions that were judged from there."""
    lines = [visible(title)] if title else []
    beside, children = _simulations(tree), tree.children()
    for number, _, rails, last in _walk(tree):
        node = tree.nodes[number]
        branch = "" if node.parent < 0 else "└─ " if last else "├─ "
        lines.append(_cut(f"{rails}{branch}{_head(number, node)}", _step_text(node), width))
        below = "" if node.parent < 0 else "   " if last else "│  "
        for at, simulation in beside.get(number, ()):
            rail = rails + below + ("│  " if children[number] else "   ")
            head = f"{rail}{_MARKS[simulation.verdict.verdict]} {_told(at, simulation)}"
            lines.append(_cut(head, _one_line(simulation.steps[-1].text if simulation.steps else ""),
                              width))  # fmt: skip
    lines += [visible(line) for line in _summary(tree)]
    return "\n".join(lines) + "\n"


def as_html(tree: Tree, *, title: str = "Search tree", question: str = "") -> str:
    """The tree as one page: nested parts that open and close without a script."""
    beside = _simulations(tree)
    policy = content_policy([_STYLE])
    parts = [_HEAD.format(title=_safe(title), style=_STYLE, policy=policy)]
    if question:
        parts.append(f"<pre>{_safe(question)}</pre>\n")
    parts += [f"<p><small>{_safe(line)}</small></p>\n" for line in _summary(tree)]
    opened = 0
    for number, depth, _, _ in _walk(tree):
        parts.append("</details>\n" * (opened - depth))
        parts.append(_part(number, tree.nodes[number], beside.get(number, [])))
        opened = depth + 1
    parts.append("</details>\n" * opened + "</body></html>\n")
    return "".join(parts)


def _part(number: int, node: Node, simulations: list[tuple[int, Simulation]]) -> str:
    opened = f"<details open><summary>{_safe(_head(number, node))} "
    found = [f"{opened}<small>{_safe(_one_line(_step_text(node))[:120])}</small></summary>\n"]
    for state in node.states:
        if state.steps:
            found.append(
                f"<pre>{_safe(state.steps[-1].text or state.steps[-1].error or '')}</pre>\n"
            )
    for at, simulation in simulations:
        kind = simulation.verdict.verdict
        text = "".join(step.text for step in simulation.steps)
        found.append(
            f'<div class="simulation"><span class="{kind}">{_MARKS[kind]} '
            f"{_safe(_told(at, simulation))}</span><pre>{_safe(text)}</pre></div>\n"
        )
    return "".join(found)


def _walk(tree: Tree) -> Iterator[tuple[int, int, str, bool]]:
    """(node, depth, rails to its left, whether it is its parent's last child), parents first."""
    children = tree.children()
    stack = [(0, 0, "", True)]
    while stack:
        number, depth, rails, last = stack.pop()
        yield number, depth, rails, last
        inner = rails + ("   " if last else "│  ") if depth else ""
        below = children[number]
        stack += [(child, depth + 1, inner, child == below[-1]) for child in reversed(below)]


def _simulations(tree: Tree) -> dict[int, list[tuple[int, Simulation]]]:
    found: dict[int, list[tuple[int, Simulation]]] = {}
    for at, simulation in enumerate(tree.simulations):
        found.setdefault(simulation.node, []).append((at, simulation))
    return found


def _head(number: int, node: Node) -> str:
    """The node's figures."""
    parts = [f"#{number}", f"n={node.visits}"]
    if node.value is not None:
        parts.append(f"V={node.value:.3f}")
    if len(node.states) > 1:
        parts.append(f"merged={len(node.states)}")
    if node.terminal:
        parts.append("end")
    if node.verdict is not None:
        parts.append(_verdict(node.verdict))
    return " ".join(parts)


def _told(at: int, simulation: Simulation) -> str:
    steps = len(simulation.steps)
    return f"iteration {at + 1}, {steps} more step{'' if steps == 1 else 's'}: " + _verdict(
        simulation.verdict
    )


def _verdict(verdict: Verdict) -> str:
    detail = f" ({verdict.detail})" if verdict.detail else ""
    read = f", read {_one_line(verdict.extracted)[:60]!r}" if verdict.extracted else ""
    return f"{verdict.verdict}{detail}{read}"


def _step_text(node: Node) -> str:
    if node.parent < 0:
        return "(the question)"
    if not node.states:
        return "(not drawn)"
    last = node.states[0].steps[-1]
    return last.text if last.error is None else f"error: {last.error}"


def _summary(tree: Tree) -> list[str]:
    drawn = f"{tree.n_steps:,} steps, {tree.n_tokens:,} tokens"
    lines = [f"{len(tree.nodes):,} nodes, {len(tree.simulations):,} solutions, {drawn}"]
    if tree.saved_expansions:
        lines.append(f"{tree.saved_expansions:,} expansions saved by merging")
    if tree.error is not None:
        lines.append(f"ended early: {tree.error}")
    return lines


def _cut(head: str, text: str, width: int) -> str:
    """Head and text on one line, the text no longer than what is left of `width` (at least 20)."""
    head, text = visible(head), _one_line(text)
    room = max(width - len(head) - 2, 20)
    if len(text) > room:
        text = text[: room - 1] + "…"
    return f"{head}  {text}" if text else head


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _safe(text: str) -> str:
    """Text for the page."""
    return escape(visible(text))
