"""Every error this library raises on purpose.

::

    PolyvigilError           code      exit  what went wrong
    ├── RecipeError          recipe       2  a recipe or an option is wrong; all its faults are in one message
    ├── DataError            data         2  a file cannot be read as posts
    │   └── SplitError       split        2  one set of posts is used for two purposes
    ├── PredictionsError     predictions  2  a predictions file does not answer the gold file
    ├── BundleError          bundle       4  a bundle is missing, damaged or not to be trusted
    ├── StoreError           store        4  a review store is missing, damaged, or of another version
    │   └── StoreAwayError   store_away   1  a review store cannot be reached now: in use, database away, disk full
    ├── ReviewError          (its own)    2  a reviewer's action is refused: decided by another, not theirs, ...
    ├── ScoringError         scoring      1  a scoring run cannot go on: its processes are killed, the cluster is gone
    ├── ServiceError         service      1  the scoring service cannot start, or cannot be asked
    ├── TrainingError        training     1  a training run cannot go on: no memory, no disk, numbers that overflow
    ├── EndpointError        endpoint     1  a chat endpoint cannot be asked
    ├── HubError             hub          1  the Hugging Face hub cannot be reached, or refuses
    └── InterruptError       interrupted 130  the user pressed Ctrl-C (143: SIGTERM, 129: SIGHUP)

A message says what is wrong, where, and what to do. The exit codes are used by the command line alone, which has 3 for
a gate that says no and 5 for rows set aside besides.

What to do about a library that is not installed is said here alone: ``require`` and ``not_installed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import ClassVar


class PolyvigilError(Exception):
    """Base of all errors raised on purpose: ``message``, and apart from it ``hint`` (next step) and ``where``."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}; {self.hint}" if self.hint else head


class RecipeError(PolyvigilError):
    """A recipe or an option is wrong."""

    code = "recipe"
    exit_code = 2


class DataError(PolyvigilError):
    """A file cannot be read as posts."""

    code = "data"
    exit_code = 2


class DataWarning(UserWarning):
    """Rows of the data were set aside, since ``on_error="quarantine"`` was chosen."""


class SplitError(DataError):
    """One set of posts is used for two purposes (fitting and reporting, say)."""

    code = "split"


class PredictionsError(PolyvigilError):
    """A predictions file does not answer the gold file, id by id."""

    code = "predictions"
    exit_code = 2


class BundleError(PolyvigilError):
    """A bundle is missing, damaged, or not to be trusted."""

    code = "bundle"
    exit_code = 4


class StoreError(PolyvigilError):
    """A review store is missing, damaged, or of another version."""

    code = "store"
    exit_code = 4


class StoreAwayError(StoreError):
    """A review store cannot be reached now; nothing of what was being written is in it."""

    code = "store_away"
    exit_code = 1


class ReviewError(PolyvigilError):
    """A reviewer's action is refused, and nothing was written; ``code`` says why.

    ``no_task``: no such task; ``decided``: the task has its decision; ``not_yours``: another person holds it;
    ``undo_blocked``: nothing to take back, or another's decision stands on it; ``role``: the person may not do this;
    ``usage``: the request itself is wrong.
    """

    exit_code = 2

    def __init__(self, code: str, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message, hint=hint, where=where)
        self.code = code  # type: ignore[misc]  # of this refusal, not of the class


class TrainingError(PolyvigilError):
    """A training run cannot begin, go on or be resumed."""

    code = "training"
    exit_code = 1


class EndpointError(PolyvigilError):
    """A chat endpoint gives no answer that can be used."""

    code = "endpoint"
    exit_code = 1


class HubError(PolyvigilError):
    """The Hugging Face hub cannot be reached, refuses, or has no such bundle."""

    code = "hub"
    exit_code = 1


class ScoringError(PolyvigilError):
    """A scoring run cannot go on."""

    code = "scoring"
    exit_code = 1


class ServiceError(PolyvigilError):
    """The scoring service cannot start, or one at a URL cannot be asked."""

    code = "service"
    exit_code = 1


class InterruptError(PolyvigilError):
    """The user pressed Ctrl-C, or the system asked the program to end."""

    code = "interrupted"
    exit_code = 130


def name_list(names: Sequence[str], *, most: int = 8) -> str:
    """Names for a message that fits a line: the first few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def install_command(extra: str) -> str:
    """The command that installs an extra of this library (pyproject.toml), as ``encoders``."""
    return f"pip install 'polyvigil[{extra}]'"


def not_installed(
    library: str | None, *, extra: str, needed_by: str, where: str = "", error: type[PolyvigilError] = RecipeError
) -> PolyvigilError:
    """The error for a library that is missing: "``needed_by`` needs ``library``", and how to install its ``extra``.

    ``library`` may be the ``name`` of a ModuleNotFoundError. Torch comes first, in the build that fits the machine.
    """
    torch_first = "install torch for this machine, then: " if library == "torch" else ""
    hint = torch_first + install_command(extra)
    return error(f"{needed_by} needs {library}, which is not installed", where=where, hint=hint)


def require(
    *libraries: str, extra: str, needed_by: str, where: str = "", error: type[PolyvigilError] = RecipeError
) -> None:
    """Import the libraries of an extra; raises ``error``, as ``not_installed`` words it, for one that is missing."""
    try:
        for library in libraries:
            import_module(library)
    except ModuleNotFoundError as missing:
        raise not_installed(missing.name, extra=extra, needed_by=needed_by, where=where, error=error) from missing
