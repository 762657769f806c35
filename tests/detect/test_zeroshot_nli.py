"""Zero-shot NLI: the numbers are those of transformers, whatever the batch and the order of the classes."""
# ruff: noqa: E402

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file
from tests.nn.nli import XNLI, edit, nli_folder
from tests.nn.tiny import TEXTS, tiny_folder

from polyvigil.bundle import layout
from polyvigil.config.model import HYPOTHESES, NliSpec
from polyvigil.detect.zeroshot_nli import NliDetector, class_order, load
from polyvigil.errors import BundleError, PolyvigilError, RecipeError
from polyvigil.learn.zeroshot import NliLearner
from polyvigil.text.normalise import model_text
from polyvigil.types import Post

LANGUAGES = ("en", "en", "de_cadec", "fr", "ja", "ru", "zh", "sv")
POSTS = [Post(str(place), text, language) for place, (text, language) in enumerate(zip(TEXTS, LANGUAGES, strict=True))]
POSTS += [Post(f"{place} again", f"{a.text} {b.text}", a.language) for place, (a, b) in enumerate(pairwise(POSTS))]
KINDS = ("deberta-v2", "bert", "xlm-roberta")


def made(folder: Path, **settings: object) -> NliDetector:
    spec = NliSpec.model_validate({"name": str(folder), "max_tokens": 90, **settings})
    return NliLearner(spec, offline=True, device="cpu").fit([], [], seed=1)


def direct(folder: Path, posts: list[Post], hypotheses: list[str], *, max_tokens: int = 90) -> np.ndarray:
    """Logits by transformers alone, one pair at a time, cut in the post: (n_posts, n_labels)."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for post, hypothesis in zip(posts, hypotheses, strict=True):
        pair = tokenizer(
            model_text(post.text), hypothesis, truncation="only_first", max_length=max_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            rows.append(model(**pair).logits[0].double().numpy())
    return np.array(rows)


def own(post: Post) -> str:
    return HYPOTHESES.get(post.language.removesuffix("_cadec"), HYPOTHESES["en"])


def share(logits: np.ndarray, *places: int) -> np.ndarray:
    powers = np.exp(logits[:, places])
    return powers[:, 0] / powers.sum(axis=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nli_folder(tmp_path_factory.mktemp("nli") / "tiny")


@pytest.mark.parametrize("kind", KINDS)
def test_p_equals_transformers_in_any_batch(tmp_path: Path, kind: str) -> None:
    folder = nli_folder(tmp_path, kind)
    detector = made(folder)
    logits = direct(folder, POSTS, [own(post) for post in POSTS])
    expected = share(logits, 0, 2)
    assert np.ptp(expected) > 0.05
    together = detector.probabilities(POSTS)
    assert np.abs(together - expected).max() < 1e-5
    alone = np.concatenate([detector.probabilities([post]) for post in POSTS])
    shuffled = np.random.default_rng(1).permutation(len(POSTS))
    assert np.abs(alone - expected).max() < 1e-5
    assert np.abs(detector.probabilities([POSTS[place] for place in shuffled]) - expected[shuffled]).max() < 1e-5
    many = detector.probabilities(POSTS * 20)  # more tokens than one batch holds
    assert np.abs(many - np.tile(expected, 20)).max() < 1e-5
    assert detector.probabilities([]).shape == (0,)
    counted = made(folder, neutral="counted").probabilities(POSTS)
    assert np.abs(counted - share(logits, 0, 1, 2)).max() < 1e-5


def test_the_english_sentence_can_serve_all(folder: Path) -> None:
    expected = share(direct(folder, POSTS, [HYPOTHESES["en"]] * len(POSTS)), 0, 2)
    assert np.abs(made(folder, hypothesis_language="en").probabilities(POSTS) - expected).max() < 1e-5
    other = {"en": "It rains.", "de": "Es regnet."}
    expected = share(direct(folder, POSTS, [other.get(post.language[:2], other["en"]) for post in POSTS]), 0, 2)
    assert np.abs(made(folder, hypotheses=other).probabilities(POSTS) - expected).max() < 1e-5


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_classes_are_known_by_their_names_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    first = nli_folder(tmp_path / "first")
    expected = made(first).probabilities(POSTS)
    other = nli_folder(tmp_path / "other", labels=[XNLI[place].upper() for place in order])
    weights = load_file(first / "model.safetensors")
    for name in [name for name in weights if name.startswith("classifier.")]:
        weights[name] = weights[name][list(order)].contiguous()
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert np.abs(made(other).probabilities(POSTS) - expected).max() < 1e-6
    assert class_order([XNLI[place] for place in order], neutral="counted") == (
        order.index(0),
        order.index(2),
        order.index(1),
    )


def test_two_named_classes_are_needed(tmp_path: Path) -> None:
    assert class_order(("not_entailment", "entailment"), neutral="counted") == (1, 0)
    assert class_order(("Entailment", "not entailment"), neutral="left-out") == (0, 1)
    for labels in (("neutral", "contradiction"), ("yes", "no"), ("entailment", "entails", "contradiction")):
        with pytest.raises(
            RecipeError, match=f"its classes are {labels[0]}, .*entailment and contradiction are needed"
        ):
            class_order(labels, neutral="left-out")
    with pytest.raises(RecipeError, match=r"names no classes \(id2label is LABEL_0, LABEL_1\); choose a model trained"):
        made(tiny_folder(tmp_path / "plain", "bert", max_tokens=96))
    with pytest.raises(RecipeError, match="its classes are joy, anger"):
        made(nli_folder(tmp_path / "other", labels=("joy", "anger")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_post_is_truncated_not_the_hypothesis(tmp_path: Path, kind: str) -> None:
    detector = made(nli_folder(tmp_path, kind), max_tokens=40)
    posts = [Post("1", "the new tablets " * 40, "en"), Post("2", "the new tablets", "en")]
    pairs = detector.classifier.tokenise([post.text for post in posts], [HYPOTHESES["en"]] * 2)
    alone = detector.classifier.tokenise([""], [HYPOTHESES["en"]])[0].ids
    hypothesis = alone[-(detector.classifier.token_counts([""], [HYPOTHESES["en"]])[0] - 3) :]
    for pair in pairs:
        assert pair.ids[-len(hypothesis) :].tolist() == hypothesis.tolist()
    assert [len(pair.ids) for pair in pairs] == [40, detector.lengths(posts).tokens[1]]
    lengths = detector.lengths(posts)
    assert lengths.truncated.tolist() == [True, False]
    assert lengths.tokens[0] - lengths.tokens[1] == 3 * 39
    expected = share(direct(tmp_path, posts, [HYPOTHESES["en"]] * 2, max_tokens=40), 0, 2)
    assert np.abs(detector.probabilities(posts) - expected).max() < 1e-5


def test_a_hypothesis_must_leave_room(folder: Path) -> None:
    tokens = made(folder).classifier.token_counts([""], [HYPOTHESES["en"]])[0]
    with pytest.raises(RecipeError) as caught:
        made(folder, hypothesis_language="en", max_tokens=int(tokens) + 7)
    assert str(caught.value) == (
        f"model.hypotheses.en: takes {tokens} of the {tokens + 7} tokens and leaves no room for a post; shorten it, or "
        "set model.max_tokens higher"
    )
    made(folder, hypothesis_language="en", max_tokens=int(tokens) + 8)
    with pytest.raises(RecipeError, match=r"model\.hypotheses\.fr: takes"):
        made(folder, hypotheses={"en": "It rains.", "fr": HYPOTHESES["en"] * 9})


def test_saved_and_loaded_it_scores_bit_equal(folder: Path, tmp_path: Path) -> None:
    detector = made(folder, neutral="counted", hypotheses={"en": "It rains.", "de": "Es regnet."})
    detector.save(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.config == detector.config
    assert loaded.log is None
    assert loaded.fit_record.languages == ()
    assert (loaded.fit_record.seed, loaded.fit_record.posts) == (1, 0)
    assert np.array_equal(loaded.probabilities(POSTS), detector.probabilities(POSTS))
    for path in tmp_path.rglob("*"):
        assert layout.is_bundle_file(f"members/00-nli/{path.relative_to(tmp_path).as_posix()}")
        assert path.suffix in {".json", ".safetensors"}
    assert str(folder) not in "".join(path.read_text() for path in tmp_path.glob("*.json"))


@pytest.mark.parametrize("name", ["polyvigil.json", "model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_nli_folder_is_a_bundle_error(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    made(folder).save(tmp_path)
    file = tmp_path / name
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_a_member_of_another_format_is_refused(folder: Path, tmp_path: Path) -> None:
    made(folder).save(tmp_path)
    edit(tmp_path / "polyvigil.json", normalisation="other-9")
    with pytest.raises(BundleError, match="made with normalisation 'other-9'; this version of polyvigil has"):
        load(tmp_path)
    edit(tmp_path / "polyvigil.json", normalisation="gladiators-1")
    edit(tmp_path / "config.json", id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    with pytest.raises(BundleError, match=r"not a readable NLI detector \(its classes are a, b, c"):
        load(tmp_path)


def test_evidence_is_by_occlusion(folder: Path) -> None:
    [found] = made(folder).evidence([Post("1", "I feel fine. I got a headache.", "en")])
    p = made(folder).probabilities([Post("1", "I feel fine. I got a headache.", "en")])[0]
    assert found.method == "occlusion"
    assert found.logit == pytest.approx(np.log(p / (1 - p)))
    assert np.abs(found.characters).max() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "MoritzLaurer/mDeBERTa-v3-base-mnli-xnl",
            r"fetching is off; .*did you mean MoritzLaurer/mDeBERTa-v3-base-mnli",
        ),
        ("MoritzLaurer/mDeBERTa-v3-base-mnli-xnli", "not fetched before, and fetching is off; give a local folder"),
        ("/no/such/folder", "no such folder"),
    ],
)
def test_a_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PolyvigilError, match=message) as caught:
        made(Path(name))
    assert caught.value.where == name


def test_a_cost_estimate_finds_a_bad_folder(folder: Path, tmp_path: Path) -> None:
    learner = NliLearner(NliSpec(name=str(folder), max_tokens=90), offline=True)
    assert learner.estimate_cost([], [], seed=1) is None
    with pytest.raises(RecipeError, match="no such folder"):
        NliLearner(NliSpec(name=str(tmp_path / "nowhere")), offline=True).estimate_cost([], [], seed=1)
