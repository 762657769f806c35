"""``polyvigil score``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from polyvigil.cli.command import command
from polyvigil.cli.judging import AskEndpoint, FromDisk, endpoint_permission, report_judge_usage
from polyvigil.cli.named import prevalences
from polyvigil.cli.options import (
    DEFAULT_POSTS,
    Address,
    Device,
    EngineOption,
    OrOnHub,
    PostPrevalence,
    QuarantinedPosts,
    Replace,
    text_form,
)
from polyvigil.cli.output import Answer, Output, graceful_stop
from polyvigil.config.score import ScoreSpec
from polyvigil.errors import InterruptError, RecipeError, name_list

if TYPE_CHECKING:
    from polyvigil.config.data import DataSpec
    from polyvigil.judge.endpoint import EndpointPermission
    from polyvigil.scoring.batch import ScoreSummary
    from polyvigil.scoring.engine import Engine
    from polyvigil.scoring.remote import RemoteBundle


_NO_TEXT_SHARE = 0.1  # of the posts; more are worth a warning
_EXPLAINED = ("p", "p_calibrated", "threshold_source", "flags")
_QUESTIONS = ("Which column do I sort by?", "What happens to my file?", "How do I stop, and go on?")


class Dedup(StrEnum):
    """Which posts are scored once for all like them."""

    off = "off"
    exact = "exact"
    near = "near"


Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IN...",
        show_default=False,
        help="Files (csv, tsv, json, parquet, xlsx, ...), folders, globs; - is stdin.",
    ),
]
Server = Annotated[
    str, typer.Option("--server", help="Score by polyvigil serve at this URL, in place of a bundle here.")
]
OutputName = Annotated[
    str,
    typer.Option(
        "--output", "-o", help="A file (csv, tsv, jsonl, parquet, xlsx); a folder (scored/); - is CSV on stdout."
    ),
]
RawCsv = Annotated[bool, typer.Option("--raw-csv", help="Leave cells that a spreadsheet would run as they are.")]
WhatIsAlike = Annotated[
    Dedup, typer.Option("--dedup", help="Score posts once that read the same (exact), or nearly so (near).")
]
ForExcel = Annotated[
    bool, typer.Option("--excel", help="Begin CSV with a byte order mark, by which Excel knows that it is UTF-8.")
]
OutputFormat = Annotated[
    str, typer.Option("--output-format", help="Of the files in a folder: parquet, csv, jsonl.gz, ...")
]
Evidence = Annotated[
    bool, typer.Option("--evidence", help="Add columns: where the sentence is that carries the score of a flag.")
]
ProcessCount = Annotated[
    int | None,
    typer.Option("--processes", min=1, max=4096, help="How many score at a time, each with the bundle loaded (1)."),
]
Mask = Annotated[
    bool,
    typer.Option(
        "--mask", help="Write the text without links, addresses, mentions, dates and numbers; names in it stay."
    ),
]
DropText = Annotated[bool, typer.Option("--drop-text", help="Leave the text of posts out of the output.")]
Top = Annotated[
    int | None,
    typer.Option(
        "--top", min=1, help="Also choose so many posts to read, into OUT.worklist.csv, as polyvigil worklist does."
    ),
]
PartPosts = Annotated[
    int | None, typer.Option("--part-posts", help="Rows of one part, which is kept once it is done (20,000).")
]


@command(
    examples=(
        "polyvigil score BUNDLE posts.csv -o scored.csv",
        "polyvigil score BUNDLE data/ 'more/*.jsonl.gz' -o scored/ --column text=body",
    ),
    explains=(*_EXPLAINED, *_QUESTIONS),
)
def score(
    out: Output,
    bundle: Annotated[
        str,
        typer.Argument(help="The bundle's folder, or hf://ORG/NAME@REVISION; with --server it is left out."),
        OrOnHub,
    ],
    output: OutputName,
    sources: Sources = None,
    output_format: OutputFormat = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was ended.")] = False,
    posts: QuarantinedPosts = DEFAULT_POSTS,
    replace: Replace = False,
    server: Server = "",
    device: Device = "auto",
    raw_csv: RawCsv = False,
    excel: ForExcel = False,
    evidence: Evidence = False,
    mask: Mask = False,
    drop_text: DropText = False,
    prevalence: PostPrevalence = None,
    ask_endpoint: AskEndpoint = False,
    offline: FromDisk = False,
    dedup: WhatIsAlike = Dedup.off,
    processes: ProcessCount = None,
    engine: Annotated[EngineOption, typer.Option("--engine", help="On this machine, or on a Ray cluster.")] = (
        EngineOption.local
    ),
    address: Address = "",
    part_posts: PartPosts = None,
    top: Top = None,
) -> Answer:
    """Score posts: P(ADE) and a decision for each, in the order of the input, its columns kept."""
    to_stdout = out.writes_to_stdout(output)
    listed = _worklist_beside(output, replace=replace) if top else None
    text = _text_in_output(mask=mask, drop_text=drop_text, evidence=evidence, top=top)
    choices: dict[str, Any] = {"evidence": evidence, "raw_csv": raw_csv, "excel": excel, "ask_endpoint": ask_endpoint}
    choices["prevalence"] = prevalences(prevalence)
    spec = _score_spec(part_posts, dedup=dedup.value, text=text, on_error=posts.on_row_error, **choices)
    allowed = endpoint_permission(ask_endpoint, offline=offline)
    inputs = _inputs(bundle, sources, server=server)
    data = posts.spec(bundle="" if server else bundle)
    if server:
        remote = _remote_bundle(server, engine, processes=processes, evidence=evidence, ask_endpoint=ask_endpoint)
        data, by = _at_server(remote, data)
    else:
        by = _engine(bundle, engine, processes=processes, address=address, device=device, allowed=allowed)
    started = time.monotonic()
    with _hint_to_resume(out, output, replace=replace):
        resumed = {"resume": resume, "replace": replace}
        summary = _score(out, by, inputs, output, data, spec, output_format=output_format, **resumed)
    _warn(out, summary)
    lines = _lines(summary, output, seconds=max(time.monotonic() - started, 1e-9), dedup=dedup)
    if top and listed:
        lines += ["", *_worklist(out, output, listed, top, data, replace=replace)]
    return Answer(summary, lines, posts.exit_code(set_aside=summary.set_aside), stdout_is_data=to_stdout)


def _at_server(remote: RemoteBundle, data: DataSpec) -> tuple[DataSpec, Engine]:
    """How files are read and scored by the bundle of a service."""
    from polyvigil.scoring.engine import ThisProcess

    return data.model_copy(update={"trained_columns": dict(remote.trained_columns)}), ThisProcess(remote)


def _worklist_beside(output: str, *, replace: bool) -> Path:
    """Where the worklist of ``--top`` goes. Raises RecipeError without a file of scores, DataError where it cannot."""
    from polyvigil.review.worklist import check_worklist_output
    from polyvigil.scoring.stream import stem

    if output == "-":
        raise RecipeError("a worklist needs the scores in a file", where="--top", hint="-o scored.csv")
    listed = Path(f"{stem(output.rstrip('/'))}.worklist.csv")
    check_worklist_output(listed, replace=replace, inputs=[])
    return listed


def _worklist(out: Output, scored: str, listed: Path, top: int, spec: DataSpec, *, replace: bool) -> list[str]:
    from polyvigil.cli.worklist import make_worklist, worklist_lines
    from polyvigil.review.worklist import WorklistOptions

    return worklist_lines(make_worklist(out, [scored], listed, WorklistOptions(budget=top), spec, replace=replace))


def _score(
    out: Output,
    engine: Engine,
    sources: list[str],
    output: str,
    data: DataSpec,
    spec: ScoreSpec,
    *,
    output_format: str,
    resume: bool,
    replace: bool,
) -> ScoreSummary:
    """Score the files; Ctrl-C ends it after what is being done, and keeps that."""
    from polyvigil.scoring.batch import score_files

    started = time.monotonic()
    with graceful_stop(out) as stop:
        summary = score_files(
            engine,
            sources,
            output,
            data=data,
            spec=spec,
            output_format=output_format,
            resume=resume,
            replace=replace,
            progress=lambda done, aside, share: out.progress("scoring", started, done, aside, share),
            stop=stop,
        )
    out.end_progress()
    return summary


def _warn(out: Output, summary: ScoreSummary) -> None:
    """What to know before these scores are used."""
    if summary.judge:
        report_judge_usage(out, summary.judge.usage, endpoint_skipped=summary.judge.not_asked > 0)
    out.notes(summary.notes)
    if summary.no_text > _NO_TEXT_SHARE * summary.posts:
        share = summary.no_text / summary.posts
        out.warn(f"{summary.no_text:,} of {summary.posts:,} posts ({share:.0%}) hold no text; flags say why (no_text)")
    if foreign := [counts.language for counts in summary.languages if not counts.trained]:
        out.warn(f"not validated for {name_list(foreign)}: the bundle was not trained on it; do not rely on its scores")
    for counts in summary.languages:
        if counts.abstained:
            why = (
                "the language has no threshold; polyvigil tune BUNDLE -o TUNED --unlabelled POSTS gives it one"
                if counts.threshold_source == "fallback"
                else "the model knows too few of their n-grams; have some labelled"
            )
            out.warn(
                f"{counts.language}: {counts.abstained:,} of {counts.posts:,} posts are not flagged, sort by p: {why}"
            )


def _lines(summary: ScoreSummary, output: str, *, seconds: float, dedup: Dedup) -> list[str]:
    lines = [
        f"{summary.posts:,} posts scored in {seconds:,.1f} s, {summary.flagged:,} flagged -> {output}",
        *(
            f"  {t.language:<9} {t.flagged:>8,} of {t.posts:>9,} flagged at {t.threshold:.3f} ({t.threshold_source})"
            for t in summary.languages
        ),
    ]
    if summary.judge:
        near = f"  {summary.judge.near:,} posts near a threshold ({summary.judge.share:.1%})"
        lines.append(f"{near}, {summary.judge.judged:,} of them decided by the judge")
    if dedup is not Dedup.off:
        share = summary.copied / max(summary.posts, 1)
        lines.append(f"{summary.copied:,} posts ({share:.1%}) read like one before them and were not scored again")
    if summary.set_aside:
        lines.append(f"{summary.set_aside:,} rows set aside -> {summary.rejects}")
    return [*lines, *_threshold_lines(summary), *_prevalence_lines(summary), *_word_lines(summary)]


def _threshold_lines(summary: ScoreSummary) -> list[str]:
    """What is doubtful of the thresholds, once for the languages of which it is the same."""
    languages: dict[str, list[str]] = {}
    for counts in summary.languages:
        for warning in counts.threshold_warnings:
            languages.setdefault(warning, []).append(counts.language)
    return [f"doubtful threshold ({name_list(names)}): {warning}" for warning, names in languages.items()]


def _prevalence_lines(summary: ScoreSummary) -> list[str]:
    """At which prevalence p_calibrated holds; nothing where there is no such column, or it is not known."""
    from polyvigil.cli.views.bundle import prevalence_sentence

    return prevalence_sentence(
        {one.language: one.prevalence for one in summary.languages if one.prevalence is not None}
    )


def _word_lines(summary: ScoreSummary) -> list[str]:
    """What the columns mean that a reader looks at first."""
    from polyvigil.cli.views.markdown import word_lines

    return ["", *word_lines(*(word for word in _EXPLAINED if word in summary.added))]


def _engine(
    bundle: str,
    kind: EngineOption,
    *,
    processes: int | None,
    address: str,
    device: str,
    allowed: EndpointPermission | None,
) -> Engine:
    from polyvigil.bundle.store import load
    from polyvigil.scoring.engine import ThisProcess
    from polyvigil.scoring.pool import Processes

    if allowed and (kind is EngineOption.ray or (processes or 1) > 1):
        raise RecipeError(
            "one process asks the endpoint, several posts at a time",
            where="--ask-endpoint",
            hint="leave --processes out",
        )
    if kind is EngineOption.ray:
        from polyvigil.scoring.ray_job import OnRay

        return OnRay.of(bundle, address=address, count=processes or 0, device=device)
    if address:
        raise RecipeError("an address is of a Ray cluster", where="--address", hint="add --engine ray")
    if processes and processes > 1:
        return Processes.of(bundle, count=processes, device=device)
    return ThisProcess(load(bundle, device=device, permission=allowed))


def _inputs(bundle: str, sources: list[str] | None, *, server: str) -> list[str]:
    """What is scored; with ``server`` no bundle is named, and the first argument is an input too."""
    inputs = [*([bundle] if server else ()), *(sources or ())]
    if not inputs:
        raise typer.BadParameter("name a file, a folder or a glob", param_hint="IN...")
    return inputs


def _remote_bundle(
    server: str, kind: EngineOption, *, processes: int | None, evidence: bool, ask_endpoint: bool
) -> RemoteBundle:
    """The bundle of a service, asked from this process. Raises RecipeError for an option of a bundle here."""
    from polyvigil.serve.client import Client

    local_options = {
        "--engine ray": kind is EngineOption.ray,
        "--processes": processes is not None,
        "--evidence": evidence,
        "--ask-endpoint": ask_endpoint,
    }
    if given := [option for option, is_given in local_options.items() if is_given]:
        raise RecipeError(f"{given[0]} is for a bundle here", where="--server", hint="leave one of them out")
    return Client(server).remote_bundle()


def _text_in_output(
    *, mask: bool, drop_text: bool, evidence: bool, top: int | None
) -> Literal["whole", "masked", "dropped"]:
    """Raises RecipeError for options that need the text as it was written."""
    form = text_form(mask=mask, drop_text=drop_text)
    if mask and evidence:
        raise RecipeError("offsets are of the text as it was written", where="--evidence", hint="leave --mask out")
    if drop_text and top:
        raise RecipeError("who reads a worklist needs the text", where="--top", hint="--mask in place of --drop-text")
    return form


def _score_spec(part_posts: int | None, **choices: Any) -> ScoreSpec:
    """Raises RecipeError for a number of rows that is none."""
    rows = ScoreSpec().part_posts if part_posts is None else part_posts
    try:
        return ScoreSpec(part_posts=rows, **choices)
    except ValidationError as error:
        raise RecipeError(f"{part_posts}: {error.errors()[0]['msg'].lower()}", where="--part-posts") from error


@contextmanager
def _hint_to_resume(out: Output, output: str, *, replace: bool) -> Iterator[None]:
    """What ends the work before its time leaves finished parts behind, perhaps: say so, and how to go on."""
    try:
        yield
    except BaseException as error:
        out.end_progress()
        words = [word for word in shlex.split(out.command_line) if word != "--resume"]
        again = shlex.join([*words, *(["--replace"] if replace else []), "--resume"])
        kept = output != "-" and Path(f"{output.rstrip('/')}.work").is_dir()
        if isinstance(error, KeyboardInterrupt | InterruptError):
            message = (
                error.message if isinstance(error, InterruptError) else "interrupted; nothing half-written is left"
            )
            raise InterruptError(message, hint=f"go on with: {again}" if kept else "run it again") from error
        if kept and isinstance(error, OSError):
            out.warn(f"finished parts are kept in {output.rstrip('/')}.work; go on with: {again}")
        raise
