import pyarrow as pa

from winnow.pipeline.publish.card.header import spoken
from winnow.pipeline.publish.card.languages import SAMPLE, languages

ENGLISH = "How many apples does the farmer have left after he sold three of them at the market?"
GERMAN = (
    "Wie viele Äpfel hat der Bauer noch übrig, nachdem er drei davon auf dem Markt verkauft hat?"
)


def prompts(*texts: str) -> pa.Table:
    rows = [
        {"task_id": f"{at:06d}", "messages": [{"role": "user", "content": text}]}
        for at, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows)


def test_what_can_be_told() -> None:
    assert languages(prompts(ENGLISH, ENGLISH, GERMAN, "1 + 2 = ?", "$x^2$")) == {
        "de": 1, "en": 2, "und": 2
    }  # fmt: skip


def test_the_sample_is_the_same_whatever_the_order_of_the_rows() -> None:
    table = prompts(*[ENGLISH] * SAMPLE, *[GERMAN] * 100)
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert languages(table) == languages(backwards) == {"en": SAMPLE}


def test_rare_languages_are_not_the_datasets() -> None:
    assert spoken({"en": 96, "de": 5, "fr": 4, "und": 500}) == ["en"]
    assert spoken({"de": 10, "en": 10}) == ["de", "en"]
    assert spoken({"und": 3}) == spoken({}) == []
