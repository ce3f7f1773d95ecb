"""The command `winnow`: parses, calls, prints. Nothing heavy is imported before it is needed."""

import sys
import traceback
from typing import Any

import typer
from typer.exceptions import TyperException

from winnow.cli import (
    browse,
    build,
    clean,
    compare,
    export,
    features,
    init,
    inspect,
    keys,
    push,
    report,
    rollouts,
    run,
    select,
    temperature,
    train_proxy,
    trajectories,
    trees,
    ui,
    upkeep,
    verify,
)
from winnow.pipeline.errors import WinnowError

app = typer.Typer(
    name="winnow",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Turn raw prompts into a verified, versioned SFT or RL training set.

    A recipe (one YAML file) says where prompts come from, which model answers them, how answers are
    checked, and which rows make a set. Try:

    - `winnow init FILE` — a first recipe for your own rows
    - `winnow check data/recipes/quickstart.yaml` — what a run would do, before anything is spent
    - `winnow run data/recipes/quickstart.yaml` — do it; what exists already is not done again
    - `winnow why ROW_ID` — the whole life of one row, kept or dropped
    """,
)

init.register(app)
run.register(app)
build.register(app)
rollouts.register(app)
inspect.register(app)
browse.register(app)
report.register(app)
export.register(app)
push.register(app)
keys.register(app)
verify.register(app)
clean.register(app)
features.register(app)
select.register(app)
train_proxy.register(app)
trajectories.register(app)
compare.register(app)
temperature.register(app)
trees.register(app)
upkeep.register(app)
ui.register(app)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Options of every command."""
    del debug  # read from the arguments by `main`, which must know it also where parsing fails


STOPPED = 130


def main() -> None:
    """Entry point. Exit code 0: done; 1: the run failed; 2: wrong use; 130: stopped."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # `winnow run X --debug` reads as well as `winnow --debug run X`.
    sys.argv[1:] = (["--debug"] if debug else []) + [a for a in arguments if a != "--debug"]
    sys.exit(_run(debug))


def _run(debug: bool) -> int:
    try:
        if app(standalone_mode=False) == STOPPED:  # typer makes this of KeyboardInterrupt
            raise KeyboardInterrupt
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        show: Any = error  # what typer raises for wrong use can show itself, which no type says
        show.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        _say("stopped. What was finished is stored; the same command goes on from there.")
        return STOPPED
    except WinnowError as error:
        if debug:
            traceback.print_exc()
        _say(f"error: {error}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort, on the way out
        if debug:
            traceback.print_exc()
        hint = "" if debug else " (--debug shows where)"
        _say(f"internal error: {type(error).__name__}: {error}{hint}")
        return 1
    return 0


def _say(text: str) -> None:
    # What a source or a server said can stand in an error; it must not move the cursor.
    line = " ".join(text.split())
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr)


if __name__ == "__main__":
    main()
