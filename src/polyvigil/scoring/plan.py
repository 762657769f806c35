"""From what a user names to a job: the inputs, the output, its columns; and the spans that workers are handed."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from polyvigil.bundle.outputs import REJECTS as REJECTED_ROWS
from polyvigil.bundle.outputs import OutputKind, check_output, json_document, rejects_of
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.columnar import pandas_metadata
from polyvigil.data.formats import WRITABLE, Table, format_of, open_table, recognise
from polyvigil.data.inputs import FOLDER_MANIFEST, MANIFEST, REJECTS, Input
from polyvigil.data.offsets import is_splittable, split_positions
from polyvigil.data.streams import COMPRESSION, STDIN
from polyvigil.errors import DataError, RecipeError
from polyvigil.scoring.columns import our_columns, output_columns, renamed_notes, reserved_columns
from polyvigil.scoring.facts import OutputFacts
from polyvigil.scoring.job import InputFacts, Job, WorkItem
from polyvigil.scoring.part import columns_of, shown
from polyvigil.scoring.private import OutputText, text_notes
from polyvigil.scoring.stream import stem
from polyvigil.scoring.wire import ARROW_TYPES
from polyvigil.scoring.workbook import check_columns

_NOT_PACKED = {f"{name}{packed}" for name in (".parquet", ".pq", ".xlsx") for packed in COMPRESSION}
_FOLDER_REJECTS = "_rejects.jsonl"
_FOLDER_NAMES = frozenset({FOLDER_MANIFEST, _FOLDER_REJECTS})
_MANIFEST_KIND = json_document("manifest of scores", ("job", "bundle", "inputs", "outputs"))


@dataclass(frozen=True, slots=True)
class Target:
    """Where the output goes: standard output, one file, or a folder with a file for each part."""

    name: str
    ending: str
    folder: bool

    @classmethod
    def of(cls, output: str, *, ending: str = "") -> Target:
        """``ending``: of the files in a folder, as ``csv.gz``; Parquet where it is empty. Raises DataError for a file
        of an unknown kind, RecipeError for an unknown ``ending``."""
        if output == STDIN:
            return cls(output, ".csv", folder=False)
        if ending or output.endswith("/") or Path(output).is_dir():
            whole = f".{(ending or 'parquet').removeprefix('.').lower()}"
            known = {f".{name.removeprefix('.')}{packed}" for name in WRITABLE for packed in ("", *COMPRESSION)}
            if whole not in known or whole in _NOT_PACKED:
                raise RecipeError(
                    f"{ending!r} is no kind of file",
                    where="--output-format",
                    hint="as parquet, csv, jsonl.gz, tsv.zst, xlsx",
                )
            if not Path(output).name.strip("."):
                raise DataError("is no folder for outputs alone", where=output, hint="name a new one, as scored/")
            return cls(output.rstrip("/"), whole, folder=True)
        format_of(output)
        return cls(output, Path(output).name.removeprefix(Path(stem(output)).name), folder=False)

    @property
    def path(self) -> Path:
        return Path(self.name)

    @property
    def work(self) -> Path:
        return Path(f"{self.name}.work")

    @property
    def manifest(self) -> Path:
        return self.path / FOLDER_MANIFEST if self.folder else Path(f"{self.name}{MANIFEST}")

    @property
    def rejects(self) -> Path:
        """Where rows that cannot be used go; of standard output ``free_rejects`` says it."""
        return self.path / _FOLDER_REJECTS if self.folder else rejects_of(self.name)

    def check_free(self, *, replace: bool, inputs: Sequence[str], sets_aside: bool, resumed: str = "") -> bool:
        """Whether what stands there may be replaced. Raises DataError where the output, or a file beside it, may not be
        written (bundle.outputs).

        ``sets_aside``: whether bad rows are kept beside it.
        ``resumed``: the id of a job that goes on; what it has written already, known by the manifest, is its own.
        """
        if self.name == STDIN:
            return False
        if self.name.endswith(REJECTS):
            raise DataError("is a name for rejected rows", where=self.name, hint="choose another file")
        replace = replace or bool(resumed and self._written_by(resumed))
        kind = OutputKind("earlier output of score", self._is_earlier, folder=self.folder)
        check_output(self.path, kind, replace=replace, inputs=inputs)
        if not self.folder:
            check_output(self.manifest, _MANIFEST_KIND, replace=replace, inputs=inputs)
            if sets_aside:
                check_output(self.rejects, REJECTED_ROWS, replace=replace, inputs=inputs)
        return replace

    def _written_by(self, job: str) -> bool:
        """Whether the manifest there is of this job."""
        try:
            manifest = json.loads(self.manifest.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(manifest, dict) and manifest.get("job") == job

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All that is written."""
        return () if self.name == STDIN else (self.path, self.work, self.rejects)

    def _is_earlier(self, path: Path) -> bool:
        """Whether an output was written by an earlier run: its manifest is there; in a folder, with nothing else."""
        if not self.manifest.is_file() or not _MANIFEST_KIND.is_earlier(self.manifest):
            return False
        inside = [file.name for file in path.iterdir()] if self.folder else []
        return all(name in _FOLDER_NAMES or name.startswith("part-") for name in inside)


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, and what a user should know of it."""

    job: Job
    notes: tuple[str, ...]


def plan(
    bundle: str,
    facts: OutputFacts,
    inputs: Sequence[Input],
    target: Target,
    *,
    data: DataSpec,
    spec: ScoreSpec,
    stdin: Table | None = None,
) -> Plan:
    """Open every input for its columns; ``facts``: of the bundle of this id.

    Raises DataError for an input that cannot be read, RecipeError for a prevalence to which nothing can be re-based.

    The output has the columns of all inputs, in the order in which they are met, then ours; what an input lacks is
    empty. In Parquet a column that has two types is made text.
    """
    output_kind = format_of(f"x{target.ending}")
    if spec.excel and output_kind not in ("csv", "tsv", "xlsx"):
        raise RecipeError(f"Excel does not open {output_kind}", where="--excel", hint="write .csv or .xlsx")
    facts.at(spec.prevalence)
    opened: list[InputFacts] = []
    schemas: list[pa.Schema] = []
    fields: dict[str, pa.DataType] = {}
    notes: list[str] = []
    texts: list[OutputText] = []
    added = our_columns(spec, facts)
    provisional = Job(
        libraries=_libraries(),
        bundle=bundle,
        facts=facts,
        inputs=(),
        ending=target.ending,
        folder=target.folder,
        columns=(),
        data=data.of_files,
        how=spec,
    )
    for given in inputs:
        with _opened(given, stdin, data) as table:
            input_facts = _facts(given, table)
            mapping = columns_of(input_facts, provisional)
            texts.append(OutputText(spec, input_facts.columns, mapping, where=shown(input_facts)))
            schemas.append(table.schema or pa.schema([]))
        notes.extend(table.notes)
        notes.extend(f"{shown(input_facts)}: {guess}" if len(inputs) > 1 else guess for guess in mapping.guesses)
        opened.append(input_facts)
    kept = [text.kept(one.columns) for text, one in zip(texts, opened, strict=True)]
    names = output_columns(
        tuple(dict.fromkeys(column for columns in kept for column in columns)), reserved_columns(spec)
    )
    for columns, schema in zip(kept, schemas, strict=True):
        types = {field.name: field.type for field in schema}
        for column in columns:
            kind, name = types.get(column, pa.string()), names[column]
            held = fields.setdefault(name, kind)
            if held != kind:
                fields[name] = kind if pa.types.is_null(held) else held if pa.types.is_null(kind) else pa.string()
    if output_kind == "xlsx":
        check_columns((*fields, *added), where=target.name)
    job = provisional.model_copy(
        update={
            "inputs": tuple(opened),
            "columns": (*fields, *added),
            "renamed": tuple((column, name) for column, name in names.items() if column != name),
            "arrow_schema": _schema(fields, added, _pandas_metadata(schemas, fields, names))
            if output_kind == "parquet"
            else "",
        }
    )
    about_text = text_notes(spec, [column for text in texts for column in text.columns])
    return Plan(job, (*_fewer(notes), *renamed_notes(job.renamed), *about_text))


def work_items(job: Job, *, workers: int) -> Iterator[WorkItem]:
    """What to hand out, in the order of the rows: one worker is given whole inputs; several are given the parts of
    those that are a fair share of the work and can be read from their middle. Such are looked through as they are
    read; of many small inputs none is."""
    share = sum(facts.bytes for facts in job.inputs) / (4 * workers)
    for number, facts in enumerate(job.inputs):
        if workers == 1 or facts.bytes < share or not is_splittable(facts.path, job.data):
            yield WorkItem(input=number, bytes=facts.bytes)
            continue
        yield from _split(number, facts, job.how.part_posts, job.data)


def _split(number: int, facts: InputFacts, rows: int, data: DataSpec) -> Iterator[WorkItem]:
    """The parts of an input, one by one."""
    positions = split_positions(facts.path, records=rows, spec=data)
    if recognise(facts.path, data).kind == "parquet":  # whose places have no bytes, and cost nothing to know
        rows_first = list(positions)
        for part, position in enumerate(rows_first):
            bytes_each = facts.bytes // len(rows_first)
            last = part == len(rows_first) - 1
            yield WorkItem(input=number, whole=False, part=part, line=position.line, bytes=bytes_each, last=last)
        return
    waiting, begin = WorkItem(input=number, whole=False), 0
    for part, position in enumerate(positions):
        if part:
            yield waiting.model_copy(update={"bytes": position.offset - begin})
            begin = position.offset
        waiting = WorkItem(input=number, whole=False, part=part, offset=position.offset, line=position.line)
    yield waiting.model_copy(update={"bytes": facts.bytes - begin, "last": True})


def _opened(given: Input, stdin: Table | None, data: DataSpec) -> AbstractContextManager[Table]:
    return nullcontext(stdin) if stdin else open_table(given.path, data)


def _facts(given: Input, table: Table) -> InputFacts:
    size, modified = 0, 0
    if given.path != STDIN:
        status = Path(given.path).stat()
        size, modified = status.st_size, status.st_mtime_ns
    keys = tuple((key, value) for key, value in given.partition if key not in table.columns)
    return InputFacts(
        path=given.path,
        bytes=size,
        modified_ns=modified,
        columns=(*table.columns, *dict(keys)),
        derived=table.derived,
        partition=keys,
    )


def _pandas_metadata(
    schemas: Sequence[pa.Schema], fields: Mapping[str, pa.DataType], names: Mapping[str, str]
) -> dict[bytes, bytes]:
    """What pandas keeps in an input, where all inputs have its columns: their index is that of the output."""
    first = schemas[0]
    if any(schema.names != first.names for schema in schemas):
        return {}
    held = [field for field in first if field.name in names]
    copied = {field.name: names[field.name] for field in held if fields[names[field.name]] == field.type}
    return pandas_metadata(first, copied)


def _schema(fields: Mapping[str, pa.DataType], added: Sequence[str], metadata: Mapping[bytes, bytes]) -> str:
    further = [(name, ARROW_TYPES.get(name, pa.string())) for name in added]
    schema = pa.schema([*fields.items(), *further], metadata=metadata or None)
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def _fewer(notes: Sequence[str]) -> tuple[str, ...]:
    most = 5
    more = (f"and {len(notes) - most:,} such guesses more",) if len(notes) > most else ()
    return (*notes[:most], *more)


def _libraries() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in ("polyvigil", "numpy", "pyarrow")}
