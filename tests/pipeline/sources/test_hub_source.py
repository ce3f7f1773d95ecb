"""A dataset on a hub: a server on this machine that answers the few requests that `datasets` makes."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

REVISION = "a" * 40
FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "train.jsonl": b'{"prompt": null}\n' * 3 + b'{"prompt": "a"}\n{broken\n{"prompt": {"b": 1}}\n',
    "test.jsonl": b'{"prompt": "t"}\n',
}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...

    def reply(self, body: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/datasets/org/name/tree/"):
            self.reply(json.dumps([_entry(file) for file in FILES]).encode())
        elif path.startswith("/api/datasets/org/name"):
            siblings = [{"rfilename": file} for file in FILES]
            info = {"id": "org/name", "sha": REVISION, "private": False, "siblings": siblings}
            self.reply(json.dumps(info).encode())
        elif path.startswith("/datasets/org/name/resolve/") and name in FILES:
            etag = f'"{_entry(name)["oid"]}"'
            self.reply(FILES[name], ETag=etag, X_Repo_Commit=REVISION)
        elif path.startswith("/datasets/org/name/"):
            self.reply(b"{}", 404, X_Error_Code="EntryNotFound")
        else:
            self.reply(b"{}", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(json.dumps([_entry(file) for file in FILES]).encode())


def _entry(file: str) -> dict[str, Any]:
    oid = hashlib.sha1(FILES[file]).hexdigest()
    return {"type": "file", "path": file, "size": len(FILES[file]), "oid": oid}


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# In a process of its own: the hub's address is read when `datasets` is imported.
CODE = """
import json, sys
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import DatasetSource
from winnow.pipeline.sources.hf_dataset import HFDataset

for more in json.load(sys.stdin):
    source = HFDataset(DatasetSource(type="dataset", name="s", **more))
    try:
        rows = [[row.values.get("prompt"), row.error] for row in source.rows()]
        print(json.dumps([rows, source.fingerprint()]))
    except UsageError as error:
        print(json.dumps(str(error)))
"""


def read(endpoint: str, home: Path, asked: list[dict[str, str]]) -> list[Any]:
    """What another process says of the sources `asked` for."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps(asked),
        env={**environment, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_hub(hub: str, tmp_path: Path) -> None:
    asked = [
        {"path": "org/name"},
        {"path": "org/name"},
        {"path": "org/name", "split": "test"},
        {"path": "org/name", "split": "dev"},
        {"path": "org/name", "config": "none"},
        {"path": "org/other"},
    ]
    train, again, test, dev, config, other = read(hub, tmp_path, asked)
    (*rows, broken, last), fingerprint = train
    assert rows == [[None, None]] * 3 + [["a", None]]
    assert broken[1].startswith("line 5: not JSON")
    assert last == [{"b": 1}, None]
    assert again == train
    assert test[0] == [["t", None]] and test[1] != fingerprint
    assert dev == "source 's': split: no split 'dev'; the source has: train, test"
    assert config.startswith("source 's': config: BuilderConfig 'none' not found")
    assert other.startswith("source 's': path: Dataset 'org/other' doesn't exist")


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    (said,) = read("http://127.0.0.1:9", tmp_path, [{"path": "hf://datasets/org/name/a.jsonl"}])
    assert said.startswith("source 's': path: ")
    assert "refused" in said
