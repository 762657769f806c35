"""Score a file of posts: streaming, in bounded memory, the output whole or not there at all."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from polyvigil.bundle.store import Bundle
from polyvigil.data.atomic import whole_file, write_whole
from polyvigil.data.columns import ColumnMap, map_columns
from polyvigil.data.formats import STDIN, Fault, Table, format_of, open_table
from polyvigil.data.read import FaultTally, OnError, ReadPost, fault_error, read_rows, reject_line
from polyvigil.errors import DataError
from polyvigil.score.evidence import EVIDENCE_COLUMNS, evidence_cells
from polyvigil.score.judging import JudgeTally, judge_tally, judging_of
from polyvigil.score.stream import Hashed, compressed, handfuls, stem
from polyvigil.score.wire import COLUMNS, Decision, as_cells, score_posts
from polyvigil.score.write import RowWriter, delimited_writer, json_writer, parquet_writer
from polyvigil.specs import DataSpec

_ARROW_TYPES = {"p": pa.float64(), "decision": pa.int8(), "threshold": pa.float64(), "spread": pa.float64()} | {
    "n_tokens": pa.int32(),
    "truncated": pa.bool_(),
    "evidence_start": pa.int64(),
    "evidence_end": pa.int64(),
}


class LanguageTally(BaseModel):
    """What was decided in one language group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    posts: int
    flagged: int
    threshold: float
    threshold_source: str
    trained: bool


class ScoreSummary(BaseModel):
    """What was done to a file; also the sidecar ``OUT.manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    input: str
    output: str
    output_sha256: str
    posts: int
    flagged: int
    no_text: int
    set_aside: int
    rejects: str | None
    languages: tuple[LanguageTally, ...]
    judge: JudgeTally | None = None
    """Of a bundle with a judge."""
    libraries: dict[str, str]
    notes: tuple[str, ...]


Progress = Callable[[int, int, float | None], None]
"""Told the posts done, the rows set aside, and the share of the file read (None where nobody knows)."""


def score_file(
    bundle: Bundle,
    source: str,
    output: str,
    *,
    spec: DataSpec | None = None,
    on_error: OnError = "quarantine",
    raw_csv: bool = False,
    evidence: bool = False,
    progress: Progress = lambda *_: None,
) -> ScoreSummary:
    """Score every post of ``source`` into ``output``, in order, the input's columns kept; ``-`` is stdin or stdout.

    Bad rows go to ``OUT.rejects.jsonl`` with their reason (``scored.rejects.jsonl``, where ``-`` is the output).
    ``evidence`` adds the columns that say where in a flagged post its score comes from (score.evidence). Raises
    DataError for a file or, with ``on_error="fail"``, a row that cannot be read; nothing is then left behind.
    """
    spec = spec or DataSpec()
    kind = "csv" if output == STDIN else format_of(output)
    if output not in (STDIN, source) and Path(output).is_dir():
        raise DataError("is a folder", where=output, hint="name a file, e.g. scored.csv")
    if output == source != STDIN:
        raise DataError("input and output are one file", where=output, hint="choose another output")
    rejects_path = Path(f"{'scored' if output == STDIN else stem(output)}.rejects.jsonl")
    tally, faults = _Tally(bundle), FaultTally()
    with ExitStack() as stack:
        table = stack.enter_context(open_table(source))
        columns = map_columns(table.columns, spec.columns, required=("text",), where=table.name)
        stream = Hashed(sys.stdout.buffer if output == STDIN else stack.enter_context(whole_file(Path(output))))
        packed = stack.enter_context(compressed(stream, output))
        ours = (*COLUMNS, *EVIDENCE_COLUMNS) if evidence else COLUMNS
        kept = _output_columns(table.columns, columns.get("language"), ours)
        write = _writer(stack, packed, table, kept, ours, kind, raw_csv=raw_csv)
        rejects: IO[bytes] | None = None
        for handful in handfuls(read_rows(table, columns, spec, labelled=False)):
            bad = [item for item in handful if isinstance(item, Fault)]
            if bad and on_error == "fail":
                raise fault_error(bad[0], table.name)
            if bad:
                rejects = rejects or stack.enter_context(whole_file(rejects_path))
                rejects.write("".join(reject_line(table.name, fault) for fault in bad).encode())
            for fault in bad:
                faults.add(fault)
            good = [item for item in handful if isinstance(item, ReadPost)]
            decisions = score_posts(
                bundle, [item.post for item in good], detected=[item.language_detected for item in good]
            )
            rows = [as_cells(decision) for decision in decisions]
            if evidence:
                found = evidence_cells(bundle, [item.post for item in good], decisions)
                rows = [row | more for row, more in zip(rows, found, strict=True)]
            write([_input_cells(item, columns, ours) | row for item, row in zip(good, rows, strict=True)])
            tally.add(decisions)
            progress(tally.posts, faults.total, table.fraction() if table.fraction else None)
        name, notes = table.name, [*columns.guesses, *faults.told(table.name)]
    if output == STDIN:
        sys.stdout.buffer.flush()
    elif rejects is None:
        rejects_path.unlink(missing_ok=True)  # of an earlier run into the same output
    summary = ScoreSummary(
        bundle=bundle.id,
        input=name,
        output=output,
        output_sha256=stream.hexdigest(),
        posts=tally.posts,
        flagged=tally.flagged,
        no_text=tally.no_text,
        set_aside=faults.total,
        rejects=str(rejects_path) if rejects else None,
        languages=tally.languages(),
        judge=judge_tally(bundle, tally.judging, posts=tally.posts),
        libraries=bundle.manifest.libraries,
        notes=tuple(notes),
    )
    if output != STDIN:
        write_whole(Path(f"{output}.manifest.json"), summary.model_dump_json(indent=2) + "\n")
    return summary


@lru_cache(maxsize=64)
def _output_columns(found: tuple[str, ...], language_column: str | None, ours: tuple[str, ...]) -> Mapping[str, str]:
    """Input column -> its name in the output: ``input_p`` where the name is ours; a column of languages named
    ``language`` gives way to ours, which says the same in canonical form."""
    return {
        column: f"input_{column}" if column in ours else column
        for column in found
        if not (column == "language" == language_column)
    }


def _input_cells(item: ReadPost, columns: ColumnMap, ours: tuple[str, ...]) -> dict[str, Any]:
    kept = _output_columns(tuple(item.row.cells), columns.get("language"), ours)
    return {kept[column]: value for column, value in item.row.cells.items() if column in kept}


def _writer(
    stack: ExitStack,
    stream: IO[bytes],
    table: Table,
    kept: Mapping[str, str],
    ours: Sequence[str],
    kind: str,
    *,
    raw_csv: bool,
) -> RowWriter:
    names = [*kept.values(), *ours]
    if kind == "jsonl":
        return json_writer(stream)
    if kind == "parquet":
        types = {field.name: field.type for field in table.schema} if table.schema else {}
        inputs = [pa.field(name, types.get(column, pa.string())) for column, name in kept.items()]
        decided = [pa.field(name, _ARROW_TYPES.get(name, pa.string())) for name in ours]
        write, close = parquet_writer(stream, pa.schema(inputs + decided))
        stack.callback(close)
        return write
    return delimited_writer(stream, names, delimiter="\t" if kind == "tsv" else ",", raw=raw_csv)


class _Tally:
    """Running counts of decisions."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._posts: Counter[str] = Counter()
        self._flagged: Counter[str] = Counter()
        self.no_text = 0
        self.judging: Counter[str] = Counter()

    def add(self, decisions: Sequence[Decision]) -> None:
        self.judging += judging_of(decisions)
        for decision in decisions:
            self._posts[decision.language] += 1
            self._flagged[decision.language] += decision.decision
            self.no_text += decision.flags.startswith("no_text")

    @property
    def posts(self) -> int:
        return self._posts.total()

    @property
    def flagged(self) -> int:
        return self._flagged.total()

    def languages(self) -> tuple[LanguageTally, ...]:
        return tuple(
            LanguageTally(
                language=language,
                posts=self._posts[language],
                flagged=self._flagged[language],
                threshold=(threshold := self._bundle.policy.threshold(language)).value,
                threshold_source=threshold.source,
                trained=self._bundle.is_trained_on(language),
            )
            for language in sorted(self._posts)
        )
