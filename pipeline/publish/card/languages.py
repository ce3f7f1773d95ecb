"""In which languages a version's prompts are written, as far as a fixed sample tells."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from winnow.pipeline.clean.cleaning import user_text
from winnow.pipeline.clean.filters.language import probabilities
from winnow.pipeline.publish.manifest import UNTOLD

SAMPLE = 500
_SURE = 0.8  # probability from which a language counts as told


def languages(prompts: pa.Table) -> dict[str, int]:
    """Prompts of a sample per language (ISO 639), `UNTOLD` for those that cannot be told.

    The sample is the first 500 tasks by name: names are hashes, so it is a random one, and the same
    for the same prompts. `prompts` has the columns `task_id` and `messages` of schema.PROMPTS.
    """
    sample = prompts.select(["task_id", "messages"])
    if sample.num_rows > SAMPLE:
        first = sorted(sample["task_id"].to_pylist())[:SAMPLE]
        sample = sample.filter(pc.is_in(sample["task_id"], value_set=pa.array(first)))
    found = Counter(_language(user_text(messages)) for messages in sample["messages"].to_pylist())
    return dict(sorted(found.items()))


def _language(text: str) -> str:
    found = probabilities(text)
    likeliest = max(found, key=lambda name: found[name], default=UNTOLD)
    return likeliest if found.get(likeliest, 0.0) >= _SURE else UNTOLD
