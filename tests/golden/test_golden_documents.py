"""The ``--json`` document of each command, what it writes, and its options are as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden import support
from tests.golden.cases import CASES
from tests.golden.support import DOCUMENTS, EXACT, EXPECTED, LOOSE, OPTIONS, Case

from polyvigil.cli.commands import REVIEWS

_ABSOLUTE = {False: 2e-6, True: 1e-3}
"""Of a probability, or a difference of two, by an encoder on another kind of CPU; of one with lean weights."""
_TURNED = frozenset({"flips", "f1_after", "worst", "worst_at", "same_set_f1"})
"""What counts decisions: posts at a threshold fall on its other side in bfloat16 on another kind of CPU."""
SAME_MACHINE = support.fingerprint() == json.loads(EXPECTED.read_text(encoding="utf-8"))["fingerprint"]
NEEDS = {
    "encoder": ("torch", "transformers"),
    "ner": ("torch", "transformers", "gliner2", "fugashi"),
    "onnx": ("torch", "transformers", "onnx", "onnxscript", "onnxruntime"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workplace of its own for each command."""
    support.one_thread()
    return support.workplace(tmp_path.resolve() / "work")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_commands_print_the_pinned_document(case: Case, folder: Path) -> None:
    for name in NEEDS.get(case.uses, ()):
        pytest.importorskip(name)
    golden = json.loads((DOCUMENTS / f"{case.name}.json").read_text(encoding="utf-8"))
    now = json.loads(support.dumped(support.document(case, folder)))
    relative = LOOSE if case.uses else EXACT
    lean = case.name.rpartition("-")[2] in support.LEAN
    absolute = 1e-12 if SAME_MACHINE or not case.uses else _ABSOLUTE[lean]
    if case.name == "export-bf16" and not SAME_MACHINE:
        golden, now = (support.masked(each, str(folder), _TURNED) for each in (golden, now))
    ids = SAME_MACHINE or not case.makes
    found = support.differences(golden, now, relative=relative, absolute=absolute, ids=ids)
    assert not found, "\n".join([*found[:20], f"{len(found)} differences; meant? python -m tests.golden.regenerate"])


def test_every_document_has_its_case() -> None:
    assert sorted(path.stem for path in DOCUMENTS.glob("*.json")) == sorted(
        [*(case.name for case in CASES), OPTIONS.stem]
    )


def test_every_command_with_a_document_is_pinned() -> None:
    pinned = {case.line for case in CASES}
    missing = [
        name
        for name in support.command_names()
        if name not in NOT_PINNED and not any(line == name or line.startswith(f"{name} ") for line in pinned)
    ]
    assert not missing


NOT_PINNED = ("demo", "push", "serve", *(f"review {name}" for name in REVIEWS))
"""demo makes its own corpus of 10,000 posts and takes too long here; tests/cli/test_cli.py runs it. serve does not end
by itself; tests/serve runs it. Documents of review hold the id, times and hashes of a new store;
tests/review/test_commands.py runs them."""


def test_commands_and_options_are_pinned() -> None:
    golden = json.loads(OPTIONS.read_text(encoding="utf-8"))
    now = {name: support.option_names(name) for name in support.command_names()}
    assert now == golden
