"""A stand-in of the Hugging Face Hub on this machine, for what `huggingface_hub` and `datasets` ask.

It makes dataset repositories, takes large files under their hash (in one piece, or in parts), commits,
lists trees and hands files out, whole or in ranges. It counts the bytes of large files that it takes,
and can stop in the middle of one.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_the_right_one"
PART = 1 << 16  # bytes of a part: larger files come in several
_LARGE = (".parquet", ".png")  # endings that the Hub keeps as large files
_HEADER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
# The identifiers that the Hub lists (huggingface.co/docs/hub/repositories-licenses).
LICENCES = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m",
    "bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd",
    "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5",
    "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0",
    "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0",
    "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research", "intel-research", "lppl-1.3c", "ms-pl",
    "apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0", "openrail++", "osl-3.0",
    "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "deepfloyd-if-license",
    "fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4",
    "grok2-community", "gemma", "unknown", "other",
))  # fmt: skip

Tree = dict[str, bytes]  # content by path


@dataclass
class Repository:
    """Commits are whole trees; a branch names one."""

    private: bool
    commits: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, tree: Tree) -> str:
        name = hashlib.sha1(f"{len(self.commits)} {sorted(tree)}".encode()).hexdigest()
        self.commits[name] = tree
        self.branches[branch] = name
        return name

    def at(self, revision: str) -> str | None:
        name = self.branches.get(revision, revision)
        return name if name in self.commits else None


class StandIn(ThreadingHTTPServer):
    """The server and its state. `allow_uploads`: bytes of large files that it takes before it stops
    (None: no end); from then on it answers nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.received: dict[str, int] = {}  # bytes of large files, by hash, finished or not
        self.requests: list[str] = []
        self.allow_uploads: int | None = None
        self.refuse: tuple[str, int] | None = None  # (part of the path, status)
        self.stopped = False
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of its troubles."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_: Any) -> None: ...

    def _answer(self) -> None:
        hub = self.server
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        with hub.lock:
            hub.requests.append(f"{self.command} {path}")
        if hub.stopped:
            return self._hang_up()
        if hub.refuse and hub.refuse[0] in path:
            self._body()
            return self._json(
                {"error": f"refused {self.headers.get('Authorization')}"}, hub.refuse[1]
            )
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            self._body()
            return self._json({"error": "Invalid credentials in Authorization header"}, 401)
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                return answer(self, *found.groups(), **_query(parts.query))
        self._body()
        return self._json({"error": f"no {path}"}, 404, {"X-Error-Code": "EntryNotFound"})

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    # Reading and writing.

    def _body(self) -> bytes:
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, 1 << 14))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._bytes(json.dumps(value).encode(), status, headers)

    def _bytes(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    # What the Hub does.

    def _create(self, **_: str) -> None:
        asked = json.loads(self._body())
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.url}/datasets/{name}"
        if self.headers.get("Authorization") is None:
            return self._json({"error": "no token"}, 401)
        if name in self.server.repositories:
            return self._json({"error": "You already created this dataset repo", "url": url}, 409)
        made = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
        made.commit("main", {".gitattributes": b"*.parquet filter=lfs\n"})
        self.server.repositories[name] = made
        return self._json({"url": url})

    def _info(self, name: str, revision: str | None = None, **_: str) -> None:
        self._body()
        repository = self._repository(name)
        if repository is None:
            return None
        commit = repository.at(revision or "main")
        if commit is None:
            return self._missing("RevisionNotFound")
        files = [{"rfilename": path} for path in sorted(repository.commits[commit])]
        return self._json({"_id": "1", "id": name, "sha": commit, "private": repository.private,
                           "siblings": files, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _branch(self, name: str, branch: str, **_: str) -> None:
        self._body()
        repository = self._repository(name)
        if repository is None:
            return None
        if branch in repository.branches:
            return self._json({"error": "Reference already exists"}, 409)
        repository.branches[branch] = repository.branches["main"]
        return self._json({})

    def _tree(self, name: str, revision: str, below: str | None = None, **query: str) -> None:
        tree = self._at(name, revision)
        if tree is None:
            return None
        start = f"{below}/" if below else ""
        inside = {path: data for path, data in tree.items() if path.startswith(start)}
        if below and not inside:
            return self._missing("EntryNotFound")
        files = [_entry(path, data) for path, data in sorted(inside.items())]
        folders = {
            str(parent)
            for path in inside
            for parent in PurePosixPath(path).parents
            if str(parent) != "." and str(parent).startswith(start) and str(parent) != below
        }
        found = [{"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
                 for folder in sorted(folders)] + files  # fmt: skip
        if query.get("recursive", "").lower() != "true":
            found = [entry for entry in found if "/" not in entry["path"].removeprefix(start)]
        return self._json(found)

    def _paths(self, name: str, revision: str, **_: str) -> None:
        asked = parse_qs(self._body().decode()).get("paths", [])
        tree = self._at(name, revision)
        if tree is None:
            return None
        found = [_entry(path, tree[path]) for path in asked if path in tree]
        for path in asked:
            if path not in tree and any(each.startswith(f"{path}/") for each in tree):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        return self._json(found)

    def _refs(self, name: str, **_: str) -> None:
        self._body()
        repository = self._repository(name)
        if repository is not None:
            branches = [{"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": commit}
                        for branch, commit in repository.branches.items()]  # fmt: skip
            self._json({"branches": branches, "converts": [], "tags": [], "pullRequests": []})

    def _validate(self, **_: str) -> None:
        """A small part of the Hub's own checks: there is a header, and its licence is one."""
        content = json.loads(self._body())["content"]
        found = _HEADER.search(content)
        data = yaml.safe_load(found[1]) if found else {}
        licences = data.get("license", [])
        for each in [licences] if isinstance(licences, str) else licences:
            if each not in LICENCES:
                error = {"message": f'"license" must be one of {sorted(LICENCES)}'}
                return self._json({"errors": [error], "warnings": []}, 400)
        return self._json({"errors": [], "warnings": []})

    def _preupload(self, name: str, revision: str, **_: str) -> None:
        asked = json.loads(self._body())["files"]
        tree = self._at(name, revision)
        if tree is not None:
            self._json({"files": [
                {"path": file["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular"}
                for file in asked
            ]})  # fmt: skip

    def _batch(self, name: str, **_: str) -> None:
        objects = json.loads(self._body())["objects"]
        self._json({"transfer": "basic", "objects": [self._upload_of(each) for each in objects]})

    def _upload_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid, size, hub = asked["oid"], asked["size"], self.server
        if oid in hub.large:  # it is there: nothing to send
            return {"oid": oid, "size": size}
        url = f"{hub.url}/large/{oid}"
        upload: dict[str, Any] = {"href": url, "header": {}}
        if size > PART:
            count = -(-size // PART)
            urls = {str(number): f"{url}/{number}" for number in range(1, count + 1)}
            upload = {"href": f"{url}/complete", "header": {"chunk_size": str(PART), **urls}}
        verify = {"href": f"{url}/verify"}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    def _take(self, oid: str, number: str | None = None, **_: str) -> None:
        hub, data = self.server, b""
        for piece in self._pieces():
            data += piece
            with hub.lock:
                hub.received[oid] = hub.received.get(oid, 0) + len(piece)
                total = sum(hub.received.values())
                if hub.allow_uploads is not None and total > hub.allow_uploads:
                    hub.stopped = True
            if hub.stopped:
                return self._hang_up()
        if number is None:
            return self._keep(oid, data)
        hub.parts[oid, int(number)] = data
        return self._bytes(b"", headers={"ETag": f'"{number}"'})

    def _complete(self, oid: str, **_: str) -> None:
        asked = json.loads(self._body())
        numbers = [part["partNumber"] for part in asked["parts"]]
        self._keep(oid, b"".join(self.server.parts[oid, number] for number in numbers))

    def _keep(self, oid: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            return self._json({"error": "the hash differs"}, 422)
        self.server.large[oid] = data
        return self._json({})

    def _verified(self, oid: str, **_: str) -> None:
        self._body()
        self._json({}, 200 if oid in self.server.large else 404)

    def _commit(self, name: str, branch: str, **_: str) -> None:
        lines = [json.loads(line) for line in self._body().splitlines()]
        repository = self._repository(name)
        if repository is None:
            return None
        head = repository.branches[branch]
        tree = dict(repository.commits[head])
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit", head) != head:
                    return self._json({"error": "a commit has happened since"}, 412)
                case "file":
                    tree[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile" if value["oid"] not in self.server.large:
                    return self._json({"error": f"no such object: {value['oid']}"}, 400)
                case "lfsFile":
                    tree[value["path"]] = self.server.large[value["oid"]]
                case "deletedFile":
                    del tree[value["path"]]
        commit = repository.commit(branch, tree)
        url = f"{self.server.url}/datasets/{name}/commit/{commit}"
        return self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _resolve(self, name: str, revision: str, path: str, **_: str) -> None:
        tree = self._at(name, revision)
        if tree is None:
            return None
        if path not in tree:
            return self._missing("EntryNotFound")
        data, entry = tree[path], _entry(path, tree[path])
        repository = self.server.repositories[name]
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.at(revision) or "",
                   "Accept-Ranges": "bytes"}  # fmt: skip
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
            return self._bytes(data[start : end + 1], 206, headers)
        return self._bytes(data, 200, headers)

    # Who asks for what.

    def _repository(self, name: str) -> Repository | None:
        """The repository, or None after answering that there is none for whoever asks."""
        found = self.server.repositories.get(name)
        hidden = found is not None and found.private and not self.headers.get("Authorization")
        if found is None or hidden:
            self._missing("RepoNotFound", 401 if hidden else 404)
            return None
        return found

    def _at(self, name: str, revision: str) -> Tree | None:
        repository = self._repository(name)
        if repository is None:
            return None
        commit = repository.at(revision)
        if commit is None:
            self._missing("RevisionNotFound")
            return None
        return repository.commits[commit]

    def _missing(self, code: str, status: int = 404) -> None:
        self._json({"error": code}, status, {"X-Error-Code": code})


def _entry(path: str, data: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": oid}
    if path.endswith(_LARGE):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
    return entry


def _query(text: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(text).items()}


_REPO = r"([^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("POST", r"/api/repos/create", _Handler._create),
    ("POST", r"/api/validate-yaml", _Handler._validate),
    ("GET", rf"/api/datasets/{_REPO}", _Handler._info),
    ("GET", rf"/api/datasets/{_REPO}/revision/(.+)", _Handler._info),
    ("GET", rf"/api/datasets/{_REPO}/refs", _Handler._refs),
    ("POST", rf"/api/datasets/{_REPO}/branch/([^/]+)", _Handler._branch),
    ("GET", rf"/api/datasets/{_REPO}/tree/([^/]+)", _Handler._tree),
    ("GET", rf"/api/datasets/{_REPO}/tree/([^/]+)/(.+)", _Handler._tree),
    ("POST", rf"/api/datasets/{_REPO}/paths-info/([^/]+)", _Handler._paths),
    ("POST", rf"/api/datasets/{_REPO}/preupload/([^/]+)", _Handler._preupload),
    ("POST", rf"/api/datasets/{_REPO}/commit/([^/]+)", _Handler._commit),
    ("POST", rf"/datasets/{_REPO}\.git/info/lfs/objects/batch", _Handler._batch),
    ("PUT", r"/large/([0-9a-f]{64})", _Handler._take),
    ("PUT", r"/large/([0-9a-f]{64})/(\d+)", _Handler._take),
    ("POST", r"/large/([0-9a-f]{64})/complete", _Handler._complete),
    ("POST", r"/large/([0-9a-f]{64})/verify", _Handler._verified),
    ("GET HEAD", rf"/datasets/{_REPO}/resolve/([^/]+)/(.+)", _Handler._resolve),
)
