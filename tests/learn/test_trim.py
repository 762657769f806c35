"""Training on the short table gives the weights of training on the whole one, and a folder with the whole one."""
# ruff: noqa: E402

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from small import facts
from tiny import ragged, tiny_folder

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.detect.transformer import TrainingLog
from polyvigil.errors import InterruptError, TrainingError
from polyvigil.learn import fine_tune
from polyvigil.learn import transformer as learner_file
from polyvigil.learn.dev import DevSet
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.schedule import warmup_cosine
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.learn.trim import Trimmed, trim
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.types import LabelledPost, Post

SPEC = TrainingSpec(
    epochs=3, posts_per_step=8, micro_tokens=64, learning_rate=2e-3, weight_decay=0.3, checkpoint_minutes=0.0
)
USED = 30
LABELS = (np.arange(40) % 3 == 0).astype(np.int8)
TRAIN = TrainSet(
    [2 * item for item in ragged([2 + place % 15 for place in range(40)], vocabulary=USED // 2)],  # even ids alone
    LABELS, ["en"] * 40, np.ones(40), np.arange(40),
)  # fmt: skip
DEV = DevSet(ragged([5] * 40, vocabulary=USED, seed=1), LABELS, ["en"] * 40, np.ones(40, dtype=bool))
KINDS = ("xlm-roberta", "bert", "deberta-v2", "modernbert", "eurobert")


JUDGE = fine_tune.judge


@pytest.fixture(autouse=True)
def _last_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    dev_f1s(monkeypatch, 0.2, 0.4, 0.6)


def dev_f1s(monkeypatch: pytest.MonkeyPatch, *figures: float) -> None:
    """Each training's epochs get these, so that it is known which one is kept."""

    def judge(*arguments: object, where: str, **options: object) -> object:
        return replace(JUDGE(*arguments, where=where, **options), f1=figures[int(where.rsplit(maxsplit=1)[-1]) - 1])

    monkeypatch.setattr(fine_tune, "judge", judge)


def opened(folder: Path, *, packing: bool = True) -> Encoder:
    return load_encoder(str(folder), max_tokens=24, offline=True, packing=packing)


def table_of(encoder: Encoder) -> torch.Tensor:
    return encoder.model.get_input_embeddings().weight.detach()


def fit(encoder: Encoder, posts: TrainSet, dev: DevSet, *, spec: TrainingSpec = SPEC) -> TrainingLog:
    return fine_tune.train(
        encoder,
        posts,
        dev,
        spec=spec,
        decide=DecideSpec(),
        seed=1,
        source="tiny",
        work=None,
        callbacks=TrainingCallbacks(),
    )


def both_ways(folder: Path, *, packing: bool = True, **changes: object) -> tuple[Encoder, Encoder, Trimmed]:
    """An encoder trained on its whole table, one trained on a short one; and what was trimmed."""
    spec = SPEC.model_copy(update=changes)
    whole, short = opened(folder, packing=packing), opened(folder, packing=packing)
    log = fit(whole, TRAIN, DEV, spec=spec)
    trimmed = trim(short, TRAIN, DEV)
    assert len(table_of(short)) == len(trimmed.rows) + 1 < len(trimmed.whole)
    mine = fit(short, trimmed.posts, trimmed.dev, spec=spec)
    trimmed.expand(short)
    assert mine.best.epoch == log.best.epoch
    assert mine.parameters + trimmed.left_out == log.parameters
    return whole, short, trimmed


def apart(one: Encoder, other: Encoder) -> float:
    mine, theirs = (dict(encoder.model.named_parameters()) for encoder in (one, other))
    assert mine.keys() == theirs.keys()
    # a key's bias moves all scores of a query alike: its gradient is rounding alone
    names = [name for name in mine if not name.endswith(("key.bias", "key_proj.bias"))]
    return max(float((mine[name] - theirs[name]).detach().abs().max()) for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packing", [True, False])
def test_the_weights_are_those_of_training_on_the_whole_table(tmp_path: Path, kind: str, packing: bool) -> None:
    """Dropout is on: the masks hang on the posts, not on the table."""
    folder = tiny_folder(tmp_path / "tiny", kind, head=True)
    before = table_of(opened(folder))
    whole, short, trimmed = both_ways(folder, packing=packing)
    assert apart(whole, short) < 2e-6
    unseen = np.setdiff1d(np.arange(len(before)), trimmed.rows)
    assert len(unseen) > 15
    ratio = (table_of(short)[unseen] / before[unseen]).numpy()
    assert np.ptp(ratio) < 1e-6
    assert ratio.max() < 0.998  # the decay is there to be seen


@pytest.mark.parametrize("kind", ["modernbert", "eurobert"])
def test_ids_of_special_tokens_at_the_end_of_the_table_cost_nothing(tmp_path: Path, kind: str) -> None:
    """EuroBERT's padding is token 128,001 of 128,256, and its row has no gradient: it moves, the rows before it go."""
    folder = tiny_folder(tmp_path / "tiny", kind, head=True)
    config = json.loads((folder / "config.json").read_text())
    padding, last = 7, config["vocab_size"] - 1  # a token of the posts: nothing but decay moves its row
    for at in (padding, last):
        (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": at, "mask_token_id": last}))
        before = table_of(opened(folder))
        whole, short, trimmed = both_ways(folder)
        assert apart(whole, short) < 2e-6
        assert len(trimmed.rows) <= USED + 1 < len(before) - 10
        assert at in trimmed.rows
        assert short.model.get_input_embeddings().padding_idx == at
        row = before[at].numpy()
        assert not row.any() or np.ptp(table_of(short)[at].numpy() / row) < 1e-6  # decayed, as rows of no post are


def test_without_clipping_weights_are_bit_equal(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True)
    whole, short, trimmed = both_ways(folder, clip=1e6)
    mine, theirs = (dict(encoder.model.named_parameters()) for encoder in (short, whole))
    table = "roberta.embeddings.word_embeddings.weight"
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if name != table)
    assert torch.equal(mine[table][trimmed.rows], theirs[table][trimmed.rows])
    assert torch.allclose(mine[table], theirs[table], rtol=2e-6, atol=0)


@pytest.mark.parametrize("changes", [{"gradient_checkpointing": True}, {"precision": "bf16"}])
def test_trimmed_weights_are_right_for_every_kind_of_step(tmp_path: Path, changes: dict[str, object]) -> None:
    whole, short, _ = both_ways(tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True), **changes)
    assert apart(whole, short) < (1e-3 if "precision" in changes else 2e-6)


def test_skipped_fp16_steps_do_not_decay_unused_rows(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True)
    short, spec = opened(folder), SPEC.model_copy(update={"precision": "fp16", "warmup": 0.0, "micro_tokens": 1000})
    trimmed = trim(short, TRAIN, DEV)
    bad, steps = {3, 4, 9}, itertools.count()
    short.model.classifier.out_proj.weight.register_hook(lambda g: g * (float("inf") if next(steps) in bad else 1.0))
    log = fit(short, trimmed.posts, trimmed.dev, spec=spec)
    assert next(steps) == 15 == log.steps_per_epoch * log.best.epoch
    kept = [1 - 2e-3 * warmup_cosine(step, steps=15, warmup=0) * 0.3 for step in range(15) if step not in bad]
    assert torch.allclose(table_of(short)[-1], torch.tensor(float(np.prod(kept))), rtol=1e-6, atol=0)
    trimmed.expand(short)
    unseen = np.setdiff1d(np.arange(len(trimmed.whole)), trimmed.rows)
    assert torch.allclose(table_of(short)[unseen], trimmed.whole[unseen] * float(np.prod(kept)), rtol=1e-6, atol=0)


def test_unused_rows_are_those_of_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dev_f1s(monkeypatch, 0.2, 0.6, 0.1)
    whole, short, trimmed = both_ways(tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True))
    unseen = np.setdiff1d(np.arange(len(trimmed.whole)), trimmed.rows)
    assert torch.allclose(table_of(short)[unseen], table_of(whole)[unseen], rtol=2e-6, atol=0)


def test_special_rows_and_order_are_kept(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True)
    encoder = opened(folder)
    assert encoder.reserved_ids() >= 2  # padding is 1
    trimmed = trim(encoder, TRAIN, DEV)
    reserved = encoder.reserved_ids()
    assert trimmed.rows[:reserved].tolist() == list(range(reserved))
    assert (np.diff(trimmed.rows) > 0).all()
    for short, item in zip((*trimmed.posts.tokens, *trimmed.dev.tokens), (*TRAIN.tokens, *DEV.tokens), strict=True):
        assert short.dtype == np.int32
        assert np.array_equal(trimmed.rows[short], item)
    table = encoder.model.get_input_embeddings()
    assert table.num_embeddings == len(table.weight)
    assert torch.equal(table.weight[-1], torch.ones(32))


def test_inexact_cases_are_not_trimmed(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "xlm-roberta", head=True)

    def untouched(encoder: Encoder, posts: TrainSet = TRAIN) -> bool:
        before = table_of(encoder)
        trimmed = trim(encoder, posts, DEV)
        same = trimmed.posts is posts and trimmed.dev is DEV and (trimmed.left_out, trimmed.digest) == (0, "")
        trimmed.expand(encoder)
        return same and torch.equal(table_of(encoder), before) and len(before) == len(table_of(encoder))

    shared = opened(folder)
    shared.model.tied = torch.nn.Linear(32, len(table_of(shared)), bias=False)
    shared.model.tied.weight = shared.model.get_input_embeddings().weight
    assert untouched(shared)
    frozen = opened(folder)
    frozen.model.get_input_embeddings().weight.requires_grad_(False)
    assert untouched(frozen)
    scaled = opened(folder)
    scaled.model.get_input_embeddings().max_norm = 1.0
    assert untouched(scaled)
    everything = np.arange(len(table_of(opened(folder))), dtype=np.int32)
    assert untouched(opened(folder), replace(TRAIN, tokens=[*TRAIN.tokens, everything]))
    counting = opened(folder, packing=False)  # ids themselves move its numbers
    counting.model.register_forward_hook(
        lambda _, __, named, output: setattr(output, "logits", output.logits + named["input_ids"].sum()) or output,
        with_kwargs=True,
    )
    assert untouched(counting)


# -- through the learner ----------------------------------------------------------------------------------------------

WORDS = (
    "I",
    "took",
    "the",
    "new",
    "pill",
    "today",
    "and",
    "my",
    "doctor",
    "said",
    "it",
    "is",
    "fine",
    "after",
    "lunch",
)
RARE = ("never", "known", "to", "anyone", "at", "all")


def _posts(n: int, *, seed: int) -> list[LabelledPost]:
    draw = np.random.default_rng(seed)
    items = []
    for place in range(n):
        words = list(draw.choice(WORDS, size=draw.integers(3, 14)))
        label = place % 3 == 0
        items.append(LabelledPost(Post(f"{seed}_{place}", " ".join([*words, *["dizzy"] * label]), "en"), int(label)))
    return items


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    return tiny_folder(path, "xlm-roberta", texts=[" ".join([*WORDS, "dizzy", *RARE])], head=True)


def learner(source: Path, **options: object) -> EncoderLearner:
    return EncoderLearner(
        EncoderSpec(name=str(source), max_tokens=24), SPEC, BalanceSpec(weights="none"), offline=True, device="cpu",
        **options,
    )  # fmt: skip


def test_the_saved_folder_has_the_whole_table_and_opens(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    train = fine_tune.train

    def watched(encoder: Encoder, *arguments: object, **options: object) -> TrainingLog:
        seen.append(len(table_of(encoder)))
        return train(encoder, *arguments, **options)

    monkeypatch.setattr(learner_file.fine_tune, "train", watched)
    detector = learner(source).fit(_posts(48, seed=1), _posts(24, seed=2), seed=7)
    detector.save(tmp_path)
    before = table_of(opened(source))
    assert seen[0] < len(before)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.get_input_embeddings().weight.shape == before.shape
    assert detector.log.parameters == sum(p.numel() for p in model.parameters())
    texts = [Post("1", "never known at all"), Post("2", "the new pill")]
    mine = detector.probabilities(texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        logits = model(**tokenizer([post.text for post in texts], padding=True, return_tensors="pt")).logits
    assert np.allclose(torch.softmax(logits.double(), dim=1)[:, 1].numpy(), mine, atol=1e-5)


def test_resumed_whole_table_is_bit_equal(tmp_path: Path, source: Path) -> None:
    train, dev = _posts(48, seed=1), _posts(24, seed=2)
    expected = learner(source).fit(train, dev, seed=7)
    sessions, detector = 0, None
    while detector is None:
        left = iter(range(4))
        try:
            detector = learner(source, work=tmp_path, stop=lambda left=left: next(left, None) is None).fit(
                train, dev, seed=7
            )
        except InterruptError:
            sessions += 1
    assert sessions >= 3
    mine, theirs = (dict(found.encoder.model.named_parameters()) for found in (detector, expected))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert facts(detector.log) == facts(expected.log)


def test_other_words_are_another_run(tmp_path: Path, source: Path) -> None:
    """Their rows in the short table are the same; the words kept are part of what a checkpoint agrees with."""
    train, dev = _posts(48, seed=1), _posts(24, seed=2)
    learner(source, work=tmp_path).fit(train, dev, seed=7)

    def other(items: list[LabelledPost]) -> list[LabelledPost]:
        return [replace(item, post=replace(item.post, text=item.post.text.replace("my", "never"))) for item in items]

    encoder = opened(source)
    assert np.array_equal(*(_short_ids(encoder, items) for items in (train, other(train))))
    with pytest.raises(TrainingError, match="those of another run"):
        learner(source, work=tmp_path).fit(other(train), other(dev), seed=7)


def _short_ids(encoder: Encoder, items: list[LabelledPost]) -> np.ndarray:
    """Which of the distinct ids each token of the posts is."""
    return np.unique(np.concatenate(encoder.tokenise([item.post.text for item in items])), return_inverse=True)[1]
