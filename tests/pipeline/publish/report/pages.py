"""A page as a parser reads it, for tests."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# Everything that source rows and models could try, in one text.
HOSTILE = (
    '</script><script>window.ran = 1</script><img src=x onerror="window.ran = 1"><!-- '
    '<a href="javascript:window.ran=1">tap</a> <b>bold</b><br>&lt;i&gt; ]]> {{7*7}} %{x} $x^2$ '
    "\x1b[31mred \u202egnp.exe\u2066 \x00 | ` 'quoted' \"twice\""
)


@dataclass
class Page(HTMLParser):
    """`elements` are (tag, attributes) in order, `texts` what is shown, `blocks` the JSON of the page by
    the script's id."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    blocks: dict[str, Any] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._within: tuple[str, dict[str, str | None]] = ("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "h2"):
            self._within = (tag, dict(attrs))
            if tag != "script":
                {"style": self.styles, "h2": self.headings}[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within[0]:
            self._within = ("", {})

    def handle_data(self, data: str) -> None:
        tag, attributes = self._within
        if tag == "style":
            self.styles[-1] += data
        elif tag == "script" and attributes.get("type") == "application/json":
            self.blocks[str(attributes["id"])] = json.loads(data)
        elif tag == "script":
            self.scripts.append(data)
        else:
            self.texts.append(data)
            if tag == "h2":
                self.headings[-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def figures(self) -> dict[str, Any]:
        """Figures by what they show."""
        captions = [a for a in self.named("div") if a.get("data-figure") is not None]
        return {
            str(a["aria-label"]): self.blocks["figures"][int(str(a["data-figure"]))]
            for a in captions
        }

    def figure(self, beginning: str) -> Any:
        """The one figure whose caption begins so."""
        (found,) = [fig for name, fig in self.figures.items() if name.startswith(beginning)]
        return found


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    page.close()
    return page
