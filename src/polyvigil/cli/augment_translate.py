"""``polyvigil augment translate``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, Offline, Posts
from polyvigil.cli.output import Answer, Output
from polyvigil.config.specs import TranslationSpec
from polyvigil.errors import RecipeError, require

if TYPE_CHECKING:
    from polyvigil.augment.choose import Chosen
    from polyvigil.augment.rows import Translated
    from polyvigil.augment.translator import Translator
    from polyvigil.data.read import Reading

_DEFAULTS = TranslationSpec()


class OnlyOption(StrEnum):
    """Posts of which label are translated."""

    positives = "positives"
    negatives = "negatives"
    all = "all"


class MappingOption(StrEnum):
    """Ways to map letters in place of translating."""

    arabic = "arabic"


@command(
    group="augment",
    examples=(
        "polyvigil augment translate train.csv -o fa.csv --to fa --max 8000",
        "polyvigil augment translate train.csv -o defr.csv --to de --to fr --from en --from ru --only positives",
    ),
)
def translate(
    out: Output,
    files: Annotated[list[str], typer.Argument(metavar="IN...", help="Labelled training posts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the translated posts go (.csv).")],
    to: Annotated[list[str], typer.Option("--to", help="Language to translate to: de, en, fa, fr, ja, ru, zh.")],
    from_: Annotated[
        list[str] | None, typer.Option("--from", help="Language to translate from; else all. Repeatable.")
    ] = None,
    only: Annotated[OnlyOption, typer.Option(help="Posts of which label; all keeps the prevalence.")] = OnlyOption.all,
    negatives: Annotated[int | None, typer.Option(min=0, help="At most so many negatives, drawn.")] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="At most so many posts for each --to, drawn at their prevalence.")
    ] = None,
    model: Annotated[str, typer.Option(help="An NLLB model: a folder, or a name of the hub.")] = _DEFAULTS.model,
    revision: Annotated[
        str, typer.Option(help="Of the model on the hub: a branch, tag, commit, or as refs/pr/5. Default: main.")
    ] = _DEFAULTS.revision,
    mapping: Annotated[
        MappingOption | None,
        typer.Option(help="Translate nothing: map letters one to one into Arabic script, to look at shortcuts."),
    ] = None,
    beams: Annotated[int, typer.Option(min=1, max=16, help="1: the likeliest token each time.")] = _DEFAULTS.beams,
    batch_tokens: Annotated[
        int, typer.Option(min=8, help="Tokens translated at once; less where memory is short.")
    ] = _DEFAULTS.batch_tokens,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = _DEFAULTS.seed,
    posts: Posts = DEFAULT_POSTS,
    device: Device = "auto",
    offline: Offline = False,
) -> Answer:
    """Translate training posts, with their labels; every row says where it is from.

    OUT.csv.translations.jsonl keeps what is translated: ended at any moment, the same command goes on from there.
    """
    from polyvigil.augment.choose import choose, training_posts
    from polyvigil.augment.prevalence import prevalences
    from polyvigil.augment.rows import write_translated
    from polyvigil.cli.augment_tables import answer_of, prevalence_warnings

    if output.suffix.lower() != ".csv":
        raise RecipeError("translations are written as CSV", where=str(output), hint="give a name that ends in .csv")
    spec = TranslationSpec(
        model=model,
        revision=revision,
        beams=beams,
        batch_tokens=batch_tokens,
        only=only.value,
        negatives=negatives,
        most=most,
        seed=seed,
    )
    readings = [posts.read_labelled(file) for file in files]
    originals, notes = training_posts(readings)
    out.notes((*(note for reading in readings for note in reading.notes), *notes))
    translator = _translator(spec, mapping, device=device, offline=offline)
    chosen = [choose(originals, translator, spec, target=name, sources=from_ or ()) for name in dict.fromkeys(to)]
    out.notes(note for one in chosen for note in one.notes)
    rows = _translate(out, chosen, translator, spec, output)
    used = _write_rejects(out, readings, rows, output)
    write_translated(output, used)
    measured = prevalences(used, originals)
    for severe, warning in prevalence_warnings(measured):
        (out.warn if severe else out.note)(warning)
    return answer_of(rows, measured, output=output)


def _translate(
    out: Output, chosen: Sequence[Chosen], translator: Translator, spec: TranslationSpec, output: Path
) -> tuple[Translated, ...]:
    """Translate the chosen posts; what is done is kept beside ``output``, so that the next run goes on from there."""
    from polyvigil.augment.cache import Cache
    from polyvigil.augment.translate import translate as run

    number = sum(len(one.posts) for one in chosen)
    targets = ", ".join(dict.fromkeys(one.target for one in chosen))
    out.log(f"translating {number:,} posts to {targets} by {translator.identity}")
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    rows = run(
        chosen,
        translator,
        Cache(output.with_name(output.name + ".translations.jsonl")),
        batch_tokens=max(1, spec.batch_tokens // spec.beams),
        progress=lambda share: out.progress("translating", started, round(share * number), 0, share),
    )
    out.end_progress()
    return rows


def _write_rejects(
    out: Output, readings: Sequence[Reading], rows: Sequence[Translated], output: Path
) -> list[Translated]:
    """Keep what was set aside beside ``output``; return the rows that can be used. Raises DataError for none."""
    from polyvigil.augment.rows import reject_line
    from polyvigil.data.atomic import write_whole
    from polyvigil.data.read import reject_line as row_error_record
    from polyvigil.errors import DataError

    used, rejected = [row for row in rows if not row.reason], [row for row in rows if row.reason]
    row_errors = [row_error_record(reading.name, row_error) for reading in readings for row_error in reading.row_errors]
    rejects = output.with_name(output.name + ".rejects.jsonl")
    if row_errors or rejected:
        write_whole(rejects, "".join([*row_errors, *map(reject_line, rejected)]))
        parts = [f"{len(row_errors):,} rows of the files"] * bool(row_errors)
        parts += [f"{len(rejected):,} of {len(rows):,} translations"] * bool(rejected)
        out.note(f"set aside: {' and '.join(parts)} -> {rejects}")
    else:
        rejects.unlink(missing_ok=True)
    if not used:
        raise DataError(
            f"none of {len(rows):,} translations can be used", where=str(rejects), hint="its reasons say what is wrong"
        )
    return used


def _translator(spec: TranslationSpec, mapping: MappingOption | None, *, device: str, offline: bool) -> Translator:
    if mapping:
        from polyvigil.augment.mapping import Mapping

        return Mapping()
    require("torch", "transformers", extra="encoders", needed_by="translating", where="--model")
    from polyvigil.nn.translator import load_translator

    return load_translator(spec.model, beams=spec.beams, device=device, offline=offline, revision=spec.revision)
