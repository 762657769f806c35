"""The translated posts of a reproduction: by a model of the NLLB family, of train posts alone, kept batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from polyvigil.data.read import read_labelled
from polyvigil.data.translated import is_translated
from polyvigil.errors import InterruptError
from polyvigil.workflows.learners import RunOptions
from polyvigil_gladiators import plan
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.models import ModelFolder
from polyvigil_gladiators.posts import Files, read
from polyvigil_gladiators.run import Done, StepOptions, run_steps
from polyvigil_gladiators.survey import survey
from polyvigil_gladiators.tiny import FULL, TINY

SMALL = dataclasses.replace(TINY, negatives=4, batch_tokens=1024)


def run(bench: Environment, *steps: plan.Step, stop: Callable[[], bool] = lambda: False) -> dict[plan.Step, Done]:
    machine = RunOptions("cpu", offline=True, stop=stop)
    return run_steps(survey(steps, bench), bench, options=StepOptions(machine))


@pytest.fixture
def bench(few: Path, every_model: Path, tmp_path: Path) -> Environment:
    material = read(Files((few,)).resolved)
    some = [item for item in material.train if item.post.id.endswith(("1", "2", "4"))]  # of both labels
    few_posts = dataclasses.replace(material, train=tuple(some))
    return Environment(tmp_path / "out", SMALL, ModelFolder(every_model, hub=False), few_posts)


def test_interrupted_translation_resumes_to_the_same_bytes(bench: Environment, tmp_path: Path) -> None:
    asked = iter([False, True])  # before the step, after its first batch
    with pytest.raises(InterruptError, match="the reproduction was stopped; run the same command again"):
        run(bench, plan.FA_V2, stop=lambda: next(asked))
    kept = (bench.output / "translated" / "translations.jsonl").read_text().count("\n")
    assert kept > 1
    output = survey([plan.FA_V2], bench)[plan.FA_V2].output
    assert not output.exists()
    done = run(bench, plan.FA_V2)[plan.FA_V2]
    assert (done.status.state, done.status.output) == ("done", output)
    assert (bench.output / "translated" / "translations.jsonl").read_text().count("\n") > kept
    clean = run(dataclasses.replace(bench, output=tmp_path / "clean"), plan.FA_V2)[plan.FA_V2]
    assert clean.status.output.read_bytes() == output.read_bytes()

    rows = read_labelled(output).posts
    train = {item.post.id: item for item in bench.data.train}
    for item in rows:
        source = train[item.post.id.removesuffix("__fa")]
        assert is_translated(item.post)
        assert item.label == source.label
        assert source.post.language in {"en", "ru"}
        assert item.post.language == "fa"
    assert sum(not item.label for item in rows) <= 4

    full = run(dataclasses.replace(bench, scale=dataclasses.replace(FULL, negatives=4)), plan.FA_V2)[plan.FA_V2]
    sieved = read_labelled(full.status.output).posts if full.status.state == "done" else ()
    assert len(sieved) < len(rows)  # letters at random hardly ever pass the filters


def test_positives_alone_go_to_german_and_french(bench: Environment) -> None:
    done = run(bench, plan.DE_FR)[plan.DE_FR]
    rows = read_labelled(done.status.output).posts
    assert {item.post.language for item in rows} == {"de", "fr"}
    assert all(item.label for item in rows)


def test_steps_after_a_failed_translation_fail(bench: Environment, every_model: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("xlm-roberta-large", "nllb-200-distilled-600M"):  # the second is no translator
        (models / name).symlink_to(every_model / "xlm-roberta-large")
    done = run(dataclasses.replace(bench, models=ModelFolder(models, hub=False)), plan.FA_V2, plan.SEEDS_FA["v2"])
    assert [told.status.state for told in done.values()] == ["failed", "failed"]
    assert "does not translate as NLLB does" in done[plan.FA_V2].status.reason
    assert done[plan.SEEDS_FA["v2"]].status.reason.startswith("fa-v2 failed: ")
