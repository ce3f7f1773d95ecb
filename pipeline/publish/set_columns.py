"""Columns that published sets share."""

import pyarrow as pa

from winnow.pipeline.schema import MESSAGES, column

ID = column("id", pa.string(), "Name of the row.")
PROMPT = column("prompt", MESSAGES, "The conversation that an answer continues.")
JUDGE = column("verifier", pa.string(), "Verifier that judged, name@version.")

# Where a row is from: which policy, template and sampler its pass rate belongs to.
ORIGIN = [
    column("prompt_id", pa.string(), "Prompt that the row is about."),
    column("task_id", pa.string(), "The prompt with its reference and verifier."),
    column("source", pa.string(), "Name of the source in the recipe."),
    column("licence", pa.string(), "Licence of the source.", null="the recipe names none"),
    column("template_id", pa.string(), "Group of prompts of one template (numbers and names of variables differ); no "
           "group is in both splits."),
    column("policy", pa.string(), "Model @ revision that answered."),
    column("template", pa.string(), "Hash of the chat template that it was asked with."),
    column("sampler", pa.string(), "Distribution parameters, canonical JSON."),
    column("pass_rate", pa.float64(), "Correct answers / judged answers of this policy.",
           null="nothing was judged"),
    column("cluster", pa.int32(), "Cluster of the prompt, from 0, largest first.",
           null="prompts were not clustered"),
]  # fmt: skip

# Several answers of one task in one row.
RESPONSE = pa.struct(
    [
        pa.field("rollout_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("correct", pa.bool_()),
        pa.field("reward", pa.float64()),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("logprob_sum", pa.float64()),
        pa.field("n_tokens", pa.int32(), nullable=False),
    ]
)
RESPONSE_TEXT = (
    "text; correct (null: not judged); reward, the verifier's own number (null: it gave none); truncated, "
    "cut off at the length limit; logprob_sum, log-probability of its n_tokens tokens under the policy "
    "that drew it, nats (null: the engine did not tell; single tokens' log-probabilities are not recorded "
    "with an answer)"
)
