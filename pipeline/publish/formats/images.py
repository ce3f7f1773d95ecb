"""A set's images: the column `images`, lists of {bytes, path}, which `datasets` reads as pictures."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.images import kind

IMAGES = "images"
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
FEATURE_KEY = b"huggingface"


def has_images(schema: pa.Schema) -> bool:
    """Whether there is a column `images` of lists of {bytes, path}."""
    if IMAGES not in schema.names:
        return False
    type_ = schema.field(IMAGES).type
    return (
        (pa.types.is_list(type_) or pa.types.is_large_list(type_))
        and pa.types.is_struct(type_.value_type)
        and {field.name for field in type_.value_type} == {"bytes", "path"}
    )


def with_image_feature(schema: pa.Schema) -> pa.Schema:
    """`schema` with the note that `datasets` needs to decode its images; no other note is kept."""
    if not has_images(schema):
        return schema.remove_metadata()
    features = {IMAGES: {"feature": {"_type": "Image"}, "_type": "List"}}
    note = json.dumps({"info": {"features": features}}, sort_keys=True)
    return schema.with_metadata({FEATURE_KEY: note.encode()})


def save_images(images: list[dict[str, Any]] | None, folder: Path) -> list[str] | None:
    """Write a row's images into `folder`/images, each named by its content; returns their paths
    from `folder`. An image without bytes keeps the path that it has.
    """
    return None if images is None else [_save(each, folder) for each in images]


def _save(image: dict[str, Any], folder: Path) -> str:
    data = image["bytes"]
    if data is None:
        return str(image["path"])
    path = folder / IMAGES / f"{hashlib.sha256(data).hexdigest()[:32]}.{kind(data) or 'bin'}"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return path.relative_to(folder).as_posix()
