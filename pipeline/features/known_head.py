"""Which form a model's signals take, remembered beside them.

Whether a head is linear shows only when the weights are in memory, and the form is part of the names
of UDS's signals: so that a run that has nothing to compute need not load the model, a store
remembers it.
"""

from winnow.pipeline.features import stored
from winnow.pipeline.features.causal_model import Head
from winnow.pipeline.features.scorer import CausalScorer
from winnow.pipeline.names import canonical_json
from winnow.pipeline.store.store import Store

_FORM = canonical_json({"probe": 1})


def known_head(store: Store, model: str) -> Head | None:
    """What the store knows of the model of this identity."""
    kind = stored.Kind(("linear_head",), model, _FORM)
    if stored.missing(store, kind, [stored.OF_MODEL]):
        return None
    return (
        "hidden" if stored.scalars(store, kind, "linear_head", [stored.OF_MODEL])[0] else "logits"
    )


def head_of(store: Store, scorer: CausalScorer) -> Head:
    """The head of the scorer's model; loads the model where the store, open for writing, does not
    know it yet."""
    known = known_head(store, scorer.folder.identity)
    if known is None:
        known = scorer.head
        kind = stored.Kind(("linear_head",), scorer.folder.identity, _FORM)
        stored.put(store, [(kind, stored.OF_MODEL, {"linear_head": float(known == "hidden")})])
    return known
