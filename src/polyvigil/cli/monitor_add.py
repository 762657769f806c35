"""``polyvigil monitor add``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, OrOnHub, Replace, ScoredPosts
from polyvigil.cli.output import Answer, Output
from polyvigil.errors import RecipeError

if TYPE_CHECKING:
    from polyvigil.config.data import DataSpec
    from polyvigil.monitor.counts import CountedFile, CountOptions

MonitorPath = Annotated[Path, typer.Argument(metavar="STORE", help="The monitor: a file, made by the first add.")]


@command(
    group="monitor",
    examples=(
        "polyvigil monitor add monitor.jsonl scored.csv --week 2026-W12",
        "polyvigil monitor add monitor.jsonl scored/*.parquet --bundle BUNDLE --date created_at --source forum",
    ),
)
def add(
    out: Output,
    store: MonitorPath,
    scored: Annotated[
        list[str],
        typer.Argument(metavar="SCORED...", help="Outputs of polyvigil score: files, folders, globs."),
    ],
    bundle: Annotated[
        str, typer.Option("--bundle", help="The bundle that must have scored all rows: its folder or its id."), OrOnHub
    ] = "",
    week: Annotated[str, typer.Option("--week", help="The ISO week of all posts: 2026-W12.")] = "",
    date: Annotated[str, typer.Option("--date", help="The column of dates, in place of --week: created_at.")] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source", help="The source of all posts: forum. A column (--column origin=NAME) goes before it."
        ),
    ] = "",
    posts: ScoredPosts = DEFAULT_POSTS,
    replace: Replace = False,
) -> Answer:
    """Count scored posts into a monitor, by week, language and source; it keeps counts alone, no text and no id.

    All files are added or none. A file that was added before is refused, whatever it is called now; with --replace it
    counts anew, and instead of an earlier file of the same name and week.
    """
    from polyvigil.bundle.outputs import check_output
    from polyvigil.data.inputs import find_inputs
    from polyvigil.monitor.store import MONITOR, add_files

    options = _options(bundle=bundle, week=week, date=date, source=source)
    check_output(store, MONITOR, replace=True, inputs=scored)
    inputs, spec = find_inputs(scored, output=[store], scored=True), posts.spec()
    out.notes(inputs.notes)
    files = [_counted(out, given.path, spec, options) for given in inputs.files]
    result = add_files(store, files, replace=replace)
    out.notes(result.notes)
    data: dict[str, Any] = {"monitor": str(store), "files": [_facts(file) for file in files]}
    return Answer(data, [_sentence(file) for file in files] + [f"then: polyvigil monitor report {store}"])


def _counted(out: Output, path: str, spec: DataSpec, options: CountOptions) -> CountedFile:
    """One file, counted."""
    from polyvigil.monitor.counts import count_file

    started = time.monotonic()
    file = count_file(
        path,
        spec,
        options=options,
        progress=lambda done, aside, share: out.progress("counting", started, done, aside, share),
    )
    out.end_progress()
    out.notes(file.notes)
    return file


def _options(*, bundle: str, week: str, date: str, source: str) -> CountOptions:
    """What is said of all rows. Raises RecipeError for a week that there is not, BundleError for a damaged bundle."""
    from polyvigil.bundle.verify import verify
    from polyvigil.monitor.counts import CountOptions, is_name
    from polyvigil.monitor.weeks import parse_week

    if week and date:
        raise RecipeError("all posts are of one week, or each of the week of its date", where="--week", hint="drop one")
    if source and not is_name(source):
        raise RecipeError("is no name of a source", where="--source", hint="name a feed, as forum")
    if week:
        try:
            week = parse_week(week)
        except ValueError as error:
            raise RecipeError(
                f"{week!r} is no ISO week", where="--week", hint="as 2026-W12; 2026-W12 is from 16 to 22 March"
            ) from error
    is_id = bundle.isalnum() and len(bundle) == 16 and not Path(bundle).exists()
    return CountOptions(
        week=week, date=date, source=source, bundle=bundle if is_id or not bundle else verify(bundle).id
    )


def _facts(file: CountedFile) -> dict[str, Any]:
    cells = file.cells
    return {
        "file": file.path,
        "sha256": file.sha256,
        "bundle": file.bundle,
        "posts": file.posts,
        "rows": sum(cell.rows for cell in cells),
        "flagged": sum(cell.flagged for cell in cells),
        "weeks": sorted({cell.week for cell in cells}),
        "languages": sorted({cell.language for cell in cells}),
        "sources": sorted({cell.source for cell in cells}),
    }


def _sentence(file: CountedFile) -> str:
    facts = _facts(file)
    weeks = facts["weeks"]
    span = weeks[0] if len(weeks) == 1 else f"{weeks[0]} to {weeks[-1]}"
    sources = ", ".join(filter(None, facts["sources"])) or "one source"
    return (
        f"{file.path}: {file.posts:,} posts of {span} counted, {facts['flagged']:,} flagged by bundle {file.bundle} "
        f"({', '.join(facts['languages'])}; {sources})"
    )
