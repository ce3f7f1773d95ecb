"""`winnow versions`, `winnow diff` and `winnow why`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.common import DEFAULT_HOME, Home, console, plain, short

if TYPE_CHECKING:
    from winnow.pipeline.life import Life
    from winnow.pipeline.publish.diff import Changes, Diff

_Version = Annotated[
    str,
    typer.Argument(
        help="A folder, dataset@id (or the id's beginning), dataset@latest.", show_default=False
    ),
]

_Rows = Annotated[int, typer.Option(min=1, help="List at most so many of each kind.")]


def register(app: typer.Typer) -> None:
    app.command()(versions)
    app.command()(diff)
    app.command()(why)


def versions(
    dataset: Annotated[str, typer.Argument(help="The recipe's `dataset`.", show_default=False)],
    home: Home = DEFAULT_HOME,
    limit: _Rows = 50,
) -> None:
    """List the published versions of a dataset, oldest first."""
    from rich.table import Table

    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.publish.version import latest, list_versions

    found = list_versions(home / dataset)
    if not found:
        raise UsageError(f"{home / dataset}: holds no version (winnow run RECIPE makes one)")
    newest = latest(home / dataset)
    table = Table("version", "made", "rows", "", title_justify="left")
    for version in found[-limit:]:
        rows = "; ".join(
            f"{name} " + " + ".join(f"{n} {s}" for s, n in sorted(splits.items(), reverse=True))
            for name, splits in sorted(version.rows.items())
        )
        rows += f"; views: {', '.join(sorted(version.views))}" if version.views else ""
        mark = "latest" if newest and newest.id == version.id else ""
        table.add_row(version.ref, version.created or "", version.problem or rows, mark)
    console().print(table)


def diff(
    a: _Version,
    b: _Version,
    home: Home = DEFAULT_HOME,
    limit: _Rows = 10,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page instead, with the rows side by side.", show_default=False),
    ] = None,
) -> None:
    """Which rows came and went from version A to version B, and why."""
    from winnow.pipeline.publish.diff import diff as compare
    from winnow.pipeline.publish.version import resolve

    found = compare(resolve(a, home), resolve(b, home), limit=limit)
    if html is None:
        _print_diff(found)
        return
    from winnow.pipeline.publish.report import write_diff

    typer.echo(plain(write_diff(found, html)))


def why(
    row_id: Annotated[
        str,
        typer.Argument(
            help="Id of a task, prompt, rollout, published row or source row, or its beginning.",
            show_default=False,
        ),
    ],
    home: Home = DEFAULT_HOME,
    limit: _Rows = 50,
) -> None:
    """The whole life of one row: source, answers, verdicts, difficulty, cluster, score, decisions."""
    from winnow.pipeline.life import life

    for each in life(home, row_id):
        _print_life(each, limit)


def _print_diff(found: "Diff") -> None:
    typer.echo(f"{found.before.ref} -> {found.after.ref}")
    for change in (*found.recipe, *found.made_with):
        typer.echo(f"  {plain(change.key)}: {short(change.before)} -> {short(change.after)}")
    for each in found.sets:
        typer.echo(f"{each.name}")
        for title, changes in (
            ("came", each.added), ("went", each.removed), ("changed", each.changed),
        ):  # fmt: skip
            _print_changes(title, changes)


def _print_changes(title: str, changes: "Changes") -> None:
    from winnow.pipeline.publish.diff import Reason, told

    typer.echo(f"  {title}: {changes.count}")
    for why, count in changes.why.items():
        typer.echo(f"    {count}{' by' if isinstance(why, tuple) else ':'} {told(why)}")
    for row in changes.rows:
        said = str(row.reason or "")
        if isinstance(row.reason, Reason):
            r = row.reason
            said = f"{r.decision} by {r.rule}" + (f": {short(r.value, 40)}" if r.value else "")
            said += f" (asked: {r.threshold})" if r.threshold else ""
        columns = f" [{', '.join(row.columns)}]" if row.columns else ""
        typer.echo(f"    {row.id}{columns} {said}")


def _print_life(life: "Life", limit: int) -> None:
    from rich.table import Table

    out = console()
    typer.echo(f"{life.kind} {life.row_id} in recipe {life.recipe}")
    if life.prompt:
        p = life.prompt
        typer.echo(f"  from {plain(p['source'])}, row {p['source_index']}; domain {short(p['domain'])}; "
                  f"licence {short(p['licence'])}; template {p['template_id'][:8]}")  # fmt: skip
        for message in p["messages"]:
            typer.echo(f"  {plain(message['role'])}: {short(message['content'], 300)}")
        typer.echo(f"  reference: {short(p['answer'], 120)}  (verifier {p['verifier']})")
    if life.sampled:
        ended = plain(life.sampled["reason"] or "not decided: it wants more answers")
        typer.echo(f"  sampling: {life.sampled['answers']} answers, {ended}")
    if life.difficulty:
        _print_difficulty(life.difficulty)
    if life.cluster:
        c = life.cluster
        typer.echo(f"  cluster {c['cluster']}, {c['centroid_distance']:.3f} from its centre")
    if life.answers:
        table = Table("answer", "ended", "tokens", "verdict", "read as", "why", "score")
        for a in life.answers[:limit]:
            table.add_row(*_answer(a))
        out.print(table)
    if life.decisions:
        table = Table("stage", "row", "decision", "rule", "value", "asked", "detail")
        for d in life.decisions[:limit]:
            table.add_row(d["stage"], d["row_id"][:12], d["decision"], d["rule"],
                          *(short(d[k] or "", 40) for k in ("value", "threshold", "detail")))  # fmt: skip
        out.print(table)
    for place in life.published or ["in no published version"]:
        typer.echo(f"  {place}")


def _print_difficulty(d: dict[str, Any]) -> None:
    rate = "unknown" if d["pass_rate"] is None else f"{d['pass_rate']:.3f}"
    typer.echo(
        f"  pass rate {rate}: {d['n_correct']} right, {d['n_wrong']} wrong, {d['n_unjudged']} "
        f"unjudged of {d['n']}; 90 % interval {d['interval_low']:.3f} to {d['interval_high']:.3f} "
        f"({d['policy']})"
    )


def _answer(a: dict[str, Any]) -> tuple[str, ...]:
    verdict, score = a["verdict"] or {}, a["score"] or {}
    fate = ""
    if score:
        fate = f"{score['score']:.1f}" + (" selected" if score["selected"] else " not selected")
    return (
        f"{a['index']} {short(a['completion'] or a['error'], 60)}",
        a["finish_reason"],
        str(a["n_tokens"]),
        verdict.get("verdict", "none"),
        short(verdict.get("extracted") or "", 30),
        short(verdict.get("detail") or "", 30),
        fate,
    )
