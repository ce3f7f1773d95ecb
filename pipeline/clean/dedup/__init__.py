"""Duplicates among prompts: which rows are one, and which of them stays.

`deduplicate` is the entry. Three methods, each a superset of the one before in what it merges:
`exact` (equal folded text), `minhash` (word shingles, verified Jaccard similarity) and `semantic`
(cosine similarity of given vectors). The last two never merge prompts of different
`formal_signature`: those are instances of one template, which `per_template` thins if asked.
"""

from winnow.pipeline.clean.dedup.entry import Method as Method
from winnow.pipeline.clean.dedup.entry import deduplicate as deduplicate
from winnow.pipeline.clean.dedup.preference import by_length as by_length
from winnow.pipeline.clean.dedup.preference import by_order as by_order
