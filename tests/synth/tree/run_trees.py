"""Search the trees of a recipe: `python run_trees.py RECIPE HOME ITERATIONS`."""

import sys
from pathlib import Path

from winnow.stages import prompts, trees
from winnow.stages.base import Context
from winnow.synth.tree.mcts import MctsOptions


def main(recipe: str, home: str, iterations: str) -> None:
    ctx = Context.of(Path(recipe), Path(home))
    prompts.run(ctx)
    options = trees.TreeOptions(MctsOptions(max_iterations=int(iterations), max_steps=5))
    print(trees.run(ctx, options))


if __name__ == "__main__":  # the verifiers' workers are spawned
    main(*sys.argv[1:])
