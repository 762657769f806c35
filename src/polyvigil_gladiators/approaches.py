"""Table 2: the eleven approaches, pooled dev F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from polyvigil.bundle.record import Record
from polyvigil.config.decide import DecideSpec
from polyvigil.data.read import read_labelled
from polyvigil_gladiators import paper, plan
from polyvigil_gladiators.context import Context, Result, judged
from polyvigil_gladiators.measure import f1_of, of_seeds, together, whole
from polyvigil_gladiators.plan import Row
from polyvigil_gladiators.result import Metric


def table2(context: Context, rows: Sequence[Row]) -> list[Metric]:
    """These rows of Table 2."""
    approaches = {approach.key: approach for approach in paper.TABLE2}
    metrics = []
    for row in rows:
        approach = approaches[row.key]
        blank = Metric(
            table="table2",
            row=approach.name,
            what="F1",
            paper=approach.f1,
            decimals=paper.decimals_of(approach.f1),
            paper_flagged=approach.flagged,
            verdict="not judged",
        )
        metrics.append(judged(blank, context, row, partial(_measure, row=row)))
    return metrics


def _measure(context: Context, *, row: Row) -> Result:
    records = [context.records[part.training] for part in row.parts]
    if row.key == "best-seed":
        return _best_seed(records[0])
    shares = [whole(record, part.weight) for record, part in zip(records, row.parts, strict=True)]
    notes = _translations(row, context)
    if row.key in {"gliner", "nli"}:
        fixed = together(shares, decide=DecideSpec(rule="fixed")).pooled
        notes.append(
            f"at 0.5 in every language {fixed.flagged:,} posts are flagged, F1 {fixed.f1:.3f};"
            " the paper does not tell its threshold"
        )
    elif row.key == "cross-regime":
        notes.append("weights 1.0 for the plain seeds and 0.7 for the Farsi-augmented ones (section 4.1 of the paper)")
    return Result(f1_of(together(shares).pooled), tuple(notes))


def _best_seed(record: Record) -> Result:
    """The member of the highest same-set F1, the first on ties."""
    alone = [together([of_seeds(record, (seed,))]).pooled for seed in plan.SEED_NUMBERS]
    best = max(range(len(alone)), key=lambda number: alone[number].f1)
    seeds = f"seed {plan.SEED_NUMBERS[best]} of {', '.join(map(str, plan.SEED_NUMBERS))}"
    return Result(f1_of(alone[best]), (f"{seeds}; chosen on the posts it is measured on",))


def _translations(row: Row, context: Context) -> list[str]:
    """What translations a row learned from."""
    notes = []
    for translation in {part.training.translation: None for part in row.parts if part.training.translation}:
        posts = read_labelled(context.done[translation].status.output).posts
        positives = sum(item.label for item in posts)
        by_language = Counter(item.post.language for item in posts)
        counts = ", ".join(f"{number:,} in {language}" for language, number in sorted(by_language.items()))
        unsieved = "; the filters of translations were off" if context.meaningless else ""
        notes.append(f"translated posts: {counts}, {positives / len(posts):.1%} positive{unsieved}")
    return notes
