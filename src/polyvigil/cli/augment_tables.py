"""What ``polyvigil augment translate`` tells: counts, reasons, and what the rows do to the share of positives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyvigil.cli.output import Answer

if TYPE_CHECKING:
    from polyvigil.augment.prevalence import Prevalence
    from polyvigil.augment.translate import Translated


def prevalence_warnings(prevalences: Sequence[Prevalence]) -> Iterator[tuple[bool, str]]:
    """What to say of each target language whose share of positives is far from the sources'; True: a warning."""
    for one in prevalences:
        if one.positives_alone:
            yield (
                True,
                f"{one.language}: all {one.posts:,} posts to train on are positive, so a model learns the language"
                " itself as the sign of an ADE (the paper's Farsi v1: 99.9% flagged, and dev F1 did not show it);"
                " leave --only out, or train on negatives of the same source too, and run polyvigil audit shortcuts",
            )
        elif one.raised:
            yield (
                False,
                f"{one.language}: {one.share:.1%} of {one.posts:,} posts to train on are positive, {one.usual:.1%} in"
                " other languages; keep balance.weights = group, and run polyvigil audit shortcuts on the bundle",
            )


def answer_of(rows: Sequence[Translated], prevalences: Sequence[Prevalence], *, output: Path) -> Answer:
    """The table by source and target language, and the reasons of what was set aside."""
    from polyvigil.augment.filters import REASONS
    from polyvigil.cli.tables import table
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
