"""The pages of one version, as a Starlette application.

/                         the version: what is in it, what it was made from
/sets/SET/SPLIT           rows of a set, filtered and sorted
/views/VIEW/SPLIT         the same of a view, a set in the format of a trainer
/views/VIEW/SPLIT/ROW     one row of it by its number, and which row of the set it was made of
/row?set=&id=             one row with all answers to its prompt, and why it is here
/life?id=                 the same for whatever else has an id: a task, prompt, answer, source row
/ledger                   every decision of every stage
/search?q=                rows by words, by text, by meaning
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from winnow.pipeline.only_local import App, OnlyLocal
from winnow.pipeline.publish.browse import asked, pages, show
from winnow.pipeline.publish.browse.asked import BadRequest, Choice, NotFound, link
from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.browse.decisions import FILTERS, Decisions
from winnow.pipeline.publish.browse.lives import Lives
from winnow.pipeline.publish.browse.meaning import Meaning, OpenEmbedder
from winnow.pipeline.publish.browse.overview import overview
from winnow.pipeline.publish.browse.parts import Part, ViewPart
from winnow.pipeline.publish.browse.pictures import Gallery
from winnow.pipeline.publish.browse.rows import Rows
from winnow.pipeline.publish.browse.sealed import POLICY_NAME, POLICY_WITH_PICTURES, Sealed
from winnow.pipeline.publish.browse.search import MODES, Search
from winnow.pipeline.publish.browse.story import Stories
from winnow.pipeline.publish.browse.views import row_made_of
from winnow.pipeline.publish.browse.words import Words, texts_of

_STATIC = {
    "browse.css": "text/css; charset=utf-8",
    "browse.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_LOOKS_LIKE_ID = re.compile(r"[0-9a-f]{8,64}")

Parameters = Mapping[str, str]
Row = dict[str, Any]


class Browser:
    """Everything behind the pages of one version. `start` begins to build the index of words."""

    def __init__(self, catalogue: Catalogue, open_embedder: OpenEmbedder | None = None) -> None:
        self.catalogue = catalogue
        self._db = Database(catalogue.files)
        self._rows = Rows(self._db, catalogue)
        self._stories = Stories(self._db, catalogue)
        self._decisions = Decisions(self._db)
        self._lives = Lives(self._rows, self._stories, self._decisions)
        self.words = Words(self._db, catalogue)
        self.meaning = Meaning(self._db, catalogue, open_embedder)
        self._search = Search(self._db, catalogue, self.words, self.meaning)
        self._overview = overview(catalogue)

    def start(self) -> None:
        self.words.start()

    def close(self, seconds: float | None = None) -> None:
        """End what runs beside the pages, or leave it to the end of the process after so many seconds
        (None: wait for it)."""
        ended = [self.words.stop(seconds), self.meaning.stop(seconds)]
        if all(ended):
            self._db.close()

    def app(self) -> App:
        """The application, with the guards in front."""
        pages: dict[str, Callable[[Request, Parameters], Response]] = {
            "/": self._front,
            "/sets/{set}/{split}": self._set,
            "/views/{view}/{split}": self._view,
            "/views/{view}/{split}/{row}": self._view_row,
            "/row": self._row,
            "/life": self._life,
            "/ledger": self._ledger,
            "/search": self._found,
        }
        routes = [Route(path, _endpoint(page)) for path, page in pages.items()]
        routes += [Route(f"/static/{name}", _static(name)) for name in _STATIC]
        handlers: dict[Any, Any] = {
            BadRequest: self._bad_request,
            NotFound: self._not_found,
            HTTPException: self._refused,
            Exception: self._failed,
        }
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        return Sealed(OnlyLocal(inner))

    def _front(self, request: Request, given: Parameters) -> Response:
        asked.only(given, ())
        return self._show("overview.html", **self._overview, tallies=self._decisions.tallies())

    def _set(self, request: Request, given: Parameters) -> Response:
        name, split = request.path_params["set"], request.path_params["split"]
        part = self.catalogue.part(name, split)
        if part is None:
            raise NotFound(f"the version has no set {name} with a split {split}")
        return self._list(part, given)

    def _view(self, request: Request, given: Parameters) -> Response:
        return self._list(self._view_part(request), given)

    def _list(self, part: Part, given: Parameters) -> Response:
        choice = asked.choice_of(given, part, besides=("page",))
        page = self._rows.page(part, choice, asked.page_of(given))
        facets = self._rows.facets(part)
        gallery = Gallery()
        return self._show(
            "list.html",
            part=part,
            choice=choice,
            given=given,
            page=page,
            facets=facets,
            alike=[facet for facet in facets if facet.alike],
            varied=[facet.column for facet in facets if facet.tells],
            galleries={
                (row[part.key], column.name): gallery.of((row[column.name] or {}).get("first"))
                for row in page.rows
                for column in part.of_kind("pictures")
            },
            gallery=gallery,
            turn=_turner(pages.address(part), choice.parameters()),
        )

    def _row(self, request: Request, given: Parameters) -> Response:
        name, row_id = _needed(given, "set"), _needed(given, "id")
        if not self.catalogue.parts_of(name):
            raise NotFound(f"the version has no set {name}")
        part, row = self._rows.row(name, row_id)
        choice = asked.choice_of(given, part, besides=("set", "id"))
        return self._one("row.html", part, row, choice, row_id, life=self._lives.of_row(part, row))

    def _view_row(self, request: Request, given: Parameters) -> Response:
        part, number = self._view_part(request), asked.row_of(request.path_params["row"])
        row = self._rows.view_row(part, number)
        choice = asked.choice_of(given, part)
        origin, sources = row_made_of(row), self.catalogue.parts_of(part.source)
        return self._one(
            "view_row.html", part, row, choice, number,
            origin=(sources[0], origin) if origin and sources else None,
        )  # fmt: skip

    def _one(
        self, template: str, part: Part, row: Row, choice: Choice, key: str | int, **values: Any
    ) -> Response:
        """The page of one row."""
        gallery = Gallery()
        return self._show(
            template,
            part=part,
            row=row,
            choice=choice,
            place=self._rows.place(part, choice, key),
            galleries={c.name: gallery.of(row[c.name]) for c in part.of_kind("pictures")},
            gallery=gallery,
            **values,
        )

    def _life(self, request: Request, given: Parameters) -> Response:
        asked.only(given, ("id",))
        wanted = _needed(given, "id")
        rows = self._rows.of_id(wanted)
        if len(rows) == 1:
            return _redirect(link("/row", set=rows[0][0].set, id=wanted))
        life = self._lives.of_name(wanted, rows)
        if life is None:
            whole = self._lives.whole_name(wanted)
            return _redirect(link("/life", id=whole))
        gallery = Gallery()
        shown = gallery.of(self._stories.pictures(life.story)) if life.story else []
        return self._show("life.html", life=life, pictures=shown, gallery=gallery)

    def _ledger(self, request: Request, given: Parameters) -> Response:
        asked.only(given, (*FILTERS, "row", "page"))
        chosen = {name: given[name] for name in (*FILTERS, "row") if name in given}
        self._decisions.require(chosen)
        page = self._decisions.page(chosen, asked.page_of(given))
        return self._show(
            "ledger.html",
            tallies=self._decisions.tallies(),
            chosen=chosen,
            page=page,
            texts=self._stories.texts({row["row_id"] for row in page.rows}, 200),
            turn=_turner("/ledger", chosen),
        )

    def _found(self, request: Request, given: Parameters) -> Response:
        asked.only(given, ("q", "mode", "set", "like", "page"))
        text, like = given.get("q", "").strip(), given.get("like")
        mode = asked.one_of(given, "mode", MODES, "meaning" if like else "words")
        name = given.get("set")
        parts = self.catalogue.parts_of(name) if name else list(self.catalogue.parts)
        if not parts:
            raise NotFound(f"the version has no set {name}")
        if not like and _LOOKS_LIKE_ID.fullmatch(text) and self._lives.knows(text):
            return _redirect(link("/life", id=text))
        found = hits = None
        if text or like:
            numbers = [part.number for part in parts]
            found = self._search.find(mode, text, like, numbers, asked.page_of(given))
            texts = texts_of(self._db, self.catalogue, found.hits)
            hits = [
                (self.catalogue.parts[hit.part], hit, show.passage(texts[hit], found.marked))
                for hit in found.hits
                if hit in texts
            ]
        kept = {key: given[key] for key in ("q", "mode", "set", "like") if key in given}
        return self._show(
            "search.html", modes=MODES, mode=mode, text=text, like=like, set=name, found=found,
            hits=hits, turn=_turner("/search", kept),
        )  # fmt: skip

    def _view_part(self, request: Request) -> ViewPart:
        name, split = request.path_params["view"], request.path_params["split"]
        part = self.catalogue.view(name, split)
        if part is None:
            raise NotFound(f"the version has no view {name} with a split {split}")
        return part

    def _bad_request(self, request: Request, error: Exception) -> Response:
        return self._say(400, "This cannot be answered", str(error))

    def _not_found(self, request: Request, error: Exception) -> Response:
        return self._say(404, "Not here", str(error))

    def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._say(error.status_code, "Not here", "there is no such page")

    def _failed(self, request: Request, error: Exception) -> Response:
        return self._say(500, "This failed", "the terminal in which winnow browse runs says why")

    def _say(self, status: int, title: str, text: str) -> Response:
        return self._show("error.html", status=status, title=title, text=text)

    def _show(
        self, template: str, *, status: int = 200, gallery: Gallery | None = None, **values: Any
    ) -> Response:
        page = pages.environment().get_template(template)
        html = page.render(
            catalogue=self.catalogue, version=self.catalogue.version, status=status, **values
        )
        headers = {POLICY_NAME: POLICY_WITH_PICTURES} if gallery and gallery.shown else None
        return HTMLResponse(html.encode("utf-8", "replace"), status, headers)


def _endpoint(page: Callable[[Request, Parameters], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        return page(request, asked.parameters(request.scope["query_string"]))

    return answer


def _static(name: str) -> Callable[[Request], Response]:
    """One of our own files, read once: no name in a request ever becomes a path."""
    content = (Path(__file__).with_name("static") / name).read_bytes()

    def answer(request: Request) -> Response:
        return Response(content, media_type=_STATIC[name])

    return answer


def _turner(path: str, parameters: Mapping[str, str]) -> Callable[[int], str]:
    """Addresses of a list's other pages."""
    return lambda number: link(path, **parameters, page=number if number > 1 else None)


def _needed(given: Parameters, name: str) -> str:
    if name not in given:
        raise BadRequest(f"{name}: is missing")
    return given[name]


def _redirect(address: str) -> Response:
    return RedirectResponse(address, 303)
