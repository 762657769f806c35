"""Recipes: the shipped ones, every fault at once, and back again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from polyvigil.config.load import find, known_keys, load, parse, shipped, to_toml
from polyvigil.config.model import EncoderSpec, LinearSpec, StackedSpec
from polyvigil.config.recipe import RECIPE_ADAPTER, LinearRecipe, StackedLinearRecipe, StackedRecipe
from polyvigil.errors import RecipeError

FURTHER = (
    {"model": {"kind": "encoder"}, "adapt": {"epochs": 2}},
    {"model": {"kind": "nli", "hypotheses": {"en": 'It is "so".', "de": "Es ist so."}, "neutral": "counted"}},
    {"model": {"kind": "ner", "drug_labels": ["pill", 'the "drug"'], "alone": 0.25}, "seed": 3},
    {
        "model": {"kind": "stacked", "base": {"kind": "encoder", "name": "x"}, "further": {"kind": "nli"}, "folds": 3},
        "seeds": [1, 2],
        "training": {"epochs": 2},
        "decide": {"objective": {"kind": "recall", "at_least": 0.8}},
    },
    {"model": {"kind": "stacked", "base": {"kind": "linear", "C": 2.0}, "further": {"kind": "ner"}}},
)
"""Recipes of the further kinds."""


def test_shipped_recipes_are_valid_and_show_their_command() -> None:
    assert set(shipped()) == {
        *("adapt", "e5", "eurobert", "gladiators", "gliner", "granite-small", "japanese-bert", "hybrid", "linear"),
        *("lora", "mdeberta", "mmbert", "mmbert-small", "nli", "quick", "stacked", "xlm-t", "xlmr-base"),
    }
    for name, path in shipped().items():
        recipe = load(name)
        header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        assert any(f"polyvigil train {name}" in line for line in header)
        assert any("Expected:" in line for line in header)
        assert any("Source:" in line for line in header)
        assert any(line.startswith("# When: ") for line in header)
        assert recipe == load(str(path))


def test_the_paper_s_recipe_is_the_paper_s() -> None:
    recipe = load("gladiators")
    assert recipe.member_seeds == (42, 123, 456)
    assert (recipe.balance.oversample, recipe.balance.weights, recipe.decide.rule) == (3, "none", "paper-grid")
    assert isinstance(recipe.model, EncoderSpec)
    assert (recipe.model.name, recipe.model.max_tokens) == ("xlm-roberta-large", 256)
    training = recipe.training
    assert (training.epochs, training.posts_per_step, training.learning_rate) == (5, 32, 1e-5)
    assert (training.loss, training.alpha, training.gamma, training.precision) == ("focal", 0.75, 2.0, "fp16")
    assert (training.weight_decay, training.warmup, training.clip) == (0.01, 0.1, 1.0)


def test_the_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = parse(
        {
            "seed": 7,
            "data": {
                "columns": {"text": 'the "tweet"'},
                "file_columns": {"a, b = c.csv": {"label": "gold = 1", "text": "t"}, 'the "d".csv': {"id": "key"}},
                "trained_columns": {"text": "words"},
                "labels": {"yes": 1, "no, never": 0},
                "trained_labels": {"1": 0},
            },
            "model": {"C": 0.5, "word_ngrams": [1, 3], "sublinear": False},
            "decide": {"rule": "paper-grid"},
        }
    )
    (tmp_path / "r.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load(str(tmp_path / "r.toml")) == recipe
    encoder = parse({"seeds": [1, 2], "model": {"kind": "encoder"}, "training": {"epochs": 3}})
    (tmp_path / "e.toml").write_text(to_toml(encoder), encoding="utf-8")
    assert load(str(tmp_path / "e.toml")) == encoder
    further = [parse(tree) for tree in FURTHER]
    for place, other in enumerate(further):
        (tmp_path / f"{place}.toml").write_text(to_toml(other), encoding="utf-8")
        assert load(str(tmp_path / f"{place}.toml")) == other
    shown = [key for key in known_keys() if not key.startswith("decide.objective.")]  # each kind has keys of its own
    for key in [*shown, "decide.objective.kind"]:
        assert key.rpartition(".")[2] in "".join(map(to_toml, (recipe, encoder, *further)))


def test_every_setting_has_a_description() -> None:
    for text in map(to_toml, (LinearRecipe(), load("gladiators"), load("nli"), load("gliner"), load("stacked"))):
        lines = text.splitlines()
        for before, line in pairwise(lines):
            assert before.startswith("#") or "=" not in line or line.startswith(("#", "kind"))


def test_all_errors_are_reported_at_once_with_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'sed = 1\n[model]\nC = -1\nword_ngrams = [3, 1]\n[balance]\nweight = "group"\noversample = "3"\n'
        '[data]\ncolumns = {txt = "a"}\nlabels = {yes = 2}\n'
    )
    with pytest.raises(RecipeError) as caught:
        load(str(path))
    told = str(caught.value)
    for part in (
        "bad.toml: ",
        "sed: there is no such setting; did you mean seed?",
        "model.C: Input should be greater than 0 (it is -1)",
        "balance.weight: there is no such setting; did you mean balance.weights?",
        "balance.oversample: Input should be a valid integer (it is '3')",
        "data.columns.txt",
        "data.labels.yes",
    ):
        assert part in told
    path.write_text("[model]\nword_ngrams = [3, 1]\n")
    with pytest.raises(RecipeError, match="word_ngrams must be two whole numbers with 1 <= first <= second <= 8"):
        load(str(path))


@pytest.mark.parametrize(
    ("setting", "check"),
    [
        ("model.C=2", lambda recipe: recipe.model.C == 2),
        ("balance.weights=none", lambda recipe: recipe.balance.weights == "none"),
        ('data.columns.text="my column"', lambda recipe: recipe.data.columns == {"text": "my column"}),
        ("data.labels.yes=1", lambda recipe: recipe.data.labels == {"yes": 1}),
        ("seed=9", lambda recipe: recipe.seed == 9),
    ],
)
def test_settings_change_a_recipe(setting: str, check: object) -> None:
    assert check(load("linear", settings=[setting]))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.C", "is not section.key=value"),
        ("=2", "is not section.key=value"),
        ("decide.rule=none", "Input should be 'fixed', 'paper-grid', 'argmax'"),
        ("model.max_tokens=9", "model.max_tokens changes nothing for model.kind = linear; remove it"),
        ("seed.x=1", "there is no such setting|Input should be"),
        ("model.C.x=1", "Input should be a valid number"),
        ("model.kind=2", r"model.kind: must be one of linear, encoder, nli, ner, stacked, hybrid \(it is 2\)"),
        ("seeds=[1, 2]", "seeds changes nothing for model.kind = linear; remove it"),
        ("training.epochs=2", r"\[training\] changes nothing for model.kind = linear; remove it"),
        ("training={}", r"\[training\] changes nothing for model.kind = linear; remove it"),
        ("lora.rank=8", r"\[lora\] changes nothing for model.kind = linear; remove it"),
        ("distil.teacher=bundle", r"\[distil\] changes nothing for model.kind = linear; remove it"),
    ],
)
def test_bad_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load("linear", settings=[setting])


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("nli", "balance.oversample=3", r"\[balance\] changes nothing for model.kind = nli; remove it"),
        ("gliner", "seeds=[1, 2]", "seeds changes nothing for model.kind = ner; remove it"),
        ("nli", "training.epochs=2", r"\[training\] changes nothing for model.kind = nli; remove it"),
        ("stacked", "distil.teacher=b", r"\[distil\] changes nothing for model.kind = stacked; remove it"),
        ("stacked", "data.folds=3", "data.folds changes nothing for model.kind = stacked; remove it"),
        (
            "stacked",
            "model.base={kind = 'linear'}",
            r"\[training\] changes nothing for model.kind = stacked over a linear",
        ),
        ("gladiators", "seeds=[1, 1]", "seeds: a seed stands twice; its members would be the same"),
        ("stacked", "model.folds=1", "model.folds: Input should be greater than or equal to 2"),
        ("stacked", "model.base.max_tokens=1", "model.base.max_tokens: Input should be greater than or equal to 8"),
        (
            "stacked",
            "model.base.max_token=9",
            "model.base.max_token: there is no such .*; did you mean model.base.max_tok",
        ),
        ("stacked", "model.further.alone=2", "model.further.alone: Input should be less than or equal to 1"),
        ("stacked", "model.base.kind=ner", "model.base: Input tag 'ner' found using 'kind' does not match"),
        ("nli", "model.hypotheses={de = 'x'}", "model: hypotheses must hold one for en"),
        ("nli", "model.hypotheses={en = 'x', de = ' '}", "model: the hypothesis of de is empty"),
        ("nli", "model.neutral=maybe", "model.neutral: Input should be 'left-out' or 'counted'"),
        ("gliner", "model.drug_labels=[]", "model.drug_labels: "),
        ("gliner", "model.drug_labels=['side effect']", "model: every label must have a text and stand once"),
        ("gliner", "model.least_score=0", "model.least_score: Input should be greater than 0"),
    ],
)
def test_settings_of_the_further_kinds_are_checked(recipe: str, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(recipe, settings=[setting])


def test_a_stack_may_have_a_linear_base(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[model]\nkind = "stacked"\nbase = {kind = "linear"}\n')
    recipe = load(str(tmp_path / "r.toml"), settings=["model.base.C=2", "balance.oversample=3"])
    assert recipe.encoder is None
    assert isinstance(recipe, StackedLinearRecipe)
    assert recipe.base.C == 2
    assert "[training]" not in to_toml(recipe)


def test_a_recipe_has_the_sections_of_its_kind_alone() -> None:
    sections = {name: type(load(name)).model_fields.keys() - {"seed", "model", "data", "decide"} for name in shipped()}
    steps = {"seeds", "adapt", "training", "lora", "balance"}
    assert sections["gladiators"] == steps | {"distil"}
    assert sections["stacked"] == steps
    assert sections["linear"] == {"balance"}
    assert sections["nli"] == sections["gliner"] == set()
    assert (load("nli").learns, load("stacked").learns, load("gladiators").teacher) == (False, True, None)
    assert all(RECIPE_ADAPTER.validate_python(load(name)) == load(name) for name in shipped())


def test_a_section_without_effect_is_named_beside_every_other_fault() -> None:
    with pytest.raises(RecipeError) as caught:
        parse({"model": {"C": -1}, "training": {}, "lora": {"rank": 2}, "sed": 1, "seeds": []}, where="r.toml")
    assert str(caught.value).splitlines() == [
        "r.toml: 4 faults",
        "  model.C: Input should be greater than 0 (it is -1)",
        "  [training] changes nothing for model.kind = linear; remove it",
        "  [lora] changes nothing for model.kind = linear; remove it",
        "  sed: there is no such setting; did you mean seed?",
    ]
    with pytest.raises(RecipeError) as caught:
        parse({"model": {"kind": "linaer", "C": 2}, "seed": -1, "training": {"epochs": 0}}, where="r.toml")
    assert [line.partition(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "seed",
        "model.kind",
        "training.epochs",
    ]


@pytest.mark.parametrize(
    ("kind", "base", "message"),
    [(StackedRecipe, LinearSpec(), "the base is linear"), (StackedLinearRecipe, EncoderSpec(), "the base is an enc")],
)
def test_a_stack_s_recipe_is_of_its_base(kind: type[BaseModel], base: LinearSpec | EncoderSpec, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(model=StackedSpec(base=base))


def test_a_missing_recipe_suggests_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'liner'; did you mean 'linear'"):
        find("liner")
    with pytest.raises(RecipeError, match=r"nope\.toml: no such recipe file; shipped recipes: adapt, e5, "):
        find(str(tmp_path / "nope.toml"))


@pytest.mark.parametrize(("content", "message"), [(b"a = [", "not TOML"), (b"\xff\xfe", "cannot be read as UTF-8")])
def test_invalid_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load(str(tmp_path / "r.toml"))
