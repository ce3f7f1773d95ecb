"""The steps of a run, each a plain function from a `Context` to a `StageResult`.

The command line and the Dagster assets call the same functions. A stage reads the tables of those
before it, writes its own, and skips itself when nothing that determines its table has changed.

    prompts -> rollouts -> verdicts -> audit, difficulty -+
       +-----> embeddings -> clusters --------------------+-> training_set
                             scores ----------------------+
"""
