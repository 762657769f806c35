"""The columns that say where in a post its score comes from, added to the output of scoring when asked for."""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.bundle.explain import explain
from polyvigil.bundle.store import Bundle
from polyvigil.scoring.wire import Decision
from polyvigil.types import Post

EVIDENCE_COLUMNS = ("evidence_start", "evidence_end")


def evidence_cells(bundle: Bundle, posts: Sequence[Post], decisions: Sequence[Decision]) -> list[dict[str, int | None]]:
    """EVIDENCE_COLUMNS of each post, in their order: the carrying sentence as code points of the text as it was
    written; None for a post that is not flagged, which has no evidence to show and costs nothing."""
    flagged = [post for post, decision in zip(posts, decisions, strict=True) if decision.decision]
    explanations = iter(explain(bundle, flagged))
    cells: list[dict[str, int | None]] = []
    for decision in decisions:
        sentence = next(explanations).sentence if decision.decision else None
        values = (sentence.start, sentence.end) if sentence else (None, None)
        cells.append(dict(zip(EVIDENCE_COLUMNS, values, strict=True)))
    return cells
