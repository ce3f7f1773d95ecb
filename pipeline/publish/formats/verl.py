"""verl's five fields (verl.readthedocs.io, "Prepare data for post-training").

`extra_info` carries what a reward function of one's own can use: winnow's verifier with its arguments,
so that `winnow.pipeline.verify` can judge, and where the row comes from.
"""

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Format, Place, Row, View
from winnow.pipeline.publish.formats.conversations import TOOLS, kept
from winnow.pipeline.schema import column

_JUDGES = ("judge",)  # verifiers that ask a model
_ALSO = ("verifier", "verifier_args", "pass_rate")


def _columns(view: View) -> list[pa.Field]:
    return [
        column("data_source", pa.string(), "Name of the source; verl picks the reward by it."),
        kept(view, "prompt"),
        column("ability", pa.string(), "Subject where the set names one, else the verifier."),
        column(
            "reward_model",
            pa.struct([pa.field("style", pa.string()), pa.field("ground_truth", pa.string())]),
            "rule, or model where the verifier asks one; and the reference answer, which is null "
            "where the verifier needs none.",
        ),
        column(
            "extra_info",
            pa.struct(_extra(view)),
            "Split and number of the row; the verifier with its arguments; where the row comes from.",
        ),
    ]


def _extra(view: View) -> list[pa.Field]:
    fields = [pa.field("split", pa.string()), pa.field("index", pa.int64())]
    fields += [pa.field(name, view.source.field(name).type) for name in _ALSO if view.has(name)]
    if view.has("tools"):
        fields.append(pa.field(TOOLS.name, pa.string()))
    taken = {field.name for field in fields}
    return fields + [
        pa.field(f.name, f.type) for f in view.provenance_fields if f.name not in taken
    ]


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    verifier = row["verifier"].partition("@")[0]
    return [
        {
            "data_source": row.get("source") or "winnow",
            "prompt": row["prompt"],
            "ability": row.get("domain") or verifier,
            "reward_model": {
                "style": "model" if verifier in _JUDGES else "rule",
                "ground_truth": row["answer"],
            },
            "extra_info": {**row, "split": place.split, "index": place.index, **view.origin(row)},
        }
    ]


FORMAT = Format(
    name="verl",
    meaning="prompts with a reference, for RL with verifiable rewards",
    consumer="verl: RLHFDataset",
    reads=({"prompt": "messages", "answer": "text", "verifier": "text"},),
    columns=_columns,
    rows=_rows,
    layout="parquet",
    places_provenance=True,
    images=True,
)
