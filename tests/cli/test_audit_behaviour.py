"""``audit behaviour`` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvigil.checks.behaviour import BehaviourResult
from polyvigil.cli import main as program


def _run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = program.run(["audit", "behaviour", *map(str, arguments)])
    return code, *capfd.readouterr()


def test_gate_exit_codes_are_3_and_0(bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    of = (bundle_folder, "--language", "en", "--language", "ja")
    code, out, err = _run(capfd, *of, "--max-failure", 0)
    assert code == 3
    assert out.startswith("failed of all cases; ! fails the gate\n")
    assert any(line.split()[:3] == ["reaction", "functionality", "ade"] and "! " in line for line in out.splitlines())
    assert "expected: ade; a disorder that the author puts down to a drug counts, in lay words too" in out
    assert "cells surely fail more than 0% of their cases" in out
    assert "authored, synthetic sentences" in out
    assert err == ""
    code, out, _ = _run(capfd, *of, "--max-failure", 1, "-o", tmp_path / "told.json")
    assert code == 0
    assert "0 of 40 cells surely fail more than 100% of their cases" in out
    assert "! " not in out.partition("\n")[2]
    assert len(BehaviourResult.model_validate_json((tmp_path / "told.json").read_bytes()).cells) == 40


def test_json_is_the_file(bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "told.json"
    code, out, _ = _run(
        capfd, bundle_folder, "--capability", "negation", "--max-failure", 0, "--seed", 5, "--json", "-o", file
    )
    document = json.loads(out)
    assert (document["command"], document["ok"], code) == ("audit behaviour", code == 0, 3)
    assert document["data"] == json.loads(file.read_text(encoding="utf-8"))
    assert document["data"]["seed"] == 5
    assert {cell["capability"] for cell in document["data"]["cells"]} == {"negation"}
    assert document["data"]["not_trained"] == ["fr", "ru", "zh", "fa"]
    assert document["warnings"] == ["not trained on fr, ru, zh, fa: reported, but not counted (--gate-untrained)"]


def test_untrained_languages_count_with_the_option(bundle_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    of = (bundle_folder, "--language", "fa", "--max-failure", 0)
    code, out, err = _run(capfd, *of)
    assert code == 0
    assert "fa (not trained)" in out
    assert err == "note: not trained on fa: reported, but not counted (--gate-untrained)\n"
    code, _, err = _run(capfd, *of, "--gate-untrained")
    assert code == 3
    assert err == "note: not trained on fa: reported, and counted, as asked\n"


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        (
            "--language",
            "tlh",
            "error: --language: no behaviour suite for language 'tlh'\n  next: there are: en, de, fr, ",
        ),
        (
            "--capability",
            "typos",
            "error: --capability: no capability 'typos'\n  next: there are: reaction, indication",
        ),
        ("--max-failure", "50", "error: --max-failure: 50.0 is no share\n  next: give one from 0 to 1, as 0.5"),
    ],
)
def test_wrong_options(
    bundle_folder: Path, option: str, value: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capfd, bundle_folder, option, value)
    assert (code, out) == (2, "")
    assert err.startswith(told)


def test_no_bundle_is_4(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capfd, tmp_path / "none")
    assert code == 4
    assert "no such folder" in err
