"""Zero-shot NER: what GLiNER2 itself finds in a tiny model, by our rule; folders that are refused."""
# ruff: noqa: E402

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gliner2 = pytest.importorskip("gliner2")
from tests.nn.gliner import gliner_folder
from tests.nn.tiny import TEXTS, tiny_folder

from polyvigil.bundle import layout
from polyvigil.config.model import NerSpec
from polyvigil.detect.entity_features import FEATURES, Entity, features, merged, probability
from polyvigil.detect.zeroshot_ner import NerDetector, load
from polyvigil.errors import BundleError, RecipeError
from polyvigil.learn.zeroshot import NerLearner
from polyvigil.nn import entities as module
from polyvigil.text.normalise import model_text
from polyvigil.types import Post

LANGUAGES = ("en", "en", "de", "fr", "ja", "ru", "zh", "en")
POSTS = [Post(str(place), text, language) for place, (text, language) in enumerate(zip(TEXTS, LANGUAGES, strict=True))]
SPEC = NerSpec()


def made(folder: Path, **settings: object) -> NerDetector:
    spec = NerSpec.model_validate({"name": str(folder), **settings})
    return NerLearner(spec, offline=True, device="cpu").fit([], [], seed=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gliner_folder(tmp_path_factory.mktemp("gliner") / "tiny")


def of_the_library(folder: Path, text: str) -> tuple[Entity, ...]:
    """What the library says of one short text, asked as its own documentation asks."""
    model = gliner2.AutoExtractor.from_pretrained(str(folder))
    labels = [*SPEC.drug_labels, *SPEC.reaction_labels]
    told = model.extract_entities(text, labels, threshold=0.05, include_confidence=True, include_spans=True)
    return merged(
        [
            Entity(
                hit["start"],
                min(hit["end"], len(text)),
                "drug" if label == "medicine" else "reaction",
                hit["confidence"],
            )
            for label in labels
            for hit in told["entities"][label]
            if hit["start"] < len(text)
        ]
    )


@pytest.mark.filterwarnings("ignore")
def test_the_entities_are_those_of_the_library(folder: Path) -> None:
    spaced = [post for post in POSTS if post.language not in {"ja", "zh"}]
    for post, found in zip(spaced, made(folder).entities(spaced), strict=True):
        expected = of_the_library(folder, model_text(post.text))
        assert expected
        assert [(e.start, e.end, e.role) for e in found] == [(e.start, e.end, e.role) for e in expected]
        assert [e.score for e in found] == pytest.approx([e.score for e in expected], abs=1e-5)


def test_words_without_spaces_are_split(folder: Path) -> None:
    for post, found in zip(POSTS, made(folder).entities(POSTS), strict=True):
        text = model_text(post.text)
        assert all(0 <= e.start < e.end <= len(text) and 0.05 <= e.score <= 1 for e in found)
        if post.language in {"ja", "zh"}:
            assert max(e.end - e.start for e in found) <= 4  # the tiny model's longest run of words


def test_p_and_features_follow_from_the_entities(folder: Path) -> None:
    detector = made(folder, alone=0.25)
    found = detector.entities(POSTS)
    assert detector.probabilities(POSTS).tolist() == [probability(entities, alone=0.25) for entities in found]
    told = detector.features(POSTS)
    assert told.shape == (len(POSTS), 9)
    assert detector.feature_names == FEATURES
    for row, post, entities in zip(told, POSTS, found, strict=True):
        assert np.array_equal(row, features(entities, characters=len(model_text(post.text))))
    assert np.ptp(np.delete(told, FEATURES.index("nearness"), axis=1), axis=0).min() > 0  # all are 1 here
    assert detector.probabilities([]).shape == (0,)
    assert detector.features([]).shape == (0, 9)
    assert detector.lengths(POSTS) is None


def test_entities_do_not_depend_on_other_posts(folder: Path) -> None:
    detector = made(folder)
    together = detector.features(POSTS * 3)
    alone = np.concatenate([detector.features([post]) for post in POSTS])
    assert np.abs(together - np.tile(alone, (3, 1))).max() < 1e-5
    shuffled = np.random.default_rng(1).permutation(len(POSTS))
    mixed = detector.probabilities([POSTS[place] for place in shuffled])
    assert np.abs(mixed - detector.probabilities(POSTS)[shuffled]).max() < 1e-5


def test_a_long_post_is_read_to_its_end(folder: Path) -> None:
    text = " ".join([TEXTS[0]] * 12)
    [found] = made(folder, chunk_words=16).entities([Post("1", text, "en")])
    assert max(e.end for e in found) > len(text) - 10
    assert {text[e.start : e.end] for e in found} <= {
        text[a:b] for a in range(len(text)) for b in range(a, len(text) + 1)
    }


def test_settings_reach_the_model(folder: Path) -> None:
    everything, sure = made(folder), made(folder, least_score=0.8)
    high = [tuple(e for e in found if e.score >= 0.8) for found in everything.entities(POSTS)]
    assert sure.entities(POSTS) == high != everything.entities(POSTS)
    only = made(folder, reaction_labels=["headache"], drug_labels=["tablet"])
    assert only.config.drug_labels == ("tablet",)
    assert not np.allclose(only.probabilities(POSTS), everything.probabilities(POSTS))


def test_a_saved_ner_member_scores_bit_equal(folder: Path, tmp_path: Path) -> None:
    detector = made(folder, alone=0.3)
    detector.save(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.config == detector.config
    assert np.array_equal(loaded.features(POSTS), detector.features(POSTS))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for path in files:
        name = path.relative_to(tmp_path).as_posix()
        assert layout.is_bundle_file(f"members/00-ner/{name}")
        assert layout.is_bundle_file(f"members/00-stacked/further/{name}")
        if path.suffix == ".json":
            assert str(folder) not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["polyvigil.json", "model.safetensors", "config.json", "encoder_config/config.json", "tokenizer.json"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_ner_folder_is_a_bundle_error(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    made(folder).save(tmp_path)
    file = tmp_path / name
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"has no encoder_config/config\.json; give a GLiNER2 model, such as fastino"):
        made(tiny_folder(tmp_path / "bert", "bert"))
    with pytest.raises(RecipeError, match="no such folder"):
        NerLearner(NerSpec(name=str(tmp_path / "nowhere")), offline=True).estimate_cost([], [], seed=1)
    assert NerLearner(NerSpec(name=str(folder)), offline=True).estimate_cost([], [], seed=1) is None
    made(folder).save(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"has its weights in pytorch_model\.bin only; only safetensors are read"):
        made(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "encoder_config/config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    made(folder).save(tmp_path)
    settings = json.loads((tmp_path / name).read_text()) | {
        "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}
    }
    (tmp_path / name).write_text(json.dumps(settings))
    (tmp_path / "own.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(RecipeError, match=f"its {name} names code of its own, which is not run"):
        made(tmp_path)


def test_without_the_library_the_error_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder).save(tmp_path)
    real = importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "gliner2" else real(name))
    with pytest.raises(
        RecipeError, match=r"needs gliner2, which is not installed; .*pip install 'polyvigil\[zero-shot\]'"
    ):
        made(folder)
    with pytest.raises(BundleError, match=r"a member of kind 'ner' needs gliner2.*polyvigil\[zero-shot\]"):
        load(tmp_path)


def test_offline_a_missing_model_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        RecipeError, match="not fetched before, and fetching is off; give a local folder with the model"
    ):
        made(Path("fastino/gliner2-multi-v1"))


def test_only_what_is_needed_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}

    def fetch(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    NerLearner(NerSpec(), device="cpu").fit([], [], seed=1)
    assert asked["name"] == "fastino/gliner2-multi-v1"
    patterns = asked["allow_patterns"]
    assert isinstance(patterns, list)
    assert {"encoder_config/config.json", "model.safetensors"} <= set(patterns)
    assert not any("*" in name or name.endswith((".bin", ".py", ".pt")) for name in patterns)
