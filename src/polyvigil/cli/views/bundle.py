"""What a bundle decides by, for people: thresholds, cascade, judge, and the regressions of stacked members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polyvigil.cli.views.table import duration, table
from polyvigil.decide.cascade import Cascade, CascadeCounts
from polyvigil.decide.coverage import MemberCoverage
from polyvigil.decide.judge import Band, Judge
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.shift import Shift
from polyvigil.detect.stacked import StackedConfig, StackedDetector
from polyvigil.evaluation.intervals import share_interval
from polyvigil.evaluation.paired import Paired, PairedSlice
from polyvigil.evaluation.subsets import MemberSubset
from polyvigil.scoring.facts import ALL, OutputFacts
from polyvigil.types import Frozen

PAPER_P, PAPER_FURTHER = 7.01, 0.23
"""Singh 2026, on GLiNER features: the coefficient of P, and what each of the nine others stays below."""


def threshold_lines(policy: DecisionPolicy) -> list[str]:
    """Every threshold with its 95% interval and where it is from, then what to be wary of."""
    thresholds = [*policy.thresholds.items(), ("any other", policy.fallback)]
    rows = [
        (
            name,
            f"{one.value:.4f}",
            "" if one.low is None or one.high is None else f"{one.low:.3f}-{one.high:.3f}",
            one.source_name,
            one.rule,
            f"{one.posts:,}",
            f"{one.positives:,}",
        )
        for name, one in thresholds
    ]
    return [
        table(("language", "threshold", "95%", "source", "rule", "dev posts", "positives"), rows),
        *(f"{name}: {warning}" for name, one in thresholds for warning in one.warnings),
    ]


def prevalence_lines(facts: OutputFacts) -> list[str]:
    """At which share of ADEs p_calibrated holds, by language; nothing without a calibration."""
    named = {name: share for name, share in sorted(facts.prevalence.items()) if name != ALL}
    return prevalence_sentence({**named, **({"any other": facts.prevalence[ALL]} if ALL in facts.prevalence else {})})


def prevalence_sentence(shares: Mapping[str, float]) -> list[str]:
    """The same of shares by the name of a language: one line, or none."""
    if not shares:
        return []
    values = {f"{share:.1%}" for share in shares.values()}
    by_language = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    return [
        f"p_calibrated holds where so many posts mention an ADE: {values.pop() if len(values) == 1 else by_language}"
    ]


def shift_lines(shifts: Sequence[Shift]) -> list[str]:
    """Old thresholds beside new ones, and the share of posts that each flags."""
    rows = [
        (
            shift.language,
            f"{shift.posts:,}",
            f"{shift.old:.3f}",
            f"{shift.new:.3f}",
            f"{shift.new - shift.old:+.3f}",
            f"{shift.old_share:.1%}",
            f"{shift.new_share:.1%}",
            shift.source,
        )
        for shift in shifts
    ]
    header = ("language", "posts", "old", "new", "moved", "flagged before", "now", "source")
    return [table(header, rows)]


def subset_lines(subsets: Sequence[MemberSubset], *, what: str) -> list[str]:
    """What each set of members reaches, so that a user sees whether another one pays; nothing for one member.

    ``what`` heads the column of their names.
    """
    if not subsets:
        return []
    rows = [
        (
            " + ".join(subset.members),
            f"{subset.same_set_f1:.3f}",
            "" if subset.cross_fitted_f1 is None else f"{subset.cross_fitted_f1:.3f}",
            duration(subset.seconds),
        )
        for subset in subsets
    ]
    return [table((what, "same-set F1", "cross-fitted", "training"), rows), ""]


def coverage_lines(coverage: MemberCoverage) -> list[str]:
    """Which members count in which language, those with the same members together."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for language, members in coverage.languages.items():
        groups.setdefault(members, []).append(language)
    groups.setdefault(coverage.elsewhere, []).append("any other language")
    parts = (f"{', '.join(map(str, members))} in {', '.join(names)}" for members, names in groups.items())
    return [f"members that count: {'; '.join(parts)}"]


def cascade_lines(cascade: Cascade) -> list[str]:
    """Whom a cascade asks, and what that costs and changes."""
    rows = [_half("learned on", cascade.learned), _half("verified on", cascade.verified)]
    header = ("half of dev", "posts", "others called", "decided otherwise", "95%", "cost")
    return [
        f"cascade: member {cascade.first} decides alone unless its logit is within {cascade.band:.3f} of the"
        f" threshold's; stated disagreement {cascade.stated:.2%}; cost: as a share of asking all members",
        "",
        table(header, rows),
        "",
    ]


def _half(name: str, counts: CascadeCounts) -> tuple[str, ...]:
    interval = share_interval(counts.disagreeing, counts.posts)
    return (
        name,
        f"{counts.posts:,}",
        f"{counts.called:,} ({counts.called / max(counts.posts, 1):.1%})",
        f"{counts.disagreeing:,} ({counts.disagreement:.2%})",
        f"{interval.low:.2%}-{interval.high:.2%}",
        f"{counts.cost:.2f}",
    )


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


class Stack(Frozen):
    """The regression of one member."""

    member: int
    """Its place in the bundle, from 0."""
    config: StackedConfig


def stacks(members: Sequence[object]) -> list[Stack]:
    """The regressions of those members that have one."""
    return [
        Stack(member=index, config=member.config)
        for index, member in enumerate(members)
        if isinstance(member, StackedDetector)
    ]


def stack_lines(regressions: Sequence[Stack]) -> list[str]:
    """A table for each regression; nothing where there is none."""
    lines = []
    for stack in regressions:
        config = stack.config
        of_p = "P" if config.base_as == "p" else "logit of P"
        rows = [(f"{of_p} ({config.base})", f"{config.coefficients[0]:+.3f}", f"{PAPER_P:+.2f} (of P)")]
        rows += [
            (
                f"{name} ({config.further})",
                f"{coefficient:+.3f}",
                f"below {PAPER_FURTHER}" if config.further == "ner" else "",
            )
            for name, coefficient in zip(config.features, config.coefficients[1:], strict=True)
        ]
        rows.append(("intercept", f"{config.intercept:+.3f}", ""))
        lines += [
            "",
            f"member {stack.member}: logistic regression over",
            "",
            table(("feature", "coefficient", "paper"), rows),
        ]
        lines += ["" if config.base_as == "p" else 'to compare with the paper\'s: model.base_as = "p"']
    return lines
