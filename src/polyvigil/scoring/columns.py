"""Which columns an output has, and what the columns of the input are called in it."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from polyvigil.config.score import ScoreSpec
from polyvigil.data.columns import column_list
from polyvigil.data.shown import shown_name
from polyvigil.scoring.dedup import DUPLICATE_COLUMNS
from polyvigil.scoring.evidence import EVIDENCE_COLUMNS
from polyvigil.scoring.facts import OutputFacts
from polyvigil.scoring.job import Job, PartRecord
from polyvigil.scoring.wire import COLUMNS


def our_columns(spec: ScoreSpec, facts: OutputFacts) -> tuple[str, ...]:
    """The columns that scoring adds."""
    return (*facts.columns, *_requested_columns(spec))


def reserved_columns(spec: ScoreSpec) -> tuple[str, ...]:
    """Names that a column of an input does not keep, since it would be taken for ours, whether the bundle of the day
    fills that one or leaves it out."""
    return (*COLUMNS, *_requested_columns(spec))


def _requested_columns(spec: ScoreSpec) -> tuple[str, ...]:
    return (*(() if spec.dedup == "off" else DUPLICATE_COLUMNS), *(EVIDENCE_COLUMNS if spec.evidence else ()))


def output_columns(input_columns: tuple[str, ...], reserved: tuple[str, ...]) -> Mapping[str, str]:
    """Input column -> its name in the output; none is lost and no two become one.

    A column with one of the names that are ``reserved`` becomes ``input_NAME``, or ``input_NAME_2``, ``_3``, ... where
    the input has a column of that name already, as a file has that is scored again.
    """
    taken = {*input_columns, *reserved}
    names: dict[str, str] = {}
    for column in input_columns:
        names[column] = unused_name(f"input_{column}", taken) if column in reserved else column
        taken.add(names[column])
    return names


def unused_name(name: str, taken: Collection[str]) -> str:
    """``name``, or the first of ``name_2``, ``name_3``, ... that is not taken."""
    return next(one for one in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def renamed_notes(renamed: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """One line that says which columns of the input are called otherwise in the output."""
    if not renamed:
        return ()
    shown_names = ", ".join(f"{shown_name(column)} is {shown_name(name)}" for column, name in renamed[:12])
    more = f" and {len(renamed) - 12:,} more" if len(renamed) > 12 else ""
    return (f"columns of the input with the names of ours are kept under others: {shown_names}{more}",)


def left_out_notes(where: str, records: Sequence[PartRecord]) -> tuple[str, ...]:
    """One line that says which columns of an input the output lacks."""
    columns = list(dict.fromkeys(column for record in records for column in record.counts.left_out))
    if not columns:
        return ()
    return (
        f"{where}: columns that no object at its head has are not in the output: {column_list(columns)}; give a file, "
        "which is gone through for its columns, or write .jsonl",
    )


def schema_of(job: Job) -> pa.Schema | None:
    """Of the output, where it is Parquet."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(job.arrow_schema))) if job.arrow_schema else None
