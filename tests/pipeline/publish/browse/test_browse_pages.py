"""The pages over a real version: what they show, and that everything they link to is there."""

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from starlette.testclient import TestClient

from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.version import Version
from winnow.pipeline.workspace import Workspace

Get = Callable[..., str]
Links = Callable[[str], list[str]]


def _shown_rows(page: str, links_of: Links) -> list[str]:
    """Ids of the rows that a list shows, in its order."""
    from urllib.parse import parse_qs, urlsplit

    rows = page.split('<table class="rows')[1] if '<table class="rows' in page else ""
    return [
        parse_qs(urlsplit(link).query)["id"][0]
        for link in links_of(rows)
        if link.startswith(("/row?", "/life?"))
    ]


def test_every_link_of_every_page_leads_somewhere(client: TestClient, links_of: Links) -> None:
    seen, todo = {"/"}, ["/"]
    while todo and len(seen) < 600:
        address = todo.pop()
        answer = client.get(address)
        assert answer.status_code == 200, address
        for link in links_of(answer.text):
            assert link.startswith(("/", "#")), link
            if link.startswith("/") and link not in seen:
                seen.add(link)
                todo.append(link)
    assert len(seen) > 60
    for kind in ("/row?", "/life?", "/ledger", "/search?", "/sets/preference/"):
        assert any(link.startswith(kind) for link in seen), kind


def test_overview_counts_the_sets(get: Get, version: Version) -> None:
    page = get("/")
    for name, splits in version.rows.items():
        assert f"<b>{splits['train']}</b> train" in page
        assert f"/sets/{name}/train" in page
    assert "teacher" in page
    assert "math" in page


def test_rows_are_filtered_by_text_number_and_absence(
    get: Get, version: Version, links_of: Links
) -> None:
    table = version.table("sft")
    rate, cluster = table["pass_rate"], table["cluster"][0].as_py()
    cases: list[tuple[Mapping[str, Any], Any]] = [
        ({"min.pass_rate": 0.5}, pc.field("pass_rate") >= 0.5),
        ({"max.pass_rate": 0.4}, pc.field("pass_rate") <= 0.4),
        ({"is.cluster": cluster}, pc.field("cluster") == cluster),
        ({"is.source": "sums", "min.pass_rate": 0.3, "max.pass_rate": 0.6},
         (pc.field("pass_rate") >= 0.3) & (pc.field("pass_rate") <= 0.6)),
        ({"none.score": "1"}, pc.field("score").is_null()),
        ({"is.template_id": table["template_id"][0].as_py()},
         pc.field("template_id") == table["template_id"][0].as_py()),
    ]  # fmt: skip
    assert pc.count_distinct(rate).as_py() > 1
    for given, expected in cases:
        page = get("/sets/sft/train", **given)
        assert sorted(_shown_rows(page, links_of)) == table.filter(expected)["id"].to_pylist(), (
            given
        )


def test_rows_are_sorted_and_ties_go_by_id(get: Get, version: Version, links_of: Links) -> None:
    table = version.table("sft")
    for order in ("ascending", "descending"):
        page = get("/sets/sft/train", sort="pass_rate", order=order[:-6])
        keys = [("pass_rate", order), ("id", "ascending")]
        assert _shown_rows(page, links_of) == table.sort_by(keys)["id"].to_pylist()


def test_a_row_shows_every_answer_to_its_prompt_with_verdict_and_why(
    get: Get, version: Version, browse_home: Path
) -> None:
    row = version.table("sft").to_pylist()[0]
    page = html.unescape(get("/row", set="sft", id=row["id"]))
    work = Workspace(browse_home, "sums")
    rollouts = {
        r["rollout_id"]: r
        for r in work.read("rollouts").to_pylist()
        if r["prompt_id"] == row["prompt_id"]
    }
    verdicts = {
        v["rollout_id"]: v for v in work.read("verdicts").to_pylist() if v["rollout_id"] in rollouts
    }
    assert len(rollouts) == 4
    cards = [card.split("</article>")[0] for card in page.split('<article class="card ')[1:]]
    assert len(cards) == 4
    for card in cards:
        (rollout,) = [name for name in rollouts if f'title="{name}"' in card]
        verdict = verdicts[rollout]
        assert card.startswith(verdict["verdict"])  # a colour
        assert {"correct": "✓", "wrong": "✗", "unjudged": "?"}[verdict["verdict"]] in card  # a sign
        assert verdict["verdict"] in card  # a word
        assert f"<code>{verdict['extracted']}</code>" in card
        assert ("in this row" in card) == (rollout == row["rollout_id"])
        assert "ended by itself" in card
    why = page.split('id="why"')[1]
    assert why.index("prompts") < why.index("training_set/sft")  # in running order
    assert "kept" in why
    assert "selected" in why


def test_a_dropped_answer_says_what_it_was_dropped_for(
    get: Get, version: Version, links_of: Links
) -> None:
    dropped = get("/ledger", stage="training_set/sft", decision="dropped", rule="pass_rate")
    ledger = version.ledger().to_pylist()
    expected = [
        entry["row_id"]
        for entry in ledger
        if (entry["stage"], entry["decision"], entry["rule"])
        == ("training_set/sft", "dropped", "pass_rate")
    ]
    shown = _shown_rows(dropped, links_of)
    assert shown == sorted(expected)
    entry = next(e for e in ledger if e["row_id"] == shown[0] and e["rule"] == "pass_rate")
    life = get("/life", id=shown[0])
    assert "What became of it" in life
    assert entry["threshold"] in life
    assert entry["value"] in life
    assert life.count('<article class="card ') == 4  # its prompt's answers, itself among them
    assert "in this row" in life


def test_a_source_row_that_never_was_a_prompt_has_a_life(
    get: Get, version: Version, links_of: Links
) -> None:
    (entry,) = [e for e in version.ledger().to_pylist() if e["rule"] == "missing_answer"]
    page = get("/life", id=entry["row_id"])
    assert "missing_answer" in page
    assert entry["row_id"] in _shown_rows(get("/ledger", rule="missing_answer"), links_of)


def test_no_prompt_leads_to_a_page_that_is_not_there(
    get: Get, version: Version, links_of: Links, browse_home: Path
) -> None:
    published = {name for of in version.rows for name in version.table(of)["prompt_id"].to_pylist()}
    prompts = set(Workspace(browse_home, "sums").read("prompts")["prompt_id"].to_pylist())
    assert prompts - published, "some prompts are in no published row"
    for name in prompts:
        links = [link for link in links_of(get("/life", id=name)) if "mode=meaning" in link]
        assert len(links) == (name in published)


def test_ids_and_their_beginnings_lead_to_the_row(client: TestClient, version: Version) -> None:
    row = version.table("rl")["id"][0].as_py()
    for asked in (row, row[:12]):
        answer = client.get("/search", params={"q": asked})
        assert answer.url.path == "/row"
        assert answer.url.params["id"] == row
    assert client.get("/life", params={"id": "0" * 32}).status_code == 404


def test_next_and_previous_follow_the_chosen_rows(
    get: Get, version: Version, links_of: Links
) -> None:
    listed = _shown_rows(
        get("/sets/sft/train", **{"min.pass_rate": 0.4, "sort": "pass_rate"}), links_of
    )
    page = get("/row", **{"set": "sft", "id": listed[1], "min.pass_rate": 0.4, "sort": "pass_rate"})
    turn = page.split('class="turn"')[1].split("</nav>")[0]
    assert f"2 of {len(listed)}" in turn
    following = [link for link in links_of(turn) if link.startswith("/row")]
    assert [listed[0] in following[0], listed[2] in following[1]] == [True, True]
    assert all("min.pass_rate=0.4" in link for link in following)


def test_what_a_folder_without_its_run_cannot_show_is_said(
    version: Version, tmp_path: Path
) -> None:
    import shutil

    alone = tmp_path / version.dataset / version.id
    shutil.copytree(version.path, alone)
    from winnow.pipeline.publish.version import open_version

    browser = Browser(catalogue(open_version(alone), tmp_path / "no-home"))
    try:
        client = TestClient(browser.app(), base_url="http://localhost")
        assert "the tables of the run that made this version are not here" in client.get("/").text
        row = version.table("sft").to_pylist()[0]
        page = client.get("/row", params={"set": "sft", "id": row["id"]}).text
        assert row["messages"][-1]["content"][:20] in html.unescape(page)
        assert "selected" in page
        assert '<article class="card' not in page
        task = client.get("/life", params={"id": row["task_id"]})
        assert task.status_code == 200
        assert row["id"][:10] in task.text
    finally:
        browser.close()


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("/sets/none/train", {}, 404),
        ("/sets/sft/test", {}, 404),
        ("/sets/sft/train", {"page": "2"}, 404),
        ("/sets/sft/train", {"page": "0"}, 400),
        ("/sets/sft/train", {"page": "9" * 40}, 400),
        ("/sets/sft/train", {"is.messages": "x"}, 400),
        ("/sets/sft/train", {"is.nothing": "x"}, 400),
        ("/sets/sft/train", {'is.id" OR 1=1 --': "x"}, 400),
        ("/sets/sft/train", {"sort": "id; DROP TABLE documents"}, 400),
        ("/sets/sft/train", {"order": "sideways"}, 400),
        ("/sets/sft/train", {"min.pass_rate": "nan"}, 400),
        ("/sets/sft/train", {"min.pass_rate": "1e999"}, 400),
        ("/sets/sft/train", {"is.cluster": "9" * 30}, 200),
        ("/sets/sft/train", {"min.source": "1"}, 400),
        ("/sets/sft/train", {"is.source": "' OR 1=1 --"}, 200),
        ("/row", {}, 400),
        ("/row", {"set": "sft", "id": "../../manifest.json"}, 404),
        ("/row", {"set": "../..", "id": "x"}, 404),
        ("/row", {"set": "sft", "id": "\x00"}, 400),
        ("/life", {"id": "' OR 1=1 --"}, 404),
        ("/ledger", {"stage": "nowhere"}, 404),
        ("/ledger", {"row": "%_"}, 200),
        ("/search", {"q": "x", "mode": "sql"}, 400),
        ("/search", {"q": "x" * 3000}, 400),
        ("/search", {"q": "x", "set": "none"}, 404),
        ("/static/../app.py", {}, 404),
        ("/static/%2e%2e/app.py", {}, 404),
        ("/static/..%2fapp.py", {}, 404),
        ("/manifest.json", {}, 404),
    ],
)
def test_what_is_asked_wrongly_gets_a_page_that_says_so(
    client: TestClient, path: str, given: dict[str, str], status: int
) -> None:
    answer = client.get(path, params=given)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_parameter_twice_and_broken_escapes_are_refused(client: TestClient) -> None:
    for query in ("page=1&page=2", "is.source=%ff", "q=%c3%28", "a=1&" * 200, "x" * 9000):
        assert client.get(f"/sets/sft/train?{query}").status_code == 400, query[:30]
