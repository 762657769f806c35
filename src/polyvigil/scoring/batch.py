"""Score files of posts: streaming, in bounded memory, part by part; the output whole or not there at all."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError

from polyvigil.bundle.outputs import free_rejects
from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import open_table
from polyvigil.data.inputs import find_inputs
from polyvigil.data.languages import LanguageSpellings
from polyvigil.data.read import RowErrorCounts
from polyvigil.data.streams import STDIN
from polyvigil.errors import DataError, InterruptError, name_list
from polyvigil.scoring.columns import left_out_notes, our_columns
from polyvigil.scoring.engine import Engine, ThisProcess
from polyvigil.scoring.facts import ALL
from polyvigil.scoring.job import Counts, Job, LanguageCounts, PartRecord, ProgressEvent, total
from polyvigil.scoring.judge_counts import JudgeCounts, judge_counts
from polyvigil.scoring.output import OutputFile, check_complete, write_output
from polyvigil.scoring.part import (
    LateFile,
    PartScorer,
    check_some_text,
    late_notes,
    open_input,
    shown,
)
from polyvigil.scoring.plan import Target, plan, work_items
from polyvigil.scoring.stream import Hashed
from polyvigil.scoring.work import Work, locked
from polyvigil.scoring.workbook import sheets_note
from polyvigil.scoring.write import header
from polyvigil.types import Frozen

_NOTES = 20


class InputSummary(Frozen):
    """What came of one input."""

    path: str
    bytes: int
    posts: int
    set_aside: int


class ScoreSummary(Frozen):
    """What was done; also the manifest, ``OUT.manifest.json``, or ``_manifest.json`` in a folder."""

    job: str
    bundle: str
    inputs: tuple[InputSummary, ...]
    output: str
    outputs: tuple[OutputFile, ...]
    parts: int
    posts: int
    flagged: int
    no_text: int
    copied: int
    """Posts that took the decision of one like them and were not scored (``dedup``)."""
    set_aside: int
    rejects: str | None
    added: tuple[str, ...] = ()
    """The columns that the output has beside those of the inputs."""
    languages: tuple[LanguageCounts, ...]
    judge: JudgeCounts | None = None
    """None where no post was near enough to a threshold for a judge."""
    how: ScoreSpec
    libraries: dict[str, str]
    notes: tuple[str, ...]


Progress = Callable[[int, int, float | None], None]
"""Called with the posts done, the rows set aside, and the share of the inputs read (None where it is not known)."""


def score_file(
    bundle: Bundle,
    source: str,
    output: str,
    *,
    data: DataSpec | None = None,
    spec: ScoreSpec | None = None,
    replace: bool = False,
    progress: Progress = lambda *_: None,
) -> ScoreSummary:
    """Score every post of ``source`` into ``output``, in order, the input's columns kept; ``-`` is stdin or stdout.

    As ``score_files``, by the bundle at hand and in this process.
    """
    return score_files(ThisProcess(bundle), [source], output, data=data, spec=spec, replace=replace, progress=progress)


def score_files(
    engine: Engine,
    sources: Sequence[str],
    output: str,
    *,
    data: DataSpec | None = None,
    spec: ScoreSpec | None = None,
    output_format: str = "",
    resume: bool = False,
    replace: bool = False,
    progress: Progress = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> ScoreSummary:
    """Score files, folders and globs (data.inputs) into a file or a folder (scoring.plan.Target), rows in their order.

    Finished parts wait in ``OUT.work`` (scoring.work) until the output is there whole. Whatever ends the run before
    leaves them, where there are any, for ``resume``. ``replace``: an earlier output may give way. Bad rows go to
    ``OUT.rejects.jsonl``, in a folder to ``_rejects.jsonl``, with their reason. Standard input and output are for
    ThisProcess alone, and not resumed.

    Raises DataError for an input that cannot be read, a work folder that is of something else and, with
    ``on_error="fail"``, a bad row; InterruptError after ``stop``.
    """
    target = Target.of(output, ending=output_format)
    inputs = find_inputs(sources, output=target.outputs)
    with ExitStack() as stack:
        stdin = None
        if STDIN in {inputs.files[0].path, target.name}:
            if not isinstance(engine, ThisProcess) or resume:
                raise DataError(
                    "standard input and output are for one process, and not resumed",
                    where=STDIN,
                    hint="name files instead",
                )
            if inputs.files[0].path == STDIN:
                stdin = stack.enter_context(open_table(STDIN, data))
                engine = dataclasses.replace(engine, stdin=stdin)
        planned = plan(
            engine.manifest.id,
            engine.facts,
            inputs.files,
            target,
            data=data or DataSpec(),
            spec=spec or ScoreSpec(),
            stdin=stdin,
        )
        given = [facts.path for facts in planned.job.inputs]
        replace = target.check_free(
            replace=replace,
            inputs=given,
            sets_aside=planned.job.how.on_error != "fail",
            resumed=planned.job.id if resume else "",
        )
        run = _Run(
            engine, planned.job, target, replace, (*inputs.notes, *planned.notes), _Watch(planned.job, progress), stop
        )
        if target.name == STDIN:
            return run.to_stdout()
        stack.enter_context(locked(target.work))
        return run.to_files(resume=resume)


@dataclass(frozen=True, slots=True)
class _Run:
    """One job on its way."""

    engine: Engine
    job: Job
    target: Target
    replace: bool
    """Whether an output that stands there, which was checked, may be replaced."""
    notes: tuple[str, ...]
    watch: _Watch
    stop: Callable[[], bool]

    def to_files(self, *, resume: bool) -> ScoreSummary:
        job, work = self.job, Work(self.target.work, self.job.part_ending)
        if resume and not work.folder.exists() and (done := self._done_before()):
            return done
        work.begin(job, resume=resume)
        try:
            todo = work_items(job, workers=self.engine.workers)
            records = list(self.engine.run(job, work, todo, report=self.watch.report, stop=self.stop))
            records.sort(key=lambda record: (record.input, record.part))
            if not check_complete(job, records):
                raise InterruptError(
                    f"scoring was stopped; {len(records):,} finished parts are kept in {work.folder}",
                    hint="go on with --resume",
                )
            try:
                check_some_text(job, records)
            except DataError:
                work.remove()
                raise
            summary = self._summary(records, ())
            write_output(
                job,
                work,
                self.target,
                records,
                lambda files: summary.model_copy(update={"outputs": tuple(files)}),
                replace=self.replace,
            )
        except BaseException:
            if job.inputs[0].path == STDIN:
                work.remove()
            else:
                work.remove_if_empty()
            raise
        return ScoreSummary.model_validate_json(self.target.manifest.read_bytes())

    def to_stdout(self) -> ScoreSummary:
        assert isinstance(self.engine, ThisProcess)
        stream = Hashed(sys.stdout.buffer)
        stream.write(header(self.job.columns, ending=self.job.ending, spec=self.job.how))
        records: list[PartRecord] = []
        with ExitStack() as stack:
            rejects = LateFile(stack, rejects_path := free_rejects("scored"), replace=False)
            for number, facts in enumerate(self.job.inputs):
                with nullcontext(self.engine.stdin) if self.engine.stdin else open_input(facts, self.job) as table:
                    scorer = PartScorer(self.engine.bundle, self.job, number, table, report=self.watch.report)
                    while True:
                        counts = scorer.score(stream, rejects.add)
                        records.append(PartRecord(input=number, part=len(records), last=scorer.ended, counts=counts))
                        if scorer.ended:
                            break
        sys.stdout.buffer.flush()
        check_some_text(self.job, records)
        output_file = OutputFile(
            path=STDIN,
            posts=sum(record.counts.posts for record in records),
            bytes=stream.written,
            sha256=stream.hexdigest(),
        )
        return self._summary(records, (output_file,), rejects=rejects_path)

    def _done_before(self) -> ScoreSummary | None:
        """The summary of an earlier run that did just this, if its output is still there."""
        try:
            summary = ScoreSummary.model_validate_json(self.target.manifest.read_bytes())
        except (OSError, ValidationError):
            return None
        folder = self.target.path if self.target.folder else Path()
        there = all(
            (path := folder / file.path).is_file() and path.stat().st_size == file.bytes for file in summary.outputs
        )
        return summary if there and summary.job == self.job.id else None

    def _summary(
        self, records: Sequence[PartRecord], outputs: Sequence[OutputFile], *, rejects: Path | None = None
    ) -> ScoreSummary:
        inputs, notes = [], list(self.notes)
        for facts, (_, group) in zip(self.job.inputs, groupby(records, key=lambda record: record.input), strict=True):
            input_records = list(group)
            counts = total(record.counts for record in input_records)
            inputs.append(
                InputSummary(path=facts.path, bytes=facts.bytes, posts=counts.posts, set_aside=counts.set_aside)
            )
            row_errors, spellings = RowErrorCounts(), LanguageSpellings()
            for record in input_records:
                row_errors.add_kinds(record.counts.faults)
                spellings.add_all(record.counts.spellings)
            notes.extend(row_errors.messages(shown(facts)))
            notes.extend(late_notes(input_records))
            notes.extend(spellings.messages(shown(facts), default=self.job.data.language))
            notes.extend(left_out_notes(shown(facts), input_records))
        all_counts = total(record.counts for record in records)
        notes.extend(_unused_prevalence(self.job.how, all_counts))
        if self.job.kind == "xlsx" and not self.job.folder:
            notes.extend(sheets_note(all_counts.posts))
        return ScoreSummary(
            job=self.job.id,
            bundle=self.job.bundle,
            inputs=tuple(inputs),
            output=self.target.name,
            outputs=tuple(outputs),
            parts=len(records),
            posts=all_counts.posts,
            flagged=all_counts.flagged,
            no_text=all_counts.no_text,
            copied=all_counts.copied,
            set_aside=all_counts.set_aside,
            rejects=str(rejects or self.target.rejects) if all_counts.set_aside else None,
            added=our_columns(self.job.how, self.job.facts),
            languages=all_counts.languages,
            judge=judge_counts(all_counts, usage=self.engine.usage if isinstance(self.engine, ThisProcess) else None),
            how=self.job.how,
            libraries=self.job.libraries,
            notes=tuple(notes[:_NOTES]),
        )


def _unused_prevalence(spec: ScoreSpec, counts: Counts) -> Iterator[str]:
    """A line of languages that --prevalence names and no post has."""
    unused = set(spec.prevalence) - {part.language for part in counts.languages} - {ALL}
    if unused:
        yield f"--prevalence names {name_list(sorted(unused))}, and no post is of it"


class _Watch:
    """Adds up what workers tell, and tells it on."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self._progress = progress
        self._all = sum(facts.bytes for facts in job.inputs)
        self._bytes = self._posts = self._set_aside = 0

    def report(self, event: ProgressEvent) -> None:
        """What an earlier run did counts as not there, so that the time left is that of what is left."""
        if event.known:
            self._all -= event.bytes
        else:
            self._posts += event.posts
            self._set_aside += event.set_aside
            self._bytes += event.bytes
        self._progress(self._posts, self._set_aside, min(self._bytes / self._all, 1.0) if self._all > 0 else None)
