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
SOURCE = Column("source", "text", "Where the row came from.")
TEMPLATE_ID = Column(
    "template_id", "text", "Equal for prompts that differ only by numbers and names."
)
CLUSTER = Column("cluster", "integer", "Cluster of the row's embedding.")
N_TOKENS = Column("n_tokens", "integer", "Length of the row, tokens.")

# Texts.
COMPLETION = Column("completion", "text", "The answer.")
ANSWER = Column("answer", "text", "The reference answer.")

# Verdicts and rewards.
VERDICT = Column("verdict", "text", "correct, wrong or unjudged.")
REWARD = Column("reward", "number", "Reward of this answer.")
REWARDS = Column("rewards", "numbers", "Rewards of the answers drawn for this prompt.")
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
REFERENCE_RANKS = Column(
    "reference_ranks", "numbers",
    "Place of each token of the reference in the vocabulary by probability, from 1.",
)  # fmt: skip
