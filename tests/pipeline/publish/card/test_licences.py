from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub_stand_in import LICENCES
from winnow.pipeline.publish.card.licences import (
    GROUPS,
    OWN_TERMS,
    UNKNOWN,
    asks_for,
    identifier,
    inherit,
)

LISTED = [name for _, ids in GROUPS for name in ids]
STATED = st.none() | st.sampled_from(LISTED) | st.text(max_size=20)


@pytest.mark.parametrize(
    ("licences", "binding", "asks"),
    [
        (["mit"], ("mit",), "permissive"),
        (["MIT", " mit "], ("mit",), "permissive"),
        (["mit", "apache-2.0"], ("apache-2.0", "mit"), "permissive"),
        (["mit", "cc-by-4.0"], ("cc-by-4.0",), "attribution"),
        (["CC BY-SA 4.0", "cc-by-4.0"], ("cc-by-sa-4.0",), "share-alike"),
        (["gpl-3.0", "llama3"], ("llama3",), "restrictions on what it is used for"),
        (["cc-by-nc-4.0", "llama3", "odbl"], ("cc-by-nc-4.0",), "no commercial use"),
        (["cc-by-nc-sa-4.0", "cc-by-nc-4.0"], ("cc-by-nc-sa-4.0",), "no commercial use, share-alike"),
        (["cc-by-nc-sa-4.0", "cc-by-nd-4.0"], ("cc-by-nd-4.0",), "no derivatives"),
        (["cc-by-nc-nd-4.0", "mit"], ("cc-by-nc-nd-4.0",), "no derivatives, no commercial use"),
        (["cc-by-nd-4.0", "Our own terms"], ("Our own terms",), OWN_TERMS),
        (["cc", "mit"], ("cc",), OWN_TERMS),
        (["mit", None], (), UNKNOWN),
        (["mit", "  "], (), UNKNOWN),
        (["unknown", "cc-by-nc-4.0"], (), UNKNOWN),
        ([], (), UNKNOWN),
    ],
)  # fmt: skip
def test_the_most_restrictive_wins(
    licences: list[str | None], binding: tuple[str, ...], asks: str
) -> None:
    found = inherit(licences)
    assert (found.binding, found.asks) == (binding, asks)


def test_share_alike_is_not_forgotten_behind_a_stricter_licence() -> None:
    assert inherit(["cc-by-sa-4.0", "cc-by-nc-4.0", "mit", "gpl-3.0"]).also == (
        "cc-by-sa-4.0",
        "gpl-3.0",
    )
    assert inherit(["cc-by-sa-4.0", "mit"]).also == ()


@pytest.mark.parametrize(
    ("licences", "header"),
    [
        (["MIT"], {"license": "mit"}),
        (["mit", "apache-2.0"], {"license": ["apache-2.0", "mit"]}),
        ([None], {"license": "unknown"}),
        (["Our Terms, v2!"], {"license": "other", "license_name": "our-terms-v2"}),
        (
            ["https://example.com/terms.html"],
            {
                "license": "other",
                "license_name": "https-example.com-terms.html",
                "license_link": "https://example.com/terms.html",
            },
        ),
        (["a\n---\nb: <script>"], {"license": "other", "license_name": "a-b-script"}),
        (["Zwei", "Eins"], {"license": "other", "license_name": "eins-and-zwei"}),
        (["***"], {"license": "other", "license_name": "unnamed"}),
        (["cc", "other"], {"license": ["cc", "other"]}),
        (["cc", "mine"], {"license": "other", "license_name": "mine"}),
    ],
)
def test_header(licences: list[str | None], header: dict[str, str]) -> None:
    assert inherit(licences).header == header


def test_no_licence_stands_twice() -> None:
    assert len(LISTED) == len(set(LISTED))
    assert [identifier(name.upper().replace("-", " ")) for name in LISTED] == LISTED


@given(st.lists(STATED, max_size=5), STATED)
def test_one_source_more_never_loosens(licences: list[str | None], more: str | None) -> None:
    order = [what for what, _ in GROUPS]
    before, after = inherit(licences), inherit([*licences, more])
    if licences:
        assert order.index(after.asks) >= order.index(before.asks)
    assert order.index(after.asks) >= order.index(asks_for(more))


@given(st.lists(STATED, min_size=1, max_size=4))
def test_a_header_is_made_of_ids_and_slugs(licences: list[str | None]) -> None:
    found = inherit(licences).header
    ids = found["license"]
    assert set([ids] if isinstance(ids, str) else ids) <= set(LISTED)
    own = set(inherit(licences).binding) - set(LISTED)
    assert ("license_name" in found) == bool(own) and (not own or ids == "other")
    assert set(str(found.get("license_name", ""))) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_order_does_not_matter() -> None:
    names = ["mit", "cc-by-sa-4.0", None, "mine"]
    for pair in product(names, names):
        assert inherit(pair) == inherit(pair[::-1])


def test_the_hub_lists_all_that_a_header_can_name() -> None:
    for stated in [*LISTED, "Our terms", None]:
        named = inherit([stated]).header["license"]
        assert named in LICENCES, stated
