"""Learning from a teacher: the loss against identities and a brute-force twin, and training with it."""
# ruff: noqa: E402

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from small import SPEC, TRAIN, SmallEncoder, digest, facts, run, weights

from polyvigil.config.training import DistilSpec
from polyvigil.errors import InterruptError, TrainingError
from polyvigil.learn.distil import SoftTargets, TeacherTargets, soft_targets, softened
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.losses import cross_entropy, focal, soft_cross_entropy
from polyvigil.learn.sampling import epoch_order
from polyvigil.learn.schedule import warmup_cosine
from polyvigil.types import Post

P = np.random.default_rng(5).random(len(TRAIN.labels))


def taught(*, weight: float, temperature: float = 1.0, p: np.ndarray = P) -> object:
    """The small posts, every fourth without a label, with a teacher's word on all of them."""
    unlabelled = np.arange(len(P)) % 4 == 1
    soft = SoftTargets(softened(p, temperature=temperature), weight, temperature)
    return replace(TRAIN, weights=np.where(unlabelled, 0.0, TRAIN.weights), soft=soft)


def case(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.rand(n, dtype=torch.float64, generator=generator)


# -- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_the_gradient_equals_finite_differences(temperature: float) -> None:
    logits, p = case()
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, p, temperature=temperature), (logits,), eps=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_loss_is_cross_entropy_of_softened_probabilities(temperature: float) -> None:
    logits, p = case()
    targets = torch.from_numpy(softened(p.numpy(), temperature=temperature))
    found = soft_cross_entropy(logits, targets, temperature=temperature).tolist()
    for (no, yes), of_teacher, loss in zip(logits.tolist(), p.tolist(), found, strict=True):
        teacher = 1 / (1 + math.exp(-math.log(of_teacher / (1 - of_teacher)) / temperature))
        student = 1 / (1 + math.exp(-(yes - no) / temperature))
        by_hand = -(teacher * math.log(student) + (1 - teacher) * math.log(1 - student)) * temperature**2
        assert loss == pytest.approx(by_hand, rel=1e-9)


def test_targets_that_are_labels_give_the_cross_entropy() -> None:
    logits, p = case()
    labels = (p > 0.5).long()
    assert torch.equal(soft_cross_entropy(logits, labels.double(), temperature=1.0), cross_entropy(logits, labels))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_student_equal_to_the_teacher_has_no_gradient(temperature: float) -> None:
    logits, _ = case()
    p = torch.softmax(logits.detach(), dim=1)[:, 1].numpy()
    targets = torch.from_numpy(softened(p, temperature=temperature))
    soft_cross_entropy(logits, targets, temperature=temperature).sum().backward()
    assert float(logits.grad.abs().max()) < 1e-12 * temperature**2


def test_softening_keeps_0_half_and_1() -> None:
    p = np.array([0.0, 1e-9, 0.5, 0.9, 1.0])
    assert softened(p, temperature=1.0) is p
    flat = softened(p, temperature=2.0)
    assert flat[[0, 2, 4]].tolist() == [0.0, 0.5, 1.0]
    assert np.all(np.diff(flat) > 0)
    assert flat[3] == pytest.approx(3 / 4)  # odds of 9 become odds of 3


def test_targets_cover_training_then_unlabelled_posts() -> None:
    spec = DistilSpec(teacher="b", weight=0.3, temperature=2.0)
    lesson = TeacherTargets(spec, "0", np.array([0.9, 0.5]), (Post("a", "b"),), np.array([0.1]))
    soft = soft_targets(lesson)
    assert soft.targets == pytest.approx([0.75, 0.5, 0.25])
    assert (soft.weight, soft.temperature) == (0.3, 2.0)
    assert soft.of(np.array([2, 0])).targets == pytest.approx([0.25, 0.75])
    soft.targets[0] = 0.0
    assert lesson.of_train[0] == 0.9


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_teacher_of_weight_0_changes_no_bit() -> None:
    plain, with_teacher = SmallEncoder(), SmallEncoder()
    expected = facts(run(plain))
    soft = SoftTargets(P, 0.0, 1.0)
    assert facts(run(with_teacher, train=replace(TRAIN, soft=soft))) == expected
    assert digest(with_teacher) == digest(plain)


def test_a_perfect_teacher_of_weight_1_is_cross_entropy() -> None:
    settings = SPEC.model_copy(update={"loss": "cross-entropy"})
    plain, with_teacher = SmallEncoder(), SmallEncoder()
    run(plain, spec=settings, train=replace(TRAIN, weights=np.ones(len(P))))
    labels = TRAIN.labels.astype(np.float64)
    other = replace(TRAIN, labels=1 - TRAIN.labels, soft=SoftTargets(labels, 1.0, 1.0))  # its labels are not looked at
    run(with_teacher, spec=settings, train=other)
    one, two = weights(plain), weights(with_teacher)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-6


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_run_equals_plain_torch(temperature: float) -> None:
    """Labelled: (1 - w) weighted focal loss + w teacher. Without a label: w teacher. Mean over the step's posts."""
    posts, w = taught(weight=0.3, temperature=temperature), 0.3
    settings = SPEC.model_copy(update={"epochs": 1})
    encoder = SmallEncoder(dropout=0.0)
    optimiser = torch.optim.AdamW(encoder.model.parameters(), weight_decay=0.0)
    order = epoch_order(posts.pool, posts.languages, spec=settings, seed=3, epoch=0)
    steps = -(-len(order) // 8)
    total = 0.0
    for step in range(steps):
        chosen = order[8 * step : 8 * step + 8]
        losses = []
        for place in chosen:
            logits = encoder.logits([posts.tokens[place]])
            odds = math.log(P[place] / (1 - P[place])) / temperature
            target = 1 / (1 + math.exp(-odds))
            student = torch.sigmoid((logits[0, 1] - logits[0, 0]) / temperature)
            teacher = -(target * torch.log(student) + (1 - target) * torch.log(1 - student)) * temperature**2
            own = focal(logits, torch.tensor([int(posts.labels[place])]), alpha=0.75, gamma=2.0)[0]
            labelled = place % 4 != 1
            losses.append((1 - w) * TRAIN.weights[place] * own + w * teacher if labelled else w * teacher)
        torch.stack(losses).mean().backward()
        total += float(torch.stack(losses).detach().sum())
        torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), 1.0)
        optimiser.param_groups[0]["lr"] = 0.01 * warmup_cosine(step, steps=steps, warmup=-(-steps // 10))
        optimiser.step()
        optimiser.zero_grad()
    ours = SmallEncoder(dropout=0.0)
    log = run(ours, spec=settings.model_copy(update={"weight_decay": 0.0}), train=posts)
    one, two = weights(encoder), weights(ours)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5
    assert log.epochs[0].loss == pytest.approx(total / len(order), rel=1e-5)


def test_missing_labels_are_not_used() -> None:
    posts = taught(weight=0.5)
    flipped = replace(posts, labels=np.where(posts.weights == 0, 1 - posts.labels, posts.labels).astype(np.int8))
    found = []
    for train, tokens in ((posts, 40), (flipped, 40), (posts, 8), (replace(posts, soft=None), 40)):
        encoder = SmallEncoder(dropout=0.0)
        run(encoder, train=train, spec=SPEC.model_copy(update={"micro_tokens": tokens}))
        found.append(weights(encoder))
    first, same, small, without = found
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert max(float((first[name] - small[name]).abs().max()) for name in first) < 1e-6
    assert max(float((first[name] - without[name]).abs().max()) for name in first) > 1e-3


# -- resuming ---------------------------------------------------------------------------------------------------------


def stopped_after(work: Path, steps: int) -> None:
    asked = iter(range(steps - 1))
    with pytest.raises(InterruptError):
        run(
            SmallEncoder(),
            train=taught(weight=0.5),
            work=work,
            hooks=TrainingCallbacks(stop=lambda: next(asked, None) is None),
        )


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_stopped_and_resumed_it_ends_with_the_same_bits(tmp_path: Path, steps: int) -> None:
    whole, resumed = SmallEncoder(), SmallEncoder()
    expected = facts(run(whole, train=taught(weight=0.5)))
    stopped_after(tmp_path, steps)
    assert facts(run(resumed, train=taught(weight=0.5), work=tmp_path)) == expected
    assert digest(resumed) == digest(whole)


def test_other_teacher_targets_are_another_run(tmp_path: Path) -> None:
    stopped_after(tmp_path, 2)
    other = P.copy()
    other[3] = np.nextafter(other[3], 1)
    for train in (
        taught(weight=0.5, p=other),
        taught(weight=0.4),
        replace(taught(weight=0.5), soft=SoftTargets(P, 0.5, 2.0)),
        replace(taught(weight=0.5), soft=None),
    ):
        with pytest.raises(TrainingError, match="those of another run"):
            run(SmallEncoder(), train=train, work=tmp_path)
