"""How long a conversation is once a model's chat template has rendered it."""

from collections.abc import Callable, Sequence
from typing import Any

from winnow.pipeline.models import ModelFolder, quiet_transformers
from winnow.pipeline.names import Message


def tokenizer(folder: ModelFolder) -> Any:
    """The model's transformers tokenizer."""
    from transformers import AutoTokenizer

    quiet_transformers()
    return AutoTokenizer.from_pretrained(folder.path)


def render(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation, up to where the answer begins.

    Raises ValueError where the model's chat template refuses it.
    """
    from jinja2 import TemplateError

    try:
        ids: list[int] = tokenizer.apply_chat_template(
            [dict(m) for m in messages], add_generation_prompt=True, return_dict=False
        )
    except TemplateError as error:  # some templates refuse a system message, or an odd order
        raise ValueError(f"the chat template refuses the conversation: {error}") from None
    return ids


def counter(folder: ModelFolder) -> Callable[[Sequence[Message]], int]:
    """Messages in, rendered length in tokens out. The tokenizer is loaded at the first call."""
    loaded: list[Any] = []

    def count(messages: Sequence[Message]) -> int:
        if not loaded:
            loaded.append(tokenizer(folder))
        return len(render(loaded[0], messages))

    return count
