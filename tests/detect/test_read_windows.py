"""A tiny encoder that reads windows: nothing planted in a long post is missed, and where it stands is told exactly."""
# ruff: noqa: E402

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.nn.tiny import japanese_folder, tiny_folder

from polyvigil.bundle.store import Bundle
from polyvigil.cli.views.training import epoch_lines
from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.decide.cascade import Cascade, CascadeCounts
from polyvigil.decide.combine import Combination
from polyvigil.decide.thresholds import mean_logit
from polyvigil.decide.tune import tune
from polyvigil.detect.base import FitRecord, ReadsWindows, TrainingLog
from polyvigil.detect.occlusion import MOST_PIECES
from polyvigil.detect.stacked import StackedConfig, StackedDetector
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector, load
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.windows import LongRule
from polyvigil.scoring.wire import score_posts
from polyvigil.text.align import align
from polyvigil.types import LabelledPost, Post

SENTENCE = "I took the new pill today and my doctor said it is fine after lunch we went home"
WORDS = tuple(SENTENCE.split())
EVIDENCE = "the pill made me dizzy"
MAX_TOKENS, LONG, PLACES = 64, 5_000, 50
TRAINING = TrainingSpec(
    epochs=8, posts_per_step=16, micro_tokens=1024, learning_rate=0.006, checkpoint_minutes=1000.0, loss="cross-entropy"
)


def _posts(n: int, *, seed: int, longest: int = 200) -> list[LabelledPost]:
    """Half of them hold the evidence somewhere; every second pair may be longer than a window."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(n):
        words = random.choice(WORDS, size=random.integers(4, longest if place % 4 > 1 else 20)).tolist()
        if place % 2:
            words.insert(random.integers(len(words) + 1), EVIDENCE)
        found.append(LabelledPost(Post(f"{seed}_{place}", " ".join(words), "en"), place % 2))
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [" ".join(WORDS), EVIDENCE, "[URL] @USER sooo good"]
    return tiny_folder(
        tmp_path_factory.mktemp("model") / "tiny", "xlm-roberta", texts=texts, layers=1, max_tokens=MAX_TOKENS
    )


def _fit(source: Path, **spec: object) -> EncoderDetector:
    chosen = EncoderSpec(name=str(source), max_tokens=MAX_TOKENS, **spec)
    learner = EncoderLearner(chosen, TRAINING, BalanceSpec(weights="none"), offline=True, device="cpu")
    return learner.fit(_posts(240, seed=1), _posts(160, seed=2), seed=7)


@pytest.fixture(scope="module")
def windows(source: Path) -> EncoderDetector:
    return _fit(source, long_posts="windows")


@pytest.fixture(scope="module")
def cut(windows: EncoderDetector, tmp_path_factory: pytest.TempPathFactory) -> EncoderDetector:
    """The same weights in a member's folder as it was before there were windows."""
    folder = tmp_path_factory.mktemp("older")
    windows.save(folder)
    new = {"polyvigil.json": ("long_posts", "window_overlap", "most_windows", "pooling"), "training.json": ("pooling",)}
    for name, fields in new.items():
        told = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: told[key] for key in told if key not in fields}))
    return load(folder)


def _planted() -> tuple[list[Post], list[Post]]:
    """5,000-token posts with the evidence at 50 places from the first word to the last, and without it."""
    words = np.random.default_rng(3).choice(WORDS, size=LONG - 7).tolist()
    places = np.linspace(0, len(words), PLACES).round().astype(int).tolist()
    told = [" ".join([*words[:at], EVIDENCE, *words[at:]]) for at in places]
    without = [" ".join(np.random.default_rng(seed).choice(WORDS, size=LONG - 2)) for seed in range(10, 15)]
    return [Post(f"p{at}", text, "en") for at, text in enumerate(told)], [Post("n", text, "en") for text in without]


def _flags(detector: EncoderDetector, posts: list[Post]) -> np.ndarray:
    dev = _posts(160, seed=2)
    scores = detector.probabilities([item.post for item in dev])
    labels, languages = np.array([item.label for item in dev], dtype=np.int8), ["en"] * len(dev)
    policy = tune(scores, labels, languages, spec=DecideSpec(), dev_fingerprint="")
    return policy.flags(detector.probabilities(posts), ["en"] * len(posts))


def test_evidence_anywhere_in_a_5000_token_post_is_found(windows: EncoderDetector, cut: EncoderDetector) -> None:
    planted, without = _planted()
    lengths = windows.lengths(planted)
    assert (lengths.tokens == LONG).all()
    assert not lengths.truncated.any()
    assert _flags(windows, planted).mean() >= 0.99
    assert not _flags(windows, without).any()
    assert cut.lengths(planted).truncated.all()
    assert _flags(cut, planted).mean() < 0.2  # the very first place alone is before the cut


def test_the_reported_window_holds_the_evidence(windows: EncoderDetector, bundle: Bundle) -> None:
    whole = replace(bundle, members=(windows,), combination=Combination())
    planted, _ = _planted()
    decorated = [
        replace(post, text=f"  https://a.b/c\u200b @someone soooo\n\n good {post.text.replace(' ', '   ')} \u200b")
        for post in planted[::7]
    ]
    told = score_posts(whole, [*decorated, *planted[:3], Post("short", EVIDENCE, "en"), Post("none", " ", "en")])
    assert [one.window for one in told[-2:]] == ["", ""]
    for one, post in zip(told, [*decorated, *planted[:3]], strict=False):
        start, end = map(int, one.window.split("-"))
        inside = post.text[start:end]
        assert EVIDENCE in " ".join(inside.split())
        assert inside == inside.strip()
        assert len(windows.encoder.tokenise([align(inside).text])[0]) in {MAX_TOKENS, MAX_TOKENS - 1}
        assert not one.truncated
        assert one.n_tokens > LONG - 2


def test_the_window_of_the_strongest_member_is_reported(windows: EncoderDetector, bundle: Bundle) -> None:
    posts = _planted()[0][::10]
    linear = bundle.members[0]
    alone = score_posts(replace(bundle, members=(windows,), combination=Combination()), posts)
    both = replace(bundle, members=(linear, windows), combination=Combination())
    assert [one.window for one in score_posts(both, posts)] == [one.window for one in alone]
    half = CascadeCounts(posts=0, called=0, disagreeing=0, cost=0.0)
    asked = Cascade(first=0, band=0.0, stated=0.1, learned=half, verified=half)
    first = replace(both, combination=Combination(cascade=asked))
    assert {one.window for one in score_posts(first, posts)} == {""}  # linear decides alone
    every = replace(both, combination=Combination(cascade=asked.model_copy(update={"band": 1e9})))
    assert [one.window for one in score_posts(every, posts)] == [one.window for one in alone]
    assert isinstance(windows, ReadsWindows)
    assert not isinstance(linear, ReadsWindows)


class Nothing:
    """Further features of a stacked detector, all of them 0."""

    kind = "ner"
    feature_names = ("nothing",)

    def features(self, posts: list[Post]) -> np.ndarray:
        return np.zeros((len(posts), 1))


def test_a_stacked_detector_reports_windows_of_its_base(windows: EncoderDetector, bundle: Bundle) -> None:
    posts = [*_planted()[0][::10], Post("short", EVIDENCE, "en")]
    for base, others in ((windows, True), (bundle.members[0], False)):
        config = StackedConfig(
            base=base.kind,
            further="ner",
            base_as="logit",
            features=("nothing",),
            intercept=0.0,
            coefficients=(1.0, 1.0),
        )
        stack = StackedDetector(base, Nothing(), config)  # type: ignore[arg-type]
        read = stack.read(posts)
        assert np.abs(read.probabilities - np.clip(base.probabilities(posts), 1e-6, 1 - 1e-6)).max() < 1e-9
        assert (read.carried[:-1] >= 0).all() == others
        assert read.carried[-1] == -1
        if others:
            assert stack.locate(posts[:-1], read.carried[:-1]) == windows.locate(posts[:-1], read.carried[:-1])
        else:
            with pytest.raises(TypeError, match="a detector of kind linear reads no windows"):
                stack.locate(posts, read.carried)


def test_the_chosen_pooling_is_reported_stored_and_used(windows: EncoderDetector, source: Path, tmp_path: Path) -> None:
    choice = windows.log.pooling
    assert choice.trained == "max"
    assert choice.long_posts > 40
    assert choice.figures[choice.chosen] == max(choice.figures.values())
    assert windows.config.pooling == choice.chosen
    told = epoch_lines("7", windows.log)[-2]
    assert told.startswith("windows are pooled by max, by cross-fitted dev metrics: max 1.000, mean ")
    assert told.endswith(f"; {choice.long_posts} dev posts of several windows, {choice.long_positives} with an ADE")
    few = choice.model_copy(update={"figures": {}})
    assert epoch_lines("7", windows.log.model_copy(update={"pooling": few}))[-2] == (
        f"windows are pooled by max, as trained; {choice.long_posts} dev posts of several windows, "
        f"{choice.long_positives} with an ADE: too few to choose"
    )
    windows.save(tmp_path)
    loaded = load(tmp_path)
    posts = [item.post for item in _posts(20, seed=5)]
    assert np.array_equal(loaded.probabilities(posts), windows.probabilities(posts))
    fixed = EncoderSpec(name=str(source), pooling="mean")
    assert fixed.trained_pooling == "mean"


def test_posts_of_one_window_score_as_if_truncated(source: Path, tmp_path: Path) -> None:
    posts = [item.post for item in _posts(30, seed=6, longest=50)]
    record = FitRecord(seed=1, posts=1, positives=1, languages=(), train_fingerprint="")
    log = TrainingLog(epochs=(), steps_per_epoch=1, posts_per_epoch=1, parameters=1, micro_tokens=1, device="cpu")
    rules = [LongRule("cut"), LongRule("head-tail"), LongRule("windows", 0.25, 99), LongRule("windows", 0.0, 1)]
    scores = []
    for rule in rules:
        for pooling in ("max", "mean", "noisy-or"):
            encoder = load_encoder(str(source), max_tokens=MAX_TOKENS, offline=True, long_posts=rule)
            config = EncoderConfig(max_tokens=MAX_TOKENS, packing=True, pooling=pooling, fit_record=record)
            scores.append(EncoderDetector(encoder, config, log).probabilities(posts))
    assert all(np.array_equal(one, scores[0]) for one in scores)


def test_encoders_of_older_bundles_truncate(windows: EncoderDetector, cut: EncoderDetector) -> None:
    assert (cut.config.long_posts, cut.log.pooling) == ("cut", None)
    posts = [item.post for item in _posts(20, seed=5)]
    beginnings = [
        replace(post, text=windows.encoder._tokenizer.decode(ids[1:-1]))
        for post, ids in zip(posts, cut.encoder.tokenise([post.text for post in posts]), strict=True)
    ]
    assert np.abs(cut.probabilities(posts) - windows.probabilities(beginnings)).max() < 1e-6
    assert (cut.read(posts).carried == -1).all()


def test_a_post_beyond_the_most_windows_is_truncated(source: Path, windows: EncoderDetector) -> None:
    encoder = load_encoder(
        str(source), max_tokens=MAX_TOKENS, offline=True, fresh_head=True, long_posts=LongRule("windows", 0.25, 3)
    )
    few = EncoderDetector(encoder, windows.config, windows.log)
    room = 64 + 2 * 47
    posts = [Post("", " ".join(["fine"] * (size - 2)), "en") for size in (room, room + 1)]
    lengths = few.lengths(posts)
    assert (lengths.tokens.tolist(), lengths.truncated.tolist()) == ([room, room + 1], [False, True])
    monster = Post("", "fine " * 200_000, "en")  # 1 MB
    assert encoder.tokenise([monster.text])[0].shape == (3, 64)


def test_evidence_beyond_the_first_window_is_explained(windows: EncoderDetector) -> None:
    filler = "my doctor said it is fine\n" * 20
    post = Post("x", f"{filler}{EVIDENCE}\n{filler}", "en")
    assert len(windows.encoder.tokenise([post.text])[0]) > 2
    (evidence,) = windows.evidence([post])
    at = post.text.index(EVIDENCE)
    assert evidence.characters[at : at + len(EVIDENCE)].sum() > 0.5 * np.abs(evidence.characters).sum()
    assert MOST_PIECES == 32


def test_windows_without_offsets_are_in_tokens(tmp_path: Path, bundle: Bundle) -> None:
    folder = japanese_folder(tmp_path / "ja", words="basic")
    encoder = load_encoder(str(folder), max_tokens=16, offline=True, long_posts=LongRule("windows", 0.25, 99))
    record = FitRecord(seed=1, posts=1, positives=1, languages=(), train_fingerprint="")
    log = TrainingLog(epochs=(), steps_per_epoch=1, posts_per_epoch=1, parameters=1, micro_tokens=1, device="cpu")
    config = EncoderConfig(max_tokens=16, packing=True, fit_record=record)
    member = EncoderDetector(encoder, config, log)
    post = Post("j", "薬を飲んだら眠れなくなった" * 5, "ja")
    (told,) = score_posts(replace(bundle, members=(member,), combination=Combination()), [post])
    places = [f"tokens {start}-{end}" for start, end in encoder.window_tokens([post.text])[0].tolist()]
    assert told.window in places
    assert mean_logit(np.array([0.5, 0.5])) == 0.5
