"""Trees for people: what is shown, and that hostile steps stay text."""

import asyncio
import random
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synth.tree.scripted import RIGHT, ROOT, WRONG, First, Says, Scripted
from winnow.pipeline.contracts import Verdict
from winnow.synth.tree import mcts
from winnow.synth.tree.draw import as_html, as_text
from winnow.synth.tree.node import Node, Simulation, State, Step, Tree

HOSTILE = (
    "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\x1b[2J\x1b]0;title\x07\r\x08\u202eevil\u2066 & \"quoted\" 'single' \ud83d \x00 <end>"
)


def _tree() -> mcts.Mcts:
    text = lambda name: (
        f"### Final Answer: {name} <end>" if "/" in name else f"### Step {name} <end>"
    )
    judge = Says(lambda name: RIGHT if name == "0/1" else WRONG)
    options = mcts.MctsOptions(branch=2, max_iterations=5)
    return asyncio.run(mcts.search(ROOT, Scripted(text), judge, First(0), options))


def test_a_tree_in_lines() -> None:
    assert as_text(_tree().tree, title="Problem 7", width=80) == (
        "Problem 7\n"
        "#0 n=2  (the question)\n"
        "├─ #1 n=1  ### Step 0 <end>\n"
        "│  │  ✗ iteration 1, 1 more step: wrong  ### Final Answer: 0/0 <end>\n"
        "│  ├─ #5 n=0 end  ### Final Answer: 0/1 <end>\n"
        "│  │     ✓ iteration 3, 0 more steps: correct\n"
        "│  └─ #6 n=0 end  ### Final Answer: 0/2 <end>\n"
        "└─ #2 n=1  ### Step 1 <end>\n"
        "   ├─ #3 n=1 end  ### Final Answer: 1/0 <end>\n"
        "   │     ✗ iteration 2, 0 more steps: wrong\n"
        "   └─ #4 n=0 end  ### Final Answer: 1/1 <end>\n"
        "7 nodes, 3 solutions, 7 steps, 14 tokens\n"
    )


def _hostile() -> Tree:
    state = ROOT.then(Step("a", HOSTILE, 3))
    verdict = Verdict("unjudged", None, {}, HOSTILE, HOSTILE)
    nodes = (
        Node(-1, (ROOT,), 1, False),
        Node(0, (state, ROOT.then(Step("b", HOSTILE))), 1, True, 0.5, verdict),
        Node(0, (), 0, False),
        Node(0, (ROOT.then(Step("c", "", 0, "error", HOSTILE)),), 0, True),
    )
    simulation = Simulation(1, (Step("d", HOSTILE),), state.then(Step("d", HOSTILE)), verdict)
    return Tree(nodes, (simulation,), 4, 12, 1, HOSTILE)


def test_hostile_steps_do_nothing_to_a_terminal() -> None:
    text = as_text(_hostile(), title=HOSTILE)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[2J" in text
    assert "\\u202e" in text
    assert "(not drawn)" in text
    assert "merged=2" in text
    assert "1 expansions saved by merging" in text


class Page(HTMLParser):
    """What a browser would find: tags, attributes, and whether they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)
            self.depth = max(self.depth, self._open.count("details"))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    @classmethod
    def of(cls, html: str) -> "Page":
        page = cls()
        page.feed(html)
        page.close()
        assert page._open == []
        return page


def test_hostile_steps_stay_text_on_the_page() -> None:
    html = as_html(_hostile(), title=HOSTILE, question=HOSTILE)
    page = Page.of(html)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "p", "small", "pre",
               "details", "summary", "div", "span"}  # fmt: skip
    assert set(page.tags) <= allowed
    assert page.tags.count("details") == 4
    names = {name for name, _ in page.attributes}
    assert names == {"lang", "charset", "http-equiv", "content", "open", "class"}
    assert "&lt;script&gt;alert(1)" in html
    assert all(c.isprintable() or c == "\n" for c in html)


def test_the_page_forbids_itself_everything_but_its_own_style() -> None:
    import base64
    import hashlib

    html = as_html(_tree().tree)
    policy = dict(Page.of(html).attributes)["content"] or ""
    assert "default-src 'none'" in policy
    assert "script" not in policy and "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "http:" not in html and "https:" not in html


def test_the_page_nests_as_the_tree_does() -> None:
    page = Page.of(as_html(_tree().tree, question="What is 3 + 4?"))
    assert page.depth == 3  # root, two nodes, their children
    assert page.tags.count("details") == 7
    assert page.tags.count("div") == 3


@given(st.integers(0, 10_000), st.text(max_size=40))
def test_any_tree_is_drawn_whole(seed: int, text: str) -> None:
    chance = random.Random(seed)
    nodes = [Node(-1, (ROOT,), 0, False)]
    for number in range(1, chance.randint(1, 12)):
        state = State("root", (Step(str(number), text),))
        nodes.append(Node(chance.randrange(number), (state,), 0, False))
    tree = Tree(tuple(nodes))
    lines = as_text(tree).splitlines()
    assert sorted(int(found[1]) for line in lines if (found := re.search(r"#(\d+) n=", line))) == (
        list(range(len(nodes)))
    )
    page = Page.of(as_html(tree))
    assert page.tags.count("details") == len(nodes)


def test_a_tree_deeper_than_python_s_stack_is_drawn() -> None:
    deep = [Node(-1, (ROOT,), 0, False)]
    deep += [Node(n, (State("r", (Step(str(n), "s"),)),), 0, False) for n in range(3000)]
    assert as_text(Tree(tuple(deep))).count("\n") == 3002
    assert as_html(Tree(tuple(deep))).count("<details") == 3001


@pytest.mark.parametrize("width", [30, 80, 200])
def test_lines_keep_to_their_width(width: int) -> None:
    nodes = (Node(-1, (ROOT,), 0, False), Node(0, (ROOT.then(Step("a", "word " * 99)),), 0, False))
    line = as_text(Tree(nodes), width=width).splitlines()[1]
    assert len(line) <= max(width, len("└─ #1 n=0  ") + 20)
    assert line.endswith("…")
