"""Tables of pairs: what the layered verifier must call equal, and what it must tell apart.

Pairs marked "math-verify" are those that math-verify 0.9.0 itself gets wrong with its defaults.
"""

from pathlib import Path

import pytest

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.final_answer import final_answer
from winnow.pipeline.verify.math_answer import MathAnswer, reference_answer

VERIFIER = MathAnswer()

EQUAL = [
    # math-verify
    (r"\sqrt{\frac{1}{n}}", r"\frac{1}{\sqrt{n}}"),
    (r"\sqrt{1/n}", r"1/\sqrt{n}"),
    (r"\frac{\pi}{2}", "pi/2"),
    ("14-i", "14.0 + -1.0i"),
    ("e^{16}-1", "e^16-1"),
    (r"-2\pi", "-2pi"),
    (r"\text{(B)}", "B"),
    ("B", r"\text{(B)}"),
    # numbers
    ("1,000", "1000"), ("1000", "1,000.00"), ("0.5", r"\frac12"), ("2 1/2", "2.5"),
    (r"1\frac{4}{5}", "9/5"), (r"\$32,\!348", "32348"), (r"\$18.90", "18.9"), (r"50\%", "50"),
    (r"50\%", "0.5"), ("72", "72 clips"), (r"11,\! 111,\! 111,\! 100", "11111111100"),
    (r"90^\circ", "90"), (r"90^\circ", "90 degrees"), (r"5.4 \text{ cents}", "5.4"),
    (r"1.5\times 10^{3}", "1500"), ("3 million", "3,000,000"), (r"\frac{1}{3}", "0.333333"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}"), (r"\frac{3}{-4}", "-0.75"), ("-5", "−5"), ("34", "٣٤"),
    ("7.2\\%", "7.2"), ("114,200", "114, 200"), ("1 000", "1000"), (r"\frac{1}{2}", "0.5 or 1/2"),
    ("4343_6", "4343"), ("4343_6", "4343_{6}"), ("10", "1010_2"), (r"0.11_{2}", "0.11_2"),
    # expressions
    (r"\sqrt{12}", r"2\sqrt{3}"), (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt2}"), ("2^{10}", "1024"),
    (r"2\sqrt{3}", "2√3"), (r"\sqrt{2}", "1.41421356"), ("5!", "120"), (r"\binom{5}{2}", "10"),
    (r"\log_2 8", "3"), (r"\frac{3}{4}\pi\text{ inches}", r"3\pi/4"), ("1/2004!", "1/(2004!)"),
    ("(x-5)(x^2-4x+7)", "x^3-9x^2+27x-35"), ("3x^2-7x+4", "4 - 7x + 3x^2"), ("2k+2", "2(k+1)"),
    (r"36x \sqrt{35x}", "36x sqrt(35x)"), ("x^2+1", "x²+1"), ("|x|", r"\sqrt{x^2}"),
    (r"\cot x", r"\frac{\cos x}{\sin x}"), ("x+C", "C+x"), ("1+2i", "2i+1"), ("6-5i", "6-5*I"),
    (r"\sin 30^\circ", r"\frac{1}{2}"), (r"\cos^2 \alpha", "cos(alpha)**2"), (r"\infty", "infinity"),
    ("2^{2008}-2", "2(2^{2007}-1)"),
    # equations and relations
    ("x=5", "5"), ("5", "x = 5"), ("x = 5", "X=5"), ("y = 2x + 3", "2x+3"), ("f(x)=x^2", "x^2"),
    ("y=2x+3", "y-2x-3=0"), ("2x+3y=5", "4x+6y=10"), ("-4", "5 - 3 - 6 = -4"),
    ("25", "a^2+b^2 = 9+16 = 25"), ("x>3", r"(3,\infty)"), (r"(5,\infty)", "x > 5"),
    ("(3,4]", r"3<x\le 4"), (r"x \in [-2,7]", "[-2,7]"),
    # several parts
    ("(1,2)", "( 1 , 2 )"), ("1,-2", "-2, 1"), (r"\{1,2\}", "{2,1}"), (r"\{1,2\}", "2 and 1"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}"), (r"6, 8\text{, and }10", "6,8,10"),
    (r"-12 \text{ or } -30", "-30, -12"), ("x=1, y=2", "y=2, x=1"), ("(x,y)=(1,2)", "(1,2)"),
    (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
    (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"\begin{bmatrix}\frac15\\-3.6\end{bmatrix}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1,2)"),
    # words
    (r"\text{even}", "even"), (r"\text{Evelyn}", "evelyn"), (r"\text{C, F, H}", "F, C, H"),
    ("1:2", "1 : 2"), (r"\text{1:03 PM}", "1:03 p.m."), ("B", "B) 12"), ("(C)", "Option C"),
]  # fmt: skip

DIFFERENT = [
    # math-verify
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"), ("1/2004!", "1/2006!"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"), ("1/2^99", "1/2^98"),
    (r"1-\frac{1}{e}", r"1+\frac{1}{e}"), (r"1-\frac{1}{\mathrm{e}}", r"1+\frac{1}{\mathrm{e}}"),
    ("1,2,...,n", "1,3,5,...,2n-1"), (r"1,2,\ldots,n", r"1,3,5,\ldots,2n-1"),
    ("y=2x+3", "y=3x-1"), ("2x+3y=5", "2x-3y=5"),
    ("4", r"4\sqrt{2}"), ("4", r"4\sqrt(2)"), (r"4\sqrt{2}", "4"), (r"4\sqrt(2)", "4"),
    # numbers
    ("1", "2"), ("1,000", "1"), ("10", "10 million"), ("5 cm", "5 m"), ("$5", "5 cents"),
    (r"50\%", r"5000\%"), ("0.5", "0.50001"), ("1/3", "0.33"), ("1/3", "0.333334"), ("12", "1 2"),
    ("5", "2 3"), ("3,5", "3.5"), ("3.5", "3,5"), ("2516_8", "2516_7"), ("10", "10_2"),
    ("-37_8", "-37_1"), ("6", "6/0"), ("-4", "4"), ("100", "1,00"), ("2", "²"),
    # expressions
    ("2", "2x"), ("2x", "2"), ("3.14", r"\pi"), (r"\pi", "22/7"), (r"\sqrt{2}", "1.41"),
    ("x", "|x|"), ("|x|", "x"), ("x^2", "x^3"), ("a+b", "a-b"), ("N", "n"), ("5", "5!"),
    ("0", "1/2^{400}"), ("1+2i", "1-2i"), (r"\sin 30^\circ", r"\sin 30"), ("2^{31}-1", "2^{31}"),
    ("2^{2008}-2", "2^{2008}+2"), (r"\infty", r"-\infty"), (r"\infty", r"\int_0^1 e^{x^2} dx"),
    ("9", "9^{9^{9}}"), ("5", "9**9**9**9"), ("1", "10000000!"), (r"\log_2 8", r"\log_3 8"),
    # equations and relations
    ("x=1", "y=1"), ("x>3", "x<3"), ("x>3", r"x\ge 3"), ("5x-7y+4=0", "0"), ("x=2", "x=2y"),
    # several parts
    ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("(1,2]", "(1,2)"), ("1,2", "1,2,3"), ("1,2", "1"),
    ("7", "7 or 8"), (r"(-\infty,2)\cup(3,\infty)", r"(-\infty,2)\cup(4,\infty)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    # words
    (r"\text{even}", "odd"), ("even", "neve"), ("B", "C"), (r"\text{(B)}", "(C)"), ("(B)", "bat"),
    ("5:30", "5:31"), ("5:30", "1/6"), ("1:2", "2:1"), (r"\text{Evelyn}", "Evelyn and Navin"),
]  # fmt: skip


def judge(reference: str | None, completion: str) -> Verdict:
    return VERIFIER.verify(completion, Task(messages=[], answer=reference))


@pytest.mark.parametrize(("reference", "answer"), EQUAL)
def test_equal(reference: str, answer: str) -> None:
    verdict = judge(reference, rf"Therefore it is $\boxed{{{answer}}}$.")
    assert (verdict.verdict, verdict.reward, verdict.extracted) == ("correct", 1.0, answer)


@pytest.mark.parametrize(("reference", "answer"), DIFFERENT)
def test_different(reference: str, answer: str) -> None:
    verdict = judge(reference, rf"Therefore it is $\boxed{{{answer}}}$.")
    assert (verdict.verdict, verdict.reward, verdict.extracted) == ("wrong", 0.0, answer)


@pytest.mark.parametrize("reference", sorted({gold for gold, _ in EQUAL + DIFFERENT}))
def test_every_reference_equals_itself(reference: str) -> None:
    assert judge(reference, rf"\boxed{{{reference}}}").verdict == "correct"


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("The answer is 42.", "42"),
        ("The final answer is $x=2$. I hope it is correct.", "x=2"),
        ("The answer is $x=2$ and $x=3$, since it factors.", "x=2, x=3"),
        ("The answer is 42 because 40 + 2 = 42.", "42"),
        ("The answer is 42 apples in the basket on the table.", "42"),
        ("The answer is\n\\[ x = 5 \\]", "x = 5"),
        (r"**Answer:** \$18.90", r"\$18.90"),
        ("Answer: 5 - 3 - 6 = -4.", "5 - 3 - 6 = -4"),
        ("5 - 3 - 6 = -4.", "5 - 3 - 6 = -4"),
        ("First 5 - 3 = 2.\nSo we get -4.\n\nHope this helps!", "-4"),
        ("She has 10-4 apples", "4"),
        ("We have $x+1=4$ and so $x = 3$.", "x = 3"),
        ("It costs $5 and then pays $10 more", "$10"),
        (r"Adding up gives \frac{3}{4}" + "\n\n" + r"\frac{3}{4}", r"\frac{3}{4}"),
        ("So the area is 2\nA = 3*sqrt(2)/2", "A = 3*sqrt(2)/2"),
        ("The plane is $5x - 7y + 4 = 0$.", "5x - 7y + 4 = 0"),
        ("Evelyn.", "Evelyn"),
        ("I am not sure about this question at all.", None),
        ("", None),
        ("   \n ", None),
        (r"\boxed{}", None),
    ],
)
def test_final_answers(completion: str, answer: str | None) -> None:
    assert final_answer(completion).text == answer


def test_a_finished_answer_without_anything_to_extract_is_wrong() -> None:
    assert judge("42", "I cannot tell you that.") == Verdict("wrong", 0.0, detail="no_answer")


@pytest.mark.parametrize(
    "answer", [r"\frac{1}{", "))((", "@#", "2x + + * 3", "(" * 500, "something else"]
)
def test_an_unreadable_answer_is_wrong_and_says_so(answer: str) -> None:
    verdict = judge("x^2+1", f"#### {answer}")
    assert (verdict.verdict, verdict.detail) == ("wrong", "unreadable_answer")


@pytest.mark.parametrize("reference", [None, "", "  ", r"\frac{1}{", "???", r"\text{}", "}{1"])
def test_a_bad_reference_leaves_every_answer_unjudged(reference: str | None) -> None:
    verdict = judge(reference, "The answer is 5.")
    assert (verdict.verdict, verdict.reward, verdict.detail) == ("unjudged", None, "bad_reference")


def test_a_reference_may_be_a_solution() -> None:
    assert reference_answer("48 / 2 = 24\n48 + 24 = 72\n#### 72") == "72"
    assert reference_answer(r"We get $\boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"
    assert judge("48 / 2 = 24\n#### 1,072", "The answer is 1072").verdict == "correct"


HOSTILE = [
    "__import__('os').system('touch {path}')", "().__class__.__bases__[0].__subclasses__()",
    "\ud800", "\x00", "\\", "$", "$$", "{", "}", r"\frac", r"\sqrt", "^", "_", "=", "==", "<",
    r"\text{", "x=x=x=x", "(" * 900 + "1" + ")" * 900, r"\frac{1}{" * 150 + "2" + "}" * 150,
    "1-" * 700 + "1", "9" * 3000, "+" * 1500, "1," * 500 + "1", "|" * 500, "[[[[1,2],3],4],5]",
    r"\{1,\{2,\{3\}\}\}", r"\begin{pmatrix}" + "1&" * 300 + r"1\end{pmatrix}", "7!!!!!!!!",
    "2^{2^{2^{2^{2^2}}}}", "((10!)!)!", r"\binom{1000000000}{500000000}", "x^{x^{x^x}}",
    "(x+1)^{100000}", "0^0", "0/0", r"\gamma(99999999)", "١/٠",
]  # fmt: skip


@pytest.mark.parametrize("reference", ["5", "x^2+1", r"\sqrt{2}", "(1,2)", "x>3", r"\text{even}"])
def test_hostile_answers_are_wrong_and_run_nothing(reference: str, tmp_path: Path) -> None:
    for answer in HOSTILE:
        text = answer.replace("{path}", f"{tmp_path}/ran")
        for completion in (text, rf"\boxed{{{text}}}", f"The answer is {text}", f"#### {text}"):
            assert judge(reference, completion).verdict == "wrong", completion[:80]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("completion", "detail"),
    [
        (r"\boxed{72}. The answer is 73.", "conflicting_answers"),
        (r"\boxed{72} and so on.\n#### 73", "conflicting_answers"),
        ("#### 72\n\nSo the answer is 73 clips.", "conflicting_answers"),
        (r"\boxed{72}. The answer is seventy-two.", None),
        (r"\boxed{72}. The answer is correct.", None),
        (r"\boxed{72}. We check our answer: 70 + 2 = 72.", None),
    ],
)
def test_an_answer_that_says_two_different_things_is_wrong(
    completion: str, detail: str | None
) -> None:
    verdict = judge("72", completion)
    assert (verdict.verdict, verdict.detail) == ("wrong" if detail else "correct", detail)


def test_an_answer_does_not_depend_on_what_was_judged_before() -> None:
    """Caches hold what texts mean, never verdicts."""
    first = [judge(gold, rf"\boxed{{{answer}}}").verdict for gold, answer in EQUAL + DIFFERENT]
    again = [judge(gold, rf"\boxed{{{answer}}}").verdict for gold, answer in EQUAL + DIFFERENT]
    assert first == again == ["correct"] * len(EQUAL) + ["wrong"] * len(DIFFERENT)


def test_the_version_names_the_library_that_decides_with_it() -> None:
    assert VERIFIER.version.startswith("2+math-verify0.")


def test_no_argument_is_taken() -> None:
    with pytest.raises(BadArguments):
        VERIFIER.verify("5", Task([], "5", {"tolerance": 1}))
