"""The columns that selectors read, by the names that the tables and the features use.

One name has one meaning everywhere. A selector that needs a column says so with these; `but` adapts
one (optional, nulls).
"""

from dataclasses import replace
from typing import Any

from winnow.selectors.base import Column


def but(column: Column, **changes: Any) -> Column:
    """`column` with changes: but(PASS_RATE, optional=True)."""
    return replace(column, **changes)


# What a row belongs to.
PROMPT_ID = Column(
    "prompt_id", "text", "Prompt that the row belongs to; rows of one prompt compete."
)
TASK_ID = Column("task_id", "text", "Task that the answer was judged for.")
SOURCE = Column("source", "text", "Where the row came from.")
CLASS = Column("class", "text", "Quality class of the row, such as expert or sub_optimal.")
STEP = Column("step", "integer", "Training step that the row belongs to, from 1.")
PREVIOUS = Column("previous", "flag", "Whether the row was in the previous set.")
SKILLS = Column("skills", "texts", "Skills that the question needs; null: not labelled.")
MISSING_SKILLS = Column(
    "missing_skills", "texts",
    "Skills whose lack explains a wrong answer to this validation question; null: a training row.",
)  # fmt: skip
TEMPLATE_ID = Column(
    "template_id", "text", "Equal for prompts that differ only by numbers and names."
)
CLUSTER = Column("cluster", "integer", "Cluster of the row's embedding.")
CENTROID_DISTANCE = Column(
    "centroid_distance", "number", "Distance of the row's embedding to its cluster's centroid."
)
CLUSTER_WEIGHT = Column(
    "cluster_weight",
    "number",
    "Weight of the row's cluster in the round before; equal in a cluster.",
)
PICKED = Column("picked", "flag", "Whether an earlier round picked the row.")
N_TOKENS = Column("n_tokens", "integer", "Length of the row, tokens.")

# Texts.
COMPLETION = Column("completion", "text", "The answer.")
ORIGIN = Column(
    "origin", "text", "Where the answer came from: model, paraphrase (of gold) or gold (reference)."
)
EXTRACTED = Column("extracted", "text", "The final answer that was read from the completion.")

# Verdicts and rewards.
VERDICT = Column("verdict", "text", "correct, wrong or unjudged.")
REWARD = Column("reward", "number", "Reward of this answer.")
REWARD_GOLD = Column("reward_gold", "number", "Reward of the row's own answer.")
REWARD_GENERATED = Column(
    "reward_generated", "number", "Reward of the answer that the model in training gives instead."
)
REWARDS = Column("rewards", "numbers", "Rewards of the answers drawn for this prompt.")
FORMAT_OK = Column("format_ok", "flag", "Whether this answer has the wanted form.")
STEP_SCORES = Column(
    "step_scores", "numbers", "Process reward of each step of this answer, in order; 0 to 1."
)
SCORES = Column("scores", "numbers", "This answer's score by each of several scorers.")
QUALITY = Column("quality", "number", "Quality of the row; higher is better.")
RELEVANCE = Column("relevance", "number", "Relevance of the row; higher is better.")

# Difficulty, as in the difficulty table.
N = Column("n", "integer", "Answers drawn for this prompt.")
N_CORRECT = Column("n_correct", "integer", "Answers judged correct.")
N_WRONG = Column("n_wrong", "integer", "Answers judged wrong.")
PASS_RATE = Column("pass_rate", "number", "n_correct / (n_correct + n_wrong).")
ALPHA = Column("alpha", "number", "Beta posterior of the pass rate: successes and prior.")
BETA = Column("beta", "number", "Beta posterior of the pass rate: failures and prior.")
MCTS_ITERATIONS = Column(
    "mcts_iterations", "integer", "Tree-search iterations until solved, from 1; null: not solved."
)
MCTS_SOLVED = Column("mcts_solved", "flag", "Whether the tree search solved the prompt.")
N_TRUNCATED = Column("n_truncated", "integer", "Answers cut off at the length limit.")
N_FORMAT_FAIL = Column(
    "n_format_fail", "integer", "Answers that failed by their form alone; not part of n_wrong."
)
PASS_RATE_WEAK = Column("pass_rate_weak", "number", "Pass rate of the weak grader.")
PASS_RATE_STRONG = Column("pass_rate_strong", "number", "Pass rate of the strong grader.")
ROUND_CORRECT = Column(
    "round_correct", "numbers", "Answers judged correct in each round of sampling, in order."
)
ROUND_WRONG = Column(
    "round_wrong", "numbers", "Answers judged wrong in each round of sampling, in order."
)
PRIOR_CORRECT = Column("prior_correct", "integer", "Answers judged correct in an older run.")
PRIOR_WRONG = Column("prior_wrong", "integer", "Answers judged wrong in an older run.")
DEMONSTRATION_VERDICT = Column(
    "demonstration_verdict", "text", "Verdict on the demonstration: correct, wrong or unjudged."
)
DEMONSTRATION_TOKENS = Column(
    "demonstration_tokens", "integer", "Length of the demonstration, tokens."
)

# Trajectories.
LOSSES = Column(
    "losses", "numbers", "Mean loss of the response at each checkpoint, in order; nats."
)
ACCURACIES = Column(
    "accuracies",
    "numbers",
    "Share of right answers in each epoch, in order; -1 or null: none drawn.",
)

# Features (`winnow features`).
EMBEDDING = Column("embedding", "vector", "Embedding of the row's text.")
NUCLEAR_NORM = Column("nuclear_norm", "number", "Sum of the singular values of the row's logits.")
SKETCH = Column("sketch", "vector", "Random sketch of the row's logits (UDS).")
LOGPROB_MEAN = Column(
    "logprob_mean",
    "number",
    "Mean log-probability of the response's tokens given the prompt, nats.",
)
LOGPROB_MEAN_ALONE = Column(
    "logprob_mean_alone", "number", "The same without the prompt before the response, nats."
)
TOKEN_LOGPROBS = Column(
    "token_logprobs", "numbers", "Log-probability of each token of the response, nats."
)
TOKEN_ENTROPIES = Column(
    "token_entropies",
    "numbers",
    "Entropy of the next-token distribution there, full vocabulary, nats.",
)
REFERENCE_LOGPROBS = Column(
    "reference_logprobs", "numbers",
    "Log-probability of each token of the reference answer after this answer's reasoning, nats.",
)  # fmt: skip
REFERENCE_LOGPROBS_ALONE = Column(
    "reference_logprobs_alone", "numbers",
    "The same with the reference directly after the prompt, nats.",
)  # fmt: skip
REFERENCE_LOGPROBS_MASKED = Column(
    "reference_logprobs_masked", "numbers",
    "The same with the text of the reasoning masked, nats.",
)  # fmt: skip
ANSWER_TOKENS = Column("answer_tokens", "integer", "Length of this answer's final answer, tokens.")
REFERENCE_RANKS = Column(
    "reference_ranks", "numbers",
    "Place of each token of the reference in the vocabulary by probability, from 1.",
)  # fmt: skip
