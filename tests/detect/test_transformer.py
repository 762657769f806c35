"""A tiny encoder through learner, detector and disk; a folder that Hugging Face opens; errors that say what to do."""
# ruff: noqa: E402

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from tiny import tiny_folder

from polyvigil.bundle import layout
from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.detect.transformer import EncoderDetector, load
from polyvigil.errors import BundleError, DataError, RecipeError
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.text.normalise import NORMALISATION, model_text
from polyvigil.types import LabelledPost, Post

WORDS = tuple(model_text("I took the new pill today and my doctor said it is fine after lunch we went home").split())
TRAINING = TrainingSpec(epochs=8, posts_per_step=16, micro_tokens=256, learning_rate=0.006, checkpoint_minutes=1000.0)
BALANCE = BalanceSpec(weights="none", oversample=2)


def _posts(n: int, *, seed: int, language: str = "en") -> list[LabelledPost]:
    random = np.random.default_rng(seed)
    result = []
    for place in range(n):
        words = list(random.choice(WORDS, size=random.integers(3, 14)))
        label = int(random.random() < 0.3)
        if label:
            words[random.integers(len(words))] = "dizzy"
        result.append(LabelledPost(Post(f"{language}_{seed}_{place}", " ".join(words), language), label))
    return result


TRAIN, DEV = (
    _posts(160, seed=1) + _posts(80, seed=2, language="de"),
    [*_posts(80, seed=3), LabelledPost(Post("empty", " ", "en"), 0)],
)
TEST = [item.post for item in _posts(60, seed=4)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return tiny_folder(folder, "xlm-roberta", texts=[" ".join([*WORDS, "dizzy"])], hidden=32, layers=1)


def _learner(source: Path, *, max_tokens: int = 24, **options: object) -> EncoderLearner:
    spec = EncoderSpec(name=str(source), max_tokens=max_tokens)
    return EncoderLearner(spec, TRAINING, BALANCE, offline=True, **options)


@pytest.fixture(scope="module")
def detector(source: Path) -> EncoderDetector:
    return _learner(source).fit(TRAIN, DEV, seed=7)


def test_a_planted_word_is_learnt_and_logged(detector: EncoderDetector) -> None:
    log = detector.log
    assert log.best.dev_f1 > 0.95
    assert len(log.epochs) == 8
    record = detector.fit_record
    positives = sum(item.label for item in TRAIN)
    assert (record.seed, record.posts, record.positives) == (7, 240, positives)
    assert record.languages == ("de", "en")
    assert log.posts_per_epoch == 240 + positives
    assert log.parameters == sum(p.numel() for p in detector.encoder.model.parameters())
    found = detector.probabilities(TEST)
    assert found.shape == (60,)
    gold = np.array(["dizzy" in post.text for post in TEST])
    assert found[gold].min() > found[~gold].max()


def test_the_detector_follows_the_seed(source: Path, detector: EncoderDetector) -> None:
    scores = detector.probabilities(TEST)
    assert np.array_equal(_learner(source).fit(TRAIN, DEV, seed=7).probabilities(TEST), scores)
    assert not np.array_equal(_learner(source).fit(TRAIN, DEV, seed=8).probabilities(TEST), scores)


def test_a_run_stopped_and_started_again_gives_the_same_detector(
    source: Path, detector: EncoderDetector, tmp_path: Path
) -> None:
    steps = iter(range(100))
    with pytest.raises(Exception, match="run the same command again"):
        _learner(source, work=tmp_path, stop=lambda: next(steps) == 70).fit(TRAIN, DEV, seed=7)
    lines: list[str] = []
    again = _learner(source, work=tmp_path, log=lines.append).fit(TRAIN, DEV, seed=7)
    assert np.array_equal(again.probabilities(TEST), detector.probabilities(TEST))
    assert any(line.startswith("resuming after") for line in lines)


def test_scores_do_not_depend_on_other_posts(detector: EncoderDetector) -> None:
    together = detector.probabilities(TEST)
    alone = np.concatenate([detector.probabilities([post]) for post in TEST])
    assert np.abs(together - alone).max() < 1e-5
    assert detector.probabilities([]).shape == (0,)


def test_saved_and_loaded_it_scores_bit_equal(detector: EncoderDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    loaded = load(tmp_path)
    assert (loaded.config, loaded.log) == (detector.config, detector.log)
    assert loaded.kind == "encoder"
    assert np.array_equal(loaded.probabilities(TEST), detector.probabilities(TEST))
    for path in tmp_path.rglob("*"):
        assert layout.is_bundle_file(f"members/00-encoder/{path.relative_to(tmp_path).as_posix()}")
    assert not list(tmp_path.glob("*.bin"))


def test_transformers_opens_the_folder_with_the_same_scores(detector: EncoderDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer([model_text(p.text) for p in TEST], padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = torch.softmax(model(**batch).logits.double(), dim=1)[:, 1].numpy()
    assert np.abs(theirs - detector.probabilities(TEST)).max() < 1e-6
    assert model.config.id2label == {0: "no_ade", 1: "ade"}


@pytest.mark.parametrize("name", ["polyvigil.json", "model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_a_bundle_error(detector: EncoderDetector, tmp_path: Path, name: str, damage: str) -> None:
    detector.save(tmp_path)
    file = tmp_path / name
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_another_normalisation_is_refused(detector: EncoderDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    file = tmp_path / "polyvigil.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalisation": "other-9"}))
    with pytest.raises(BundleError, match=f"made with normalisation 'other-9'; this .* and '{NORMALISATION}'"):
        load(tmp_path)


def test_bad_posts_are_refused_before_the_model_is_loaded() -> None:
    learner = _learner(Path("/no/such/model"))
    one = [item for item in TRAIN if not item.label]
    unreadable = [LabelledPost(Post("a", "http://x.y", "en"), 1), *one[:5]]
    for train, dev, message in (
        (one, DEV, f"the {len(one)} training posts hold 0 positives with a text; both classes are needed"),
        ([item for item in TRAIN if item.label], DEV, "both classes are needed"),
        ([], DEV, "the 0 training posts"),
        (TRAIN, [], "the 0 dev posts hold 0 positives"),
        (TRAIN, one, "dev posts hold 0 positives"),
        (TRAIN, unreadable, "the 6 dev posts hold 0 positives with a text"),
    ):
        with pytest.raises(DataError, match=message):
            learner.fit(train, dev, seed=1)


def test_bad_models_and_devices_are_refused(source: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        _learner(Path("/no/such/model")).fit(TRAIN, DEV, seed=1)
    with pytest.raises(RecipeError, match="nonsense: the device cannot be used"):
        _learner(source, device="nonsense").fit(TRAIN, DEV, seed=1)
    if not torch.cuda.is_available():
        with pytest.raises(RecipeError, match="cuda: the device cannot be used"):
            _learner(source, device="cuda").fit(TRAIN, DEV, seed=1)
