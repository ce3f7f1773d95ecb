"""`dataset_info.json`, by which LLaMA-Factory finds its data (its data/README.md)."""

from collections.abc import Mapping
from typing import Any


def dataset_info(
    title: str, files: Mapping[str, str], description: Mapping[str, Any]
) -> dict[str, Any]:
    """The file's content: one dataset per split, called `title`, and `title_SPLIT` for others than
    train. `files` maps a split to its data file, `description` is what all of them share.
    """
    return {
        "dataset_info.json": {
            title if split == "train" else f"{title}_{split}": {"file_name": file, **description}
            for split, file in files.items()
        }
    }
