"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyvigil.config.model import StackedSpec
from polyvigil.config.recipe import FineTunedRecipe, Recipe
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.shift import Shift
from polyvigil.detect.base import CostEstimate, PoolingChoice, TrainingLog
from polyvigil.evaluation.evaluate import Evaluation, Slice
from polyvigil.evaluation.leave_out import LeftOut
from polyvigil.evaluation.subsets import MemberSubset
from polyvigil.evaluation.workload import Workload

WIDTH = 80
"""Columns of a terminal that every table fits, unless a single name is longer."""
_PAIRED = frozenset({"95%", "now", "second", "without", "first alone"})
_PAIRED_STARTS = ("after", "gain", "lost")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, dense: bool = False) -> str:
    """An aligned table of at most 80 columns; the first ``left`` columns are flush left, the others flush right.

    Columns are three spaces apart, two with ``dense`` or where three do not fit. A table that is wider than that goes
    on below itself: each part repeats the first ``left`` columns, and a value is not parted from its interval.
    """
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    if not dense and _total(widths, gap=3) <= WIDTH:
        return _grid(header, rows, range(len(header)), left=left, dense=False)
    parts = _parts(header, widths, left=left)
    return "\n\n".join(_grid(header, rows, part, left=left, dense=True) for part in parts)


def _parts(header: Sequence[str], widths: Sequence[int], *, left: int) -> list[list[int]]:
    """The indices of the columns of each part of a table, two spaces apart."""
    names = list(range(left))
    parts, current = [], names
    for group in _groups(header, left):
        wider = [*current, *group]
        if current != names and _total([widths[index] for index in wider], gap=2) > WIDTH:
            parts.append(current)
            wider = [*names, *group]
        current = wider
    return [*parts, current]


def _groups(header: Sequence[str], left: int) -> list[list[int]]:
    """The indices of columns that stay together: a value, its interval, and what it is compared with."""
    groups: list[list[int]] = []
    for index in range(left, len(header)):
        belongs = header[index] in _PAIRED or header[index].startswith(_PAIRED_STARTS)
        if belongs and groups:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _total(widths: Sequence[int], *, gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _grid(
    header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int], *, left: int, dense: bool
) -> str:
    """These columns of a table as text."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=dense)
    for index in columns:
        grid.add_column(Text(header[index]), justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(row[index]) for index in columns))
    text = StringIO()
    Console(file=text, width=400, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def evaluation_lines(evaluation: Evaluation, *, warned: Sequence[str] = ()) -> list[str]:
    """An evaluation as a table with language as row, and its cautions but those that the command has ``warned`` of."""
    header = ["language", "posts", "positives", "flagged", "precision", "recall", "F1", "95%", "AP", "95%", "threshold"]
    if evaluation.same_set:
        header[6:7] = ["F1 same set", "cross-fitted"]
    rows = [_row(part) for part in (*evaluation.languages, evaluation.pooled)]
    title = f"{evaluation.data}: {evaluation.posts:,} posts, {evaluation.positives:,} positive"
    return [
        title,
        "",
        table(header, rows),
        "",
        f"macro F1 {_macro(evaluation)} over the languages; pooled leaves the CADEC groups out, as the task does",
        *(f"caution: {caution}" for caution in evaluation.cautions if not _is_repeated(caution, warned)),
    ]


def _is_repeated(caution: str, warned: Sequence[str]) -> bool:
    """Whether a warning says the same: word for word, or of a threshold that the language has few positives."""
    language, few_positives, _ = caution.partition(": only ")
    few = tuple(f"{language}: found on {number}" for number in range(10)) if few_positives else ()
    return caution in warned or any(warning.startswith(few) for warning in warned if few)


def left_out_lines(results: Sequence[LeftOut]) -> list[str]:
    """Each language without its labels: F1 of each rule, and what it loses to the best threshold."""
    rules = list(results[0].guesses)
    rows = [
        (
            part.language,
            f"{part.positives:,}",
            part.like,
            f"{part.best_f1:.3f}",
            *(f"{guess.f1:.3f} (-{guess.regret:.3f})" for guess in (part.guesses[rule] for rule in rules)),
        )
        for part in results
    ]
    means = {rule: sum(part.guesses[rule].regret for part in results) / len(results) for rule in rules}
    return [
        table(("language", "positives", "most like", "best F1", *rules), rows),
        "",
        "mean regret: " + ", ".join(f"{rule} {regret:.3f}" for rule, regret in means.items()),
        "F1 of a threshold found without the language's labels, and what it loses to the best one on these very posts",
        *(f"{part.language}: {warning}" for part in results for warning in part.warnings),
    ]


def workload_lines(workload: Workload) -> list[str]:
    """What the figures mean for those who read: posts for each ADE, recall within a budget, how far to read."""
    parts = [*workload.languages, workload.pooled]
    first = parts[0]
    header = ["language", "posts per ADE", "95%"]
    header += [f"recall in {one.budget:,}" for one in first.budgets]
    header += [f"read for {one.recall:.0%}" for one in first.reading]
    header += [f"PPV at {first.predictive_value.prevalence:.1%}"] if first.predictive_value else []
    rows = []
    for part in parts:
        per = part.per_ade
        row = [
            part.name,
            "" if per.value is None else f"{per.value:.1f}",
            f"{per.low:.1f}-" + ("" if per.high is None else f"{per.high:.1f}"),
        ]
        row += [f"{one.recall:.2f} ({one.interval.low:.2f}-{one.interval.high:.2f})" for one in part.budgets]
        row += [f"{one.share:.0%} ({one.interval.low:.0%}-{one.interval.high:.0%})" for one in part.reading]
        if value := part.predictive_value:
            row.append(f"{value.value:.2f} ({value.interval.low:.2f}-{value.interval.high:.2f})")
        rows.append(row)
    return ["", table(header, rows)]


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


def dry_run_lines(recipe: Recipe, estimate: CostEstimate | None) -> list[str]:
    """What a training would take: the first member measured or estimated, the others like it."""
    if estimate is not None and not estimate.measured_steps:
        from polyvigil.cli.estimate_tables import estimate_lines

        return estimate_lines(recipe, estimate)
    if not recipe.learns:
        return [
            "one zero-shot model, taken as it is (fetched if need be): as long as it takes to score the dev posts",
            "",
        ]
    if not isinstance(recipe, FineTunedRecipe):
        stack = f", learned {recipe.model.folds + 1} times" if isinstance(recipe.model, StackedSpec) else ""
        return [f"one linear model{stack}: no steps, no checkpoints, seconds to a minute", ""]
    encoder = recipe.encoder
    members, epochs = len(recipe.member_seeds), recipe.training.epochs
    if estimate is None:
        return [
            f"{encoder.name} is not on this machine and its shape is not known here: it is fetched when training "
            "begins, and until then nobody knows its time, memory and disk",
            "",
        ]
    steps = f"{estimate.steps_per_epoch:,} steps"
    disk = (
        f"{size(estimate.most_disk)} meanwhile, {size(estimate.checkpoint_bytes)} of it the checkpoints of one member; "
    )
    disk += f"{size(members * estimate.member_bytes)} after it"
    in_all = f"{duration(members * estimate.seconds)} in all"
    rows = [
        ("members", f"{members}, one for each seed"),
        ("parameters", f"{estimate.parameters / 1e6:,.1f}M, {estimate.trained / 1e6:,.1f}M of them trained"),
        ("epochs", f"{epochs} of {estimate.posts_per_epoch:,} posts, {estimate.tokens_per_epoch:,} tokens, {steps}"),
        ("full length", f"{estimate.full:,} posts fill all {encoder.max_tokens} tokens; {_LONG[encoder.long_posts]}"),
        (
            "time",
            f"about {duration(estimate.seconds)} a member, {in_all}; measured on {estimate.measured_steps} of {steps}",
        ),
        ("memory", f"{estimate.peak_memory / 1e9:.1f} GB at the peak of these steps, on {estimate.device}"),
        ("disk", disk),
    ]
    if isinstance(recipe.model, StackedSpec):
        rows.append(
            ("stack", f"time and checkpoints are of {recipe.model.folds + 1} trainings; the further model is extra")
        )
    return [*(f"{name:<12} {value}" for name, value in rows), ""]


_LONG = {
    "windows": "most of them are longer and are read in windows",
    "head-tail": "most of them have lost their middle",
    "cut": "most of them are cut",
}


def size(number: int) -> str:
    """``3.2 MB``, ``1.1 GB``."""
    return f"{number / 1e6:,.1f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"


def epoch_lines(seed: int, log: TrainingLog) -> list[str]:
    """A training, epoch by epoch: the table of the paper's appendix A, and what each epoch cost."""
    rows = [
        (
            f"{record.epoch}{' *' if record is log.best else ''}",
            f"{record.loss:.4f}",
            f"{record.learning_rate:.1e}",
            f"{record.dev_f1:.4f}",
            duration(record.seconds),
            f"{record.posts_per_second:,.1f}",
            f"{record.peak_memory / 1e9:.1f} GB",
        )
        for record in log.epochs
    ]
    header = ("epoch", "loss", "lr", "dev F1 (same set)", "time", "posts/s", "memory")
    lines = [f"seed {seed}, {log.device}; * the epoch that is kept", "", table(header, rows), ""]
    return [*lines, *_pooling_lines(log.pooling), ""] if log.pooling else lines


def _pooling_lines(choice: PoolingChoice) -> list[str]:
    of = f"{choice.long_posts:,} dev posts of several windows, {choice.long_positives:,} with an ADE"
    if not choice.figures:
        return [f"windows are pooled by {choice.chosen}, as trained; {of}: too few to choose"]
    values = ", ".join(f"{name} {value:.3f}" for name, value in choice.figures.items())
    return [f"windows are pooled by {choice.chosen}, by cross-fitted dev figures: {values}; {of}"]


def duration(seconds: float) -> str:
    """``42 s``, ``3.5 min``, ``2.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _macro(evaluation: Evaluation) -> str:
    interval = evaluation.macro_f1_interval
    text = f"{evaluation.macro_f1:.3f} ({interval.low:.3f}-{interval.high:.3f})"
    if evaluation.cross_fitted_macro_f1 is None:
        return text
    return f"{text}, cross-fitted {evaluation.cross_fitted_macro_f1:.3f},"


def _row(part: Slice) -> tuple[str, ...]:
    source = "" if part.threshold_source in {None, "own"} else f" {part.threshold_source}"
    interval = part.cross_fitted.f1_interval if part.cross_fitted else part.f1_interval
    crossed = (f"{part.cross_fitted.f1:.3f}",) if part.cross_fitted else ()
    return (
        part.name,
        f"{part.posts:,}",
        f"{part.positives:,}",
        f"{part.flagged:,}",
        f"{part.precision:.3f}",
        f"{part.recall:.3f}",
        f"{part.f1:.3f}",
        *crossed,
        f"{interval.low:.3f}-{interval.high:.3f}",
        f"{part.average_precision:.3f}",
        f"{part.average_precision_interval.low:.3f}-{part.average_precision_interval.high:.3f}",
        "" if part.threshold is None else f"{part.threshold:.3f}{source}",
    )
