"""Tables about ensembles and cascades, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polyvigil.cli.tables import table
from polyvigil.decide.cascade import Cascade, CascadeCounts
from polyvigil.evaluation.intervals import share_interval
from polyvigil.evaluation.paired import Difference
from polyvigil.evaluation.subsets import MemberAblation, WeightGain

if TYPE_CHECKING:
    from polyvigil.workflows.ensemble import EnsembleMember


def member_lines(members: Sequence[EnsembleMember]) -> list[str]:
    """Who is in, and how much each counts."""
    rows = [
        (member.name, member.kind, member.source, f"{member.weight:.3f}" if member.weight else "left out")
        for member in members
    ]
    return [table(("member", "kind", "from bundle", "weight"), rows, left=3), ""]


def weight_gain_lines(weight_gain: WeightGain | None) -> list[str]:
    """What fitted weights gain over equal ones; nothing where none were fitted."""
    if weight_gain is None:
        return []
    return [
        f"fitted weights: AP {weight_gain.fitted:.4f} on dev posts they were not fitted to, equal "
        f"weights {weight_gain.equal:.4f},"
        f" gain {weight_gain.gain:+.4f} ({weight_gain.low:+.4f} to {weight_gain.high:+.4f}); means "
        f"over {weight_gain.folds} folds",
        "",
    ]


def ablation_lines(ablations: Sequence[MemberAblation]) -> list[str]:
    """The ensemble with and without each member; nothing for one member."""
    if not ablations:
        return []
    dilutes = any(member.dilutes for member in ablations)
    rows = [
        (
            member.member,
            f"{member.average_precision.second:.4f}",
            f"{member.average_precision.first:.4f}",
            _with_interval(member.average_precision),
            f"{member.f1.second:.4f}",
            f"{member.f1.first:.4f}",
            _with_interval(member.f1),
            *((" and ".join(member.dilutes),) if dilutes else ()),
        )
        for member in ablations
    ]
    header = (
        "member",
        "AP with",
        "without",
        "gain without (95%)",
        "F1 with",
        "without",
        "gain without (95%)",
        *(("dilutes",) if dilutes else ()),
    )
    return [
        "pooled, F1 cross-fitted; a member dilutes where the gain without it is above 0",
        "",
        table(header, rows),
        "",
    ]


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


def _with_interval(difference: Difference) -> str:
    return f"{difference.difference:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
