"""Arrow schemas of every table, with the meaning and unit of each column.

Names follow the field (TRL, verl, Hugging Face). A column is nullable only where its text says when
it is null. `describe(schema)` prints a schema as a table for people.
"""

import pyarrow as pa

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))


def column(name: str, type_: pa.DataType, meaning: str, *, null: str | None = None) -> pa.Field:
    """A documented field; `null` says what a null means (absent: never null)."""
    text = meaning if null is None else f"{meaning} Null: {null}."
    return pa.field(name, type_, nullable=null is not None, metadata={"meaning": text})


PROMPTS = pa.schema(
    [
        column("task_id", pa.string(), "Name of prompt, reference and verifier together."),
        column("prompt_id", pa.string(), "Name of what the model sees."),
        column("messages", MESSAGES, "The conversation so far (role, content)."),
        column("images", pa.list_(pa.string()), "Names (SHA-256 of the bytes) of the pictures that it shows, in order; "
               "each `<image>` in the text is one.", null="it shows none"),
        column("answer", pa.string(), "Reference answer.", null="the verifier needs none"),
        column("verifier", pa.string(), "Verifier that judges answers to this row."),
        column("verifier_args", pa.string(), "Its arguments, canonical JSON."),
        column("source", pa.string(), "Name of the source in the recipe."),
        column("source_index", pa.int64(), "Row number within the source, from 0."),
        column("licence", pa.string(), "Licence of the source.", null="the recipe names none"),
        column("domain", pa.string(), "Subject, or task family.", null="the source names none"),
        column("template_id", pa.string(), "Group of prompts that differ only by numbers, names of "
               "variables or the order of options."),
        column("n_tokens", pa.int32(), "Length of the rendered prompt in tokens of the policy.",
               null="the engine's tokenizer is not known here"),
        column("meta", pa.string(), "Further columns that the recipe keeps, canonical JSON."),
    ]
)  # fmt: skip

IMAGES = pa.schema(
    [
        column("image_id", pa.string(), "SHA-256 of the bytes."),
        column("bytes", pa.binary(), "The picture's file."),
    ]
)

ROLLOUTS = pa.schema(
    [
        column("rollout_id", pa.string(), "Name of this answer."),
        column("prompt_id", pa.string(), "Prompt that it answers."),
        column("policy", pa.string(), "Model @ revision."),
        column("template", pa.string(), "Hash of the chat template."),
        column("sampler", pa.string(), "Distribution parameters, canonical JSON."),
        column("recipe_seed", pa.int64(), "Seed of the recipe that drew it."),
        column("index", pa.int32(), "Number of the answer within the prompt, from 0."),
        column("attempt", pa.int32(), "Try at this index, from 0."),
        column("completion", pa.string(), "The answer's text; empty on error."),
        column("token_ids", pa.list_(pa.int32()), "The answer's tokens.",
               null="the engine does not tell"),
        column("logprob_sum", pa.float64(), "Sum of the tokens' log-probabilities, nats.",
               null="the engine does not tell"),
        column("n_tokens", pa.int32(), "Length of the answer in tokens."),
        column("finish_reason", pa.string(), "stop, length (cut off at max_tokens) or error."),
        column("max_tokens", pa.int32(), "Length limit in force when it was drawn, tokens."),
        column("seed", pa.int64(), "Seed of its random stream."),
        column("error", pa.string(), "Why there is no answer.", null="there is one"),
    ]
)  # fmt: skip

COMPLETIONS = pa.schema(
    [
        column("rollout_id", pa.string(), "Name of this answer, by its prompt, source, text and trajectory."),
        column("prompt_id", pa.string(), "Prompt that it answers."),
        column("source", pa.string(), "Source that brings it."),
        column("completion", pa.string(), "The answer's text."),
        column("trajectory", pa.string(), "The trajectory that it ends, canonical JSON.",
               null="the source brings none"),
    ]
)  # fmt: skip

SAMPLED = pa.schema(
    [
        column("prompt_id", pa.string(), "Prompt."),
        column("answers", pa.int32(), "Its answers that count, from the first."),
        column("reason", pa.string(), "Which stop rule ended it.",
               null="it wants more answers than there are: a budget, or the end of the run"),
    ]
)  # fmt: skip

VERDICTS = pa.schema(
    [
        column("verdict_id", pa.string(), "Name of this judgement."),
        column("rollout_id", pa.string(), "Answer that was judged."),
        column("task_id", pa.string(), "Task that it was judged against."),
        column("verifier", pa.string(), "Verifier and version, name@version."),
        column("verdict", pa.string(), "correct, wrong or unjudged."),
        column("reward", pa.float64(), "The verifier's own number.", null="unjudged"),
        column("parts", pa.string(), "Named rewards, canonical JSON."),
        column("extracted", pa.string(), "What was read from the answer.", null="nothing was"),
        column("detail", pa.string(), "Reason in a few words.", null="there is nothing to say"),
        column("seconds", pa.float64(), "Wall time of the judgement."),
    ]
)

STEPS = pa.schema(
    [
        column("step_id", pa.string(), "Name of this step, and of the state after it."),
        column("prompt_id", pa.string(), "Prompt whose tree it stands in."),
        column("parent", pa.string(), "State that it continues: a step, or the beginning."),
        column("depth", pa.int32(), "Number of the step on its path, from 1."),
        column("policy", pa.string(), "Model @ revision."),
        column("template", pa.string(), "Hash of the chat template."),
        column("sampler", pa.string(), "Distribution parameters, canonical JSON."),
        column("recipe_seed", pa.int64(), "Seed of the recipe that drew it."),
        column("index", pa.int32(), "Number of the step among those drawn from its parent, from 0."),
        column("attempt", pa.int32(), "Try at this index, from 0."),
        column("completion", pa.string(), "The step's text, with the stop string that ended it; empty "
               "on error."),
        column("token_ids", pa.list_(pa.int32()), "The step's tokens.",
               null="the engine does not tell"),
        column("logprob_sum", pa.float64(), "Sum of the tokens' log-probabilities, nats.",
               null="the engine does not tell"),
        column("n_tokens", pa.int32(), "Length of the step in tokens."),
        column("finish_reason", pa.string(), "stop, length (cut off at max_tokens) or error."),
        column("max_tokens", pa.int32(), "Length limit in force when it was drawn, tokens."),
        column("seed", pa.int64(), "Seed of its random stream."),
        column("error", pa.string(), "Why there is no step.", null="there is one"),
    ]
)  # fmt: skip

JUDGEMENTS = pa.schema(
    [
        column("judgement_id", pa.string(), "Name of this judgement."),
        column("prompt_id", pa.string(), "Prompt whose tree it belongs to."),
        column("state", pa.string(), "State that was judged: the name of its last step."),
        column("task_id", pa.string(), "Task that it was judged against."),
        column("judge", pa.string(), "Who judged: verifier and version, or model and prompt."),
        column("index", pa.int32(), "Number of the judgement of this state by a judge that samples, "
               "from 0."),
        column("verdict", pa.string(), "correct, wrong or unjudged.",
               null="a value was given, not a verdict"),
        column("reward", pa.float64(), "The judge's own number, or the value.", null="unjudged"),
        column("extracted", pa.string(), "What was read from the text.", null="nothing was"),
        column("detail", pa.string(), "Reason in a few words.", null="there is nothing to say"),
        column("seconds", pa.float64(), "Wall time of the judgement."),
    ]
)  # fmt: skip

TREES = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("prompt_id", pa.string(), "Its prompt."),
        column("policy", pa.string(), "Model @ revision."),
        column("template", pa.string(), "Hash of the chat template."),
        column("sampler", pa.string(), "Distribution parameters of a step, canonical JSON."),
        column("mcts_iterations", pa.int32(), "Iterations made, the solving one included.",
               null="the search could not be judged, or an error ended it"),
        column("mcts_solved", pa.bool_(), "Whether one of them was judged correct.",
               null="the search could not be judged, or an error ended it"),
        column("iters", pa.int32(), "Number of the iteration that solved it, from 0.",
               null="not solved"),
        column("nodes", pa.int32(), "Nodes of the tree, the root included."),
        column("steps", pa.int32(), "Steps drawn, those of simulations included."),
        column("tokens", pa.int64(), "Their tokens."),
        column("judgements", pa.int32(), "Simulations judged correct or wrong."),
        column("unjudged", pa.int32(), "Simulations that could not be judged."),
        column("saved_expansions", pa.int32(), "Expansions that merging of steps saved."),
        column("error", pa.string(), "Why the search ended early.", null="it did not"),
    ]
)  # fmt: skip

STEPWISE = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("prompt", pa.string(), "The question."),
        column("completions", pa.list_(pa.string()), "Steps of one path, from the first to its end."),
        column("labels", pa.list_(pa.bool_()), "Of each step: whether a correct end lies behind it."),
        column("values", pa.list_(pa.float64()), "Of each step: value of the partial solution that it "
               "ends.", null="the form of values gives none here"),
        column("correct", pa.bool_(), "Whether the path's own end was judged correct."),
    ]
)  # fmt: skip

SOLUTIONS = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("column", pa.string(), "Column of the source that holds the solution."),
        column("solution", pa.string(), "The solution."),
        column("verifier", pa.string(), "Verifier and version that judged it, name@version."),
        column("verdict", pa.string(), "correct, wrong or unjudged."),
        column("extracted", pa.string(), "What was read from it.", null="nothing was"),
        column("detail", pa.string(), "Reason in a few words.", null="there is nothing to say"),
    ]
)  # fmt: skip

HINTED = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("rollout_id", pa.string(), "Plain answer that was hinted."),
        column("plain_verdict", pa.string(), "Its verdict."),
        column("hinted_verdict", pa.string(), "Verdict of the last hinted answer; the plain one where "
               "nothing was hinted."),
        column("kept", pa.bool_(), "Whether it failed plain and passed hinted."),
        column("hint", pa.string(), "Name of the last hint.", null="nothing was hinted"),
        column("place", pa.string(), "conjunction or end.", null="nothing was hinted"),
        column("place_at", pa.int64(), "Characters of the plain answer before the hint.",
               null="nothing was hinted"),
        column("completion", pa.string(), "The last hinted answer, hint included."),
        column("tries", pa.int32(), "Hints tried."),
    ]
)  # fmt: skip

DIFFICULTY = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("policy", pa.string(), "Model @ revision."),
        column("template", pa.string(), "Hash of the chat template."),
        column("sampler", pa.string(), "Distribution parameters, canonical JSON."),
        column("n", pa.int32(), "Answers drawn (errors included)."),
        column("n_correct", pa.int32(), "Answers judged correct."),
        column("n_wrong", pa.int32(), "Answers judged wrong."),
        column("n_unjudged", pa.int32(), "Answers that could not be judged, truncated included."),
        column("n_truncated", pa.int32(), "Answers cut off at the length limit."),
        column("pass_rate", pa.float64(), "n_correct / (n_correct + n_wrong).",
               null="nothing was judged"),
        column("pass_rate_low", pa.float64(), "The same with truncated answers counted as wrong.",
               null="nothing was judged or truncated"),
        column("reward_mean", pa.float64(), "Mean reward of the judged answers.",
               null="nothing was judged"),
        column("alpha", pa.float64(), "Beta posterior of the pass rate: prior + n_correct."),
        column("beta", pa.float64(), "Beta posterior of the pass rate: prior + n_wrong."),
        column("interval_low", pa.float64(), "5 % quantile of the posterior."),
        column("interval_high", pa.float64(), "95 % quantile of the posterior."),
    ]
)  # fmt: skip

AUDIT = pa.schema(
    [
        column("task_id", pa.string(), "Task."),
        column("reference", pa.string(), "Its reference answer.", null="the task has none"),
        column("verifier", pa.string(), "Verifier that judged the answers."),
        column("majority_answer", pa.string(), "Commonest answer, in its commonest spelling.",
               null="no answer could be read"),
        column("n_majority", pa.int32(), "Judged answers that give it."),
        column("n_agree_reference", pa.int32(), "Answers judged correct."),
        column("n_judged", pa.int32(), "Answers judged correct or wrong, unreadable ones included."),
        column("n_answers", pa.int32(), "Different answers among them, as far as told apart."),
        column("majority_share", pa.float64(), "n_majority / n_judged.", null="nothing was judged"),
        column("share_low", pa.float64(), "Lower credible bound of the share that the policy gives "
               "the commonest answer.", null="nothing was judged"),
        column("suspect", pa.bool_(), "Whether the answers agree, credibly, against the reference."),
        column("reason", pa.string(), "Why it is suspect, or verifier_doubt: the agreed answer is the "
               "reference under another reading.", null="neither"),
        column("doubt", pa.string(), "That reading.", null="there is none"),
    ]
)  # fmt: skip

FEATURES = pa.schema(
    [
        column("feature_id", pa.string(), "Name of this signal."),
        column("row_id", pa.string(), "Row that it describes (a prompt or a rollout)."),
        column("feature", pa.string(), "embedding, nuclear_norm, sketch, ..."),
        column("model", pa.string(), "Model @ revision that it was computed with."),
        column("form", pa.string(), "Which text the model saw, and parameters, canonical JSON."),
        column("vector", pa.list_(pa.float32()), "The signal.", null="it is a scalar"),
        column("scalar", pa.float64(), "The signal.", null="it is a vector"),
    ]
)

EMBEDDINGS = pa.schema(
    [
        column("prompt_id", pa.string(), "Prompt."),
        column("embedding", pa.list_(pa.float32()), "L2-normalised vector."),
    ]
)

CLUSTERS = pa.schema(
    [
        column("prompt_id", pa.string(), "Prompt."),
        column("cluster", pa.int32(), "Number of its cluster, from 0, largest first."),
        column("centroid_distance", pa.float64(), "Euclidean distance to the cluster's centroid."),
        column("x", pa.float64(), "First principal component of the embeddings (for plots)."),
        column("y", pa.float64(), "Second principal component."),
    ]
)

SCORES = pa.schema(
    [
        column("rollout_id", pa.string(), "Answer that was scored, with its prompt."),
        column("task_id", pa.string(), "Task that the answer was judged for."),
        column("n_tokens_scored", pa.int32(), "Tokens of prompt and answer that the model saw."),
        column("nuclear_norm", pa.float64(), "Sum of the singular values of the logits."),
        column("step", pa.int32(), "Batch of the online pass that it stood in, from 0."),
        column("utility", pa.float64(), "u: the nuclear norm."),
        column("diversity", pa.float64(), "v: mean distance to the sketches in the buffer."),
        column("score", pa.float64(), "c = u + alpha v."),
        column("selected", pa.bool_(), "Among the K best of its batch."),
        column("rank", pa.int32(), "Place by score within its batch, from 0."),
    ]
)

LEDGER = pa.schema(
    [
        column("row_id", pa.string(), "Row that was decided on."),
        column("stage", pa.string(), "Stage, or set (training_set/sft)."),
        column("decision", pa.string(), "kept, dropped or pending."),
        column("rule", pa.string(), "Rule that decided."),
        column("value", pa.string(), "What the rule looked at.", null="not one value"),
        column("threshold", pa.string(), "What it was compared with.", null="the rule has none"),
        column("detail", pa.string(), "More, for people.", null="there is no more to say"),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "prompts": PROMPTS,
    "completions": COMPLETIONS,
    "rollouts": ROLLOUTS,
    "sampled": SAMPLED,
    "verdicts": VERDICTS,
    "audit": AUDIT,
    "difficulty": DIFFICULTY,
    "trees": TREES,
    "stepwise": STEPWISE,
    "hinted": HINTED,
    "solutions": SOLUTIONS,
    "features": FEATURES,
    "embeddings": EMBEDDINGS,
    "clusters": CLUSTERS,
    "scores": SCORES,
    "ledger": LEDGER,
}


def describe(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """(name, type, meaning) of every column, for people."""
    return [(f.name, str(f.type), (f.metadata or {}).get(b"meaning", b"").decode()) for f in schema]
