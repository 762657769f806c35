"""Tables 3 to 5: the three plain seeds, by language, by epoch and by subset; and all tables in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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


def figures(tables: Sequence[Table], context: Context, *, say: Say = lambda _: None) -> tuple[Figure, ...]:
    """All figures of these tables, in the paper's order. ``say`` is told each table as it begins."""
    made: list[Figure] = []
    for table in tables:
        say(f"measuring {table}")
        made += _MAKERS[table](context)
    return tuple(made)


def table3(context: Context) -> list[Figure]:
    """Of each language F1 and threshold of the ensemble, and where the paper has them precision and recall."""
    made = []
    evaluation = _of_seeds(context, lambda record: together([whole(record)]))
    for row in paper.TABLE3:
        wanted = {"F1": (row.f1, 3), "threshold": (row.threshold, 2)}
        wanted |= {"precision": (row.precision, 2)} if row.precision is not None else {}
        wanted |= {"recall": (row.recall, 2)} if row.recall is not None else {}
        for what, (figure, decimals) in wanted.items():
            blank = _blank("table3", row.language, what, figure, decimals=decimals)
            made.append(
                judged(
                    blank,
                    context,
                    [plan.SEEDS],
                    lambda records, blank=blank: _in_language(blank, records[0], evaluation),  # type: ignore[misc]
                )
            )
    return made


def table4(context: Context) -> list[Figure]:
    """Of each epoch of seed 42 the loss, the learning rate and dev F1."""
    made = []
    for row in paper.TABLE4:
        for what, figure, decimals in (
            ("loss", row.loss, 4),
            ("learning rate", row.learning_rate, 7),
            ("F1", row.dev_f1, 3),
        ):
            blank = _blank("table4", f"epoch {row.epoch}", what, figure, decimals=decimals)
            made.append(
                judged(
                    blank,
                    context,
                    [plan.SEEDS],
                    lambda records, blank=blank, epoch=row.epoch: _in_epoch(blank, records[0], epoch),  # type: ignore[misc]
                )
            )
    return made


def table5(context: Context) -> list[Figure]:
    """Of each set of seeds that the paper names the F1 of their mean."""
    made = []
    for row in paper.TABLE5:
        blank = _blank("table5", " + ".join(map(str, row.seeds)), "F1", row.f1, decimals=max(3, len(str(row.f1)) - 2))
        made.append(
            judged(
                blank,
                context,
                [plan.SEEDS],
                lambda records, seeds=row.seeds: Found(f1_of(together([of_seeds(records[0], seeds)]).pooled)),  # type: ignore[misc]
            )
        )
    return made


def _blank(table: Table, row: str, what: str, figure: float | None, *, decimals: int) -> Figure:
    assert figure is not None
    return Figure(table=table, row=row, what=what, paper=figure, decimals=decimals, verdict="not judged")


def _of_seeds(context: Context, make: Callable[[Record], Evaluation]) -> Evaluation | None:
    record = context.records.get(plan.SEEDS)
    return make(record) if record else None


def _in_language(blank: Figure, record: Record, evaluation: Evaluation | None) -> Found | None:
    part = next((part for part in (evaluation.languages if evaluation else ()) if part.name == blank.row), None)
    if part is None:
        return None
    if blank.what != "threshold":
        return Found({"F1": f1_of, "precision": precision_of, "recall": recall_of}[blank.what](part))
    threshold = record.policy.threshold(blank.row)
    known = threshold.low is not None and threshold.high is not None
    interval = Interval(low=threshold.low, high=threshold.high) if known else None
    return Found(Measured(same_set=threshold.value, interval=interval))


def _in_epoch(blank: Figure, record: Record, epoch: int) -> Found | None:
    log = record.logs[plan.SEED_NUMBERS.index(paper.SEED)]
    told = next((told for told in (log.epochs if log else ()) if told.epoch == epoch), None)
    if log is None or told is None:
        return None
    if blank.what == "loss":
        return Found(Measured(same_set=told.loss))
    if blank.what == "learning rate":  # it follows from a formula: the digits must be the same
        return Found(
            Measured(same_set=told.learning_rate, interval=Interval(low=told.learning_rate, high=told.learning_rate))
        )
    if told is not log.best:
        return Found(Measured(same_set=told.dev_f1))
    return Found(f1_of(together([of_seeds(record, (paper.SEED,))]).pooled), ("the epoch that is kept",))


_MAKERS: Mapping[Table, Callable[[Context], list[Figure]]] = {
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
}
