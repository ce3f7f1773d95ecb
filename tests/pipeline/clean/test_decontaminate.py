"""Decontamination: what each rule finds, what it shows, and what it leaves alone."""

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from winnow.pipeline.clean.decontaminate import (
    RESULT,
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)
from winnow.pipeline.clean.decontamination.evidence import longest_shared, shortened
from winnow.pipeline.progress import Silent, Step

BIRDS = (
    "A flock of 24 starlings rests on 3 wires. If 5 birds leave each wire before noon, "
    "how many starlings remain on the wires in the afternoon?"
)
SHOP = "Maria buys seven notebooks at the corner shop and pays with two coins. What change is due?"


def check(items: list[str], rows: list[str | None], **config: Any) -> list[dict[str, Any]]:
    config = {"rules": ["coverage"], **config}
    made = Decontaminator([EvaluationSet("set", items)], DecontaminateConfig(**config))
    result = made.check(rows)
    assert result.schema == RESULT and len(result) == len(rows)
    found: list[dict[str, Any]] = result.to_pylist()
    return found


def marked(items: list[str], rows: list[str | None], **config: Any) -> list[bool]:
    return [row["contaminated"] for row in check(items, rows, **config)]


def numbered(first: int, count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{i}" for i in range(first, first + count))


def test_the_coverage_threshold_is_strict() -> None:
    item = numbered(0, 16)
    kept, removed = check([item], [f"x {numbered(0, 8)} y", f"x {numbered(0, 9)} y"])
    assert kept == dict.fromkeys(RESULT.names) | {"contaminated": False}  # 8 of 16 are 0.5
    assert removed["contaminated"] and removed["hit_score"] == 0.5625


def test_long_prompts_do_not_thin_the_coverage() -> None:
    assert marked([BIRDS], [f"{numbered(0, 500)} {BIRDS} {numbered(500, 500)}"]) == [True]


def test_coverage_adds_up_pieces_from_all_over_the_prompt() -> None:
    item = numbered(0, 30)
    both = f"{numbered(20, 9)} between {numbered(0, 9)}"
    (hit,) = check([item], [both])
    assert hit["hit_score"] == pytest.approx(18 / 30)
    assert marked([item], [numbered(0, 9)]) == [False]


@pytest.mark.parametrize("n", [9, 10, 13, 32])
def test_one_shared_ngram_is_a_hit_of_the_ngram_rule(n: int) -> None:
    item = numbered(0, 80)
    rows: list[str | None] = [f"a b {numbered(30, n)} c", f"a b {numbered(30, n - 1)} c"]
    assert marked([item], rows, rules=["ngram"], ngram_n=n) == [True, False]


@pytest.mark.parametrize("rule", ["coverage", "ngram", "exact"])
def test_short_items_match_whole_prompts_only(rule: str) -> None:
    items = ["What is 2+2?", "Solve for x."]
    rows: list[str | None] = [
        "what is $2 + 2$",
        "What is 2-2?",
        "What is 2+3?",
        "What is 2+2 in base 3?",
        "Solve for x: 3x = 4.",
        "Solve for x",
    ]
    assert marked(items, rows, rules=[rule]) == [True, False, False, False, False, True]


def test_an_item_of_eight_words_is_found_inside_prompts_by_a_longer_ngram_too() -> None:
    item = "Name the capital city of the old republic"
    rows: list[str | None] = [f"Question 3: {item}. Answer briefly.", item.replace("old", "new")]
    assert marked([item], rows, rules=["ngram"]) == [True, False]


@pytest.mark.parametrize("rule", ["coverage", "ngram", "exact"])
def test_nothing_matches_what_has_nothing_to_compare(rule: str) -> None:
    items = ["", "  ", "?!", "...", "123 456", "7"]
    rows: list[str | None] = ["", None, "?", "...", "   ", "8 9", "1"]
    assert marked(items, rows, rules=[rule]) == [False] * len(rows)
    assert marked(["", "?!"], ["any text at all, and quite a long one"], rules=[rule]) == [False]


def test_symbols_alone_match_in_full() -> None:
    assert marked(["∑ ∫ = ∂"], ["∑∫ = ∂", "∑ ∫ = ∇", ""], rules=["exact"]) == [True, False, False]


def test_digit_free_finds_other_numbers_and_only_whole_prompts() -> None:
    other = BIRDS.replace("24", "36").replace("3 ", "4 ").replace("5", "7")
    rows: list[str | None] = [other, f"Please answer: {BIRDS}", BIRDS.upper(), SHOP]
    hits = check([BIRDS], rows, rules=["exact"])
    assert [h["contaminated"] for h in hits] == [True, False, True, False]
    assert hits[0]["evidence"] == (
        f'exact: the whole text but for digits and signs: "{other}" | item: "{BIRDS}"'
    )
    assert hits[2]["evidence"].startswith('exact: the whole text: "A FLOCK')


def test_digit_free_wants_enough_letters() -> None:
    # 19 and 20 letters
    assert marked(["compute the sum of 10"], ["compute the sum of 90"], rules=["exact"]) == [False]
    nineteen, twenty = "abcdefghi jklmnopqrs 1", "abcdefghi jklmnopqrst 1"
    rows: list[str | None] = [nineteen.replace("1", "2"), twenty.replace("1", "2")]
    assert marked([nineteen, twenty], rows, rules=["exact"]) == [False, True]
    assert marked([nineteen], rows[:1], rules=["exact"], exact_min_chars=19) == [True]


@pytest.mark.parametrize("rule", ["coverage", "ngram", "exact"])
def test_writing_makes_no_difference(rule: str) -> None:
    item = "Le café de Zoë – “Naïve” façade – sert combien de crêpes aux élèves chaque matin d’été"
    rows: list[str | None] = [
        item.upper(),
        item.replace("é", "e\u0301"),
        item.replace(" ", "\u00a0\n"),
        "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in item),
        item.replace("combien", "com\u00adbi\u200ben"),
    ]
    assert marked([item], rows, rules=[rule]) == [True] * len(rows)


def test_scripts_without_spaces_are_compared_by_character() -> None:
    item = "小明有五个苹果他又买了三个苹果请问他现在一共有多少个苹果"
    rows: list[str | None] = [f"题目{item}谢谢", "小红喜欢在公园里散步也喜欢看书听音乐画画和跑步"]
    assert marked([item], rows) == [True, False]


@pytest.mark.parametrize("chars", [40, 400])
def test_evidence_quotes_the_prompt_and_the_item(chars: int) -> None:
    row = f"Homework.\nA FLOCK of 24 “starlings” rests -- on 3 wires. {numbered(0, 20)}"
    (hit,) = check([BIRDS], [row], rules=["ngram"], ngram_n=8, evidence_chars=chars)
    assert (hit["hit_file"], hit["hit_row"], hit["hit_rule"]) == ("set", 0, "ngram")
    quoted = shortened("A FLOCK of 24 “starlings” rests -- on 3 wires", chars)
    assert hit["hit_score"] == pytest.approx(9 / 27)
    assert hit["evidence"] == (
        f'ngram: 33% of the item\'s words, n = 8: "{quoted}" | item: "{shortened(BIRDS, chars)}"'
    )


def test_shortened() -> None:
    assert shortened("a  b\nc", 20) == "a b c"
    assert shortened("x" * 30, 20) == "x" * 8 + " … " + "x" * 9
    assert len(shortened("word " * 99, 50)) == 50


def test_the_longest_shared_run() -> None:
    row, item = list("abcdexbcdy"), list("bcdqcde")
    assert longest_shared(row, item) == (1, 3)
    # Where only the end of the item counts, the run that holds most of it is shown.
    assert longest_shared(row, item, [False] * 4 + [True] * 3) == (2, 3)
    assert longest_shared(row, ["z"]) == (0, 0)
    long = ["a"] * 20_000
    assert longest_shared(long, long)[1] > 100  # in bounded time


def test_the_best_item_is_shown() -> None:
    sets = [
        EvaluationSet("first", [SHOP, numbered(0, 20)]),
        EvaluationSet("second", pa.chunked_array([[numbered(0, 12) + " end", None]])),
    ]
    made = Decontaminator(sets, DecontaminateConfig(rules=["coverage"]))
    (hit,) = made.check(pa.array([f"x {numbered(0, 12)} y"])).to_pylist()
    assert (hit["hit_file"], hit["hit_row"]) == ("second", 0)  # 12 of 13 words against 12 of 20
    (tie,) = made.check([numbered(0, 20)]).to_pylist()
    assert (tie["hit_file"], tie["hit_row"], tie["hit_score"]) == ("first", 1, 1.0)


def test_of_equal_hits_the_longest_item_is_shown() -> None:
    items = [numbered(3, 9), numbered(0, 20), numbered(5, 10)]
    (hit,) = check(items, [f"x {numbered(0, 20)} y"])
    assert (hit["hit_row"], hit["hit_score"]) == (1, 1.0)


def test_rules_add_up() -> None:
    other = BIRDS.replace("24", "36")
    half = f"{numbered(0, 9)} {' '.join(BIRDS.split()[:14])}"
    rows: list[str | None] = [BIRDS, other, half, f"see: {BIRDS}", SHOP]
    hits = check([BIRDS], rows, rules=["coverage", "ngram", "exact"])
    assert [h["hit_rule"] for h in hits] == ["exact", "exact", "coverage", "coverage", None]


def test_report_counts_rows_and_items_per_set_and_rule() -> None:
    sets = [
        EvaluationSet("birds", [BIRDS, SHOP, BIRDS]),
        EvaluationSet("shops", [SHOP, numbered(0, 30)]),
        EvaluationSet("empty", []),
    ]
    made = Decontaminator(sets, DecontaminateConfig(rules=["coverage", "exact"]))
    other = BIRDS.replace("24", "36").replace("3 ", "4 ").replace("5", "7")
    made.check([BIRDS, f"so: {SHOP}"])
    made.check([SHOP, "unrelated", numbered(0, 16), other])
    expected = [
        ("birds", "coverage", 3, 3, 1.0, 4),
        ("birds", "exact", 3, 3, 1.0, 3),
        ("birds", "any", 3, 3, 1.0, 4),
        ("shops", "coverage", 2, 2, 1.0, 3),
        ("shops", "exact", 2, 1, 0.5, 1),
        ("shops", "any", 2, 2, 1.0, 3),
        ("empty", "coverage", 0, 0, None, 0),
        ("empty", "exact", 0, 0, None, 0),
        ("empty", "any", 0, 0, None, 0),
    ]
    assert [tuple(row.values()) for row in made.report().to_pylist()] == expected


def test_answers_are_reported_or_required() -> None:
    rows = [BIRDS, BIRDS, BIRDS]
    answers = ["$9.", "8", None]
    sets = [EvaluationSet("set", [BIRDS], ["9"])]
    found = Decontaminator(sets).check(rows, answers).to_pylist()
    assert [r["contaminated"] for r in found] == [True] * 3
    ends = [r["evidence"].rsplit(" | ", 1)[1] for r in found]
    assert ends == ["answers agree", "answers differ", f'item: "{BIRDS}"']
    required = Decontaminator(sets, DecontaminateConfig(answers="require"))
    found = required.check(rows, answers).to_pylist()
    assert [r["contaminated"] for r in found] == [True, False, True]
    assert required.report()["rows_hit"].to_pylist() == [2, 2, 2]


def test_a_required_answer_chooses_among_equal_items() -> None:
    sets = [EvaluationSet("set", [BIRDS, BIRDS], ["1,000", "-9"])]
    made = Decontaminator(sets, DecontaminateConfig(answers="require"))
    found = made.check([BIRDS] * 3, ["-9", "1000", "9"]).to_pylist()
    assert [r["hit_row"] for r in found] == [1, 0, None]


def test_wrong_lengths_and_names_are_errors() -> None:
    with pytest.raises(ValueError, match="set: 1 answers for 2 evaluation items"):
        EvaluationSet("set", ["a", "b"], ["1"])
    with pytest.raises(ValueError, match="two evaluation sets of one name"):
        Decontaminator([EvaluationSet("a", ["x"]), EvaluationSet("a", ["y"])])
    with pytest.raises(ValueError, match="2 answers for 1 texts"):
        Decontaminator([EvaluationSet("a", ["x"])]).check(["x"], ["1", "2"])


@pytest.mark.parametrize(
    "wrong",
    [{"rules": []}, {"rules": ["ngrams"]}, {"ngram": 9}, {"coverage_above": 1.5}, {"ngram_n": 0}],
)
def test_the_configuration_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DecontaminateConfig(**wrong)


def test_every_setting_is_described() -> None:
    assert all(f.description for f in DecontaminateConfig.model_fields.values())


def test_progress_is_told() -> None:
    steps: list[tuple[int, int]] = []

    class Listener(Silent):
        def step(self, step: Step) -> None:
            steps.append((step.done, step.total))

    made = Decontaminator([EvaluationSet("set", [BIRDS])], chunk_bytes=len(SHOP))
    made.check([SHOP] * 3, progress=Listener())
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_nothing_against_nothing() -> None:
    made = Decontaminator([], DecontaminateConfig(rules=["coverage", "ngram", "exact"]))
    assert made.check([BIRDS])["contaminated"].to_pylist() == [False]
    assert len(made.check([])) == len(made.report()) == len(made.boilerplate()) == 0
    assert len(Decontaminator([EvaluationSet("set", [BIRDS])]).check([])) == 0
