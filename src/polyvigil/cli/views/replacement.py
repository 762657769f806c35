"""Whether a new bundle may replace the old one, for people: a table of languages, flag rates, then the gates."""

from __future__ import annotations

from polyvigil.checks.replacement_gate import ReplacementComparison, ReplacementSlice
from polyvigil.cli.views.audit import gate_lines
from polyvigil.cli.views.table import table
from polyvigil.evaluation.weighted_difference import WeightedDifference


def replacement_lines(result: ReplacementComparison) -> list[str]:
    """The whole answer; its last sentence says whether the new bundle may replace the old one."""
    parts = [*result.languages, *((result.pooled,) if len(result.languages) != 1 else ())]
    header = ("language", "posts", "audited", "ADEs", "F1 old", "new", "difference", "95%", "recall", "precision", "")
    rates = [
        (
            rate.language,
            f"{rate.posts:,}",
            f"{rate.old_share:.1%}",
            f"{rate.new_share:.1%}",
            f"{rate.ratio.value:.2f}",
            f"{rate.ratio.low:.2f}-{rate.ratio.high:.2f}",
        )
        for rate in result.flag_rates
    ]
    answer = "may replace" if result.holds else "does not show that it may replace"
    return [
        f"{result.first} (old) and {result.second} (new) on {result.data}",
        "",
        table(header, [_row(part) for part in parts]),
        "",
        "Posts are those that neither bundle was made from, each weighed by how many it stands for; recall, precision:",
        "new less old.",
        "",
        table(("language", "posts", "flagged before", "now", "ratio", "95%"), rates),
        "",
        *(f"note: {note}" for note in result.notes),
        *(f"note: nothing can be said of {reason}" for reason in result.unmeasured),
        *gate_lines(result.gates, digits=3),
        f"the new bundle {answer} the old one",
    ]


def _row(part: ReplacementSlice) -> tuple[str, ...]:
    return (
        part.name,
        f"{part.posts:,}",
        f"{part.audited:,}",
        f"{part.positives:,}",
        f"{part.f1.first:.3f}",
        f"{part.f1.second:.3f}",
        f"{part.f1.difference:+.3f}",
        _interval(part.f1),
        f"{part.recall.difference:+.3f}",
        f"{part.precision.difference:+.3f}",
        part.verdict,
    )


def _interval(one: WeightedDifference) -> str:
    return f"({one.low:+.3f} to {one.high:+.3f})"
