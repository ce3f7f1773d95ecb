"""Token masks of a set of type sft: Q-Tuning over its rows."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from tests.selectors.sets.made_up import ledger, signals
from winnow.pipeline.recipe import SFTSet
from winnow.pipeline.recipe_sections.sets import TokenMasks
from winnow.pipeline.schema import MESSAGES
from winnow.selectors.rows import TableRows, row_ids
from winnow.selectors.run import select
from winnow.selectors.sets.sft import sft

N = 12
TASKS = {chr(ord("a") + at): "c" for at in range(N)}
CONFIG = SFTSet(uds=False, token_masks=TokenMasks(features="f", r_sample=0.5))


def features(names: list[str]) -> pa.Table:
    """Signals under which the first row is a misconception: high perplexity, low entropy. Its tokens have
    the perplexities of the worked example of the paper's formula."""
    rng = np.random.default_rng(3)
    logprobs = [[-math.log(p) for p in (2, 10, 3, 1.5)]]
    entropies = [[0.01, 0.02, 0.01, 0.01]]
    for _ in names[1:]:
        logprobs.append((-rng.uniform(0.1, 0.6, 3)).tolist())
        entropies.append(rng.uniform(0.5, 2.0, 3).tolist())
    return pa.table({"row_id": names, "token_logprobs": logprobs, "token_entropies": entropies})


def kept(found: Any) -> dict[str, list[bool]]:
    return {row["rollout_id"]: row["token_keep"] for row in found.rows.to_pylist()}


def test_rows_and_tokens_are_those_of_the_selector() -> None:
    names = [f"{task}0" for task in TASKS]
    table = features(names)
    found = sft(CONFIG, signals(TASKS, token_features={"f": table}))
    chosen = select("q_tuning", table, r_sample=0.5, r_token=0.5).to_pylist()
    assert kept(found) == {r["row_id"]: r["token_keep"] for r in chosen if r["selected"]}
    assert kept(found)["a0"] == [True, False, False, True]
    dropped = {row["row_id"] for row in chosen if not row["selected"]}
    assert dropped
    assert {n for n, why in ledger(found).items() if why == ("dropped", "q_tuning")} == dropped


def test_the_file_can_name_its_rows_by_what_they_say() -> None:
    """As `winnow features` names the rows of a set that was published before."""
    plain = sft(SFTSet(uds=False), signals(TASKS))
    said = pa.table({"messages": plain.rows["messages"].cast(MESSAGES)})
    names = row_ids(TableRows(said))
    assert names is not None
    by_name = dict(zip(plain.rows["rollout_id"].to_pylist(), names, strict=True))
    ordered = [f"{task}0" for task in TASKS]
    by_text = features([by_name[name] for name in ordered])
    one = sft(CONFIG, signals(TASKS, token_features={"f": by_text}))
    other = sft(CONFIG, signals(TASKS, token_features={"f": features(ordered)}))
    assert kept(one) == kept(other) != {}


def test_an_answer_without_features_is_pending_and_no_masks_are_null() -> None:
    found = sft(CONFIG, signals(TASKS, token_features={"f": features(["a0", "b0"])}))
    assert ledger(found)["d0"] == ("pending", "no_token_features")
    assert set(kept(found)) == {"a0", "b0"}
    plain = sft(SFTSet(uds=False), signals(TASKS))
    assert plain.rows["token_keep"].null_count == N
