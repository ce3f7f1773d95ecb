"""winnow: raw prompts in, verified and versioned SFT and RL training sets out.

`winnow.pipeline` holds the data plane, `winnow.synth` all that makes text with a model,
`winnow.selectors` all that chooses rows, `winnow.stages` the steps of a run as plain functions,
`winnow.assets` the same steps as Dagster assets, `winnow.cli` the command line.
"""

__version__ = "0.1.0"
