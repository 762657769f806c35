"""``polyvigil review add``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, PostsInput, QuarantinedPosts
from polyvigil.cli.output import Answer, Output
from polyvigil.cli.review_store import StoreLocation, opened_store
from polyvigil.config.review import ReviewSpec
from polyvigil.errors import RecipeError

if TYPE_CHECKING:
    from polyvigil.review.importing import BatchResult
    from polyvigil.review.labels_in import LabelsResult
    from polyvigil.review.store import Store

_DEFAULTS = ReviewSpec()


@command(
    group="review",
    examples=(
        "polyvigil review add review.db scored.csv",
        "polyvigil review add postgresql://ana@db/review scored/*.parquet --audit 300 --double 0.2",
    ),
)
def add(
    out: Output,
    store: StoreLocation,
    scored: Annotated[list[str], typer.Argument(help="Files that polyvigil score or worklist wrote.")],
    audit: Annotated[
        int, typer.Option("--audit", help="Audit so many of each file's posts that were not flagged.")
    ] = _DEFAULTS.audit,
    double: Annotated[
        float, typer.Option("--double", help="Let two people read this share of the posts, blind.")
    ] = _DEFAULTS.double,
    blind_share: Annotated[
        float, typer.Option("--blind-share", help="Show this share of the flagged posts without score.")
    ] = _DEFAULTS.blind_share,
    ids_only: Annotated[bool, typer.Option("--ids-only", help="Store no text: posts are read at the source.")] = False,
    labels_from: Annotated[
        str, typer.Option("--labels-from", help="Take the decisions of this file too: labels by text, or by id.")
    ] = "",
    labels_by: Annotated[
        str, typer.Option("--labels-by", help="With --labels-from: whose decisions they are, a person of the store.")
    ] = "",
    posts: QuarantinedPosts = DEFAULT_POSTS,
) -> Answer:
    """Put scored posts into a review store (made if need be), and choose which are read, audited and read twice."""
    spec = review_spec(audit=audit, double=double, blind_share=blind_share)
    if bool(labels_from) != bool(labels_by):
        raise RecipeError("--labels-from and --labels-by go together", where="--labels-from")
    with opened_store(store, create=True) as opened:
        results = [_added(out, opened, path, posts, spec, keep_text=not ids_only) for path in scored]
        labels = _labels(out, opened, labels_from, posts, name=labels_by) if labels_from else None
    data: dict[str, Any] = {"store": store, "files": [result.model_dump() for result in results]}
    data |= {"labels": labels.model_dump()} if labels else {}
    lines = [line for result in results for line in _lines(result)]
    lines += [f"{labels.decided:,} decisions of {labels.rows:,} labels"] if labels else []
    return Answer(data, lines, posts.exit_code(set_aside=sum(result.set_aside for result in results)))


def _added(
    out: Output, opened: Store, path: str, posts: PostsInput, spec: ReviewSpec, *, keep_text: bool
) -> BatchResult:
    """What came of one file."""
    from polyvigil.review.importing import add_file

    started = time.monotonic()
    result, notes = add_file(
        opened,
        path,
        data=posts.spec(),
        spec=spec,
        keep_text=keep_text,
        fail_at_bad_row=posts.on_row_error == "fail",
        progress=lambda rows: out.progress("adding", started, rows, 0, None),
    )
    out.end_progress()
    out.notes(notes)
    return result


def _labels(out: Output, opened: Store, file: str, posts: PostsInput, *, name: str) -> LabelsResult:
    """The decisions of a file, as those of a person."""
    from polyvigil.review.labels_in import import_labels

    labels, notes = import_labels(opened, file, name=name, data=posts.spec())
    out.notes(notes)
    return labels


def _lines(result: BatchResult) -> list[str]:
    if result.was_there:
        return [f"{result.file}: was there already"]
    lines = [
        f"{result.file}: {result.posts:,} new posts of bundle {result.bundle}; to read: {result.queue:,} flagged, "
        f"{result.audit:,} audited, {result.double:,} of them by two people"
    ]
    more = {
        "went on at row {:,}": result.resumed_at,
        "{:,} posts were there already": result.rescored,
        "{:,} have the text of another, and are decided with it": result.copies,
        "{:,} open tasks closed, which the new bundle does not flag": result.closed,
        "{:,} rows set aside": result.set_aside,
    }
    return [*lines, *("  " + text.format(number) for text, number in more.items() if number)]


def review_spec(**values: object) -> ReviewSpec:
    """Options as a spec. Raises RecipeError that names the option."""
    try:
        return ReviewSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise RecipeError(f"{first['input']}: {first['msg'].lower()}", where=option) from error
