import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify import extract


@pytest.mark.parametrize(
    ("text", "form", "found"),
    [
        (r"so \boxed{\frac{1}{2}}.", "boxed", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", "boxed", r"\{1, 2\}"),
        (r"\fbox{7}", "boxed", "7"),
        (r"\boxed{1} and \boxed{2}", "boxed", "1, 2"),
        (r"$\boxed{3}$ or $\boxed{4}$.", "boxed", "3, 4"),
        (r"\boxed{5}, that is \boxed{5}", "boxed", "5"),
        (r"First \boxed{x}. Then, after much work, \boxed{y}", "boxed", "y"),
        (r"\boxed{8} and \boxed{9", "boxed", "8"),
        (r"The answer is 3. No: \boxed{4}. The answer is 5.", "boxed", "4"),
        ("48 / 2 = 24\n#### 1,072", "hashes", "1,072"),
        ("The answer is 42.", "phrase", "42."),
        ("**Final Answer:** 7", "phrase", "7"),
        ("Answer: (B)", "phrase", "(B)"),
        ("the answer to the question above is 5", "phrase", "5"),
        ("The answer (in dollars) is $5", "phrase", "$5"),
        ("### Answer\n\n12", "phrase", "12"),
        ("Answer:\n```\n1 2\n3 4\n```\nBye", "phrase", "1 2\n3 4"),
        ("The answer is 1. Wait. The answer is 2", "phrase", "2"),
        ("The answer is 42. I checked that my answer is correct.", "phrase", "42. I checked"),
        (r"<think>\boxed{3}</think> The answer is 4", "phrase", "4"),
        (r"<think>\boxed{3}</think>", "boxed", "3"),
        (r"<think>\boxed{3}", "boxed", "3"),
        # boxes that say two things, and boxes that replace
        (r"\boxed{3} \boxed{4}", "boxed", "3, 4"),
        (r"$x=\boxed{3}$ and $y=\boxed{4}$", "boxed", "3, 4"),
        (r"It is \boxed{3}. Alternatively, it may be \boxed{4}.", "boxed", "3, 4"),
        (r"The answer is \boxed{3}. The answer is \boxed{4}.", "boxed", "3, 4"),
        (r"It is \boxed{3}. Wait, I made a mistake: \boxed{4}", "boxed", "4"),
        (r"A day has \boxed{3}, so in 2 days $2 \cdot 3 = \boxed{6}$", "boxed", "6"),
        (r"So it is \boxed{50}\%.", "boxed", "50%"),
        # what is no part of the answer
        ("The answer is 5.<|im_end|>", "phrase", "5."),
        ("The answer is 5</s><eos>", "phrase", "5"),
        ("The answer is 5.\n\nQuestion: What else?\nAnswer: 6", "phrase", "5."),
        ("Question: What?\nAnswer: 6", "phrase", "6"),
        ("The answer is 5. We check our answer: 2 + 3 = 5.", "phrase", "5."),
        ("The answer is 5. This answer is reasonable.", "phrase", "5."),
        # in Chinese
        ("所以答案是12", "phrase", "12"),
        ("答：一共12个", "phrase", "一共12个"),
        ("故选C", "phrase", "C"),
    ],
)
def test_the_documented_order(text: str, form: str, found: str) -> None:
    result = extract.find(text)
    assert result is not None
    assert result.form == form
    assert result.text.startswith(found) if form == "phrase" else result.text == found


@pytest.mark.parametrize(
    "text", ["", "It is 42", "no answers here", r"\boxed{1", "<answer>1</answer>"]
)
def test_no_form_is_present(text: str) -> None:
    assert extract.find(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\boxed{1} <answer> 2 </answer>", "2"),
        ("<answer>1</answer> no, <answer>2</answer>", "2"),
        ("<answer>1<answer>2</answer>", "2"),
        ("<Answer>\n3\n</ANSWER>", "3"),
        ("<answer></answer>", ""),
    ],
)
def test_tags_come_first_where_they_are_asked_for(text: str, found: str) -> None:
    assert extract.find(text, tags=True) == extract.Found("tag", found)


def test_a_tag_that_is_not_closed_is_no_tag() -> None:
    assert extract.find(r"\boxed{1} <answer>2", tags=True) == extract.Found("boxed", "1")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("42. So we are done.", "42"),
        ("3.14 apples", "3.14 apples"),
        ("\n\n12\nmore", "12"),
        ("", ""),
    ],
)
def test_first_sentence(text: str, wanted: str) -> None:
    assert extract.first_sentence(text) == wanted


def test_wrappers_go_and_underscores_stay() -> None:
    assert extract.unwrapped(" **`5`** ") == "5"
    assert extract.unwrapped("```python\n1 2\n3\n```") == "1 2\n3"
    assert extract.unwrapped("_ _ Q _") == "_ _ Q _"


@given(st.text(alphabet="{}\\abx", max_size=60))
def test_closing_braces_match_a_counter(text: str) -> None:
    for start, end in extract.closing_braces(text).items():
        inner = text[start : end + 1].replace("\\\\", "--")
        inner = inner.replace("\\{", "--").replace("\\}", "--")
        assert inner[0] == "{" and inner[-1] == "}"
        depths = [inner[: k + 1].count("{") - inner[: k + 1].count("}") for k in range(len(inner))]
        assert depths[-1] == 0 and min(depths[:-1]) > 0


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for tags in (False, True):
        found = extract.find(text, tags=tags)
        assert found is None or found.text in text or ", " in found.text


@pytest.mark.parametrize(
    "unit", ["\\boxed{", "{", "<answer>", "answer is ", "answer (", "answer to ", "#### ", "```\n"]
)
def test_repeated_marks_cost_no_more_than_linear_time(unit: str) -> None:
    """A quadratic reading of a megabyte would outlive the test's time limit by far."""
    extract.find(unit * (1_000_000 // len(unit)), tags=True)
