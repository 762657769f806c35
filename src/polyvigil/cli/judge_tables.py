"""Tables about a judge, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyvigil.cli.tables import table
from polyvigil.decide.judge import Band, Judge

if TYPE_CHECKING:
    from polyvigil.config.judge import ChatSpec
    from polyvigil.evaluation.paired import Paired, PairedSlice
    from polyvigil.judge.endpoint import Usage
    from polyvigil.workflows.judge import EndpointEstimate


def judge_lines(judge: Judge, paired: Paired | None = None) -> list[str]:
    """Each language's band and, where both stages were compared, what the judge gains."""
    parts = {part.name: part for part in paired.languages} if paired else {}
    rows = [(name, *_band(band), *_f1_difference(parts.get(name), paired)) for name, band in judge.bands.items()]
    rows.append(("any other", *_band(judge.other), *_f1_difference(None, paired)))
    if paired:
        rows.append(("pooled", "", "", "", "", *_f1_difference(paired.pooled, paired)))
    header = ("language", "below", "above", "judge's bar", "dev posts asked")
    compared = ("F1 both", "first alone", "gain (95%)") if paired else ()
    notes = ["gain: each dev post judged by a band found on other posts", ""] if paired else []
    return [
        f"judge: the last {judge.members} of the members, asked about at most {judge.at_most:.1%} of a language's"
        " posts; below, above: in logits from the threshold",
        "",
        table((*header, *compared), rows),
        "",
        *notes,
    ]


def _band(band: Band | None) -> tuple[str, ...]:
    if band is None:
        return ("-", "-", "-", "none")
    share = band.asked / max(band.posts, 1)
    return (
        f"{band.below:.3f}",
        f"{band.above:.3f}",
        f"{band.bar:.3f}",
        f"{band.asked:,} of {band.posts:,} ({share:.1%})",
    )


def _f1_difference(part: PairedSlice | None, paired: Paired | None) -> tuple[str, ...]:
    if paired is None:
        return ()
    if part is None or not part.positives:
        return ("-", "-", "-")
    f1 = part.f1
    return (f"{f1.first:.3f}", f"{f1.second:.3f}", f"{f1.difference:+.3f} ({f1.low:+.3f} to {f1.high:+.3f})")


def usage_line(usage: Usage) -> str:
    """What asking took."""
    cost = "" if usage.cost is None else f", cost {usage.cost:,.4f} by the prices given"
    return (
        f"endpoint: {usage.posts:,} posts asked about ({usage.cached:,} answered from disk, {usage.failed:,} without a "
        f"usable answer), {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{cost}"
    )


def estimate_lines(estimate: EndpointEstimate, spec: ChatSpec, *, dev: int, at_most: float) -> list[str]:
    """What would be asked, and the messages as they would be sent."""
    cost = "the configuration names no price" if estimate.cost is None else f"cost about {estimate.cost:,.4f}"
    return [
        f"would ask {spec.model} at {spec.base_url} about {estimate.posts:,} of {dev:,} dev posts, once; later about"
        f" {at_most:.1%} of the posts that are scored, or fewer",
        f"about {estimate.tokens_in:,} tokens in and {estimate.tokens_out:,} out; {cost}",
        "",
        "as it would be sent, with a synthetic post in place of a real one:",
        "",
        *estimate.example.splitlines(),
    ]
