"""What a chat template left in a prompt: it would be framed twice, or steer the model."""

import re

from winnow.pipeline.clean.filters.drop import Drop

# Control tokens. Angle brackets with bars are also physicists' notation (<|psi|>) and some
# languages' operators, so only names that templates use count.
_NAMES = (
    "im_start|im_end|im_sep|endoftext|endofprompt|begin_of_text|end_of_text|start_header_id"
    "|end_header_id|eot_id|eom_id|eot|finetune_right_pad_id|python_tag|system|user|assistant|end"
    "|observation|begin_of_sentence|end_of_sentence|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN"
    "|USER_TOKEN|CHATBOT_TOKEN|SYSTEM_TOKEN|fim_prefix|fim_middle|fim_suffix|fim_pad|file_sep"
    "|repo_name|channel|message|start|return|call"
)
_TOKEN = re.compile(
    rf"""
    <\|(?:{_NAMES})\|>
  | <\uff5c[^\uff5c>\n]{{1,40}}\uff5c>          # DeepSeek's full-width bars
  | \[/?INST\] | <</?SYS>> | \[/?SYSTEM_PROMPT\] | \[/?AVAILABLE_TOOLS\]
  | </?(?:start_of_turn|end_of_turn)> | <(?:bos|eos)>
  | \A\s*<s> | </s>\s*\Z | </s>\s*<s>
    """,
    re.VERBOSE,
)
_SECTION = re.compile(
    r"\#{2,3}[ ]?(?:Human|Assistant)[ ]?:[ \t]*"
    r"|^[ \t]*\#{2,3}[ ]?(?:User|Instruction|Response|System)[ ]?:[ \t]*",
    re.MULTILINE,
)
_START = re.compile(r"\A\s*(?:Human|User|USER|HUMAN)[ ]?:\s+")
_END = re.compile(r"(?:\A|\n)[ \t]*(?:\*\*)?(?:Assistant|ASSISTANT|GPT|Bot|AI)[ ]?:(?:\*\*)?\s*\Z")
# A role's name that stands between two control tokens, or after the one that opens a turn.
_HEADER = re.compile(
    r"(<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|start\|>)"
    r"[ ]*(?:system|user|assistant|model|tool|developer)\b[ ]*"
)


def residue(text: str) -> Drop | None:
    """`template_token` (<|im_start|>, [INST], ...), `template_section` (### Human:) or `role_prefix`.

    A role's name is residue where the prompt begins with the asker's ("Human: ...") or ends with an
    empty turn of the assistant ("Assistant:"). A conversation that a prompt quotes is none.
    """
    found = _TOKEN.search(text)
    if found:
        return Drop("template_token", found[0].strip(), None, _around(text, found))
    sections = _SECTION.findall(text)
    if len(sections) >= 2 or (sections and _SECTION.match(text)):
        found = _SECTION.search(text)
        assert found is not None
        return Drop("template_section", found[0].strip(), None, _around(text, found))
    found = _START.search(text) or _END.search(text)
    if found:
        return Drop("role_prefix", found[0].strip(), None, _around(text, found))
    return None


def stripped(text: str) -> str:
    """`text` without what `residue` finds, ends stripped; unchanged where it finds nothing.

    Several turns run together are not taken apart: what they say stays.
    """
    while residue(text):
        text = _TOKEN.sub("", _HEADER.sub(r"\1", text))
        text = _END.sub("", _START.sub("", _SECTION.sub("", text.strip()))).strip()
    return text


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(found.start() - 20, 0) : found.end() + 20]
