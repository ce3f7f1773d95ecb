"""Where the reference goes in a completion."""

import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.answer_tags import Reference, Tags, directly, with_reference

TAGS = Tags()


def test_the_answer_is_replaced() -> None:
    found = with_reference("<think>2+2</think>\n<answer>5</answer> done", TAGS)
    assert found == Reference("<think>2+2</think>\n<answer>", "</answer> done", True, "5")
    assert with_reference("2+2</think><answer></answer>", TAGS).well_formed  # opened by the prompt


def test_a_leading_blank_stays() -> None:
    text = "<think>x</think><answer> 5 </answer>"
    assert with_reference(text, TAGS).before.endswith("<answer> ")
    assert with_reference(text, TAGS, blank=False).before.endswith("<answer>")
    assert with_reference(text, TAGS).replaced == "5 "
    assert with_reference(text, TAGS, blank=False).replaced == " 5 "
    assert with_reference(text.replace("> 5", ">\n5"), TAGS).before.endswith("<answer>")


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("<think>cut off in the", "<think>cut off in the"),
        ("no tags: 5", "no tags: 5"),
        ("<think>a</think> 5", "<think>a"),
        ("<think>a<answer>5</answer>", "<think>a"),
        ("<think>a</think><answer>5", "<think>a"),
        ("<think>a</think><answer>5</answer><answer>6</answer>", "<think>a"),
        ("<think>a</think><think>b</think><answer>5</answer>", "<think>a"),
        ("<think>a<think>b</think><answer>5</answer>", "<think>a"),
        ("<answer>5</answer><think>a</think>", ""),
        ("a</think>b</answer><answer>5", "a"),
        ("", ""),
    ],
)
def test_a_malformed_completion_is_cut_and_closed(completion: str, kept: str) -> None:
    found = with_reference(completion, TAGS)
    assert found == Reference(f"{kept}</think><answer>", "</answer>", False)


def test_directly() -> None:
    assert directly(TAGS, tagged=False) == Reference("", "", True)
    assert directly(TAGS, tagged=True) == Reference("<answer>", "</answer>", True)


def test_other_tags() -> None:
    tags = Tags.parse("[T] [/T] [A] [/A]")
    assert with_reference("[T]a[/T][A]5[/A]", tags) == Reference("[T]a[/T][A]", "[/A]", True, "5")
    assert Tags.parse(tags.text) == tags
    for bad in ("<a> <b> <c>", "<a> <a> <c> <d>"):
        with pytest.raises(UsageError, match="not four different tags"):
            Tags.parse(bad)
