"""``polyvigil audit behaviour``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.checks.behaviour_suite import LANGUAGES, MAX_FAILURE
from polyvigil.cli.command import command
from polyvigil.cli.options import GATE, Device, OrOnHub, Replace
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.checks.behaviour import BehaviourResult, Cell


@command(
    group="audit",
    examples=(
        "polyvigil audit behaviour BUNDLE --language en --language de",
        "polyvigil audit behaviour BUNDLE --capability negation --max-failure 0.2 -o behaviour.json",
    ),
)
def behaviour(
    out: Output,
    bundle: Annotated[str, typer.Argument(help="The bundle to test."), OrOnHub],
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help=f"Test in this language only: {' '.join(LANGUAGES)}. Repeatable."),
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option("--capability", help="Test this only: negation, typo. Repeatable.")
    ] = None,
    max_failure: Annotated[
        float,
        typer.Option(
            "--max-failure",
            help="Exit with 3 when a row of the table has, in some language, the lower end of its failure rate's 95% "
            "interval above this; 0.5: it surely fails more often than not.",
        ),
    ] = MAX_FAILURE,
    gate_untrained: Annotated[
        bool, typer.Option("--gate-untrained", help="Let languages that the bundle was not trained on count too.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Which cases are drawn from the templates.")] = 42,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything as JSON, examples of failures included.")
    ] = None,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Try a bundle on authored sentences: negation, questions, relatives' ADEs, brand names, typing slips, ..."""
    from polyvigil.bundle.outputs import check_output
    from polyvigil.bundle.store import load
    from polyvigil.checks.behaviour import BEHAVIOUR
    from polyvigil.checks.behaviour import behaviour as run_behaviour

    if output:
        check_output(output, BEHAVIOUR, replace=replace, inputs=[bundle])
    result = run_behaviour(
        load(bundle, device=device),
        languages=language or (),
        capabilities=capability or (),
        seed=seed,
        max_failure=max_failure,
        gate_untrained=gate_untrained,
    )
    return _answer(out, result, output, replace=replace, gate_untrained=gate_untrained)


def _answer(
    out: Output, result: BehaviourResult, output: Path | None, *, replace: bool, gate_untrained: bool
) -> Answer:
    """The table of failures; everything goes to the file, if one was named. Exit code 3 where a cell fails."""
    from polyvigil.data.atomic import write_whole
    from polyvigil.errors import name_list

    if result.not_trained:
        counted = "and counted, as asked" if gate_untrained else "but not counted (--gate-untrained)"
        out.note(f"not trained on {name_list(result.not_trained)}: reported, {counted}")
    lines = behaviour_lines(result)
    if output:
        write_whole(output, result.model_dump_json(indent=2) + "\n", replace=replace)
        lines.append(f"everything: {output}")
    return Answer(result, lines, GATE if result.failing else 0)


def behaviour_lines(result: BehaviourResult) -> list[str]:
    """Failures of cases, what is expected as rows, language as column; then what the gate says no to, and why."""
    from polyvigil.cli.views.table import table

    rows = list(dict.fromkeys((cell.capability, cell.kind, cell.expect) for cell in result.cells))
    languages = list(dict.fromkeys(cell.language for cell in result.cells))
    failure_counts = {
        (cell.capability, cell.kind, cell.expect, cell.language): _failure_count(cell) for cell in result.cells
    }
    header = [f"{name} (not trained)" if name in result.not_trained else name for name in languages]
    cells = [(*row, *(failure_counts[*row, name] for name in languages)) for row in rows]
    lines = [
        "failed of all cases; ! fails the gate",
        "",
        table(("capability", "kind", "expected", *header), cells, left=3),
        "",
    ]
    for cell in result.failing:
        lines.append(
            f"{cell.language} {cell.capability}, {cell.expect}: {cell.rate:.0%} of {cell.cases} cases fail "
            f"(95% {cell.interval.low:.0%}-{cell.interval.high:.0%}), for example"
        )
        failure = cell.examples[0]
        for text, p, flagged in zip(failure.texts, failure.probabilities, failure.flagged, strict=True):
            lines.append(f"  {text}  [p {p:.3f}, {'flagged' if flagged else 'not flagged'}]")
        lines.append(f"  expected: {cell.expect}; {cell.rule}")
    counted = sum(cell.gated for cell in result.cells)
    return [
        *lines,
        *([""] if result.failing else []),
        f"{len(result.failing)} of {counted} cells surely fail more than {result.max_failure:.0%} of their cases",
        result.note,
    ]


def _failure_count(cell: Cell) -> str:
    return f"{'! ' if cell.fails else ''}{cell.failures}/{cell.cases}"
