"""From a prompt and a response to token ids, with the tokens that belong to the response.

The whole text is tokenised once, as the model would see it, and the response is found by character
offsets: a prompt that is tokenised alone can end in another token than it does before its response.
A token belongs to the response if it holds at least one of the response's characters, so one that
straddles the border (a blank at the prompt's end that became part of the first word, two line
breaks that became one token) is scored, and no part of the response goes unscored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.row_text import Messages
from winnow.pipeline.features.scorer import TokenRow
from winnow.pipeline.models import ModelFolder

Template = Literal["chat", "plain", "grape"]

_MARK = "winnow\u2063mark"  # stands for an answer, to see what a chat template puts behind it
_PLAIN_BETWEEN = "\n"


@dataclass(frozen=True)
class Pair:
    """A text in three parts: the response, what stands before it, and what stands after it.

    With `end` the token that ends an answer follows the response and is scored with it.
    """

    before: str
    response: str
    after: str = ""
    end: bool = True


class PairTokenizer:
    """Renders and tokenises pairs for one model.

    Templates: chat is the model's own; plain is the messages and the response with a line break
    between; grape is `Question: {prompt} \\n Answer: {response}`, without a chat template (GRAPE,
    arXiv 2502.04194). The token that ends an answer is the one that the chat template puts behind
    it, else the tokenizer's end of sequence. A tokenizer that begins every text with a token of its
    own (Llama's does) begins these with it as well, unless the text has it already. Raises
    UsageError where the tokenizer gives no offsets, or the model has no chat template.
    """

    def __init__(self, folder: ModelFolder, template: Literal["auto"] | Template = "auto") -> None:
        from winnow.pipeline.tokens import tokenizer

        self._words: Any = tokenizer(folder)
        if not self._words.is_fast:
            raise UsageError(f"{folder.name}: its tokenizer tells no character offsets")
        has_template = bool(getattr(self._words, "chat_template", None))
        if template == "chat" and not has_template:
            raise UsageError(f"{folder.name} has no chat template; use --template plain")
        if template == "auto":
            template = "chat" if has_template else "plain"
        self.template: Template = template
        self._begin = self._first_token()
        self.end_token = self._end()

    def form(self, *, end: bool) -> dict[str, Any]:
        """What determines the tokens besides the texts, for the names of signals."""
        return {
            "border": "any character",
            "begin": self._word(self._begin),
            "end": self._word(self.end_token) if end else None,
        }

    def before(self, messages: Messages) -> str:
        """What stands before the response. Raises ValueError where the chat template refuses."""
        if self.template == "grape":
            prompt = "\n\n".join(m["content"] for m in messages)
            return f"Question: {prompt} \n Answer: "
        if self.template == "plain":
            return "".join(m["content"] + _PLAIN_BETWEEN for m in messages)
        return self._rendered([dict(m) for m in messages], True)

    def tokens(self, pairs: Sequence[Pair]) -> list[TokenRow]:
        """Token ids of pairs, in order."""
        if not pairs:
            return []
        texts = [pair.before + pair.response + pair.after for pair in pairs]
        found = self._words(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [
            self._row(pair, ids, offsets)
            for pair, ids, offsets in zip(
                pairs, found["input_ids"], found["offset_mapping"], strict=True
            )
        ]

    def _row(self, pair: Pair, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> TokenRow:
        start, stop = len(pair.before), len(pair.before) + len(pair.response)
        n = len(ids)
        first = next((at for at in range(n) if offsets[at][1] > start), n)
        last = next((at for at in range(first, n) if offsets[at][0] >= stop), n)
        tokens = tuple(ids)
        if pair.end and self.end_token is not None:
            tokens, last = (*tokens[:last], self.end_token, *tokens[last:]), last + 1
        if self._begin is not None and tokens[:1] != (self._begin,):
            tokens, first, last = (self._begin, *tokens), first + 1, last + 1
        return TokenRow(tokens, first, last)

    def _rendered(self, messages: list[dict[str, str]], prompting: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._words.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=prompting
            )
        except TemplateError as error:  # some refuse a system message, or an odd order
            raise ValueError(f"the chat template refuses the conversation: {error}") from None
        return text

    def _word(self, token: int | None) -> str | None:
        return None if token is None else str(self._words.convert_ids_to_tokens(token))

    def _first_token(self) -> int | None:
        begin = self._words.bos_token_id
        return begin if begin is not None and self._words("").input_ids[:1] == [begin] else None

    def _end(self) -> int | None:
        own: int | None = self._words.eos_token_id
        if self.template != "chat":
            return own
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _MARK}]
        try:
            tail = self._rendered(turns, False).partition(_MARK)[2]
        except ValueError:
            return own
        ids = self._words(tail.strip(), add_special_tokens=False).input_ids
        return ids[0] if ids and ids[0] in self._words.all_special_ids else own
