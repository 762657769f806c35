"""The training loop: the step's mathematics, its guards, and that something is learnt."""
# ruff: noqa: E402

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from small import DEV, SPEC, TRAIN, SmallEncoder, digest, facts, posts, run, weights
from tiny import ragged, tiny_folder

from polyvigil.config.decide import DecideSpec
from polyvigil.config.training import TrainingSpec
from polyvigil.errors import InterruptError, TrainingError
from polyvigil.learn import fine_tune
from polyvigil.learn import step as stepping
from polyvigil.learn.checkpoint import Progress
from polyvigil.learn.checkpoint_manager import CheckpointManager, ResumeState
from polyvigil.learn.dev import DevSet, verdict
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.loop import TrainingCallbacks, fit_epochs
from polyvigil.learn.losses import Batch, per_post_loss, post_stepper
from polyvigil.learn.ranks import Ranks
from polyvigil.learn.sampling import epoch_order
from polyvigil.learn.schedule import step_schedule, warmup_cosine
from polyvigil.learn.step import StepResult
from polyvigil.nn.encoder import Encoder, load_encoder


def spec(**changes: object) -> TrainingSpec:
    return SPEC.model_copy(update=changes)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def trained(settings: TrainingSpec, **options: object) -> dict[str, torch.Tensor]:
    encoder = SmallEncoder(dropout=0.0)
    run(encoder, spec=settings, **options)
    return weights(encoder)


# -- the step ---------------------------------------------------------------------------------------------------------


def test_the_micro_batches_do_not_change_the_result() -> None:
    whole = trained(spec(posts_per_step=32, micro_tokens=8192))
    assert difference(whole, trained(spec(posts_per_step=32, micro_tokens=60))) < 1e-6
    assert difference(whole, trained(spec(posts_per_step=32, micro_tokens=8))) < 1e-6  # every post alone
    assert difference(whole, weights(SmallEncoder(dropout=0.0))) > 1e-2


def test_a_run_equals_plain_torch() -> None:
    """No micro-batches, no loop of ours: mean loss of each step's posts, torch's AdamW, clip and schedule."""
    settings = spec(loss="cross-entropy", epochs=3)
    encoder = SmallEncoder(dropout=0.0)
    decaying = [encoder.model["words"].weight, encoder.model["head"].weight]
    others = [p for name, p in encoder.model.named_parameters() if "bias" in name or "LayerNorm" in name]
    optimiser = torch.optim.AdamW([{"params": decaying}, {"params": others, "weight_decay": 0.0}], weight_decay=0.01)
    steps = -(-len(TRAIN.pool) // 8)
    history, losses = [], []
    for epoch in range(3):
        order = epoch_order(TRAIN.pool, TRAIN.languages, spec=settings, seed=3, epoch=epoch)
        sums = 0.0
        for step in range(steps):
            chosen = order[8 * step : 8 * step + 8]  # the last step of an epoch is smaller
            values = torch.nn.functional.cross_entropy(
                encoder.logits([TRAIN.tokens[i] for i in chosen]),
                torch.from_numpy(TRAIN.labels[chosen].astype(np.int64)),
                reduction="none",
            ) * torch.from_numpy(TRAIN.weights[chosen].astype(np.float32))
            values.mean().backward()
            torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), 1.0)
            for group in optimiser.param_groups:
                group["lr"] = 0.01 * warmup_cosine(epoch * steps + step, steps=3 * steps, warmup=-(-3 * steps // 10))
            optimiser.step()
            optimiser.zero_grad()
            sums += float(values.detach().sum())
        history.append(weights(encoder))
        losses.append(sums / len(order))
    ours = SmallEncoder(dropout=0.0)
    log = run(ours, spec=settings)
    assert difference(weights(ours), history[log.best.epoch - 1]) < 1e-6
    assert [record.loss for record in log.epochs] == pytest.approx(losses, rel=1e-5)


def test_dropout_is_on_in_training_and_follows_the_seed() -> None:
    runs = {}
    for dropout, seed in ((0.3, 3), (0.3, 4), (0.0, 3)):
        encoder = SmallEncoder(dropout=dropout)
        run(
            encoder, spec=spec(epochs=1, warmup=0.0, posts_per_step=1000), seed=seed
        )  # one step holds all posts: no order to see
        runs[dropout, seed] = weights(encoder)
    runs = {key: value["words.weight"] for key, value in runs.items()}
    assert len({tuple(value.flatten().tolist()) for value in runs.values()}) == 3


def test_bf16_and_fp16_learn_nearly_the_same() -> None:
    exact = trained(spec(epochs=1))
    for precision in ("bf16", "fp16"):
        assert difference(exact, trained(spec(epochs=1, precision=precision))) < 0.05


@pytest.mark.parametrize("has_it", [True, False])
def test_a_cpu_without_the_arithmetic_says_so(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    monkeypatch.setattr(stepping, "cpu_computes", lambda precision: has_it or precision == "fp32")
    said: list[str] = []
    for precision in ("fp32", "bf16"):
        run(SmallEncoder(), spec=spec(epochs=1, precision=precision), hooks=TrainingCallbacks(log=said.append))
    told = [line for line in said if "arithmetic" in line]
    assert told == ([] if has_it else ["this CPU has no bf16 arithmetic: fp32 is many times faster on it"])


def test_packed_and_stock_training_are_equal(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", dropout=0.0, head=True)
    tokens = ragged([2 + place % 15 for place in range(24)], vocabulary=40)
    labels = (np.arange(24) % 3 == 0).astype(np.int8)
    train = TrainSet(tokens, labels, ["en"] * 24, np.ones(24), np.arange(24))
    dev = DevSet(tokens, labels, ["en"] * 24, np.ones(24, dtype=bool))
    results = []
    for packing in (True, False):
        encoder = load_encoder(str(folder), max_tokens=24, packing=packing, offline=True)
        assert encoder.packed == packing
        fine_tune.train(
            encoder, train, dev, spec=spec(epochs=2, learning_rate=1e-3), decide=DecideSpec(), seed=1, source="tiny",
            work=None, callbacks=TrainingCallbacks(),
        )  # fmt: skip
        results.append({name: p.detach().clone() for name, p in encoder.model.named_parameters()})
    for result in results:  # a key's bias moves all scores of a query alike: its gradient is rounding alone
        for name in [name for name in result if name.endswith("self.key.bias")]:
            del result[name]
    assert difference(*results) < 1e-6


@pytest.mark.parametrize("kind", ["xlm-roberta", "deberta-v2"])
def test_gradient_checkpointing_gives_the_same_weights(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path / "tiny", kind, head=True)
    tokens = ragged([2 + place % 15 for place in range(16)], vocabulary=40)
    labels = (np.arange(16) % 3 == 0).astype(np.int8)
    train = TrainSet(tokens, labels, ["en"] * 16, np.ones(16), np.arange(16))
    dev = DevSet(tokens, labels, ["en"] * 16, np.ones(16, dtype=bool))
    results = []
    for on in (True, False):
        encoder = load_encoder(str(folder), max_tokens=24, offline=True)
        fine_tune.train(
            encoder, train, dev, spec=spec(epochs=1, learning_rate=1e-3, gradient_checkpointing=on),
            decide=DecideSpec(), seed=1, source="tiny", work=None, callbacks=TrainingCallbacks(),
        )  # fmt: skip
        results.append({name: p.detach().clone() for name, p in encoder.model.named_parameters()})
    assert difference(*results) < 1e-6


def test_the_global_generators_are_left_as_they_were() -> None:
    torch.manual_seed(8)
    before = torch.get_rng_state()
    run(SmallEncoder())
    assert torch.equal(before, torch.get_rng_state())


# -- what is learnt and recorded --------------------------------------------------------------------------------------


def test_a_planted_word_is_learnt() -> None:
    lines: list[str] = []
    ticks: list[tuple[int, int, float, float]] = []
    encoder = SmallEncoder()
    train = posts(300)
    log = run(
        encoder,
        spec=spec(epochs=5, learning_rate=0.02),
        train=train,
        hooks=TrainingCallbacks(log=lines.append, progress=lambda *tick: ticks.append(tick)),
    )
    assert log.best.dev_f1 > 0.95
    steps = -(-len(train.pool) // 8)
    assert (log.steps_per_epoch, log.posts_per_epoch) == (steps, len(train.pool))
    assert [record.epoch for record in log.epochs] == [1, 2, 3, 4, 5]
    assert log.epochs[-1].learning_rate == 0.0
    assert log.epochs[0].loss > 5 * log.epochs[-1].loss > 0
    assert all(record.seconds > 0 and record.posts_per_second > 0 for record in log.epochs)
    assert all(record.peak_memory > 10_000_000 for record in log.epochs)
    assert [line.split(":")[0] for line in lines] == [f"epoch {e}/5" for e in range(1, 6)]
    assert [tick[0] for tick in ticks] == list(range(1, 5 * steps + 1))
    assert all(tick[1] == 5 * steps and tick[2] > 0 and tick[3] >= 0 for tick in ticks)
    assert ticks[-1][3] == 0
    assert not encoder.model.training


def test_the_first_best_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.3, 0.6, 0.6, 0.2])
    after: list[str] = []

    def judge(encoder: SmallEncoder, dev: object, *_: object, **__: object) -> object:
        after.append(digest(encoder))
        return replace(verdict(np.linspace(0, 1, 60), DEV, decide=DecideSpec()), f1=next(figures))

    monkeypatch.setattr(fine_tune, "judge", judge)
    encoder = SmallEncoder()
    log = run(encoder, spec=spec(epochs=4))
    assert [record.best for record in log.epochs] == [True, True, False, False]
    assert log.best.epoch == 2
    assert digest(encoder) == after[1] != after[2]


def test_dev_f1_is_pooled_without_cadec() -> None:
    languages = ["de"] * 4 + ["fr"] * 4 + ["de_cadec"] * 4
    labels = np.array([1, 1, 0, 0] * 3, dtype=np.int8)
    scores = np.array([0.9, 0.8, 0.7, 0.1, 0.3, 0.1, 0.2, 0.05, 0.1, 0.1, 0.9, 0.9])
    dev = DevSet([], labels, languages, np.ones(12, dtype=bool))
    # de: both positives at a cut of .75; fr: both, and one negative, at .075
    found = verdict(scores, dev, decide=DecideSpec(rule="argmax"))
    assert found.f1 == pytest.approx(2 * 4 / (2 * 4 + 1 + 0))
    only = DevSet([], labels[8:], languages[8:], np.ones(4, dtype=bool))
    assert verdict(scores[8:], only, decide=DecideSpec(rule="argmax")).f1 == pytest.approx(2 * 2 / (2 * 2 + 2))


def test_a_collapsed_language_is_a_warning_in_the_record() -> None:
    n = 100
    labels = np.array(([1] * 10 + [0] * 90) * 2, dtype=np.int8)
    languages = ["de"] * n + ["fr"] * n
    scores = np.concatenate([np.linspace(0.9, 0.1, n), np.full(n, 0.5)])
    dev = DevSet([], labels, languages, np.ones(2 * n, dtype=bool))
    (warning,) = verdict(scores, dev, decide=DecideSpec()).warnings
    assert warning == "fr: 100% of 100 dev posts predicted positive (10% are); the model has collapsed there"
    scores[n:] = 0.05  # below the whole grid of the paper
    (warning,) = verdict(scores, dev, decide=DecideSpec(rule="paper-grid")).warnings
    assert warning == "fr: all 100 dev posts predicted negative; the model has collapsed there"
    nothing_learnt = run(SmallEncoder(), spec=spec(epochs=1, learning_rate=1e-12), dev=_constant())
    assert "predicted positive" in nothing_learnt.epochs[0].warnings[0]


def _constant() -> DevSet:
    """Dev posts of the same tokens: a model cannot tell them apart."""
    return DevSet([np.array([9, 10], dtype=np.int32)] * 60, DEV.labels, DEV.languages, DEV.readable)


def test_empty_posts_score_0() -> None:
    readable = np.ones(60, dtype=bool)
    readable[np.flatnonzero(DEV.labels)[:5]] = False
    tokens = [item if ok else item[:0] for item, ok in zip(DEV.tokens, readable, strict=True)]
    log = run(SmallEncoder(), spec=spec(epochs=1), dev=DevSet(tokens, DEV.labels, DEV.languages, readable))
    assert log.best.dev_f1 < 1


# -- guards -----------------------------------------------------------------------------------------------------------


class Broken(SmallEncoder):
    """Multiplies the logits of training by ``factor`` from call ``after`` on."""

    def __init__(self, factor: float, *, after: int = 0) -> None:
        super().__init__()
        self.factor, self.calls, self.after = factor, itertools.count(), after

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        logits = super().logits(items)
        return logits * self.factor if self.model.training and next(self.calls) >= self.after else logits


def test_nan_loss_stops_with_a_hint() -> None:
    with pytest.raises(TrainingError) as caught:
        run(Broken(float("nan"), after=9), spec=spec(micro_tokens=1000))
    assert str(caught.value).startswith(
        "epoch 2, step 3: the loss is nan; the numbers overflow: set training.precision"
    )
    assert "gradient_checkpointing" in caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("training", 1)


def test_nan_gradient_stops_with_a_hint() -> None:
    encoder = SmallEncoder()
    encoder.model["head"].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match=r"epoch 1, step 1: the gradient's norm is (nan|inf); the numbers overflow"):
        run(encoder)


def test_fp16_overflow_stops_with_a_hint() -> None:
    encoder = SmallEncoder()
    encoder.model["head"].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match="step 31: the gradients overflow at any scale"):
        run(encoder, spec=spec(precision="fp16", posts_per_step=1))


def test_zero_loss_stops_with_a_hint() -> None:
    labels = np.zeros_like(TRAIN.labels)
    encoder = SmallEncoder()
    with torch.no_grad():
        encoder.model["head"].weight.zero_()
        encoder.model["head"].bias.copy_(torch.tensor([500.0, -500.0]))
    with pytest.raises(TrainingError, match="epoch 1: every loss was exactly 0; the numbers overflow"):
        run(encoder, train=replace(TRAIN, labels=labels))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "after epoch 1: no memory to score the dev posts; set training"),
        (None, "after epoch 1: the encoder gives no number for some dev posts; the numbers overflow"),
    ],
)
def test_unscorable_dev_posts_stop_with_a_hint(error: Exception | None, message: str) -> None:
    class Failing(SmallEncoder):
        def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
            if error is not None and not self.model.training:
                raise error
            return super().logits(items) * (1.0 if self.model.training else float("nan"))

    with pytest.raises(TrainingError, match=message):
        run(Failing())


class Cramped(SmallEncoder):
    """Has memory for ``room`` tokens at once; fails after it has drawn dropout masks, as a real one does."""

    def __init__(self, room: int, error: Exception, *, dropout: float = 0.0) -> None:
        super().__init__(dropout=dropout)
        self.room, self.error = room, error

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        logits = super().logits(items)
        if self.model.training and sum(map(len, items)) > self.room:
            raise self.error
        return logits


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_out_of_memory_halves_the_micro_batch_and_nothing_else(error: Exception) -> None:
    lines: list[str] = []
    encoder = Cramped(20, error)
    log = run(encoder, spec=spec(micro_tokens=1000), hooks=TrainingCallbacks(log=lines.append))
    assert log.micro_tokens <= 20
    assert "out of memory: from here on" in lines[0]
    assert difference(weights(encoder), trained(spec(micro_tokens=1000))) < 1e-6


class Crowded(SmallEncoder):
    """Has memory for ``room`` posts at once: what comes last, the shortest posts, fails after others went well."""

    def __init__(self, room: int) -> None:
        super().__init__(dropout=0.3)
        self.room, self.fitted, self.failed_after = room, 0, 0

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        logits = super().logits(items)
        if len(items) > self.room:
            self.failed_after = self.fitted
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.fitted += 1
        return logits


def test_a_retried_step_equals_one_of_a_lower_budget() -> None:
    batch = Batch(TRAIN.tokens[:16], TRAIN.labels[:16], TRAIN.weights[:16])

    def step(encoder: Crowded, micro_tokens: int) -> tuple[StepResult, str]:
        stepper = post_stepper(encoder, spec=SPEC, ranks=Ranks())
        encoder.model.train()
        result = stepper.step(batch, rate=0.01, seed=5, micro_tokens=micro_tokens, where="")
        return result, digest(encoder)

    crowded = Crowded(room=4)  # batches of 3, 4, 5 and 4 posts
    repeated = step(crowded, 40)
    assert crowded.failed_after == 2
    assert repeated[0].micro_tokens == 20
    assert repeated == step(Crowded(room=10**9), repeated[0].micro_tokens)


def test_out_of_memory_for_one_post_stops_with_a_hint() -> None:
    with pytest.raises(TrainingError) as caught:
        run(Cramped(5, torch.OutOfMemoryError("CUDA out of memory")))
    assert "epoch 1, step 1: no memory for one post of 12 tokens at a time; set training.gradient_check" in str(
        caught.value
    )


def test_other_errors_are_not_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="device-side assert"):
        run(Cramped(5, RuntimeError("CUDA error: device-side assert triggered")))


def test_stop_ends_after_the_step_with_a_hint(tmp_path: Path) -> None:
    whole = SmallEncoder()
    expected = facts(run(whole))
    stops = iter([False, False, True])
    encoder = SmallEncoder()
    with pytest.raises(InterruptError, match="run the same command again"):
        run(encoder, work=tmp_path, hooks=TrainingCallbacks(stop=lambda: next(stops)))
    resumed = SmallEncoder()
    assert facts(run(resumed, work=tmp_path)) == expected
    assert digest(resumed) == digest(whole)


def test_every_weight_is_in_one_optimiser_group() -> None:
    encoder = SmallEncoder()
    stepper = post_stepper(encoder, spec=SPEC, ranks=Ranks())
    inside = [id(p) for group in stepper.optimiser.param_groups for p in group["params"]]
    assert sorted(inside) == sorted(id(p) for p in encoder.model.parameters())
    assert stepper.optimiser.defaults["fused"]
    assert per_post_loss(SPEC)(torch.zeros(1, 2), torch.ones(1, dtype=torch.int64)).shape == (1,)


def test_the_small_encoder_has_the_real_interface() -> None:
    assert {"logits", "device", "packed"} <= set(dir(Encoder))


def test_a_trial_ends_where_it_is_enough(tmp_path: Path) -> None:
    encoder = SmallEncoder()
    before = digest(encoder)
    stepper = post_stepper(encoder, spec=SPEC, ranks=Ranks())
    schedule = step_schedule(len(TRAIN.pool), epochs=2, posts_per_step=8, peak_rate=0.0, warmup=0.0)
    seen: list[int] = []
    state = fit_epochs(
        stepper,
        schedule=schedule,
        order_of=lambda _: TRAIN.pool,
        batch_of=lambda chosen, _: TRAIN.batch(chosen),
        end_epoch=lambda *_: pytest.fail("no epoch was finished"),
        checkpoints=CheckpointManager(tmp_path, stepper, fingerprint="", minutes=0.0, log=lambda _: None),
        seed=1,
        micro_tokens=SPEC.micro_tokens,
        callbacks=TrainingCallbacks(),
        is_enough=lambda progress: seen.append(progress.posts) or progress.step == 3,
    )
    assert (state.progress.epoch, state.progress.step, seen) == (0, 3, [8, 16, 24])
    assert digest(encoder) == before  # at a rate of 0 no weight moves


def test_an_order_is_asked_for_each_epoch_and_a_batch_for_each_step() -> None:
    encoder = SmallEncoder()
    stepper = post_stepper(encoder, spec=SPEC, ranks=Ranks())
    schedule = step_schedule(20, epochs=3, posts_per_step=8, peak_rate=0.01, warmup=0.0)
    epochs: list[int] = []
    batches: list[tuple[int, list[int]]] = []
    ends: list[tuple[int, int, bool]] = []

    def order_of(epoch: int) -> NDArray[np.int64]:
        epochs.append(epoch)
        return np.roll(np.arange(20), epoch)

    def batch_of(chosen: NDArray[np.int64], step: int) -> Batch:
        batches.append((step, chosen.tolist()))
        assert encoder.model.training
        return TRAIN.batch(chosen)

    def end_epoch(state: ResumeState, seconds: Callable[[], float]) -> ResumeState:
        progress = state.progress
        ends.append((progress.epoch, progress.posts, seconds() >= progress.seconds))
        encoder.model.eval()
        return ResumeState(Progress(epoch=progress.epoch + 1, micro_tokens=progress.micro_tokens), {})

    fit_epochs(
        stepper,
        schedule=schedule,
        order_of=order_of,
        batch_of=batch_of,
        end_epoch=end_epoch,
        checkpoints=CheckpointManager(None, stepper, fingerprint="", minutes=0.0, log=lambda _: None),
        seed=1,
        micro_tokens=SPEC.micro_tokens,
        callbacks=TrainingCallbacks(),
    )
    assert epochs == [0, 1, 2]
    orders = [np.roll(np.arange(20), epoch) for epoch in range(3)]
    parts = [order[first : first + 8].tolist() for order in orders for first in (0, 8, 16)]
    assert batches == list(enumerate(parts))
    assert ends == [(0, 20, True), (1, 20, True), (2, 20, True)]
