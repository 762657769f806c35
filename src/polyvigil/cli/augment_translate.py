"""``polyvigil augment translate``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, Offline, Replace, SourcePosts
from polyvigil.cli.output import Answer, Output
from polyvigil.config.augment import TranslationSpec
from polyvigil.errors import RecipeError, require

if TYPE_CHECKING:
    from polyvigil.augment.choose import Chosen
    from polyvigil.augment.prevalence import Prevalence
    from polyvigil.augment.translate import Translated
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


Mapped = Annotated[
    MappingOption | None,
    typer.Option(help="Translate nothing: map letters one to one into Arabic script, to look at shortcuts."),
]


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
    mapping: Mapped = None,
    beams: Annotated[int, typer.Option(min=1, max=16, help="1: the likeliest token each time.")] = _DEFAULTS.beams,
    batch_tokens: Annotated[
        int, typer.Option(min=8, help="Tokens translated at once; less where memory is short.")
    ] = _DEFAULTS.batch_tokens,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = _DEFAULTS.seed,
    posts: SourcePosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
    offline: Offline = False,
) -> Answer:
    """Translate training posts, with their labels; every row says where it is from.

    OUT.csv.translations.jsonl keeps what is translated: ended at any moment, the same command goes on from there.
    """
    from polyvigil.augment.choose import choose, training_posts
    from polyvigil.augment.prevalence import prevalences
    from polyvigil.augment.translate import has_translations, write_translated
    from polyvigil.bundle.outputs import OutputKind, check_output

    if output.suffix.lower() != ".csv":
        raise RecipeError("translations are written as CSV", where=str(output), hint="give a name that ends in .csv")
    check_output(output, OutputKind("file of translated posts", has_translations), replace=replace, inputs=files)
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
    used = _write_rejects(out, readings, rows, output, replace=replace)
    write_translated(output, used, replace=replace)
    return _answer(rows, _warn_of_prevalence(out, prevalences(used, originals)), output=output)


def _translate(
    out: Output, chosen: Sequence[Chosen], translator: Translator, spec: TranslationSpec, output: Path
) -> tuple[Translated, ...]:
    """Translate the chosen posts; what is done is kept beside ``output``, so that the next run goes on from there."""
    from polyvigil.augment.translate import Cache
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
    out: Output, readings: Sequence[Reading], rows: Sequence[Translated], output: Path, *, replace: bool
) -> list[Translated]:
    """Keep what was set aside beside ``output``; return the rows that can be used. Raises DataError for none."""
    from polyvigil.augment.translate import reject_line
    from polyvigil.bundle.outputs import rejects_of, write_rejects
    from polyvigil.data.read import reject_line as row_error_record
    from polyvigil.errors import DataError

    used, rejected = [row for row in rows if not row.reason], [row for row in rows if row.reason]
    row_errors = [row_error_record(reading.name, row_error) for reading in readings for row_error in reading.row_errors]
    rejects = rejects_of(output)
    if row_errors or rejected:
        lines = "".join([*row_errors, *map(reject_line, rejected)])
        write_rejects(rejects, lines, replace=replace, inputs=[reading.name for reading in readings])
        parts = [f"{len(row_errors):,} rows of the files"] * bool(row_errors)
        parts += [f"{len(rejected):,} of {len(rows):,} translations"] * bool(rejected)
        out.note(f"set aside: {' and '.join(parts)} -> {rejects}")
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


def _warn_of_prevalence(out: Output, prevalences: Sequence[Prevalence]) -> Sequence[Prevalence]:
    """Say of which target languages the share of positives is far from the sources'; they are returned."""
    for one in prevalences:
        if one.positives_alone:
            out.warn(
                f"{one.language}: all {one.posts:,} posts to train on are positive, so a model learns the language"
                " itself as the sign of an ADE (the paper's Farsi v1: 99.9% flagged, and dev F1 did not show it);"
                " leave --only out, or train on negatives of the same source too, and run polyvigil audit shortcuts",
            )
        elif one.raised:
            out.note(
                f"{one.language}: {one.share:.1%} of {one.posts:,} posts to train on are positive, {one.usual:.1%} in"
                " other languages; keep balance.weights = group, and run polyvigil audit shortcuts on the bundle",
            )
    return prevalences


def _answer(rows: Sequence[Translated], prevalences: Sequence[Prevalence], *, output: Path) -> Answer:
    """The table by source and target language, and the reasons of what was set aside."""
    from polyvigil.augment.filters import REASONS
    from polyvigil.cli.views.table import table
    from polyvigil.text.language import base_language

    pairs: dict[tuple[str, str], list[Translated]] = {}
    for row in rows:
        names = base_language(row.source.post.language), base_language(row.item.post.language)
        pairs.setdefault(names, []).append(row)
    counts = [
        {
            "source": source,
            "target": target,
            "posts": len(group),
            "used": sum(not row.reason for row in group),
            "positives": sum(row.item.label for row in group if not row.reason),
        }
        for (source, target), group in sorted(pairs.items())
    ]
    reasons = Counter(row.reason for row in rows if row.reason)
    prevalence = [
        {"language": one.language, "posts": one.posts, "positives": one.positives, "elsewhere": one.usual}
        for one in prevalences
    ]
    data = {"output": str(output), "pairs": counts, "set_aside": dict(reasons), "prevalence": prevalence}
    cells = [
        (str(one["source"]), str(one["target"]), *(f"{one[name]:,}" for name in ("posts", "used", "positives")))
        for one in counts
    ]
    used = sum(not row.reason for row in rows)
    lines = [
        table(("from", "to", "posts", "used", "positives"), cells, left=2),
        "",
        *(f"{number:,} set aside as {reason}: {REASONS[reason]}" for reason, number in reasons.most_common()),
        f"{used:,} translated posts -> {output}",
        f"next: polyvigil train RECIPE --train TRAIN.csv --train {output} --dev DEV.csv -o BUNDLE",
        "      polyvigil audit shortcuts BUNDLE UNSEEN.csv --train TRAIN.csv",
    ]
    return Answer(data, lines)
