"""Table 2: the eleven approaches, pooled dev F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from polyvigil.bundle.record import Record
from polyvigil.data.read import read_labelled
from polyvigil.detect import stacked
from polyvigil.reproduce import paper, plan
from polyvigil.reproduce.context import Context, Found, judged
from polyvigil.reproduce.measure import f1_of, of_seeds, together, whole
from polyvigil.reproduce.plan import Part
from polyvigil.reproduce.told import Figure
from polyvigil.specs import DecideSpec


def table2(context: Context, keys: Sequence[str]) -> list[Figure]:
    """The rows of these keys, in the paper's order."""
    return [_figure(row, context) for row in paper.TABLE2 if row.key in keys]


def _figure(row: paper.Approach, context: Context) -> Figure:
    parts = plan.ROWS[row.key]
    blank = Figure(
        table="table2",
        row=row.name,
        what="F1",
        paper=row.f1,
        decimals=paper.places(row.f1),
        paper_flagged=row.flagged,
        verdict="not judged",
    )
    return judged(
        blank, context, [part.training for part in parts], lambda records: _found(row.key, parts, records, context)
    )


def _found(key: str, parts: Sequence[Part], records: Sequence[Record], context: Context) -> Found:
    shares = [whole(record, part.weight) for record, part in zip(records, parts, strict=True)]
    if key == "best-seed":
        return _best_seed(records[0])
    notes = _translated(parts, context)
    if key in {"gliner", "nli"}:
        fixed = together(shares, decide=DecideSpec(rule="fixed")).pooled
        notes.append(
            f"at 0.5 in every language {fixed.flagged:,} posts are flagged, F1 {fixed.f1:.3f};"
            " the paper does not tell its threshold"
        )
    elif key == "stacked":
        notes.append(_coefficients(records[0]))
    elif key == "mixed":
        alone = together([shares[1]]).pooled.f1
        notes.append(f"mDeBERTa alone: F1 {alone:.3f}, the paper's {paper.MDEBERTA:.3f}")
    elif key == "farsi" and plan.SEEDS in context.records:
        notes += _japanese(context.records[plan.SEEDS], records[0])
    elif key == "cross-regime":
        turned = together([whole(records[0], parts[1].weight), whole(records[1], parts[0].weight)]).pooled.f1
        notes.append(
            f"the paper's weights are {parts[0].weight} and {parts[1].weight}, and it is doubtful which are whose: here"
            f" the plain seeds have the first; the other way round F1 is {turned:.4f}"
        )
    return Found(f1_of(together(shares).pooled), tuple(notes))


def _best_seed(record: Record) -> Found:
    """The member of the highest same-set F1, the first on ties."""
    alone = [together([of_seeds(record, (seed,))]).pooled for seed in plan.SEED_NUMBERS]
    best = max(range(len(alone)), key=lambda place: alone[place].f1)
    told = f"seed {plan.SEED_NUMBERS[best]} of {', '.join(map(str, plan.SEED_NUMBERS))}"
    return Found(f1_of(alone[best]), (f"{told}; chosen on the posts it is measured on",))


def _translated(parts: Sequence[Part], context: Context) -> list[str]:
    """What translations a row learned from."""
    notes = []
    for translation in {part.training.translation: None for part in parts if part.training.translation}:
        posts = read_labelled(context.done[translation].standing.output).posts
        positives = sum(item.label for item in posts)
        by_language = Counter(item.post.language for item in posts)
        told = ", ".join(f"{number:,} in {language}" for language, number in sorted(by_language.items()))
        unsieved = "; the filters of translations were off" if context.meaningless else ""
        notes.append(f"translated posts: {told}, {positives / len(posts):.1%} positive{unsieved}")
    return notes


def _coefficients(record: Record) -> str:
    config = stacked.read(record.folder / record.manifest.members[0].folder)
    first, *others = config.coefficients
    return (
        f"coefficient of P {first:+.2f}, of the others at most {max(map(abs, others)):.2f};"
        f" the paper's {paper.STACKED_P:+.2f} and below {paper.STACKED_FURTHER}"
    )


def _japanese(plain: Record, farsi: Record) -> list[str]:
    """What the Farsi posts do to the threshold of Japanese."""
    before, after = (record.policy.thresholds.get("ja") for record in (plain, farsi))
    if not before or not after:
        return []
    first, second = paper.JAPANESE_THRESHOLDS
    return [f"Japanese threshold {before.value:.2f} without, {after.value:.2f} with; the paper's {first} and {second}"]
