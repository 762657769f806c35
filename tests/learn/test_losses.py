"""Focal loss and cross-entropy against finite differences, identities and torch's own."""
# ruff: noqa: E402

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from polyvigil.config.training import TrainingSpec
from polyvigil.learn.losses import cross_entropy, focal, per_post_loss


def _case(n: int = 50, *, scale: float = 3.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, 2, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.randint(0, 2, (n,), generator=generator)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 0.75])
def test_focal_gradient_equals_finite_differences(alpha: float, gamma: float) -> None:
    logits, labels = _case()
    assert torch.autograd.gradcheck(lambda x: focal(x, labels, alpha=alpha, gamma=gamma), (logits,), eps=1e-6)


def test_focal_is_the_formula_of_the_paper() -> None:
    logits, labels = _case()
    p = torch.softmax(logits, dim=1)[:, 1]
    p_t = torch.where(labels == 1, p, 1 - p)
    alpha_t = torch.where(labels == 1, 0.75, 0.25)
    plain = -alpha_t * (1 - p_t) ** 2 * torch.log(p_t)
    assert torch.allclose(focal(logits, labels, alpha=0.75, gamma=2.0), plain, rtol=1e-9, atol=1e-15)


def test_focal_without_gamma_is_half_the_cross_entropy() -> None:
    logits, labels = _case()
    half = cross_entropy(logits, labels) / 2
    assert torch.allclose(focal(logits, labels, alpha=0.5, gamma=0.0), half, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_and_its_gradient_are_finite_at_extreme_logits(size: float, gamma: float) -> None:
    logits = torch.tensor([[size, -size], [-size, size], [size, size]] * 2, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    losses = focal(logits, labels, alpha=0.75, gamma=gamma)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()
    assert float(losses[1].detach()) == pytest.approx(0.25 * 2 * size)
    assert float(losses[3].detach()) == pytest.approx(0.75 * 2 * size)


def test_cross_entropy_equals_torch() -> None:
    logits, labels = _case()
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)
    assert torch.isclose(cross_entropy(logits, labels, label_smoothing=0.1).mean(), theirs, rtol=1e-12)
    of_class = torch.tensor([0.6, 3.0], dtype=torch.float64)
    theirs = torch.nn.CrossEntropyLoss(weight=of_class, reduction="sum")(logits, labels)
    assert torch.isclose((cross_entropy(logits, labels) * of_class[labels]).sum(), theirs, rtol=1e-12)


def test_the_spec_chooses_the_loss() -> None:
    logits, labels = _case()
    spec = TrainingSpec(alpha=0.6, gamma=1.5)
    assert torch.equal(per_post_loss(spec)(logits, labels), focal(logits, labels, alpha=0.6, gamma=1.5))
    smooth = TrainingSpec(loss="cross-entropy", label_smoothing=0.2)
    assert torch.equal(per_post_loss(smooth)(logits, labels), cross_entropy(logits, labels, label_smoothing=0.2))
    assert per_post_loss(spec)(logits, labels).shape == (50,)
