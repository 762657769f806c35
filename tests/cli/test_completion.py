"""Completion in a shell, by the protocol that the shell's own script speaks to the program."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def _completed(line: str) -> list[str]:
    """What bash is offered for the last word of ``line``."""
    words = line.split(" ")
    asked = {"_POLYVIGIL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    program = [sys.executable, "-m", "polyvigil"]
    done = subprocess.run(program, env=os.environ | asked, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("polyvigil ev", ["evaluate"]),
        ("polyvigil audit d", ["data", "drift"]),
        ("polyvigil evaluate --on", ["--on-error"]),
        ("polyvigil evaluate BUNDLE test.csv --on-error ", ["quarantine", "fail"]),
        ("polyvigil nothing", []),
    ],
)
def test_commands_options_and_choices_are_completed(line: str, words: list[str]) -> None:
    assert _completed(line) == words


def test_the_script_for_a_shell_is_shown() -> None:
    program, asked = [sys.executable, "-m", "polyvigil"], {"_POLYVIGIL_COMPLETE": "source_zsh"}
    done = subprocess.run(program, env=os.environ | asked, capture_output=True, text=True, check=True)
    assert "#compdef polyvigil" in done.stdout
    assert "_POLYVIGIL_COMPLETE=complete_zsh" in done.stdout
