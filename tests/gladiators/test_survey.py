"""Which steps can run with which models, and what makes a finished step another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
from polyvigil_gladiators import models, plan
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.models import ModelFolder, find, lacking
from polyvigil_gladiators.plan import Step
from polyvigil_gladiators.posts import Files, of_language, read
from polyvigil_gladiators.survey import StepStatus, leftovers, survey
from polyvigil_gladiators.tiny import FULL, TINY

FARSI = ("fa-v1", "fa-v2", "fa-v3")
LARGE, BASE, NLLB = "xlm-roberta-large", "xlm-roberta-base", "nllb-200-distilled-600M"


def standings(bench: Environment) -> dict[Step, StepStatus]:
    return survey(plan.steps_of(tuple(plan.ROWS.values())), bench)


def can_run(bench: Environment) -> set[str]:
    kinds = (plan.Translation, plan.Training)
    return {step.name for step, s in standings(bench).items() if s.state != "cannot run" and isinstance(step, kinds)}


@pytest.fixture
def bench(few: Path, every_model: Path, tmp_path: Path) -> Environment:
    return Environment(tmp_path / "out", TINY, ModelFolder(every_model, hub=False), read(Files((few,)).resolved))


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), set()),
        ((LARGE,), {"gladiators", "gladiators-fourth"}),
        ((BASE,), {"xlmr-base"}),
        ((BASE, NLLB), {"xlmr-base", "de-fr", "xlmr-base-de-fr", *FARSI}),
        (
            (LARGE, NLLB),
            {"gladiators", "gladiators-fourth", "de-fr", *FARSI, *(f"gladiators-{name}" for name in FARSI)},
        ),
        (("mDeBERTa-v3-base-mnli-xnli", "mdeberta-v3-base"), {"nli", "mdeberta"}),
    ],
)
def test_any_subset_of_models(
    bench: Environment, shelf: Callable[..., Path], there: tuple[str, ...], expected: set[str]
) -> None:
    folder = shelf(*there)
    bench = dataclasses.replace(bench, models=ModelFolder(folder, hub=False))
    assert can_run(bench) == expected
    if NLLB not in there:
        standing = standings(bench)[plan.SEEDS_FA["v2"]]
        missing = NLLB if LARGE in there else LARGE
        assert standing.reason == f"needs {missing} in {folder}"


def test_pickled_models_are_reported_with_convert(bench: Environment, every_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "mdeberta-v3-base").mkdir(parents=True)
    for file in (every_model / "mdeberta-v3-base").iterdir():
        if file.suffix != ".safetensors":
            (folder / "mdeberta-v3-base" / file.name).write_bytes(file.read_bytes())
    (folder / "mdeberta-v3-base" / "pytorch_model.bin").write_bytes(b"a pickle")
    reason = standings(dataclasses.replace(bench, models=ModelFolder(folder, hub=False)))[plan.MDEBERTA].reason
    assert "has its weights in pytorch_model.bin only" in reason
    assert f"polyvigil convert {folder / 'mdeberta-v3-base'} -o " in reason


def test_a_stacked_row_needs_both_of_its_models(bench: Environment, shelf: Callable[..., Path]) -> None:
    pytest.importorskip("gliner2")
    folder = shelf(BASE)
    one = dataclasses.replace(bench, models=ModelFolder(folder, hub=False))
    assert standings(one)[plan.STACKED].reason == f"needs gliner2-multi-v1 in {folder}"
    assert standings(bench)[plan.STACKED].state == "to do"


def test_a_language_without_posts_cannot_run(bench: Environment) -> None:
    pytest.importorskip("fugashi")
    assert standings(bench)[plan.JAPANESE].state == "to do"
    english = dataclasses.replace(bench, data=of_language(bench.data, "en"))
    assert standings(english)[plan.JAPANESE].reason == "needs train posts of both labels in ja"


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None if name == "fugashi" else object())
    assert lacking(("fugashi",)) == "needs fugashi, which is not installed: pip install 'polyvigil[ja]'"
    assert lacking(()) == ""
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    assert lacking(("gliner2",)) == "needs torch, which is not installed: pip install 'polyvigil[encoders]'"


def test_models_come_from_the_folder_or_the_hub(every_model: Path, tmp_path: Path) -> None:
    found = find("FacebookAI/xlm-roberta-base", ModelFolder(every_model, hub=False), fetch=True)
    assert (found.source, found.missing, len(found.version)) == (str(every_model / BASE), "", 12)
    unfetched = find("someone/not-fetched", ModelFolder(tmp_path, hub=True), fetch=False)
    assert (unfetched.source, unfetched.version, unfetched.missing) == ("someone/not-fetched", "", "")
    refused = find("no name of the hub", ModelFolder(tmp_path, hub=True), fetch=True)
    assert refused.missing.startswith(f"needs no name of the hub in {tmp_path}; no name of the hub: no network or no")
    none = find("someone/else", ModelFolder(None, hub=False), fetch=True)
    assert none.missing == "needs someone/else, and --models is not given"
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in find("a/empty", ModelFolder(tmp_path, hub=True), fetch=True).missing


def test_step_names_hash_their_inputs(bench: Environment, every_model: Path, tmp_path: Path) -> None:
    def names(other: Environment) -> dict[str, str]:
        made = (plan.Translation, plan.Training)  # what is made of bundles is named by theirs
        return {step.name: s.output.name for step, s in standings(other).items() if isinstance(step, made)}

    first = names(bench)
    assert names(dataclasses.replace(bench, output=tmp_path / "elsewhere")) == first
    moved = tmp_path / "moved"
    moved.symlink_to(every_model)
    assert names(dataclasses.replace(bench, models=ModelFolder(moved, hub=False))) == first
    material = bench.data
    without = dataclasses.replace(bench, data=dataclasses.replace(material, train=material.train[1:]))
    changed = {name for name, output in names(without).items() if output != first[name]}
    assert changed == set(first) - {"nli", "gliner"}  # which learn from no post
    without = dataclasses.replace(bench, data=dataclasses.replace(material, dev=material.dev[1:]))
    changed = {name for name, output in names(without).items() if output != first[name]}
    assert changed == set(first) - {"de-fr", *FARSI}
    full = names(dataclasses.replace(bench, scale=FULL))
    assert {name for name in first if full[name] == first[name]} == {"gliner"}  # which has no setting of its own there
    other = tmp_path / "other"
    other.mkdir()
    for model in every_model.iterdir():
        (other / model.name).symlink_to(model)
    (other / NLLB).unlink()
    (other / NLLB).symlink_to(every_model / LARGE)
    changed = {name for name, output in names(dataclasses.replace(bench, models=ModelFolder(other, hub=False))).items()
               if output != first[name]}  # fmt: skip
    assert changed == {"de-fr", *FARSI, "xlmr-base-de-fr", *(f"gladiators-{name}" for name in FARSI)}


def test_leftovers_of_other_posts_are_found(bench: Environment) -> None:
    found = standings(bench)
    current = found[plan.SEEDS].output
    old = current.with_name("gladiators-0123456789.work")
    for folder in (current, current.with_name(current.name + ".work"), old, current.with_name("my-own")):
        folder.mkdir(parents=True)
    assert leftovers(found, bench.output) == (old,)
    assert standings(bench)[plan.SEEDS].state == "begun"
