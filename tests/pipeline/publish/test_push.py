"""Versions pushed to a stand-in of the Hub on this machine, and loaded from there."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.hub_stand_in import PART, TOKEN, StandIn, stand_in
from winnow.cli.push import _print as print_pushed
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.push import Pushed, push
from winnow.pipeline.publish.version import Version, read_sums

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
REPO = "someone/rows"
PICTURES = {"pass-rates.png": os.urandom(3 * PART), "clusters.png": b"small"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A running stand-in; this process may reach it, with the right token, and pushes without Xet."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    # Between its tries the client waits for seconds; here it does not.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    with stand_in() as server:
        yield server
    enable_progress_bars()


@pytest.fixture
def version(tmp_path: Path, sets: Sets, published: Publish) -> Version:
    return published(tmp_path / "demo", sets, pictures=PICTURES)


def on_hub(hub: StandIn, revision: str = "main") -> dict[str, str]:
    """SHA-256 of every file of the repository."""
    repository = hub.repositories[REPO]
    commit = repository.at(revision)
    assert commit is not None
    tree = repository.commits[commit]
    return {path: hashlib.sha256(data).hexdigest() for path, data in tree.items()}


def sums(version: Version) -> dict[str, str]:
    own = hashlib.sha256((version.path / "SHA256SUMS").read_bytes()).hexdigest()
    return {**read_sums(version.path), "SHA256SUMS": own}


def large(version: Version) -> dict[str, int]:
    """Sizes of the files that the Hub keeps as large ones, by SHA-256."""
    found = sums(version)
    return {
        sha256: (version.path / name).stat().st_size
        for name, sha256 in found.items()
        if name.endswith((".parquet", ".png"))
    }


def test_all_of_a_version_arrives_in_one_commit(hub: StandIn, version: Version) -> None:
    done = push(version, REPO, endpoint=hub.url)
    assert on_hub(hub) == {**sums(version), ".gitattributes": on_hub(hub)[".gitattributes"]}
    assert "run.json" not in on_hub(hub)
    assert set(done.sent) == set(sums(version)) and done.kept == done.removed == ()
    assert done.commit == hub.repositories[REPO].branches["main"]
    assert len(hub.repositories[REPO].commits) == 2  # the Hub's first one, and ours
    assert hub.received == large(version)
    assert max(hub.received.values()) > PART  # so that parts were used, too
    assert done.url == f"{hub.url}/datasets/{REPO}"


def test_what_is_there_is_not_sent_again(hub: StandIn, version: Version) -> None:
    first = push(version, REPO, endpoint=hub.url)
    received, commits = dict(hub.received), len(hub.repositories[REPO].commits)
    again = push(version, REPO, endpoint=hub.url)
    assert (again.sent, again.removed, again.commit) == ((), (), first.commit)
    assert set(again.kept) == set(sums(version))
    assert hub.received == received and len(hub.repositories[REPO].commits) == commits


def test_a_later_version_sends_what_changed_and_removes_what_is_gone(
    hub: StandIn, version: Version, tmp_path: Path, sets: Sets, published: Publish
) -> None:
    push(version, REPO, endpoint=hub.url, with_run=True)
    repository = hub.repositories[REPO]
    commit = repository.at("main")
    assert commit is not None and "run.json" in repository.commits[commit]
    theirs = {**repository.commits[commit], "LICENSE": b"by hand", "sft/notes.txt": b"by hand"}
    repository.commit("main", theirs)
    less = {"sft": sets["sft"], "rl": {"train": sets["rl"]["train"]}}
    later = published(tmp_path / "demo", less, pictures=PICTURES)
    hub.received.clear()
    done = push(later, REPO, endpoint=hub.url)
    assert set(done.removed) == {"preference/train.parquet", "rl/holdout.parquet", "run.json"}
    assert "sft/train.parquet" in done.kept and "card/clusters.png" in done.kept
    assert "README.md" in done.sent and "manifest.json" in done.sent
    by_hand = {"LICENSE", "sft/notes.txt", ".gitattributes"}
    assert set(on_hub(hub)) == {*sums(later), *by_hand}
    assert sum(hub.received.values()) == 0  # no large file of it is new


def test_a_push_that_broke_goes_on_behind_what_was_finished(hub: StandIn, version: Version) -> None:
    sizes = large(version)
    hub.allow_uploads = sum(sizes.values()) - 1
    with pytest.raises(WinnowError, match="the same command goes on from there") as failed:
        push(version, REPO, endpoint=hub.url)
    assert TOKEN not in str(failed.value)
    finished = set(hub.large)
    assert finished and finished < set(sizes)
    assert set(on_hub(hub)) == {".gitattributes"}  # nobody sees half a version
    hub.stopped, hub.allow_uploads = False, None
    hub.received.clear()
    done = push(version, REPO, endpoint=hub.url)
    assert hub.received == {
        sha256: size for sha256, size in sizes.items() if sha256 not in finished
    }
    assert on_hub(hub).items() >= sums(version).items()
    assert set(done.sent) == set(sums(version))  # none of them was committed before


def test_a_server_that_fails_now_and_then_is_asked_again(
    hub: StandIn, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuse = ("/large/", 503)

    def mended(seconds: float) -> None:
        hub.refuse = None

    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", mended)
    push(version, REPO, endpoint=hub.url)
    assert on_hub(hub).items() >= sums(version).items()


def test_a_failure_at_the_commit_leaves_what_was_there(hub: StandIn, version: Version) -> None:
    hub.refuse = ("/commit/", 500)
    with pytest.raises(WinnowError, match=rf"^{REPO}: .*500.*goes on from there$") as failed:
        push(version, REPO, endpoint=hub.url)
    assert TOKEN not in str(failed.value) and "\n" not in str(failed.value)
    assert set(on_hub(hub)) == {".gitattributes"}
    hub.refuse = None
    hub.received.clear()
    push(version, REPO, endpoint=hub.url)
    assert hub.received == {}


@pytest.mark.parametrize("token", ["hf_a_wrong_one", "hf_another"])
def test_a_wrong_token(
    hub: StandIn, version: Version, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(WinnowError) as failed:
        push(version, REPO, endpoint=hub.url)
    assert str(failed.value) == (
        f"{hub.url}: does not accept the token (401); set HF_TOKEN to one that may write to {REPO}, "
        "or log in with `hf auth login`"
    )
    assert hub.repositories == {}


def test_a_token_that_may_not_write(hub: StandIn, version: Version) -> None:
    hub.refuse = ("/api/repos/create", 403)
    with pytest.raises(WinnowError, match=rf"the token may not write to {REPO} \(403\)$"):
        push(version, REPO, endpoint=hub.url)
    hub.refuse = None
    push(version, REPO, endpoint=hub.url)
    hub.refuse = ("/api/repos/create", 403)  # one that may write to what is there, and make nothing
    assert push(version, REPO, endpoint=hub.url, revision="next").sent == ()
    hub.refuse = ("/commit/", 403)
    hub.repositories[REPO].commit("main", {})
    with pytest.raises(WinnowError, match=rf"the token may not write to {REPO} \(403\)$"):
        push(version, REPO, endpoint=hub.url)


def test_no_token(hub: StandIn, version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UsageError, match="no token: set HF_TOKEN"):
        push(version, REPO, endpoint=hub.url)
    assert hub.requests == []


def test_offline(hub: StandIn, version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        push(version, REPO, endpoint=hub.url)
    assert hub.requests == []


@pytest.mark.parametrize("repo", ["rows", "a/b/c", "-a/b", "a/b c", "a/../b", "a/<script>"])
def test_no_repository(hub: StandIn, version: Version, repo: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be a repository|needs its owner"):
        push(version, repo, endpoint=hub.url)
    assert hub.requests == []


@pytest.mark.parametrize("endpoint", ["ftp://x", "huggingface.co", "https://me:pw@huggingface.co"])
def test_no_address(hub: StandIn, version: Version, endpoint: str) -> None:
    with pytest.raises(UsageError, match="is no address such as"):
        push(version, REPO, endpoint=endpoint)


def test_a_damaged_version_is_not_sent(hub: StandIn, version: Version) -> None:
    path = version.path / "ledger.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WinnowError, match=r"ledger.parquet: is damaged .*nothing was sent"):
        push(version, REPO, endpoint=hub.url)
    assert hub.requests == []


def test_a_version_that_names_files_outside_its_folder(hub: StandIn, version: Version) -> None:
    secret = version.path.parent / "secret.txt"
    secret.write_text("mine")
    copy = version.path.rename(version.path.parent / "copy")
    listed = copy / "SHA256SUMS"
    listed.chmod(0o644)
    sha256 = hashlib.sha256(b"mine").hexdigest()
    listed.write_text(listed.read_text() + f"{sha256}  ../secret.txt\n")
    with pytest.raises(
        WinnowError, match="names ../secret.txt, which is not in the version's folder"
    ):
        push(Version("demo", "copy", copy), REPO, endpoint=hub.url)
    assert hub.requests == []


def test_private_and_branches(hub: StandIn, version: Version) -> None:
    push(version, REPO, endpoint=hub.url, private=True, revision="next")
    repository = hub.repositories[REPO]
    assert repository.private
    assert set(on_hub(hub)) == {".gitattributes"}
    assert on_hub(hub, "next").items() >= sums(version).items()
    push(version, REPO, endpoint=hub.url, private=True)
    assert on_hub(hub).items() >= sums(version).items()
    repository.private = False
    with pytest.raises(UsageError, match="is public already"):
        push(version, REPO, endpoint=hub.url, private=True)


def test_what_arrives_damaged_is_told(hub: StandIn, version: Version) -> None:
    kept = dict(hub.large)
    push(version, REPO, endpoint=hub.url)
    repository = hub.repositories[REPO]
    commit = repository.at("main")
    assert commit is not None and kept == {}
    # A repository that takes a commit and shows something else: the check must see it.
    real = type(repository).commit

    def damaged(self: Any, branch: str, tree: dict[str, bytes]) -> str:
        return real(self, branch, {**tree, "manifest.json": b"{}"})

    repository.commits[commit] = {**repository.commits[commit], "sft/train.parquet": b"gone bad"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(repository), "commit", damaged)
        with pytest.raises(WinnowError, match=r"manifest.json is not what was sent; push again"):
            push(version, REPO, endpoint=hub.url)
    push(version, REPO, endpoint=hub.url)
    assert on_hub(hub).items() >= sums(version).items()


LOAD = """
import json, sys
from datasets import disable_progress_bars, load_dataset

disable_progress_bars()
for name, split in json.loads(sys.argv[1]):
    rows = load_dataset("someone/rows", name, split=split)
    stream = load_dataset("someone/rows", name, split=split, streaming=True)
    print(json.dumps([rows.to_list(), list(stream) == rows.to_list()]))
"""


def test_the_command_pushes_and_datasets_loads(
    hub: StandIn, version: Version, sets: Sets, tmp_path: Path
) -> None:
    """In processes of their own, where the Hub's address and token come from the environment."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
    }  # fmt: skip
    command = [sys.executable, "-m", "winnow.cli.main", "push", str(version.path), REPO]

    def run(arguments: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, env={**environment, **changes}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    refused = run(command, HF_TOKEN="hf_a_wrong_one")
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.startswith(f"error: {hub.url}: does not accept the token (401)")
    assert len(refused.stderr.splitlines()) == 1 and "hf_a_wrong_one" not in refused.stderr

    done = run(command)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    commit = hub.repositories[REPO].branches["main"]
    assert f"{version.ref} is at {hub.url}/datasets/{REPO}, commit {commit}: " in done.stdout
    for name, split in (("sft", "train"), ("sft", "holdout"), ("rl", "train")):
        line = f'load_dataset("{REPO}", "{name}", split="{split}", revision="{commit}")'
        assert line in done.stdout.splitlines()

    assert "more the same way" not in done.stdout

    asked = [["sft", "holdout"], ["preference", "train"]]
    loaded = run([sys.executable, "-c", LOAD, json.dumps(asked)])
    assert loaded.returncode == 0, loaded.stderr
    for (name, split), line in zip(asked, loaded.stdout.splitlines(), strict=True):
        assert json.loads(line) == [sets[name][split].to_pylist(), True]


def test_many_sets_are_told_in_a_few_lines(
    tmp_path: Path, sets: Sets, published: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"set-{at:02}" for at in range(24)]
    version = published(tmp_path / "demo", dict.fromkeys(names, sets["sft"]))
    print_pushed(version, Pushed(REPO, f"https://hub/{REPO}", "c0", ("x",), 1, (), ()))
    lines = capsys.readouterr().out.splitlines()[4:]
    assert lines[:3] == [
        f'load_dataset("{REPO}", "{name}", split="train", revision="c0")' for name in names[:3]
    ]
    rest = [f"{name} holdout" for name in names[:3]] + [f"{n} train, holdout" for n in names[3:]]
    assert lines[3:] == [f"and 45 more the same way: {'; '.join(rest)}"]
