"""The whole as one document: ``reproduction.json``, and ``reproduction.md`` to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyvigil.data.atomic import write_whole
from polyvigil.data.sample import SAMPLE_NOTE
from polyvigil.workflows.learners import Say
from polyvigil_gladiators import plan
from polyvigil_gladiators.context import context_of
from polyvigil_gladiators.layout import columns, title
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import differences
from polyvigil_gladiators.result import VERDICTS, Reproduction, StepKind, StepTold
from polyvigil_gladiators.run import Done
from polyvigil_gladiators.survey import Bench
from polyvigil_gladiators.tables import figures

MEANINGLESS = (
    f"Every figure here is meaningless: the models have random weights, and the posts are made up. {SAMPLE_NOTE}"
)


def reproduction(
    rows: Sequence[Row],
    bench: Bench,
    done: Mapping[Step, Done],
    *,
    obstacles: Mapping[str, str],
    say: Say = lambda _: None,
) -> Reproduction:
    """Measure what is there, and put the paper's figures beside. ``obstacles``: why rows cannot run, by their names."""
    unlike = differences(bench.material)
    context = context_of(done, bench, other_data=bool(unlike), obstacles=obstacles)
    return Reproduction(
        scale=bench.scale.name,
        meaningless=bench.scale.meaningless,
        data=bench.material.data,
        differences=unlike,
        figures=figures(rows, context, say=say),
        obstacles=dict(obstacles),
        steps=tuple(
            StepTold(
                name=step.name,
                what=_KINDS[type(step)],
                state=told.standing.state,
                reason=told.standing.reason,
                seconds=round(told.seconds, 1),
                output=str(told.standing.output),
                users=plan.users(step, rows),
            )
            for step, told in context.done.items()
        ),
    )


_KINDS: Mapping[type, StepKind] = {
    Translation: "translation",
    Training: "training",
    Scoring: "scores",
    Audit: "audit",
}


def write(told: Reproduction, folder: Path) -> tuple[Path, Path]:
    """Write both files and return their paths."""
    document, page = folder / "reproduction.json", folder / "reproduction.md"
    write_whole(document, told.model_dump_json(indent=2) + "\n")
    write_whole(page, _markdown(told))
    return document, page


def cautions(told: Reproduction) -> list[str]:
    """What a reader must know before any figure."""
    lines = [MEANINGLESS] if told.meaningless else []
    if told.differences and not told.meaningless:
        lines.append("The posts are others than the paper's, so no figure is compared: " + "; ".join(told.differences))
    return lines


def _markdown(told: Reproduction) -> str:
    lines = ["# The paper's tables, run again", "", *(f"**{caution}**\n" for caution in cautions(told))]
    for table in dict.fromkeys(figure.table for figure in told.figures):
        shown = columns(told, table)
        lines += [f"## {title(table)}", "", _row(shown.header), _row(["---"] * len(shown.header))]
        lines += [*map(_row, shown.rows), "", *(f"({place}) {note}\n" for place, note in enumerate(shown.notes, 1))]
    there = {figure.verdict for figure in told.figures}
    lines += ["## Verdicts", "", *(f"- **{name}**: {what}" for name, what in VERDICTS.items() if name in there), ""]
    lines += ["## Steps", "", _row(("step", "state", "for")), _row(("---",) * 3)]
    lines += [
        _row((step.name, f"{step.state}: {step.reason}" if step.reason else step.state, ", ".join(step.users)))
        for step in told.steps
    ]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
