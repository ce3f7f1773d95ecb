"""The report on a version, and the page of a diff: one HTML file each, which opens without a network.

`write` looks at the version and, where the recipe's stage tables are still those that it was made
from, at these. A section that has nothing to show says so in one line. Plots of more than `POINTS` rows
are samples drawn with a fixed seed and say so, histograms count all rows, and the file stays below
`LIMIT` bytes whatever the version holds.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.publish.diff import Diff
from winnow.pipeline.publish.report import (
    changes,
    costs,
    difficulty,
    disagreements,
    distributions,
    drops,
    funnel,
    making,
    page,
    plane,
    preferences,
    thumbnails,
)
from winnow.pipeline.publish.report import prompts as all_prompts
from winnow.pipeline.publish.report.blocks import Section
from winnow.pipeline.publish.report.signals import Signals, workspace_of
from winnow.pipeline.publish.version import Version
from winnow.pipeline.workspace import Workspace

__all__ = ["LIMIT", "POINTS", "default_path", "file_name", "workspace_of", "write", "write_diff"]

LIMIT = 20_000_000  # bytes
POINTS = 8_000  # of the map: SVG, which a browser still redraws at once
_FEWEST = 100  # points that are still worth a map
_SPARE = 1_000  # bytes by which the words around the map may grow


def write(
    version: Version,
    workspace: Workspace | None,
    path: Path,
    *,
    progress: Progress | None = None,
    points: int = POINTS,
    limit: int = LIMIT,
) -> Path:
    """Write the report on `version` to `path`; returns it. The same tables give the same bytes.

    `workspace` holds the stage tables of the recipe that made it (`workspace_of` finds it); None
    where there are none. Raises WinnowError where a file of the version is missing, where a run
    replaces a stage table meanwhile, and where not even the page without its map fits into `limit`
    bytes.
    """
    told = progress or Silent()
    with Signals(version, workspace, told) as signals:
        told.note(f"report: reading {version.ref}")
        prompts = all_prompts.gather(signals)
        before = [funnel.section(signals), distributions.section(signals, prompts),
                  difficulty.section(signals, prompts)]  # fmt: skip
        told.note("report: comparing the sets")
        after = [preferences.section(signals, prompts), disagreements.section(signals),
                 drops.section(signals), costs.section(signals), making.section(signals)]  # fmt: skip
        drawn = plane.points(signals, prompts, points)
        while (room := limit - len(_page(signals, [*before, _bare(drawn), *after]).encode())) < 0:
            if not points:
                raise WinnowError(
                    f"{path}: the report needs {limit - room:,} bytes, over {limit:,}"
                )
            points = points // 2 if points > _FEWEST else 0
            drawn = plane.points(signals, prompts, points)
        mapped = _bare(drawn)
        if isinstance(drawn, plane.Points):
            told.note("report: reading the rows behind the map")
            ids = [row["prompt_id"] for row in drawn.found]
            images = thumbnails.gather(signals, ids)
            rows = plane.whole_rows(signals, ids, room - _SPARE, images.of)
            mapped = drawn.section(rows, images.total)
        text = _page(signals, [*before, mapped, *after])
        signals.check_unchanged()
    page.write(text, path)
    return path


def _bare(drawn: plane.Points | Section) -> Section:
    return drawn.section() if isinstance(drawn, plane.Points) else drawn


def file_name(version: Version) -> str:
    """Name of a version's report: its dataset, as far as that can stand in a file's name, and its id."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', version.dataset).lstrip('.')}-{version.id}.html"


def default_path(version: Version, home: Path) -> Path:
    """Where the report on a version of `home` goes if nothing else is asked for."""
    return home / "reports" / file_name(version)


def write_diff(found: Diff, path: Path) -> Path:
    """Write the page of a diff to `path`; returns it."""
    page.write(
        page.render(
            changes.sections(found),
            title=f"{found.before.ref} → {found.after.ref}",
            overline="winnow diff",
            subtitle=" → ".join(_made(each) for each in (found.before, found.after)),
        ),
        path,
    )
    return path


def _page(signals: Signals, sections: Sequence[Section]) -> str:
    version = signals.version
    return page.render(
        sections,
        title=version.dataset,
        overline="winnow report",
        subtitle=f"version {version.id}, {_made(version)}",
        head=making.facts(signals),
    )


def _made(version: Version) -> str:
    return f"made {version.created[:19].replace('T', ' ')} UTC" if version.created else "undated"
