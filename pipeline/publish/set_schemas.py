"""Arrow schemas of the published sets, with the meaning of each column.

`messages`, `prompt`, `chosen` and `rejected` are lists of {role, content}, the conversational forms
that TRL's trainers take. Every row says which policy, template and sampler its pass rate and answers
belong to, and which verifier judged them.
"""

import pyarrow as pa

from winnow.pipeline.publish import method_schemas
from winnow.pipeline.publish.formats import images
from winnow.pipeline.publish.set_columns import ORIGIN
from winnow.pipeline.schema import MESSAGES, column

SFT = pa.schema(
    [
        column("id", pa.string(), "Name of the row."),
        column("messages", MESSAGES, "The conversation, ending with the answer to learn."),
        column("weight", pa.float64(), "Weight of the row in the loss; 1 is neutral."),
        column("token_keep", pa.list_(pa.bool_()), "Which tokens of the answer count in the loss, as the features' model "
               "splits it into tokens; the others stay in the input.", null="the set asks for no token masks"),
        column("rollout_id", pa.string(), "The answer that the conversation ends with."),
        column("verdict", pa.string(), "Verdict on the answer: correct, or what else the set takes "
               "(unjudged: no verifier could tell)."),
        column("verifier", pa.string(), "Verifier that judged it, name@version."),
        column("score", pa.float64(), "Selection score (UDS); more is better.",
               null="the recipe does not score"),
        *ORIGIN,
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
        *ORIGIN,
    ]
)

PREFERENCE = pa.schema(
    [
        column("id", pa.string(), "Name of the row."),
        column("prompt", MESSAGES, "The conversation that both answers continue."),
        column("chosen", MESSAGES, "The better answer: the one judged correct, or what `contrast` says."),
        column("rejected", MESSAGES, "The worse answer: the one judged wrong, or what `contrast` says."),
        column("contrast", pa.string(), "In what they differ: correctness; reward; or form (of one verdict, only "
               "the better one has the form asked for)."),
        column("margin", pa.float64(), "Reward of the chosen answer less that of the rejected one.",
               null="one of them has no reward"),
        column("logprob_margin", pa.float64(), "Log-probability per token of the chosen answer less that of the "
               "rejected one, under the policy that drew them, nats.", null="the engine did not tell it"),
        column("iteration", pa.int32(), "Round of iterated training that the pairs are for.",
               null="the recipe names none"),
        column("chosen_rollout_id", pa.string(), "The better answer."),
        column("rejected_rollout_id", pa.string(), "The worse answer."),
        column("verifier", pa.string(), "Verifier that judged both, name@version."),
        *ORIGIN,
    ]
)  # fmt: skip

SETS: dict[str, pa.Schema] = {
    "sft": SFT,
    "rl": RL,
    "preference": PREFERENCE,
    "groups": method_schemas.GROUPS,
    "unpaired": method_schemas.UNPAIRED,
    "ranked": method_schemas.RANKED,
    "c_rlft": method_schemas.C_RLFT,
    "curriculum": method_schemas.CURRICULUM,
    "hardest": method_schemas.HARDEST,
    "demonstrations": method_schemas.DEMONSTRATIONS,
    "sure_unsure": method_schemas.SURE_UNSURE,
    "step_values": method_schemas.STEP_VALUES,
    "fait": method_schemas.FAIT,
    "critique": method_schemas.CRITIQUE,
    "trajectories": method_schemas.TRAJECTORIES,
}

# Of sets whose prompts show images. `datasets` reads them as its feature `Image` only where the column
# may be null; none is.
IMAGES = column(images.IMAGES, pa.list_(images.IMAGE), "Images that the prompt shows, in order; each `<image>` in its "
                "text is one.").with_nullable(True)  # fmt: skip


def columns_of(type: str, *, images: bool) -> pa.Schema:
    """Columns of a published set of a type, whose prompts show images or not."""
    return SETS[type].append(IMAGES) if images else SETS[type]


# Types of sets whose ledger decides about answers, not tasks; and those with several rows of what it
# decides about.
OF_ANSWERS = frozenset(("sft", "unpaired", "c_rlft", "critique", "trajectories"))
SEVERAL_ROWS = frozenset(("preference", "step_values"))

# Columns whose values name rows of the ledger, the most specific first: what decided about a
# published row is written under one of them.
LEDGER_KEYS = (
    "id",
    "rollout_id",
    "chosen_rollout_id",
    "rejected_rollout_id",
    "correct_rollout_id",
    "wrong_rollout_id",
    "task_id",
    "prompt_id",
)

# Further columns that name answers: the ledger decides about none of them.
ANSWER_KEYS = ("demonstration_rollout_id", "first_rollout_id")
RESPONSES = "responses"  # several answers, each with its `rollout_id`
