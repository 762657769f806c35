"""Training on windows: the loss is of posts, whatever fits into memory; the pooling is chosen on dev."""
# ruff: noqa: E402

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from small import DEV, SPEC, TRAIN, SmallEncoder, dev_of, digest, facts, posts, run, weights, windowed
from tiny import ragged, tiny_folder

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import Pooling
from polyvigil.errors import InterruptError, TrainingError
from polyvigil.learn import losses
from polyvigil.learn.dev import DevSet
from polyvigil.learn.distil import SoftTargets
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.losses import Batch, per_post_loss, post_stepper, soft_cross_entropy
from polyvigil.learn.pooling import LEAST, choose
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.trim import trim
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.pooling import POOLINGS
from polyvigil.nn.windows import pieces

LENGTHS = [(1, 4), (5, 8), (2, 8), (1, 8), (9, 8), (1, 2)]


def batch_of(*, taught: bool) -> Batch:
    random = np.random.default_rng(0)
    tokens = [random.integers(8, 30, size=shape, dtype=np.int32) for shape in LENGTHS]
    tokens = [item[0] if len(item) == 1 else item for item in tokens]
    labels = np.array([0, 1, 1, 0, 1, 1], dtype=np.int8)
    soft = SoftTargets(random.random(6), 0.3, 2.0) if taught else None
    return Batch(tokens, labels, 0.5 + random.random(6), soft)


def naive(encoder: SmallEncoder, batch: Batch, pooling: Pooling) -> dict[str, torch.Tensor]:
    """Gradients of the mean loss of posts, window by window, pooled by the formulas."""
    losses = []
    for place, item in enumerate(batch.tokens):
        logits = torch.cat([encoder.logits([row]) for row in np.atleast_2d(item)]).double()
        p = torch.softmax(logits, dim=1)[:, 1]
        one = {"max": p.max(), "mean": p.mean(), "noisy-or": 1 - torch.prod(1 - p)}[pooling]
        whole = torch.stack([torch.log(1 - one), torch.log(one)])[None]
        label = torch.tensor([int(batch.labels[place])])
        loss = per_post_loss(SPEC)(whole, label) * batch.weights[place]
        if batch.soft:
            target = torch.tensor([batch.soft.targets[place]])
            loss = 0.7 * loss + 0.3 * soft_cross_entropy(whole, target, temperature=2.0)
        losses.append(loss)
    torch.autograd.backward(torch.stack(losses).mean())
    return {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}


def gradients(encoder: SmallEncoder, batch: Batch, pooling: Pooling, *, micro_tokens: int) -> dict[str, torch.Tensor]:
    stepper = post_stepper(encoder, spec=SPEC, ranks=Ranks(), pooling=pooling)
    stepper._gradients(batch, seed=5, micro_tokens=micro_tokens, where="")
    return {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("taught", [False, True])
def test_gradients_equal_a_naive_loop(pooling: Pooling, taught: bool) -> None:
    batch = batch_of(taught=taught)
    expected = naive(SmallEncoder(dropout=0.0), batch, pooling)
    assert max(float(grad.abs().max()) for grad in expected.values()) > 1e-3
    for micro_tokens in (1000, 60, 30, 16, 8, 1):  # the longest post has 72 tokens
        found = gradients(SmallEncoder(dropout=0.0), batch, pooling, micro_tokens=micro_tokens)
        assert found.keys() == expected.keys()
        for name, grad in found.items():
            assert torch.allclose(grad, expected[name], rtol=1e-4, atol=1e-7)


def test_recomputed_parts_have_the_same_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    def stepped() -> dict[str, torch.Tensor]:
        encoder = SmallEncoder(dropout=0.4)
        encoder.model.train()
        return gradients(encoder, batch_of(taught=False), "noisy-or", micro_tokens=16)

    def kept(ask: Callable[..., torch.Tensor], *told: object, use_reentrant: bool) -> torch.Tensor:
        assert not use_reentrant
        return ask(*told)

    in_parts = stepped()
    monkeypatch.setattr(losses, "checkpoint", kept)
    for name, grad in stepped().items():
        assert torch.equal(grad, in_parts[name])


class Cramped(SmallEncoder):
    """Has memory for ``room`` tokens at once."""

    def __init__(self, room: int) -> None:
        super().__init__(dropout=0.0)
        self.room, self.most = room, 0

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        if sum(map(len, items)) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.most = max(self.most, sum(map(len, items)))
        return super().logits(items)


def test_large_posts_are_computed_in_parts() -> None:
    batch = batch_of(taught=False)
    expected = naive(SmallEncoder(dropout=0.0), batch, "max")
    cramped = Cramped(17)
    found = gradients(cramped, batch, "max", micro_tokens=1000)
    assert 8 <= cramped.most <= 17
    for name, grad in found.items():
        assert torch.allclose(grad, expected[name], rtol=1e-4, atol=1e-7)
    with pytest.raises(TrainingError, match="no memory for one post of 8 tokens at a time"):
        gradients(Cramped(7), batch, "max", micro_tokens=1000)


def test_training_on_windows_learns() -> None:
    train, dev = windowed(posts(300)), dev_of(windowed(posts(60, seed=1)))
    spec = SPEC.model_copy(update={"epochs": 4, "learning_rate": 0.02})
    ends = set()
    for pooling in POOLINGS:
        encoder = SmallEncoder()
        log = run(encoder, spec=spec, train=train, dev=dev, pooling=pooling)
        assert log.best.dev_f1 > 0.9
        ends.add(digest(encoder))
    assert len(ends) == 3


def test_resuming_with_windows_is_bit_identical(tmp_path: Path) -> None:
    train, dev = windowed(TRAIN), dev_of(windowed(posts(60, seed=1)))
    whole = SmallEncoder()
    expected = facts(run(whole, train=train, dev=dev, pooling="noisy-or"))
    stops = iter([False, False, False, True])
    with pytest.raises(InterruptError):
        run(
            SmallEncoder(), train=train, dev=dev, pooling="noisy-or", work=tmp_path,
            hooks=TrainingCallbacks(stop=lambda: next(stops)),
        )  # fmt: skip
    with pytest.raises(TrainingError, match="those of another run"):
        run(SmallEncoder(), train=train, dev=dev, pooling="mean", work=tmp_path)
    resumed = SmallEncoder()
    assert facts(run(resumed, train=train, dev=dev, pooling="noisy-or", work=tmp_path)) == expected
    assert digest(resumed) == digest(whole)


def test_posts_of_one_window_train_unchanged() -> None:
    plain, rows = SmallEncoder(), SmallEncoder()
    log = run(plain)
    one = replace(TRAIN, tokens=[item[None] for item in TRAIN.tokens])
    assert facts(run(rows, train=one, dev=replace(DEV, tokens=[item[None] for item in DEV.tokens]))) == facts(log)
    assert all(torch.equal(weights(plain)[name], weights(rows)[name]) for name in weights(plain))


# -- the choice -------------------------------------------------------------------------------------------------------


class Told:
    """An encoder whose windows have the log-odds that stand in their first token, in tenths."""

    packed = True
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.model = torch.nn.Linear(1, 1)

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        z = torch.tensor([float(item[0]) / 10 for item in items])
        return torch.stack([torch.zeros_like(z), z], dim=1)


def dev_by(positive: Callable[[np.random.Generator], np.ndarray], negative: Callable[..., np.ndarray]) -> DevSet:
    draw = np.random.default_rng(0)
    labels = (np.arange(120) % 2).astype(np.int8)
    tokens = [(positive if label else negative)(draw).astype(np.int32)[:, None] for label in labels]
    return DevSet(tokens, labels, ["en"] * 120, np.ones(120, dtype=bool), [f"g{place // 4}" for place in range(120)])


def chosen(dev: DevSet, trained: Pooling = "max") -> tuple[Pooling, dict[Pooling, float]]:
    told = choose(Told(), dev, Ranks(), decide=DecideSpec(), trained=trained, budget=64)  # type: ignore[arg-type]
    assert (told.trained, told.long_posts, told.long_positives) == (trained, 120, 60)
    return told.chosen, told.figures


def test_the_best_pooling_on_dev_is_chosen() -> None:
    one_high = dev_by(lambda draw: draw.permutation([20, -40, -40, -40]), lambda draw: draw.permutation([0] * 4))
    name, figures = chosen(one_high, "mean")
    assert name == "max"
    assert figures["max"] > 0.99 > figures["mean"] + 0.1
    all_high = dev_by(lambda draw: draw.permutation([5, 5, 5, 5]), lambda draw: draw.permutation([9, -40, -40, -40]))
    assert chosen(all_high)[0] in {"mean", "noisy-or"}
    assert chosen(all_high)[1]["max"] < 0.7


def test_one_post_does_not_change_the_pooling() -> None:
    dev = dev_by(lambda _: np.array([20, 20]), lambda _: np.array([-20, -20]))
    odd = replace(dev, tokens=[np.array([[25], [-90]], dtype=np.int32), *dev.tokens[1:]])
    name, figures = chosen(odd)
    assert figures["mean"] == 1.0 > figures["max"] > 0.95
    assert name == "max"


def test_ties_and_few_posts_keep_the_trained_pooling() -> None:
    same = dev_by(lambda _: np.array([20, 20]), lambda _: np.array([-20, -20]))
    for trained in POOLINGS:
        assert chosen(same, trained)[0] == trained
    labels = np.zeros(120, dtype=np.int8)
    labels[: LEAST - 1] = 1
    told = choose(
        Told(),
        replace(same, labels=labels),
        Ranks(),
        decide=DecideSpec(),
        trained="mean",
        budget=64,  # type: ignore[arg-type]
    )
    assert (told.chosen, told.figures, told.long_positives) == ("mean", {}, LEAST - 1)


def test_a_short_table_serves_windows_and_all_their_tokens(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True)
    encoder = load_encoder(str(folder), max_tokens=24, offline=True)
    rows = encoder.word_table().num_embeddings
    items = [2 * item for item in ragged([8, 24, 12], vocabulary=15)]
    items[1] = items[1].reshape(3, 8)
    train = TrainSet(items, np.array([0, 1, 0], dtype=np.int8), ["en"] * 3, np.ones(3), np.arange(3))
    dev = DevSet([ragged([12], vocabulary=9)[0].reshape(2, 6)], train.labels[:1], ["en"], np.ones(1, dtype=bool))
    before = [encoder.logits(pieces([item]).rows) for item in items]
    trimmed = trim(encoder, train, dev)
    assert encoder.word_table().num_embeddings < rows
    assert trimmed.posts.tokens[1].shape == (3, 8)
    assert set(np.concatenate([item.ravel() for item in (*items, *dev.tokens)])) <= set(trimmed.rows)
    for item, logits in zip(trimmed.posts.tokens, before, strict=True):
        assert torch.allclose(encoder.logits(pieces([item]).rows), logits, atol=1e-6)
