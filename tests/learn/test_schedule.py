"""The schedule and the parameter groups are those of Transformers."""
# ruff: noqa: E402

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from tiny import KINDS, tiny_folder

from polyvigil.learn.schedule import parameter_groups, step_schedule, steps_per_epoch, warmup_cosine, warmup_steps
from polyvigil.nn.encoder import load_encoder


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (7, 0), (50, 5), (101, 11), (20, 20)])
def test_the_schedule_equals_transformers_at_every_step(steps: int, warmup: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    theirs = transformers.get_cosine_schedule_with_warmup(optimiser, warmup, steps)
    for step in range(steps + 1):
        mine = 2e-5 * warmup_cosine(step, steps=steps, warmup=warmup)
        assert mine == theirs.get_last_lr()[0]
        optimiser.step()
        theirs.step()


def test_warm_up_is_counted_as_by_the_trainer_and_ends_at_zero() -> None:
    arguments = transformers.TrainingArguments(output_dir="unused", warmup_steps=0.1, use_cpu=True, report_to=[])
    for steps in (1, 9, 10, 11, 8515):
        assert warmup_steps(0.1, steps=steps) == arguments.get_warmup_steps(steps)
    assert warmup_cosine(8515, steps=8515, warmup=852) == 0.0


def test_the_learning_rates_are_those_of_the_papers_table_4() -> None:
    each = steps_per_epoch(54_503, posts_per_step=32, last_batch="dropped")
    warmup = warmup_steps(0.1, steps=5 * each, rounding="down")
    assert (each, 5 * each, warmup) == (1_703, 8_515, 851)
    rates = [1e-5 * warmup_cosine(e * each, steps=5 * each, warmup=warmup) for e in range(1, 6)]
    assert [round(rate, 7) for rate in rates] == [9.7e-6, 7.5e-6, 4.1e-6, 1.2e-6, 0.0]


def test_steps_of_an_epoch() -> None:
    assert [steps_per_epoch(n, posts_per_step=32) for n in (1, 32, 33, 54_503)] == [1, 1, 2, 1_704]
    dropped = [steps_per_epoch(n, posts_per_step=32, last_batch="dropped") for n in (1, 32, 33, 63, 64)]
    assert dropped == [1, 1, 1, 1, 2]  # fewer posts than a step are still one


def test_every_parameter_decays_where_that_is_set() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    model[0].bias.requires_grad_(False)
    [group] = parameter_groups(model, weight_decay=0.01, on="all")
    assert group["weight_decay"] == 0.01
    assert [id(p) for p in group["params"]] == [id(model[0].weight), *(id(p) for p in model[1].parameters())]


@pytest.mark.parametrize("kind", KINDS)
def test_the_groups_are_the_trainers(tmp_path: Path, kind: str) -> None:
    model = load_encoder(str(tiny_folder(tmp_path, kind)), max_tokens=16, offline=True).model
    frozen = next(model.parameters())
    frozen.requires_grad_(False)
    decaying = set(transformers.Trainer.get_decay_parameter_names(None, model))
    decay, no_decay = parameter_groups(model, weight_decay=0.01)
    expected = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    assert decay["weight_decay"] == 0.01
    assert no_decay["weight_decay"] == 0.0
    assert [id(p) for p in decay["params"]] == [id(p) for name, p in expected if name in decaying]
    assert [id(p) for p in no_decay["params"]] == [id(p) for name, p in expected if name not in decaying]
    assert decay["params"]
    assert no_decay["params"]


@pytest.mark.parametrize("last_batch", ["kept", "dropped"])
@pytest.mark.parametrize("rounding", ["up", "down"])
def test_a_schedule_counts_its_steps_and_posts(last_batch: str, rounding: str) -> None:
    for posts in (1, 7, 8, 53):
        schedule = step_schedule(
            posts,
            epochs=3,
            posts_per_step=8,
            peak_rate=0.1,
            warmup=0.3,
            warmup_rounding=rounding,
            last_batch=last_batch,
        )
        sizes = [min(8, posts - first) for first in range(0, posts, 8)]
        sizes = [size for size in sizes if size == 8] or sizes if last_batch == "dropped" else sizes
        assert schedule.steps_per_epoch == len(sizes)
        assert schedule.posts_per_epoch == sum(sizes)
        assert schedule.steps == 3 * len(sizes)
        assert schedule.posts_left(epoch=1, posts=sizes[0]) == 2 * sum(sizes) - sizes[0]
        rates = [schedule.rate(step) for step in range(schedule.steps)]
        assert max(rates) == pytest.approx(0.1)
        assert rates.index(max(rates)) == schedule.warmup == warmup_steps(0.3, steps=schedule.steps, rounding=rounding)
        assert schedule.rate(schedule.steps) == pytest.approx(0.0)
