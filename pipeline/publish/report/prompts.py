"""Every prompt with what is known of it, and which prompts each set kept.

Two temporary tables in DuckDB, with ids of prompts as their keys:

    facts   prompt_id, source, domain, length, pass_rate, cluster
    kept    number (the set's number among `Signals.sets`), prompt_id
"""

from dataclasses import dataclass

from winnow.pipeline.publish.report.signals import PublishedSet, Signals

_KEYS = """
    SELECT task_id AS row_id, prompt_id FROM prompts
    UNION ALL SELECT rollout_id, prompt_id FROM rollouts
    UNION ALL SELECT DISTINCT prompt_id, prompt_id FROM prompts
"""


@dataclass(frozen=True)
class Prompts:
    """`n` prompts; `complete` says that they are all of the run's, not only those that a set holds.
    `length_unit` is what `facts.length` counts, None where it is null throughout."""

    n: int
    complete: bool
    length_unit: str | None

    @property
    def whose(self) -> str:
        """What the prompts are, for captions."""
        return "all prompts" if self.complete else "the prompts of the published rows"


def gather(signals: Signals) -> Prompts:
    """Make the tables `facts` and `kept`."""
    complete = signals.has("prompts")
    unit = _facts(signals) if complete else _facts_of_sets(signals)
    signals.db.execute("CREATE TEMP TABLE kept (number INTEGER, prompt_id VARCHAR)")
    for at, each in enumerate(signals.sets):
        _keep(signals, at, each)
    return Prompts(signals.count("facts"), complete, unit)


def _facts(signals: Signals) -> str:
    known = signals.rows("SELECT count(n_tokens) FROM prompts")[0][0] > 0
    length = "n_tokens" if known else "list_sum([length(m.content) for m in messages])"
    rate = cluster = "NULL"
    joins = ""
    if signals.has("difficulty"):
        rate, joins = "avg(d.pass_rate)", " LEFT JOIN difficulty AS d USING (task_id)"
    if signals.has("clusters"):
        cluster, joins = "min(c.cluster)", f"{joins} LEFT JOIN clusters AS c USING (prompt_id)"
    signals.db.execute(
        f"CREATE TEMP TABLE facts AS SELECT prompt_id, min(source) AS source, "
        f"min(domain) AS domain, CAST(max({length}) AS DOUBLE) AS length, "
        f"CAST({rate} AS DOUBLE) AS pass_rate, CAST({cluster} AS INTEGER) AS cluster "
        f"FROM prompts AS p{joins} GROUP BY prompt_id"
    )
    return "tokens" if known else "characters"


def _facts_of_sets(signals: Signals) -> str | None:
    """What the rows of the sets say of their own prompts."""
    parts = []
    for each in signals.sets:
        if "prompt_id" in each.columns:
            wanted = (("source", "VARCHAR"), ("pass_rate", "DOUBLE"), ("cluster", "INTEGER"))
            columns = ", ".join(
                f"CAST({name if name in each.columns else 'NULL'} AS {kind}) AS {name}"
                for name, kind in wanted
            )
            parts.append(f"SELECT prompt_id, {columns} FROM {each.view}")
    nothing = "SELECT '' AS prompt_id, '' AS source, 0.0 AS pass_rate, 0 AS cluster WHERE false"
    signals.db.execute(
        "CREATE TEMP TABLE facts AS SELECT prompt_id, min(source) AS source, "
        "CAST(NULL AS VARCHAR) AS domain, CAST(NULL AS DOUBLE) AS length, "
        "avg(pass_rate) AS pass_rate, min(cluster) AS cluster "
        f"FROM ({' UNION ALL '.join(parts) or nothing}) GROUP BY prompt_id"
    )
    return None


def _keep(signals: Signals, at: int, each: PublishedSet) -> None:
    if "prompt_id" in each.columns:
        signals.db.execute(f"INSERT INTO kept SELECT DISTINCT {at}, prompt_id FROM {each.view}")
    elif signals.has("prompts", "rollouts"):  # rows without provenance: the ledger names them
        signals.db.execute(
            f"INSERT INTO kept SELECT DISTINCT {at}, prompt_id FROM ledger JOIN ({_KEYS}) "
            "USING (row_id) WHERE stage = ? AND decision = 'kept'",
            [each.stage],
        )
