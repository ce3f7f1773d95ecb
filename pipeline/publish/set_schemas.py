"""Arrow schemas of the published sets, with the meaning of each column.

`messages`, `prompt`, `chosen` and `rejected` are lists of {role, content}, the conversational forms
that TRL's trainers take. Every row says which policy, template and sampler its pass rate and answers
belong to, and which verifier judged them.
"""

import pyarrow as pa

from winnow.pipeline.schema import MESSAGES, column

_ORIGIN = [
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

SFT = pa.schema(
    [
        column("id", pa.string(), "Name of the row."),
        column("messages", MESSAGES, "The conversation, ending with a verified answer."),
        column("weight", pa.float64(), "Weight of the row in the loss; 1 is neutral."),
        column("rollout_id", pa.string(), "The answer that the conversation ends with."),
        column("verifier", pa.string(), "Verifier that judged it correct, name@version."),
        column("score", pa.float64(), "Selection score (UDS); more is better.",
               null="the recipe does not score"),
        *_ORIGIN,
    ]
)  # fmt: skip

RL = pa.schema(
    [
        column("id", pa.string(), "Name of the row."),
        column("prompt", MESSAGES, "The conversation that the policy continues."),
        column("answer", pa.string(), "Reference answer.", null="the verifier needs none"),
        column("verifier", pa.string(), "Verifier that rewards answers."),
        column("verifier_args", pa.string(), "Its arguments, canonical JSON."),
        column("n_judged", pa.int32(), "Answers that the pass rate was measured on."),
        *_ORIGIN,
    ]
)

PREFERENCE = pa.schema(
    [
        column("id", pa.string(), "Name of the row."),
        column("prompt", MESSAGES, "The conversation that both answers continue."),
        column("chosen", MESSAGES, "An answer that was judged correct."),
        column("rejected", MESSAGES, "An answer that was judged wrong."),
        column("chosen_rollout_id", pa.string(), "The correct answer."),
        column("rejected_rollout_id", pa.string(), "The wrong answer."),
        column("verifier", pa.string(), "Verifier that judged both, name@version."),
        *_ORIGIN,
    ]
)

SETS: dict[str, pa.Schema] = {"sft": SFT, "rl": RL, "preference": PREFERENCE}

# Columns whose values name rows of the ledger, the most specific first: what decided about a
# published row is written under one of them.
LEDGER_KEYS = (
    "id",
    "rollout_id",
    "chosen_rollout_id",
    "rejected_rollout_id",
    "task_id",
    "prompt_id",
)
