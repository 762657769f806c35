"""From the medicines and reactions that a model finds in a post to P(ADE) and nine features. Arithmetic alone.

==================  =========================================================================================
feature             of one post
==================  =========================================================================================
``reactions``       ln(1 + number of reactions)
``drugs``           ln(1 + number of drugs)
``best_reaction``   highest score of a reaction, in [0, 1]; 0 without one
``best_drug``       highest score of a drug, in [0, 1]; 0 without one
``mean_reaction``   mean score of the reactions, in [0, 1]; 0 without one
``mean_drug``       mean score of the drugs, in [0, 1]; 0 without one
``together``        best reaction x best drug, in [0, 1]: both are surely there
``nearness``        1 / (1 + gap / 20), gap in characters between the nearest reaction and drug (0 where they touch
                    or overlap), in [0, 1]; 0 without a pair
``covered``         share of the post's characters inside reactions, in [0, 1]
==================  =========================================================================================

All are of the order of 1, so that coefficients of a regression over them can be compared. Singh 2026 names nine GLiNER
features and not what they are; these are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    *("reactions", "drugs", "best_reaction", "best_drug", "mean_reaction", "mean_drug"),
    *("together", "nearness", "covered"),
)
_NEAR = 20.0  # characters: at this gap, a pair is half as near as one that touches


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` of a post, what it plays, and how sure the model is, in [0, 1]."""

    start: int
    end: int
    role: Literal["drug", "reaction"]
    score: float


def merged(entities: Sequence[Entity]) -> tuple[Entity, ...]:
    """Each span once for each role, with its highest score (two labels may find the same); by place, then role."""
    best: dict[tuple[int, int, Literal["drug", "reaction"]], float] = {}
    for entity in entities:
        key = (entity.start, entity.end, entity.role)
        best[key] = max(best.get(key, 0.0), entity.score)
    return tuple(Entity(start, end, role, score) for (start, end, role), score in sorted(best.items()))


def probability(entities: Sequence[Entity], *, alone: float) -> float:
    """P(ADE) of a post: best reaction x (alone + (1 - alone) x best drug), in [0, 1]; 0 without a reaction.

    ``alone``: what a reaction is worth where no drug is named, in [0, 1].
    """
    reaction = max(_scores(entities, "reaction"), default=0.0)
    drug = max(_scores(entities, "drug"), default=0.0)
    return reaction * (alone + (1 - alone) * drug)


def features(entities: Sequence[Entity], *, characters: int) -> NDArray[np.float64]:
    """The nine features of a post of so many ``characters``, (9,), in the order of FEATURES.

    ``entities`` are those that ``merged`` gives.
    """
    reactions, drugs = _scores(entities, "reaction"), _scores(entities, "drug")
    best_reaction, best_drug = max(reactions, default=0.0), max(drugs, default=0.0)
    return np.array(
        [
            math.log1p(len(reactions)),
            math.log1p(len(drugs)),
            best_reaction,
            best_drug,
            sum(reactions) / max(len(reactions), 1),
            sum(drugs) / max(len(drugs), 1),
            best_reaction * best_drug,
            _nearness(entities),
            _covered(entities) / max(characters, 1),
        ]
    )


def _scores(entities: Sequence[Entity], role: str) -> list[float]:
    return [entity.score for entity in entities if entity.role == role]


def _nearness(entities: Sequence[Entity]) -> float:
    gaps = [
        max(0, max(reaction.start, drug.start) - min(reaction.end, drug.end))
        for reaction in entities
        for drug in entities
        if (reaction.role, drug.role) == ("reaction", "drug")
    ]
    return 1 / (1 + min(gaps) / _NEAR) if gaps else 0.0


def _covered(entities: Sequence[Entity]) -> int:
    """Characters inside reactions, those of overlapping ones counted once."""
    total = reached = 0
    for start, end in sorted((entity.start, entity.end) for entity in entities if entity.role == "reaction"):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
