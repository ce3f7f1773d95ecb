import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish import writer
from winnow.pipeline.publish.set_schemas import SETS
from winnow.pipeline.publish.version import (
    Version,
    latest,
    list_versions,
    read_sums,
    stale_temporaries,
    verify_version,
)

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Rows = Mapping[str, Callable[..., pa.Table]]
Manifest = Callable[..., dict[str, Any]]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    order = random.Random(seed).sample(range(table.num_rows), table.num_rows)
    rows = table.take(pa.array(order, pa.int64()))
    cut = table.num_rows // 3
    return pa.concat_tables([rows.slice(cut), rows.slice(0, cut)])


def backwards(value: Any) -> Any:
    """The same mappings, their keys in the other order."""
    if isinstance(value, dict):
        return {key: backwards(inner) for key, inner in reversed(value.items())}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = pa.cpu_count()
    yield pa.set_cpu_count
    pa.set_cpu_count(before)


def test_layout_and_sums(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets, run={"seconds": {"sampling": 1.5}})
    assert version.path == tmp_path / "demo" / version.id
    assert re.fullmatch("[0-9a-f]{16}", version.id)
    found = files(version.path)
    assert sorted(found) == [
        "README.md", "SHA256SUMS", "ledger.parquet", "manifest.json", "preference/train.parquet",
        "recipe.yaml", "rl/holdout.parquet", "rl/train.parquet", "sft/holdout.parquet",
        "sft/train.parquet",
    ]  # fmt: skip
    del found["SHA256SUMS"]
    assert read_sums(version.path) == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert version.rows == {
        "sft": {"train": 50, "holdout": 10},
        "rl": {"train": 20, "holdout": 0},
        "preference": {"train": 5},
    }
    run = version.run()
    assert run["seconds"] == {"sampling": 1.5}
    assert run["parent"] is None
    assert version.table("sft").equals(sets["sft"]["train"])
    assert version.ledger().num_rows == 1
    assert [p.name for p in (tmp_path / "demo").iterdir() if p.name.startswith(".")] == []


def test_sha256sum_agrees(tmp_path: Path, sets: Sets, published: Publish) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    version = published(tmp_path / "demo", sets)
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=version.path, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_rebuilt_elsewhere_from_shuffled_shards_with_other_threads(
    tmp_path: Path,
    sets: Sets,
    rows: Rows,
    published: Publish,
    threads: Callable[[int], None],
    manifest: Manifest,
) -> None:
    sets["sft"]["train"] = rows["sft"](range(5000))
    sets["sft"]["holdout"] = rows["sft"](range(5000, 5100))
    ledger = rows["ledger"](
        *((f"row-{k}", "prompts", "kept", "all", str(k % 4), "1") for k in range(3000))
    )
    threads(1)
    one = published(tmp_path / "a" / "demo", sets, ledger=ledger)
    threads(4)
    mixed = {
        name: {split: shuffled(table, 5) for split, table in reversed(splits.items())}
        for name, splits in reversed(sets.items())
    }
    other = published(
        tmp_path / "b" / "demo",
        mixed,
        ledger=shuffled(ledger, 6),
        manifest=backwards(manifest()),
        run={"cost": 3},
    )
    assert other.id == one.id
    assert files(other.path) == files(one.path)


def test_the_name_follows_every_deterministic_file(
    tmp_path: Path, sets: Sets, rows: Rows, published: Publish, manifest: Manifest
) -> None:
    folder = tmp_path / "demo"
    base = published(folder, sets)
    ids = {
        base.id,
        published(folder, {**sets, "rl": {"train": rows["rl"](range(19))}}).id,
        published(folder, sets, ledger=rows["ledger"](("r", "prompts", "kept", "x"))).id,
        published(folder, sets, manifest=manifest(code_version="0.2.0")).id,
        published(folder, sets, card=lambda manifest, schemas: "# Another card\n").id,
    }
    assert len(ids) == 5
    assert published(folder, sets, run={"cost": 12}).id == base.id


def test_publishing_again_changes_nothing_but_the_latest(
    tmp_path: Path, sets: Sets, rows: Rows, published: Publish
) -> None:
    folder = tmp_path / "demo"
    first = published(folder, sets)
    record = (first.path / "run.json").read_bytes()
    second = published(folder, {"rl": {"train": rows["rl"](range(3))}})
    assert second.parent == first.id
    assert latest(folder) == second
    again = published(folder, sets)
    assert again == first
    assert (first.path / "run.json").read_bytes() == record
    assert latest(folder) == first
    assert [version.id for version in list_versions(folder)] == [first.id, second.id]
    assert sorted(p.name for p in folder.iterdir()) == sorted([first.id, second.id, "latest"])


def test_files_are_read_only(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets)
    assert all(p.stat().st_mode & 0o222 == 0 for p in version.path.rglob("*") if p.is_file())
    shutil.rmtree(version.path)


def test_a_damaged_version_of_the_same_name_is_an_error(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    version = published(tmp_path / "demo", sets)
    damage(version.path / "sft" / "train.parquet")
    with pytest.raises(WinnowError, match=r"sft/train\.parquet: is damaged.*publish again"):
        published(tmp_path / "demo", sets)


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# --- linking sets -----------------------------------------------------------------------------


def test_a_linked_set_gives_what_a_whole_build_gives(
    tmp_path: Path,
    sets: Sets,
    rows: Rows,
    published: Publish,
    manifest: Manifest,
    recipe_text: str,
) -> None:
    def ledger(limit: str) -> pa.Table:
        return rows["ledger"](
            ("a", "prompts", "dropped", "empty"),
            ("b", "training_set/rl", "dropped", "pass_rate", "1.0", "0.9"),
            ("c", "training_set/sft", "dropped", "per_prompt", "3", limit),
        )

    first = published(tmp_path / "demo", sets, ledger=ledger("2"))
    recipe = recipe_text.replace("per_prompt: 2", "per_prompt: 1")
    fewer = {"train": rows["sft"](range(30)), "holdout": rows["sft"](range(50, 55))}
    given = {"manifest": manifest(recipe), "ledger": ledger("1")}
    linked = published(
        tmp_path / "demo", {"sft": fewer}, reuse={"rl": first, "preference": first}, **given
    )
    whole = published(tmp_path / "other" / "demo", {**sets, "sft": fewer}, **given)
    assert linked.id == whole.id != first.id
    assert files(linked.path) == files(whole.path)
    assert verify_version(linked.path) == []
    for name in ("rl/train.parquet", "rl/holdout.parquet", "preference/train.parquet"):
        assert (linked.path / name).stat().st_ino == (first.path / name).stat().st_ino
    assert "kept from an earlier version" not in (linked.path / "README.md").read_text()


def test_a_set_linked_across_other_settings_says_so(
    tmp_path: Path,
    sets: Sets,
    rows: Rows,
    published: Publish,
    manifest: Manifest,
    recipe_text: str,
) -> None:
    old = rows["ledger"](("b", "training_set/rl", "dropped", "pass_rate", "1.0", "0.9"))
    new = rows["ledger"](
        ("a", "prompts", "kept", "all"),
        ("b", "training_set/rl", "kept", "pass_rate", "1.0", "1.0"),
        ("b", "training_set/rl2", "kept", "all"),
    )
    first = published(tmp_path / "demo", sets, ledger=old)
    recipe = recipe_text.replace("0.9]", "1.0]")
    linked = published(
        tmp_path / "demo",
        {"sft": sets["sft"], "preference": sets["preference"]},
        reuse={"rl": first},
        manifest=manifest(recipe),
        ledger=new,
    )
    entry = linked.manifest()["sets"]["rl"]
    assert entry["settings"]["pass_rate"] == [0.1, 0.9]
    assert linked.manifest()["recipe"]["sets"]["rl"]["pass_rate"] == [0.1, 1.0]
    card = (linked.path / "README.md").read_text()
    assert "Set rl was kept from an earlier version" in card
    assert "Set sft was kept" not in card
    found = {(r["row_id"], r["stage"], r["threshold"]) for r in linked.ledger().to_pylist()}
    assert found == {
        ("a", "prompts", None), ("b", "training_set/rl", "0.9"), ("b", "training_set/rl2", None)
    }  # fmt: skip


def test_without_hard_links_a_set_is_copied(
    tmp_path: Path, sets: Sets, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    first = published(tmp_path / "demo", sets)
    monkeypatch.setattr("os.link", refuse)
    rest = {name: splits for name, splits in sets.items() if name != "rl"}
    again = published(tmp_path / "other" / "demo", rest, reuse={"rl": first})
    assert again.id == first.id
    assert verify_version(again.path) == []
    assert (again.path / "rl/train.parquet").stat().st_mode & 0o222 == 0
    (first.path / "rl/train.parquet").chmod(0o644)
    assert (again.path / "rl/train.parquet").stat().st_mode & 0o222 == 0


def test_a_damaged_or_missing_set_is_not_linked(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    first = published(tmp_path / "demo", sets)
    with pytest.raises(WinnowError, match="has no set 'dpo' to reuse"):
        published(tmp_path / "demo", {"sft": sets["sft"]}, reuse={"dpo": first})
    damage(first.path / "rl" / "train.parquet")
    with pytest.raises(WinnowError, match=r"rl/train\.parquet: is damaged"):
        published(tmp_path / "demo", {"sft": sets["sft"]}, reuse={"rl": first})
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == sorted([first.id, "latest"])


# --- what is no set ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.json", "readme.md", "SHA256SUMS", "a/b", "..", "", ".x"])
def test_names_that_cannot_be_a_set(
    tmp_path: Path, sets: Sets, published: Publish, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a set"):
        published(tmp_path / "demo", {name: sets["sft"]})
    assert not (tmp_path / "demo").exists()


def test_tables_that_are_no_set(tmp_path: Path, sets: Sets, rows: Rows, published: Publish) -> None:
    some, more = rows["sft"](range(5)), rows["sft"](range(4, 6))
    at = more.schema.get_field_index("id")
    same_group = more.set_column(at, more.schema.field("id"), pa.array(["x", "y"]))
    first = published(tmp_path / "good", sets)
    for tables, reuse, message in [
        ({"train": some, "holdout": more}, {}, "1 rows of train share their id with holdout"),
        ({"train": some, "holdout": same_group}, {}, "1 rows of train share their template_id"),
        ({"train": some, "test": more}, {}, "its splits are"),
        ({"holdout": some}, {}, "its splits are"),
        ({"train": some, "holdout": rows["rl"](range(3))}, {}, "differ in their columns"),
        ({"train": pa.concat_tables([some, some])}, {}, "5 rows have the same id"),
        ({"train": some}, {"sft": first}, "both given and reused"),
    ]:
        with pytest.raises(ValueError, match=message):
            published(tmp_path / "demo", {"sft": tables}, reuse=reuse)
        assert list_versions(tmp_path / "demo") == []


# --- crashes ----------------------------------------------------------------------------------


def test_a_failure_at_any_sync_leaves_the_whole_version_or_nothing(
    tmp_path: Path, rows: Rows, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {"sft": {"train": rows["sft"](range(5))}, "rl": {"train": rows["rl"](range(3))}}
    real = os.fsync
    outcomes = []
    for fail_at in range(50):
        calls = 0

        def fsync(handle: int, fail_at: int = fail_at) -> None:
            nonlocal calls
            calls += 1
            if calls == fail_at + 1:
                raise OSError(28, "No space left on device")
            real(handle)

        folder = tmp_path / str(fail_at) / "demo"
        monkeypatch.setattr(os, "fsync", fsync)
        try:
            published(folder, sets)
        except OSError:
            outcome = "failed"
        else:
            outcome = "published"
        monkeypatch.setattr(os, "fsync", real)
        versions = list_versions(folder)
        assert [verify_version(version.path) for version in versions] in ([], [[]])
        assert list(folder.glob(".*")) == []
        assert outcome == "failed" or len(versions) == 1
        outcomes.append((outcome, len(versions)))
        if calls <= fail_at:
            break
    # Nothing, then (the folder's own sync and the link's failing) a version, then no failure left.
    assert outcomes[-1] == ("published", 1)
    assert outcomes.count(("failed", 0)) >= 8
    assert outcomes == sorted(outcomes, key=lambda each: (each[1], each[0] == "published"))


# Imports and makes the tables once, then forks a publisher for every line "part step". It kills
# itself before its `step`-th change to the disk (Python's audit events tell of each, but for writes
# into open files), or, where that is negative, publishes until it is killed.
NURSERY = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from conftest import make_manifest, sft_rows, rl_rows, ledger_rows
from winnow.pipeline.publish.writer import publish
folder = Path(sys.argv[1])
manifest = make_manifest()
rl = rl_rows(range(20))
sft = sft_rows(range(6000))
ledger = ledger_rows(*((f"row-{k}", "prompts", "kept", "all") for k in range(200)))

def die_at(step):
    left = step
    def hook(event, arguments):
        nonlocal left
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            changes = event in ("os.mkdir", "os.rename", "os.chmod", "os.link", "shutil.rmtree")
        if changes and any(str(folder) in str(each) for each in arguments):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for line in sys.stdin:
    if pid := os.fork():
        os.waitpid(pid, 0)
        print("gone", flush=True)
        continue
    print(os.getpid(), flush=True)
    part, step = map(int, line.split())
    if step >= 0:
        die_at(step)
    for k in range(1 if step >= 0 else 30):
        sets = {"sft": {"train": sft.slice(part * 30 + k, 30)}, "rl": {"train": rl}}
        publish(folder, sets, manifest=manifest, ledger=ledger)
        print("published", flush=True)
    break
"""


class Publishers:
    """Publishers into one folder, one after the other, each of which dies or ends."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", NURSERY, str(folder), str(Path(__file__).parent)]
        self.folder = folder
        self.verified: set[str] = set()
        self.started = 0
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, step: int = -1) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.started} {step}\n")
        self.started += 1
        return int(self.process.stdout.readline())

    def join(self) -> tuple[int, int, int]:
        """Publications that returned, new versions, folders left behind; checks all of them."""
        assert self.process.stdout is not None
        returned = 0
        while (said := self.process.stdout.readline()) != "gone\n":
            assert said == "published\n"
            returned += 1
        versions = list_versions(self.folder)
        assert all(version.problem is None and version.created for version in versions)
        new = [version for version in versions if version.id not in self.verified]
        assert [verify_version(version.path) for version in new] == [[]] * len(new)
        self.verified |= {version.id for version in new}
        stale = stale_temporaries(self.folder, grace_seconds=0)
        assert {path.name for path in self.folder.glob(".*")} == {path.name for path in stale}
        for path in stale:
            shutil.rmtree(path)
        assert (latest(self.folder) is None) == (not versions)
        return returned, len(new), len(stale)


@pytest.fixture
def publishers(tmp_path: Path) -> Iterator[Publishers]:
    each = Publishers(tmp_path / "demo")
    with each.process:
        yield each
        assert each.process.stdin is not None
        each.process.stdin.close()


def test_killed_before_any_change_to_the_disk(publishers: Publishers) -> None:
    outcomes = []
    for step in range(150):
        publishers.start(step)
        outcomes.append(publishers.join())
        if outcomes[-1][0]:
            break
    # No version; then a whole one, whose publisher died before it could say so; then no death.
    assert outcomes[-1] == (1, 1, 0)
    found = [new for _, new, _ in outcomes]
    assert found == sorted(found)
    assert sum(found) >= 2
    assert found.count(0) >= 10
    assert sum(stale for *_, stale in outcomes) >= found.count(0) - 5


def test_killed_at_random_moments(publishers: Publishers) -> None:
    moments = random.Random(11)
    outcomes = []
    for _ in range(10):
        publisher = publishers.start()
        time.sleep(moments.uniform(0, 0.4))
        os.kill(publisher, signal.SIGKILL)
        outcomes.append(publishers.join())
    assert all(returned <= new for returned, new, _ in outcomes)
    assert sum(stale for *_, stale in outcomes) >= 3  # else too few kills fell into a publication


def test_publishers_of_the_same_rows_meet_in_one_version(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: published(tmp_path / "demo", sets), range(8)))
    assert len({version.id for version in found}) == 1
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == sorted([found[0].id, "latest"])


def test_a_live_publisher_is_not_stale(tmp_path: Path) -> None:
    with writer._temporary(tmp_path) as folder:
        assert stale_temporaries(tmp_path, grace_seconds=0) == []
    (tmp_path / ".tmp-0123").mkdir()
    assert stale_temporaries(tmp_path) == []
    assert stale_temporaries(tmp_path, grace_seconds=0) == [tmp_path / ".tmp-0123"]
    assert not folder.exists()


def test_every_kind_of_set_has_documented_columns() -> None:
    for schema in SETS.values():
        assert {"id", "policy", "template", "sampler", "verifier", "pass_rate"} <= set(schema.names)
        assert all(field.metadata[b"meaning"] for field in schema)
        assert not schema.field("id").nullable
