"""The whole as one document: ``reproduction.json``, and ``reproduction.md`` to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyvigil.data.atomic import write_whole
from polyvigil.data.sample import SAMPLE_NOTE
from polyvigil.workflows.learners import Log
from polyvigil_gladiators import plan
from polyvigil_gladiators.context import context_of
from polyvigil_gladiators.layout import columns, title
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import differences
from polyvigil_gladiators.result import VERDICTS, Reproduction, StepKind, StepRecord
from polyvigil_gladiators.run import Done
from polyvigil_gladiators.survey import Environment
from polyvigil_gladiators.tables import measure_rows

MEANINGLESS = (
    f"Every figure here is meaningless: the models have random weights, and the posts are made up. {SAMPLE_NOTE}"
)


def reproduction(
    rows: Sequence[Row],
    environment: Environment,
    done: Mapping[Step, Done],
    *,
    obstacles: Mapping[str, str],
    log: Log = lambda _: None,
) -> Reproduction:
    """Measure what is there, and put the paper's figures beside. ``obstacles``: why rows cannot run, by their names."""
    unlike = differences(environment.data)
    context = context_of(done, environment, other_data=bool(unlike), obstacles=obstacles)
    return Reproduction(
        scale=environment.scale.name,
        meaningless=environment.scale.meaningless,
        data=environment.data.data,
        differences=unlike,
        figures=measure_rows(rows, context, log=log),
        obstacles=dict(obstacles),
        steps=tuple(
            StepRecord(
                name=step.name,
                what=_KINDS[type(step)],
                state=outcome.status.state,
                reason=outcome.status.reason,
                seconds=round(outcome.seconds, 1),
                output=str(outcome.status.output),
                users=plan.users(step, rows),
            )
            for step, outcome in context.done.items()
        ),
    )


_KINDS: Mapping[type, StepKind] = {
    Translation: "translation",
    Training: "training",
    Scoring: "scores",
    Audit: "audit",
}


def write(result: Reproduction, folder: Path) -> tuple[Path, Path]:
    """Write both files and return their paths."""
    document, markdown = folder / "reproduction.json", folder / "reproduction.md"
    write_whole(document, result.model_dump_json(indent=2) + "\n")
    write_whole(markdown, _markdown(result))
    return document, markdown


def cautions(result: Reproduction) -> list[str]:
    """What a reader must know before any figure."""
    lines = [MEANINGLESS] if result.meaningless else []
    if result.differences and not result.meaningless:
        lines.append(
            "The posts are others than the paper's, so no figure is compared: " + "; ".join(result.differences)
        )
    return lines


def _markdown(result: Reproduction) -> str:
    lines = ["# The paper's tables, run again", "", *(f"**{caution}**\n" for caution in cautions(result))]
    for table in dict.fromkeys(metric.table for metric in result.figures):
        shown = columns(result, table)
        lines += [f"## {title(table)}", "", _row(shown.header), _row(["---"] * len(shown.header))]
        lines += [*map(_row, shown.rows), "", *(f"({number}) {note}\n" for number, note in enumerate(shown.notes, 1))]
    there = {metric.verdict for metric in result.figures}
    lines += ["## Verdicts", "", *(f"- **{name}**: {what}" for name, what in VERDICTS.items() if name in there), ""]
    lines += ["## Steps", "", _row(("step", "state", "for")), _row(("---",) * 3)]
    lines += [
        _row((step.name, f"{step.state}: {step.reason}" if step.reason else step.state, ", ".join(step.users)))
        for step in result.steps
    ]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
