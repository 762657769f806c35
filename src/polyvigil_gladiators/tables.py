"""The paper's tables, computed again from stored scores: Table 2 (approaches), and Tables 4 to 7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from polyvigil.bundle.dev import Record
from polyvigil.config.decide import DecideSpec
from polyvigil.data.read import read_labelled
from polyvigil.evaluation.intervals import Interval
from polyvigil.text.language import is_cadec
from polyvigil.types import LabelledPost
from polyvigil.workflows.learners import Log
from polyvigil_gladiators import paper, plan
from polyvigil_gladiators.context import Context, Result, judged
from polyvigil_gladiators.measure import f1_of, of_seeds, precision_of, recall_of, together, whole
from polyvigil_gladiators.official import table3
from polyvigil_gladiators.plan import Row, Table
from polyvigil_gladiators.remarks import text
from polyvigil_gladiators.result import Measured, Metric


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


def measure_rows(rows: Sequence[Row], context: Context, *, log: Log = lambda _: None) -> tuple[Metric, ...]:
    """The metrics of these rows, in the paper's order. ``say`` is given each table as it begins."""
    made: list[Metric] = []
    for table in plan.TABLES:
        chosen = [row for row in rows if row.table == table]
        if chosen:
            log(f"measuring {table}")
            made += _TABLES[table](context, chosen)
    return tuple(made)


def table1(context: Context, row: Row) -> list[Metric]:
    """The numbers of posts, and how long they are."""
    train, dev = ([item for item in part if not is_cadec(item.post.language)] for part in _parts(context))
    counts = {
        "train posts": Counter(item.post.language for item in train),
        "dev posts": Counter(item.post.language for item in dev),
        "dev positives": Counter(item.post.language for item in dev if item.label),
    }
    tests = Counter(post.language for post in context.test.posts) if context.test else None
    positives = Counter(item.post.language for item in train if item.label)
    made = []
    for posts in paper.POSTS:
        for what, value in (
            ("train posts", posts.train),
            ("dev posts", posts.dev),
            ("dev positives", posts.dev_positives),
        ):
            made.append(_counted(context, row, posts.language, what, value, counts[what][posts.language]))
        number = counts["train posts"][posts.language]
        share = 100 * positives[posts.language] / number if number else None
        made.append(
            _counted(context, row, posts.language, "train positive, %", posts.train_positive, share, decimals=1)
        )
    for language, number in [(posts.language, posts.test) for posts in paper.POSTS] + [("fa", paper.FARSI_TEST)]:
        there = tests[language] if tests is not None else None
        made.append(_counted(context, row, language, "test posts", number, there, decimals=-2))
    made += _cadec(context, row, tests)
    learned = len(context.data.train) + 2 * sum(item.label for item in context.data.train)
    made.append(_counted(context, row, "all", "learned from in an epoch", paper.LEARNED_FROM, learned))
    for language, mean in paper.MEAN_CHARACTERS.items():
        lengths = [len(item.post.text) for item in train if item.post.language == language]
        measured = float(np.mean(lengths)) if lengths else None
        made.append(_counted(context, row, language, "mean characters", mean, measured))
    return made


def table4(context: Context, row: Row) -> list[Metric]:
    """Of each epoch of seed 42 the loss, the learning rate and dev F1."""
    made = []
    for epoch in paper.TABLE4:
        columns = (("loss", epoch.loss, 4), ("learning rate", epoch.learning_rate, 7), ("F1", epoch.dev_f1, 3))
        for what, value, decimals in columns:
            blank = _blank("table4", f"epoch {epoch.epoch}", what, value, decimals=decimals)
            made.append(judged(blank, context, row, partial(_in_epoch, what=what, epoch=epoch.epoch)))
    return made


def table5(context: Context, row: Row) -> list[Metric]:
    """Of each set of seeds that the paper names the F1 of their mean."""
    made = []
    for seeds in paper.TABLE5:
        blank = _blank(
            "table5", " + ".join(map(str, seeds.seeds)), "F1", seeds.f1, decimals=paper.decimals_of(seeds.f1)
        )
        made.append(judged(blank, context, row, partial(_of_some, seeds=seeds.seeds)))
    return made


def thresholds(context: Context, row: Row) -> list[Metric]:
    """Of each language dev F1 and threshold of the ensemble, and where the paper has them precision and recall."""
    made = []
    for language in paper.THRESHOLDS:
        columns = {
            "F1": language.f1,
            "threshold": language.threshold,
            "precision": language.precision,
            "recall": language.recall,
        }
        for what, value in columns.items():
            if value is not None:
                blank = _blank("thresholds", language.language, what, value, decimals=3 if what == "F1" else 2)
                measure = partial(_in_language, what=what, language=language.language)
                made.append(judged(blank, context, row, measure))
    return made


def _parts(context: Context) -> tuple[tuple[LabelledPost, ...], tuple[LabelledPost, ...]]:
    return context.data.train, context.data.dev


def _cadec(context: Context, row: Row, tests: Counter[str] | None) -> list[Metric]:
    train, dev = ([item for item in part if is_cadec(item.post.language)] for part in _parts(context))
    made = [
        _counted(context, row, "cadec", "train posts", paper.CADEC_TRAIN, len(train)),
        _counted(
            context, row, "cadec", "train positives", paper.CADEC_TRAIN_POSITIVES, sum(item.label for item in train)
        ),
        _counted(context, row, "cadec", "dev posts", paper.CADEC_DEV, len(dev)),
    ]
    for language in ("de_cadec", "fr_cadec"):
        measured = tests[language] if tests is not None else None
        made.append(_counted(context, row, language, "test posts", paper.CADEC_TEST, measured))
    return made


def _counted(
    context: Context, row: Row, name: str, what: str, value: float, measured: float | None, *, decimals: int = 0
) -> Metric:
    """A number of posts or the like: it is the paper's, as printed, or it is not."""
    blank = _blank("table1", name, what, value, decimals=decimals)
    if measured is None:
        reason = "no test posts" if what == "test posts" else "there are no such posts"
        return blank.model_copy(update={"verdict": "cannot run", "reason": reason})
    exact = Measured(value=measured, interval=Interval(low=measured, high=measured))
    return judged(blank, context, row, lambda _: Result(exact))


def _blank(table: Table, row: str, what: str, value: float, *, decimals: int) -> Metric:
    return Metric(table=table, row=row, what=what, paper=value, decimals=decimals, verdict="not judged")


def _in_language(context: Context, *, what: str, language: str) -> Result | None:
    record = context.records[plan.SEEDS]
    part = next((part for part in together([whole(record)]).languages if part.name == language), None)
    if part is None:
        return None
    if what != "threshold":
        return Result({"F1": f1_of, "precision": precision_of, "recall": recall_of}[what](part))
    threshold = record.policy.threshold(language)
    known = threshold.low is not None and threshold.high is not None
    interval = Interval(low=threshold.low, high=threshold.high) if known else None
    return Result(Measured(value=threshold.value, interval=interval))


def _in_epoch(context: Context, *, what: str, epoch: int) -> Result | None:
    record = context.records[plan.SEEDS]
    log = record.logs[plan.SEED_NUMBERS.index(paper.SEED)]
    ended = next((ended for ended in (log.epochs if log else ()) if ended.epoch == epoch), None)
    if log is None or ended is None:
        return None
    if what == "loss":
        return Result(Measured(value=ended.loss))
    if what == "learning rate":  # it follows from a formula: the digits must be the same
        rate = ended.learning_rate
        return Result(Measured(value=rate, interval=Interval(low=rate, high=rate)))
    if ended is not log.best:
        return Result(Measured(value=ended.dev_f1))
    return Result(f1_of(together([of_seeds(record, (paper.SEED,))]).pooled), ("the epoch that is kept",))


def _of_some(context: Context, *, seeds: Sequence[int]) -> Result:
    return Result(f1_of(together([of_seeds(context.records[plan.SEEDS], seeds)]).pooled))


_TABLES: Mapping[Table, Callable[[Context, Sequence[Row]], list[Metric]]] = {
    "table1": lambda context, rows: table1(context, rows[0]),
    "table2": table2,
    "table3": lambda context, rows: table3(context, rows[0]),
    "table4": lambda context, rows: table4(context, rows[0]),
    "table5": lambda context, rows: table5(context, rows[0]),
    "thresholds": lambda context, rows: thresholds(context, rows[0]),
    "text": text,
}
