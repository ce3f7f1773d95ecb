"""Arrow schemas of the sets that one training method asks for, with the meaning of each column.

The methods are named in `winnow.pipeline.recipe_sections.method_sets`, where a recipe's keys are.
"""

import pyarrow as pa

from winnow.pipeline.publish.formats.conversations import TOOL_MESSAGES
from winnow.pipeline.publish.set_columns import (
    ID,
    JUDGE,
    ORIGIN,
    PROMPT,
    RESPONSE,
    RESPONSE_TEXT,
)
from winnow.pipeline.schema import MESSAGES, column

GROUPS = pa.schema(
    [
        ID,
        PROMPT,
        column("responses", pa.list_(RESPONSE), f"Right and wrong answers in the order they were drawn: {RESPONSE_TEXT}."),
        column("n", pa.int32(), "Answers of the group."),
        column("r_hat", pa.float64(), "Right answers / answers of the group; above 0 and below 1."),
        column("weight", pa.float64(), "Weight of the question: 1 - r_hat, or (1 - r_hat) / r_hat."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

RANKED = pa.schema(
    [
        ID,
        PROMPT,
        column("responses", pa.list_(RESPONSE), f"Answers by reward, the best first, then by log-probability per token: "
               f"{RESPONSE_TEXT}."),
        column("levels", pa.int32(), "Different rewards among them; at least 2."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

UNPAIRED = pa.schema(
    [
        ID,
        PROMPT,
        column("completion", MESSAGES, "One answer."),
        column("label", pa.bool_(), "Whether it was judged correct."),
        column("reward", pa.float64(), "The verifier's own number.", null="it gave none"),
        column("rollout_id", pa.string(), "The answer."),
        JUDGE,
        *ORIGIN,
    ]
)

_WEIGHED = pa.list_(
    pa.struct(
        [
            pa.field("role", pa.string()),
            pa.field("content", pa.string()),
            pa.field("weight", pa.float64()),
        ]
    )
)

C_RLFT = pa.schema(
    [
        ID,
        column("items", _WEIGHED, "The conversation without its system message; weight is that of the message's tokens "
               "in the loss: 0 for all but the answer at the end."),
        column("system", pa.string(), "The system message.", null="there is none"),
        column("condition", pa.string(), "Class that the row is conditioned on; a trainer writes it into every role "
               "prefix."),
        column("weight", pa.float64(), "Weight of the class, and of the answer's tokens."),
        column("quality", pa.string(), "What the class was read from: the answer's verdict, or the source's name."),
        column("rollout_id", pa.string(), "The answer."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

_RATES = pa.list_(
    pa.struct(
        [
            pa.field("policy", pa.string(), nullable=False),
            pa.field("sampler", pa.string(), nullable=False),
            pa.field("n_judged", pa.int32(), nullable=False),
            pa.field("pass_rate", pa.float64(), nullable=False),
        ]
    )
)

CURRICULUM = pa.schema(
    [
        ID,
        PROMPT,
        column("answer", pa.string(), "Reference answer.", null="the verifier needs none"),
        column("stage", pa.int32(), "Last training stage that the prompt belongs to, from 1; it belongs to those before "
               "it, too."),
        column("strong", _RATES, "Pass rates of the strong policies that the recipe names.",
               null="it names none"),
        column("n_judged", pa.int32(), "Answers that the pass rate was measured on."),
        column("verifier", pa.string(), "Verifier that rewards answers."),
        column("verifier_args", pa.string(), "Its arguments, canonical JSON."),
        *ORIGIN,
    ]
)  # fmt: skip

_DEMONSTRATION = [
    column("demonstration", MESSAGES, "An answer to learn from, as the assistant's message; `verdict` says whether it was "
           "judged correct."),
    column("demonstration_from", pa.string(), "Where it is from: recorded (an answer of another policy or sampler), "
           "hinted (the policy's own, with a hint), answers (the policy's own), or solution (the source's)."),
    column("demonstration_policy", pa.string(), "Model @ revision that wrote it.",
           null="the source's own solution"),
    column("demonstration_sampler", pa.string(), "Distribution parameters that it was drawn with, canonical JSON.",
           null="the source's own solution, or a hinted answer"),
    column("demonstration_rollout_id", pa.string(), "The answer; of a hinted one the plain answer that was hinted.",
           null="the source's own solution"),
    column("demonstration_tokens", pa.int32(), "Its length in tokens, of the recipe's policy where its tokenizer is "
           "known here, else as the engine that drew it counted.", null="neither is known"),
    column("verifier", pa.string(), "Verifier that judged it, name@version."),
    column("verdict", pa.string(), "correct, or unjudged: the source's own solution, which the verifier could not judge."),
]  # fmt: skip

HARDEST = pa.schema(
    [
        ID,
        PROMPT,
        *_DEMONSTRATION,
        column("answer", pa.string(), "Reference answer.", null="the verifier needs none"),
        column("n", pa.int32(), "Answers of the policy."),
        column("n_fail", pa.int32(), "Those that were judged wrong and had the form asked for."),
        column("n_format_fail", pa.int32(), "Those that were judged wrong for their form: nothing to extract, or not the "
               "form that the set names."),
        column("n_truncated", pa.int32(), "Those that were cut off at the length limit."),
        *ORIGIN,
    ]
)  # fmt: skip

_CUTS = pa.list_(
    pa.struct(
        [
            pa.field("character", pa.int32(), nullable=False),
            pa.field("token", pa.int32()),
            pa.field("share", pa.float64(), nullable=False),
        ]
    )
)

DEMONSTRATIONS = pa.schema(
    [
        ID,
        PROMPT,
        *_DEMONSTRATION,
        column("cut_points", _CUTS, "Ends of sentences at which a prefix may end, none inside the final answer: character "
               "of the demonstration, token (tokens before it; null: no tokenizer is known here), share of the "
               "demonstration's tokens, or characters."),
        column("entropy_mask", pa.list_(pa.bool_()), "Which tokens of the demonstration are among the share of highest "
               "entropy, as the features' model splits it into tokens.", null="no entropies are given for it"),
        column("answer", pa.string(), "Reference answer.", null="the verifier needs none"),
        *ORIGIN,
    ]
)  # fmt: skip

SURE_UNSURE = pa.schema(
    [
        ID,
        column("messages", MESSAGES, "The question and an answer; with methods unsure and uncertain also whether the model "
               "is sure of it, and what it says."),
        column("sure", pa.bool_(), "Whether the policy knows the answer, by the method."),
        column("entropy", pa.float64(), "Entropy of the answers that were read from the policy's answers, nats.",
               null="the method is not uncertain"),
        column("n_answers", pa.int32(), "Answers of the policy that it was told from."),
        column("first_rollout_id", pa.string(), "The policy's first answer.", null="the method is uncertain"),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

STEP_VALUES = pa.schema(
    [
        ID,
        PROMPT,
        column("completions", pa.list_(pa.string()), "Steps of one path of a search tree, from the first to its end."),
        column("labels", pa.list_(pa.bool_()), "Of each step: whether a correct end lies behind it."),
        column("values", pa.list_(pa.float64()), "Of each step: value of the partial solution that it ends.",
               null="no end of the tree is correct, so that nothing has a value"),
        column("correct", pa.bool_(), "Whether the path's own end was judged correct."),
        column("verifier", pa.string(), "Verifier that judged the ends."),
        *ORIGIN,
    ]
)  # fmt: skip

_LINES = pa.list_(pa.struct([pa.field(n, pa.int32(), nullable=False) for n in ("start", "end")]))

FAIT = pa.schema(
    [
        ID,
        PROMPT,
        column("completion", MESSAGES, "The correct answer."),
        column("correct", pa.string(), "Its code."),
        column("wrong", pa.string(), "The most similar code that was judged wrong."),
        column("line_spans", _LINES, "Lines of `correct` that `wrong` has otherwise, from 0, end excluded."),
        column("char_spans", _LINES, "Characters of `correct` inside those lines that `wrong` has otherwise, from 0, end "
               "excluded."),
        column("code_at", pa.int32(), "Character of the completion at which `correct` begins.",
               null="the code does not stand there in one piece"),
        column("edit_ratio", pa.float64(), "Share of the lines of both that have no equal in the other."),
        column("correct_rollout_id", pa.string(), "The correct answer."),
        column("wrong_rollout_id", pa.string(), "The wrong answer."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

CRITIQUE = pa.schema(
    [
        ID,
        column("messages", MESSAGES, "Question and solution, and the critique that answers them."),
        column("label", pa.bool_(), "Whether critique and verifier call the solution right."),
        column("judge", pa.string(), "Model @ revision that wrote the critique; it had a rubric and, where that asks for "
               "it, the reference answer before it."),
        column("rollout_id", pa.string(), "The solution."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip

TRAJECTORIES = pa.schema(
    [
        ID,
        column("messages", TOOL_MESSAGES, "The trajectory as a conversation: what the agent said and called, and what "
               "came back."),
        column("tools", pa.string(), "Functions that the agent could call, JSON: a list of schemas, of names alone "
               "where no more is known.", null="none are listed"),
        column("loss_mask", pa.list_(pa.bool_()), "Of each message: whether to train on it; only messages of the agent. The "
               "formats adp and openai_chat carry it, the others have no place for it."),
        column("origin", pa.list_(pa.string()), "Of each message: expert or student; null for what is not the agent's.",
               null="not known"),
        column("branch_point", pa.int32(), "First message that the student wrote instead of the expert, from 0.",
               null="there is none"),
        column("reward", pa.float64(), "Final reward of the trajectory.", null="it brings none"),
        column("n_actions", pa.int32(), "Actions of the agent: calls, code and messages."),
        column("trajectory", pa.string(), "All of the trajectory, JSON of the Agent Data Protocol; rewards, pages and "
               "annotations, too. `details` has the mask where the set asks for another than its own."),
        column("rollout_id", pa.string(), "The answer that it ends with."),
        column("verdict", pa.string(), "Verdict on that answer: correct, or what else the set takes (unjudged: no "
               "verifier could tell)."),
        JUDGE,
        *ORIGIN,
    ]
)  # fmt: skip
