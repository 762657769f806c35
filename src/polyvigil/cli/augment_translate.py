"""``polyvigil augment translate``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, Offline, Replace, SourcePosts
from polyvigil.cli.output import Answer, Output
from polyvigil.config.augment import TranslationSpec

if TYPE_CHECKING:
    from polyvigil.augment.prevalence import Prevalence
    from polyvigil.augment.translate import Translated
    from polyvigil.workflows.translate import TranslateResult, TranslationPlan

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
    from polyvigil.workflows.translate import check_translations, open_translator, plan_translation

    check_translations(output, replace=replace, inputs=files)
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
    open_model = partial(open_translator, spec, mapped=mapping is not None, device=device, offline=offline)
    plan = plan_translation(readings, spec, open_model, targets=to, sources=from_ or (), note=out.note)
    return _answer(out, _translate(out, plan, output, replace=replace), output)


def _translate(out: Output, plan: TranslationPlan, output: Path, *, replace: bool) -> TranslateResult:
    """Translate the posts of the plan, and show how far it is."""
    from polyvigil.workflows.translate import translate_posts

    started = time.monotonic()
    result = translate_posts(
        plan,
        output=output,
        replace=replace,
        log=out.log,
        note=out.note,
        progress=lambda share: out.progress("translating", started, round(share * plan.posts), 0, share),
    )
    out.end_progress()
    return result


def _warn_of_prevalence(out: Output, prevalences: Sequence[Prevalence]) -> None:
    """Say of which target languages the share of positives is far from the sources'."""
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


def _answer(out: Output, result: TranslateResult, output: Path) -> Answer:
    """The table by source and target language, and the reasons of what was set aside."""
    from polyvigil.augment.filters import REASONS
    from polyvigil.cli.views.table import table
    from polyvigil.text.language import base_language

    _warn_of_prevalence(out, result.prevalences)
    rows = result.rows
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
        for one in result.prevalences
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
