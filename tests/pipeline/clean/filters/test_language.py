from pathlib import Path

import pyarrow.parquet as pq
import pytest

from winnow.pipeline.clean.filters.language import foreign, probabilities

DATA = Path(__file__).parents[4] / ".." / "shared" / "data"

FOREIGN = {
    "de": "Wie viele Äpfel hat Tom, wenn er drei kauft und zwei davon isst?",
    "fr": "Combien de pommes Tom a-t-il s'il en achète trois et en mange deux ?",
    "es": "¿Cuántas manzanas tiene Tom si compra tres y se come dos?",
    "ru": "Сколько яблок останется у Тома, если он купит три и съест два?",
    "zh": "小明买了三个苹果，吃了两个，还剩几个苹果？",
    "ja": "トムはりんごを三つ買って二つ食べました。いくつ残っていますか。",
    "ar": "كم عدد التفاحات التي يملكها توم إذا اشترى ثلاثة وأكل اثنتين؟",
    "hi": "अगर टॉम तीन सेब खरीदता है और दो खाता है तो उसके पास कितने सेब हैं?",
}


@pytest.mark.parametrize(("language", "text"), FOREIGN.items())
def test_foreign_prompts(language: str, text: str) -> None:
    drop = foreign(text, ["en"], 0.95)
    assert drop is not None
    assert (drop.rule, drop.value, drop.threshold) == ("language", language, "en")
    assert foreign(text, ["en", language], 0.95) is None


@pytest.mark.parametrize(
    "text",
    [
        "What is 2+2?",
        r"Compute \[\sin^2 x + \cos^2 x \le \max(\alpha, \beta)\]",
        r"Evaluate $\lim_{x\to 0} \frac{\sin x}{x}$.",
        "x = y",
        "",
        'Translate "Où sont les toilettes, je vous prie, madame ?" into English.',
        "def f(num):\n    num.append(num[-1])\n    return num",
        "Name a popular dish from Japan",
    ],
)
def test_english_and_what_cannot_be_told_stay(text: str) -> None:
    assert foreign(text, ["en"], 0.95) is None


def test_probabilities_sum_to_one_or_are_not_known() -> None:
    assert sum(probabilities(FOREIGN["de"]).values()) == pytest.approx(1, abs=1e-3)
    assert probabilities("42") == {}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("gsm8k_test", "question"),
        ("math500_test", "problem"),
        ("mbpp", "text"),
        ("svamp", "body"),
        ("cruxeval", "code"),
    ],
)
def test_english_sets_stay(name: str, column: str) -> None:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    texts = pq.read_table(path)[column].to_pylist()
    assert [t for t in texts if foreign(t, ["en"], 0.95)] == []
