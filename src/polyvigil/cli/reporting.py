"""What ``evaluate`` and ``report`` share: the options of a report, writing it, and the line that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.output import Output

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.evaluation.measure import Measured
    from polyvigil.report.report import Report

_MOST_ERRORS = 20  # report.chart_data.MOST, which help must not import

Budget = Annotated[
    list[int] | None, typer.Option(min=1, help="Posts that can be read: the recall they reach. Repeatable.")
]
Prevalence = Annotated[
    float | None, typer.Option(help="Share of ADEs where it will be used: the precision to expect there.")
]
ShowErrors = Annotated[
    int,
    typer.Option(
        "--show-errors", min=0, max=_MOST_ERRORS, help="List so many false positives and negatives of each language."
    ),
]
OlderBundle = Annotated[
    str, typer.Option("--since", metavar="OLD", help="An older bundle: what its thresholds were, and are now.")
]

SliceColumns = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="COLUMN", help="Slice the posts by type, origin or any other column. Repeatable."),
]


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What was asked of a report. ``file`` is empty where the stored dev scores are measured."""

    command: str
    bundle: str
    file: str
    output: Path
    split: str = ""
    columns: Sequence[str] = ()
    settings: Sequence[str] = ()
    budgets: Sequence[int] = ()
    prevalence: float | None = None
    older: str = ""
    show_errors: int = 0
    slice_columns: Sequence[str] = ()
    device: str = "auto"

    @property
    def command_line(self) -> str:
        """The command line that makes the same report, quoted for a shell."""
        parts = ["polyvigil", self.command, self.bundle, *([self.file] if self.file else [])]
        parts += ["--split", self.split] if self.split else []
        repeated = (
            ("--by", self.slice_columns),
            ("--column", self.columns),
            ("--set", self.settings),
            ("--budget", self.budgets),
        )
        for option, values in repeated:
            for value in values:
                parts += [option, str(value)]
        parts += ["--prevalence", str(self.prevalence)] if self.prevalence is not None else []
        parts += ["--since", self.older] if self.older else []
        parts += ["--show-errors", str(self.show_errors)] if self.show_errors else []
        return shlex.join([*parts, "-o", str(self.output)])


def check_prevalence(prevalence: float | None) -> None:
    """Raises a usage error for a share outside (0, 1)."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise typer.BadParameter("a prevalence lies between 0 and 1", param_hint="--prevalence")


def unlabelled_hint(bundle: str, file: str) -> str:
    """The commands for a file of posts without labels."""
    folder, source = shlex.quote(bundle), shlex.quote(file)
    return (
        f"decide the posts with: polyvigil score {folder} {source} -o scored.csv "
        f"(for the shared task: polyvigil submit {folder} {source} -o submission.zip)"
    )


def make(out: Output, measured: Measured, bundle: Bundle, options: ReportOptions) -> tuple[Report, list[str]]:
    """Write the report that was wished for; returns it, and lines that say where it is."""
    from polyvigil.bundle.store import load
    from polyvigil.report.chart_data import PII_WARNING
    from polyvigil.report.render import write_report
    from polyvigil.report.report import report_of

    older = load(options.older, device=options.device) if options.older else None
    report = report_of(measured, bundle, command=options.command_line, older=older, show_errors=options.show_errors)
    path = write_report(report, options.output)
    if report.mistakes:
        out.warn(f"{path}: {PII_WARNING}")
    return report, ["", f"report: {path} ({path.stat().st_size / 1000:,.0f} kB)"]
