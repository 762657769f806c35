"""Tables 3 to 5: the three plain seeds, by language, by epoch and by subset; and all tables in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from polyvigil.assess.evaluate import Evaluation
from polyvigil.assess.intervals import Interval
from polyvigil.bundle.record import Record
from polyvigil.recipe.learners import Say
from polyvigil.reproduce import paper, plan
from polyvigil.reproduce.approaches import table2
from polyvigil.reproduce.context import Context, Found, judged
from polyvigil.reproduce.measure import f1_of, of_seeds, precision_of, recall_of, together, whole
from polyvigil.reproduce.plan import Table
from polyvigil.reproduce.told import Figure, Measured


def figures(wanted: Sequence[str], context: Context, *, say: Say = lambda _: None) -> tuple[Figure, ...]:
    """All figures of what is wanted (plan.named), in the paper's order. ``say`` is told each table as it begins."""
    made: list[Figure] = []
    if keys := plan.rows(wanted):
        say("measuring table2")
        made += table2(context, keys)
    for table, make in _OTHERS.items():
        if table in wanted:
            say(f"measuring {table}")
            made += make(context)
    return tuple(made)


def table3(context: Context) -> list[Figure]:
    """Of each language F1 and threshold of the ensemble, and where the paper has them precision and recall."""
    record = context.records.get(plan.SEEDS)
    evaluation = together([whole(record)]) if record else None
    made = []
    for row in paper.TABLE3:
        wanted = {"F1": row.f1, "threshold": row.threshold, "precision": row.precision, "recall": row.recall}
        for what, figure in wanted.items():
            if figure is not None:
                blank = _blank("table3", row.language, what, figure, decimals=3 if what == "F1" else 2)
                measure = partial(_in_language, what=what, language=row.language, evaluation=evaluation)
                made.append(judged(blank, context, [plan.SEEDS], measure))
    return made


def table4(context: Context) -> list[Figure]:
    """Of each epoch of seed 42 the loss, the learning rate and dev F1."""
    made = []
    for row in paper.TABLE4:
        wanted = (("loss", row.loss, 4), ("learning rate", row.learning_rate, 7), ("F1", row.dev_f1, 3))
        for what, figure, decimals in wanted:
            blank = _blank("table4", f"epoch {row.epoch}", what, figure, decimals=decimals)
            made.append(judged(blank, context, [plan.SEEDS], partial(_in_epoch, what=what, epoch=row.epoch)))
    return made


def table5(context: Context) -> list[Figure]:
    """Of each set of seeds that the paper names the F1 of their mean."""
    made = []
    for row in paper.TABLE5:
        blank = _blank("table5", " + ".join(map(str, row.seeds)), "F1", row.f1, decimals=paper.places(row.f1))
        made.append(judged(blank, context, [plan.SEEDS], partial(_of_some, seeds=row.seeds)))
    return made


def _blank(table: Table, row: str, what: str, figure: float, *, decimals: int) -> Figure:
    return Figure(table=table, row=row, what=what, paper=figure, decimals=decimals, verdict="not judged")


def _in_language(records: Sequence[Record], *, what: str, language: str, evaluation: Evaluation | None) -> Found | None:
    part = next((part for part in (evaluation.languages if evaluation else ()) if part.name == language), None)
    if part is None:
        return None
    if what != "threshold":
        return Found({"F1": f1_of, "precision": precision_of, "recall": recall_of}[what](part))
    threshold = records[0].policy.threshold(language)
    known = threshold.low is not None and threshold.high is not None
    interval = Interval(low=threshold.low, high=threshold.high) if known else None
    return Found(Measured(same_set=threshold.value, interval=interval))


def _in_epoch(records: Sequence[Record], *, what: str, epoch: int) -> Found | None:
    log = records[0].logs[plan.SEED_NUMBERS.index(paper.SEED)]
    told = next((told for told in (log.epochs if log else ()) if told.epoch == epoch), None)
    if log is None or told is None:
        return None
    if what == "loss":
        return Found(Measured(same_set=told.loss))
    if what == "learning rate":  # it follows from a formula: the digits must be the same
        rate = told.learning_rate
        return Found(Measured(same_set=rate, interval=Interval(low=rate, high=rate)))
    if told is not log.best:
        return Found(Measured(same_set=told.dev_f1))
    return Found(f1_of(together([of_seeds(records[0], (paper.SEED,))]).pooled), ("the epoch that is kept",))


def _of_some(records: Sequence[Record], *, seeds: Sequence[int]) -> Found:
    return Found(f1_of(together([of_seeds(records[0], seeds)]).pooled))


_OTHERS: Mapping[Table, Callable[[Context], list[Figure]]] = {
    "table3": table3,
    "table4": table4,
    "table5": table5,
}
