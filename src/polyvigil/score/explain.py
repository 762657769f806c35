"""Explain a file of posts: streaming, in bounded memory, the output whole or not there at all."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.data.atomic import whole_file
from polyvigil.data.columns import map_columns
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import OnError, ReadPost, RowErrorCounts, read_rows, reject_line, row_error
from polyvigil.data.streams import STDIN
from polyvigil.errors import DataError
from polyvigil.score.explained import ExplainedPost, as_record, explain_posts
from polyvigil.score.html import render_html
from polyvigil.score.stream import Hashed, chunked, compressed, stem
from polyvigil.score.write import json_writer
from polyvigil.text.mentions import Term, lexicon
from polyvigil.types import Frozen

_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")
HTML_SUFFIX = ".html"


class ExplainSummary(Frozen):
    """What was explained."""

    bundle: str
    input: str
    output: str
    output_sha256: str
    posts: int
    flagged: int
    explained: int
    set_aside: int
    rejects: str | None
    notes: tuple[str, ...]


def explain_file(
    bundle: Bundle,
    source: str,
    output: str,
    *,
    spec: DataSpec | None = None,
    terms: Sequence[Term] = (),
    flagged_only: bool = False,
    on_error: OnError = "quarantine",
) -> ExplainSummary:
    """Explain every post of ``source``, or the flagged ones, into ``output``: JSONL (also .gz, .zst), or one HTML page.

    ``-`` is stdin, or JSONL on stdout. JSONL holds offsets and no text of posts; the page shows it. Bad rows go to
    ``OUT.rejects.jsonl`` (``explained.rejects.jsonl``, where ``-`` is the output). Raises DataError for a file or, with
    ``on_error="fail"``, a row that cannot be read; nothing is then left behind.
    """
    _check(source, output)
    rejects_path = Path(f"{'explained' if output == STDIN else stem(output)}.rejects.jsonl")
    row_errors, counts, term_lexicon = RowErrorCounts(), Counter[str](), lexicon(terms)
    with ExitStack() as stack:
        table = stack.enter_context(open_table(source))
        columns = map_columns(table.columns, (spec or DataSpec()).columns, required=("text",), where=table.name)
        hashed = Hashed(sys.stdout.buffer if output == STDIN else stack.enter_context(whole_file(Path(output))))
        stream: IO[bytes] = stack.enter_context(compressed(hashed, output))

        def read() -> Iterator[list[ReadPost]]:
            rejects: IO[bytes] | None = None
            for chunk in chunked(read_rows(table, columns, spec or DataSpec(), labelled=False)):
                for error in (item for item in chunk if isinstance(item, RowError)):
                    if on_error == "fail":
                        raise row_error(error, table.name)
                    rejects = rejects or stack.enter_context(whole_file(rejects_path))
                    rejects.write(reject_line(table.name, error).encode())
                    row_errors.add(error)
                yield [item for item in chunk if isinstance(item, ReadPost)]

        def rows() -> Iterator[ExplainedPost]:
            for good in read():
                posts, detected = [item.post for item in good], [item.language_detected for item in good]
                explained = explain_posts(bundle, posts, term_lexicon, detected=detected, flagged_only=flagged_only)
                counts.update(
                    posts=len(posts), explained=len(explained), flagged=sum(row.decision.decision for row in explained)
                )
                yield from explained

        if output.lower().endswith(HTML_SUFFIX):
            stream.writelines(render_html(rows(), bundle=bundle.id))
        else:
            write = json_writer(stream)
            for row in rows():
                write([as_record(row)])
    if output == STDIN:
        sys.stdout.buffer.flush()
    elif not row_errors.total:
        rejects_path.unlink(missing_ok=True)  # of an earlier run into the same output
    return ExplainSummary(
        bundle=bundle.id,
        input=table.name,
        output=output,
        output_sha256=hashed.hexdigest(),
        posts=counts["posts"],
        flagged=counts["flagged"],
        explained=counts["explained"],
        set_aside=row_errors.total,
        rejects=str(rejects_path) if row_errors.total else None,
        notes=(*columns.guesses, *row_errors.messages(table.name)),
    )


def _check(source: str, output: str) -> None:
    if output == STDIN:
        return
    if not output.lower().endswith((*_LINES, HTML_SUFFIX)):
        raise DataError("explanations are .jsonl or .html", where=output, hint="for example -o explained.html")
    if Path(output).is_dir():
        raise DataError("is a folder", where=output, hint="name a file, e.g. explained.jsonl")
    if output == source:
        raise DataError("input and output are one file", where=output, hint="choose another output")
