"""Errors that a user can act on.

A bad row is data: it becomes a ledger row or an error column and the run goes on. What stops a
command is one of the two classes here, whose message is one line that names the file and the key
and says what would be right. Everything else that rises is a bug and keeps its traceback.
"""


class WinnowError(Exception):
    """A run failed for a reason outside the code (exit code 1)."""

    exit_code = 1


class UsageError(WinnowError):
    """The command, the recipe or an input file is wrong (exit code 2)."""

    exit_code = 2
