"""The form of steps that is asked for, and read."""

import pytest

from winnow.synth.tree.prompt import END, FINAL, content, step_prompt, without_marks


def test_the_problem_stands_behind_two_worked_examples() -> None:
    (message,) = step_prompt([{"role": "user", "content": "What is 3 + 4?"}])
    text = message["content"]
    assert message["role"] == "user"
    assert text.endswith("Problem: What is 3 + 4?")
    assert text.count("Problem: ") == 3
    assert text.count(f"### {FINAL}") == 3  # in the instruction and both examples
    worked = text.split("Problem: ")[1:3]
    for example in worked:
        lines = example.strip().splitlines()[1:]
        assert [line.split(":")[0] for line in lines[:-1]] == [
            f"### Step {n}" for n in range(1, len(lines))
        ]
        assert lines[-1].startswith(f"### {FINAL}")
        assert all(line.endswith(END) for line in lines)


def test_only_the_user_s_last_message_changes() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    found = step_prompt(messages)
    assert found[:3] == messages[:3]
    assert found[3]["content"].endswith("Problem: two")
    assert messages[3]["content"] == "two"  # the caller's are left alone
    (system, asked) = step_prompt(messages[:1])
    assert system == messages[0]
    assert asked["role"] == "user"


def test_marks_are_no_part_of_a_solution() -> None:
    steps = ["### Step 1: a <end>", "\n### Step 2: <end> stays <end>", "\n### Final Answer: 7<end>"]
    assert without_marks(steps) == (
        "### Step 1: a\n\n### Step 2: <end> stays\n\n### Final Answer: 7\n"
    )
    assert without_marks(["cut off"]) == "cut off"
    assert without_marks(["a;"], (";",)) == "a\n"
    assert without_marks(["a"], ("",)) == "a"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("\n### Step 12: add 3. <end>", "add 3."),
        ("### Step: add", "add"),
        ("### Final Answer: 7 <end>", "### Final Answer: 7"),
        ("<end>", ""),
        ("One Step 1: x", "One Step 1: x"),
    ],
)
def test_what_a_step_says(step: str, said: str) -> None:
    assert content(step) == said
