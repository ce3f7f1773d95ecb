"""What is known of a picture from its bytes, and where it stands in a text.

Where a conversation shows pictures, each `<image>` in its text stands for the next of them: the mark
that verl and LLaMA-Factory read, too.
"""

MARKER = "<image>"


def parts(text: str) -> list[str | None]:
    """A message's text in the parts that its images leave, each image as None; a line break behind a
    mark belongs to the mark."""
    first, *texts = text.split(MARKER)
    found: list[str | None] = [first] if first else []
    for each in texts:
        found.append(None)
        if said := each.removeprefix("\n"):
            found.append(said)
    return found


def kind(data: bytes) -> str | None:
    """Ending of a picture's file (png, jpg, gif, webp, bmp) by its first bytes; None for all else."""
    if data[:4] == b"RIFF":
        return "webp" if data[8:12] == b"WEBP" else None
    starts = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"BM": "bmp"}
    return next((name for start, name in starts.items() if data.startswith(start)), None)


def media_type(data: bytes) -> str:
    """MIME type by a picture's first bytes."""
    found = kind(data)
    return f"image/{'jpeg' if found == 'jpg' else found}" if found else "application/octet-stream"
