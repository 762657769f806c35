"""The program, run in the tests' own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polyvigil.cli import main as program

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(capfd: pytest.CaptureFixture[str]) -> Ran:
    """Runs the program in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = program.run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    return run
