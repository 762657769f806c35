"""Run a bundle once over labelled posts, evaluate it, write the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from polyvigil.assess.evaluate import Evaluation, evaluate, gold_of, seen_before
from polyvigil.assess.leave_out import LeftOut, leave_one_language_out
from polyvigil.assess.render import report_html
from polyvigil.bundle.store import Bundle
from polyvigil.data.atomic import write_whole
from polyvigil.data.read import Reading
from polyvigil.decide.rules import DevScores
from polyvigil.errors import SplitError

REPORT = "report.html"
TWIN = "evaluation.json"


def measure(
    bundle: Bundle, reading: Reading, *, budgets: Sequence[int] = (), prevalence: float | None = None
) -> Evaluation:
    """Evaluate on posts the bundle was not fitted on.

    Raises SplitError when the file mixes splits and none was picked, or holds mostly training posts.
    """
    splits = Counter(item.post.split for item in reading.posts)
    if "train" in splits and len(splits) > 1:
        raise SplitError(
            f"the file mixes splits ({', '.join(f'{name or None}: {n:,}' for name, n in splits.items())})",
            where=reading.name,
            hint="pick one: --split test",
        )
    cautions = seen_before(reading.posts, bundle.seen.train, bundle.seen.dev, data=reading.name)
    return evaluate(
        gold_of(reading.posts),
        bundle.probabilities([item.post for item in reading.posts]),
        bundle.policy,
        calibration=bundle.calibration,
        trained_languages=bundle.manifest.trained_languages,
        bundle=bundle.id,
        data=Path(reading.name).name,
        budgets=budgets,
        prevalence=prevalence,
        cautions=cautions,
    )


def left_out(bundle: Bundle, reading: Reading) -> tuple[LeftOut, ...]:
    """Each language of the posts played as one without labels (assess.leave_out)."""
    gold = gold_of(reading.posts)
    probabilities = bundle.probabilities([item.post for item in reading.posts])
    return leave_one_language_out(DevScores(probabilities, gold.labels, gold.languages), spec=bundle.policy.spec)


def write_report(
    evaluation: Evaluation, bundle: Bundle, folder: Path, *, title: str = "", note: str = "", command: str = ""
) -> Path:
    """Write ``report.html`` and its JSON twin ``evaluation.json`` into ``folder``; returns the report's path."""
    write_whole(folder / TWIN, evaluation.model_dump_json(indent=2) + "\n")
    write_whole(folder / REPORT, report_html(evaluation, bundle, title=title, note=note, command=command))
    return folder / REPORT
