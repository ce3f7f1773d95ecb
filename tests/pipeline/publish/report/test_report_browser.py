"""The report in a real browser: it draws, searches, shows rows, and runs nothing that rows hold."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline.publish.report.conftest import Reported
from winnow.pipeline.publish.diff import diff
from winnow.pipeline.publish.report import write_diff
from winnow.pipeline.publish.version import Version

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[[Path], "Page"]


@pytest.fixture(name="opened")
def opened_fixture(browser: "Browser") -> Iterator[Open]:
    """opened(path) opens a file without a network; at the end nothing may have been complained of."""
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 900})
    said: list[str] = []
    asked: list[str] = []

    def call(path: Path) -> "Page":
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(path.as_uri())
        page.locator(".chart:not(.js-plotly-plot)").wait_for(state="detached")
        return page

    yield call
    context.close()
    assert said == []
    assert all(url.startswith(("file:", "blob:")) for url in asked)


def traces(page: "Page") -> list[dict[str, Any]]:
    """Names, points and opacity of what the map draws."""
    found: list[dict[str, Any]] = page.evaluate(
        "document.getElementById('map').data.map(({name, customdata, marker}) => "
        "({name, points: [...customdata], opacity: marker.opacity ?? 1}))"
    )
    return found


def test_it_draws_every_chart_and_nothing_planted_ran(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    assert page.evaluate("window.ran") is None
    assert page.locator(".chart .main-svg").count() >= len(ran.page.figures)
    # Hostile names are written out, as text, where plotly draws them.
    drawn = page.locator("[aria-label='Share by domain: sft against all prompts.']").text_content()
    assert drawn is not None
    assert "<script>" in drawn
    assert "&lt;" not in drawn
    for tag in ("img", "iframe", "object", "b", "i"):
        assert page.locator(tag).count() == 0, tag
    # Plotly's own toolbar has links of its own, and a button that would send the data away.
    assert page.locator("a:not([href^='#part-']):not(.modebar-btn)").count() == 0
    buttons = page.locator(".modebar-btn").evaluate_all(
        "(all) => all.map((one) => one.dataset.title)"
    )
    assert buttons == ["Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes", "Download plot"]


def test_the_policy_stops_what_would_run(ran: Reported, browser: "Browser") -> None:
    """Even a script that got into the page would not run."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(ran.path.as_uri())
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">');"
        "const s = document.createElement('script'); s.text = 'window.ran = 2'; document.body.append(s);"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in said)
    context.close()


def test_search_marks_the_points_and_lists_them(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    data = ran.page.blocks["map-data"]
    wanted = [at for at, text in enumerate(data["text"]) if "Compute" in text]
    page.get_by_label("Search").fill("compute")
    said = f"{len(wanted)} of {len(data['text'])} points"
    page.locator("#map-found", has_text=said).wait_for()
    found = {trace["name"].split(" (")[0]: trace for trace in traces(page)}
    assert found["found"]["points"] == wanted
    assert found["in no set"]["opacity"] == 0.25
    assert page.locator("#map-matches li").count() == len(wanted)

    page.get_by_label("Search").fill("<script> nothing like it")
    page.locator("#map-found", has_text=f"0 of {len(data['text'])} points").wait_for()
    page.get_by_label("Search").fill("")
    page.locator("#map-found:empty").wait_for(state="attached")
    assert "found" not in {trace["name"].split(" (")[0] for trace in traces(page)}


def test_numbers_are_whole_and_ids_are_told_by_their_beginning(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    data = ran.page.blocks["map-data"]

    def found(words: str) -> list[int]:
        before = page.locator("#map-found").inner_text()
        page.get_by_label("Search").fill(words)
        page.wait_for_function(
            "(before) => document.getElementById('map-found').textContent !== before", arg=before
        )
        return next((t["points"] for t in traces(page) if t["name"].startswith("found (")), [])

    texts = [text.replace("?", " ").split() for text in data["text"]]
    assert any("3" in text for words in texts for text in words if text != "3")  # such as 13
    assert found("3") == [at for at, words in enumerate(texts) if "3" in words]
    whole = data["id"][0]
    assert found(whole[:8].upper()) == [0]
    assert found(whole[8:24]) == []


def test_a_click_brings_the_row_into_view_below_a_list_of_matches(
    ran: Reported, opened: Open
) -> None:
    """Also where the list is long, the panel was scrolled, and the window is narrow."""
    page = opened(ran.path)
    page.get_by_label("Search").fill("a")
    page.locator("#map-matches li").nth(11).wait_for()
    list_, aside = page.locator("#map-matches"), page.locator(".map aside")
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("document.getElementById('map').scrollIntoView({ block: 'end' })")
        aside.evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
        page.evaluate(
            "document.getElementById('map').emit('plotly_click', { points: [{ customdata: 2 }] })"
        )
        head = page.locator("#map-row dl").first.bounding_box()
        around = aside.bounding_box()
        assert head and around
        assert ran.page.blocks["map-data"]["id"][2] in page.locator("#map-row").inner_text()
        assert 0 <= head["y"] < 810, width
        assert around["y"] <= head["y"] < around["y"] + around["height"] / 2 or width == 390
        assert list_.evaluate("(one) => one.scrollHeight > one.clientHeight"), width
        assert list_.evaluate("(one) => one.clientHeight") < 260, width


def test_a_match_has_its_number_at_its_first_line(ran: Reported, opened: Open) -> None:
    from PIL import Image, ImageOps

    page = opened(ran.path)
    page.get_by_label("Search").fill("compute")
    button = page.locator("#map-matches button").first
    button.wait_for()
    button.evaluate("(one) => { one.textContent = 'several words '.repeat(20); }")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box and box["height"] > 60
    clip = {"x": box["x"] - 26, "y": box["y"], "width": 24, "height": box["height"]}
    drawn = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L")  # type: ignore[arg-type]
    ink = ImageOps.invert(drawn).point(lambda light: 255 * (light > 100)).getbbox()
    assert ink and ink[3] < 25  # nothing but white below the first line


def test_a_click_shows_the_row(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    data = ran.page.blocks["map-data"]
    at = next(at for at, text in enumerate(data["text"]) if "window.ran" in text)
    # Where the browser has put the point.
    x, y = page.evaluate(
        """(at) => {
            const gd = document.getElementById("map");
            gd.scrollIntoView({ block: "center" });
            const { xaxis, yaxis } = gd._fullLayout;
            const box = gd.getBoundingClientRect();
            const point = JSON.parse(document.getElementById("map-data").textContent);
            return [box.x + xaxis._offset + xaxis.d2p(point.x[at]), box.y + yaxis._offset + yaxis.d2p(point.y[at])];
        }""",
        at,
    )
    page.mouse.move(x, y)
    page.locator("#map .hoverlayer .hovertext").first.wait_for()
    hover = page.locator("#map .hoverlayer").text_content()
    assert hover and "</script><script>" in hover
    page.mouse.click(x, y)
    panel = page.locator("#map-row")
    panel.get_by_text("Decisions").wait_for()
    text = panel.inner_text()
    assert any(name in text for name in data["id"])
    assert "<script>window.ran = 1</script>" in panel.text_content()  # type: ignore[operator]
    assert panel.locator("script, img, a, b").count() == 0
    assert page.evaluate("window.ran") is None
    assert "shown" in [trace["name"].split(" (")[0] for trace in traces(page)]


def test_the_keyboard_reaches_a_row_through_the_search(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    data = ran.page.blocks["map-data"]
    at = 3
    page.get_by_label("Search").fill(data["id"][at])
    page.locator("#map-matches button").focus()
    page.keyboard.press("Enter")
    panel = page.locator("#map-row")
    assert data["id"][at] in panel.inner_text()
    answers = data["rows"][at]["answers"]
    assert panel.locator("details").count() == len(answers)
    panel.locator("summary").first.click()
    assert answers[0]["text"] in panel.locator("pre").all_inner_texts()
    for decision in data["rows"][at]["decisions"]:
        assert (
            f"{decision['stage']}: {decision['decision']} by {decision['rule']}"
            in panel.inner_text()
        )


def test_every_colouring_shows_every_point(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    everything = set(range(len(ran.page.blocks["map-data"]["id"])))
    options = page.locator("#map-colour option").all_inner_texts()
    assert options == ["which sets use it", *(f"{n}: kept, or dropped by" for n in ("preference", "rl", "sft")),
                       "source", "pass rate"]  # fmt: skip
    for option in options:
        page.get_by_label("Colour by").select_option(option)
        shown = [point for trace in traces(page) for point in trace["points"]]
        assert set(shown) == everything, option
        assert option == options[0] or len(shown) == len(everything), option


def test_a_narrow_window_scrolls_only_down(ran: Reported, opened: Open) -> None:
    page = opened(ran.path)
    page.set_viewport_size({"width": 390, "height": 800})
    # At once, before plotly has drawn its charts again, and then the charts too.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.wait_for_function(
        "() => [...document.querySelectorAll(':not(.wide) > .chart .main-svg')]"
        ".every((one) => one.getBoundingClientRect().right <= 390)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_of_a_diff(
    tmp_path: Path, rows: Any, published: Callable[..., Version], opened: Open
) -> None:
    a = published(tmp_path / "demo", {"sft": {"train": rows["sft"](range(6))}})
    hostile = "</script><img src=x onerror='window.ran=1'>"
    b = published(tmp_path / "demo", {"sft": {"train": rows["sft"](range(3, 9), hostile)}})
    page = opened(write_diff(diff(a, b), tmp_path / "diff.html"))
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_text("sft-000006").first.click()
    assert page.evaluate("window.ran") is None
    page.get_by_text(f"{hostile} 6").wait_for()
