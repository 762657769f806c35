"""Encoders without dev posts: the models of the folds are the members, and nothing of a fold leaks into its scores."""
# ruff: noqa: E402

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import Bundle, load
from polyvigil.checks.audit.training import record_gate
from polyvigil.cli import main as program
from polyvigil.config.load import load as load_recipe
from polyvigil.config.recipe import EncoderRecipe, Recipe
from polyvigil.data.write import write_posts
from polyvigil.errors import InterruptError, RecipeError, SplitError, TrainingError
from polyvigil.evaluation.measure import measured_on_dev
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.metrics import average_precision
from polyvigil.report.report import report_of
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training
from polyvigil.workflows.estimate import estimate_cost
from polyvigil.workflows.learners import RunOptions
from polyvigil.workflows.tune import CascadeOptions, Plan, recipe_of, tune_bundle

WORDS = ("the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep", "again", "with", "my", "doctor")
TRAINING = (
    "training.epochs=3",
    "training.learning_rate=3e-3",
    "training.posts_per_step=16",
    "training.checkpoint_minutes=0",
    "decide.rule=argmax",  # the quickest: no test here is of what is decided
    "training.head=random",
    "model.token_pooling=model",
    "model.max_tokens=32",
)
HERE = RunOptions(device="cpu", offline=True)
FOLDS = 3


class Killed(BaseException):
    """In the place of kill -9, where the instant matters."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def posts_of(number: int, name: str, *, labels: Sequence[int] = ()) -> list[LabelledPost]:
    """Synthetic: a post with the word rash is positive; or words alone, with the labels that are given."""
    chance = np.random.default_rng([number, *name.encode()])
    made = []
    for index in range(number):
        chosen = [str(word) for word in chance.choice(WORDS, 6)]
        label = labels[index] if labels else int(index % 3 == 0)
        if label and not labels:
            chosen[int(chance.integers(6))] = "rash"
        made.append(
            LabelledPost(Post(f"{name}_{index}", " ".join(chosen) + f" {index}", ("en", "de")[index % 2]), label)
        )
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    for name, number in (("train", 72), ("dev", 48)):
        write_posts(folder / f"{name}.csv", posts_of(number, name))
    tiny_folder(folder / "model", "xlm-roberta", texts=[item.post.text for item in posts_of(72, "train")], seed=3)
    return folder


def recipe_with(files: Path, *settings: str, name: str = "quick") -> Recipe:
    return load_recipe(name, settings=[f"model.name={files}/model", "balance.oversample=1", *TRAINING, *settings])


@pytest.fixture(scope="module")
def recipe(files: Path) -> Recipe:
    return recipe_with(files, f"data.folds={FOLDS}")


@pytest.fixture(scope="module")
def data(recipe: Recipe, files: Path) -> training.TrainingData:
    return training.gather(recipe, train=[f"{files}/train.csv"], dev=[])


@pytest.fixture(scope="module")
def unbroken(
    recipe: Recipe, data: training.TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, training.Trained]:
    folder = tmp_path_factory.mktemp("unbroken") / "bundle"
    return folder, training.train(recipe, data, output=folder, options=HERE)


@pytest.fixture(scope="module")
def bundle(unbroken: tuple[Path, training.Trained]) -> Bundle:
    return unbroken[1].bundle


# -- the members and their scores -------------------------------------------------------------------------------------


def test_each_post_has_the_score_of_the_member_that_did_not_learn_from_it(
    bundle: Bundle, data: training.TrainingData
) -> None:
    assert data.fold_of is not None
    assert data.train == data.dev
    by_member = bundle.member_probabilities([item.post for item in data.dev])
    assert len(bundle.members) == len(by_member) == FOLDS
    for fold in range(FOLDS):
        held_out = data.fold_of == fold
        assert np.abs(bundle.dev.by_member[:, held_out] - by_member[fold, held_out]).max() < 1e-6
        assert bundle.members[fold].fit_record.posts == int((~held_out).sum())
    assert not bundle.combination.weights
    mean = by_member.mean(axis=0)
    assert np.abs(bundle.probabilities([item.post for item in data.dev]) - mean).max() < 1e-6
    assert np.abs(bundle.dev_scores().probabilities - bundle.dev.by_member[0]).max() < 1e-12


def test_the_last_epoch_is_kept_and_no_pooling_is_chosen(unbroken: tuple[Path, training.Trained]) -> None:
    for member in unbroken[1].bundle.members:
        assert member.log is not None
        assert member.log.best is member.log.epochs[-1]
        assert member.log.pooling is None
    assert unbroken[1].names == ("42, fold 1 of 3", "42, fold 2 of 3", "42, fold 3 of 3")
    assert unbroken[1].subsets == ()


def test_evaluation_report_and_card_say_that_scores_are_out_of_fold(
    unbroken: tuple[Path, training.Trained], bundle: Bundle
) -> None:
    folder, trained = unbroken
    assert trained.evaluation.data == "train.csv, out of 3 folds"
    measured = measured_on_dev(bundle)
    assert measured.evaluation.data == "the dev posts, by stored scores, each by a model that has not learned from it"
    report = report_of(measured, bundle)
    assert report.out_of_fold
    assert report.subsets == ()
    assert record_gate(bundle).places == 2  # languages, not once more for each member
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "The dev posts are the training posts, each scored by a model that has not learned from it" in card
    assert "best epoch" not in card
    assert "--train TRAIN.csv -o BUNDLE" in card


def test_random_labels_give_ap_at_prevalence(files: Path, tmp_path: Path) -> None:
    """Nothing leaks into a fold's scores: the members know their own posts, and know nothing of the others."""
    random = np.random.default_rng(5)
    posts = posts_of(240, "noise", labels=[int(value) for value in random.random(240) < 0.3])
    write_posts(tmp_path / "noise.csv", posts)
    tiny_folder(tmp_path / "model", "xlm-roberta", texts=[item.post.text for item in posts], seed=3)
    settings = ("training.epochs=10", "training.learning_rate=5e-3", "training.checkpoint_minutes=10")
    recipe = recipe_with(tmp_path, "data.folds=3", *settings)
    data = training.gather(recipe, train=[f"{tmp_path}/noise.csv"], dev=[])
    bundle = training.train(recipe, data, output=tmp_path / "bundle", options=HERE).bundle
    labels = np.array([item.label for item in data.dev], dtype=np.int8)
    assert average_precision(labels, bundle.dev_scores().probabilities) == pytest.approx(labels.mean(), abs=0.09)
    assert average_precision(labels, bundle.probabilities([item.post for item in data.dev])) > 0.8


def test_seeds_and_folds(files: Path, tmp_path: Path) -> None:
    recipe = recipe_with(files, "data.folds=2", "seeds=[1, 2]", "training.epochs=1")
    data = training.gather(recipe, train=[f"{files}/train.csv"], dev=[])
    trained = training.train(recipe, data, output=tmp_path / "bundle", options=HERE)
    assert trained.names == ("1, fold 1 of 2", "1, fold 2 of 2", "2, fold 1 of 2", "2, fold 2 of 2")
    rows = trained.bundle.dev.by_member
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])
    assert not np.array_equal(rows[1], rows[2])
    by_member = trained.bundle.member_probabilities([item.post for item in data.dev])
    held_out = data.fold_of == 1
    mean = by_member[[1, 3]][:, held_out].mean(axis=0)
    assert np.abs(trained.bundle.dev_scores().probabilities[held_out] - mean).max() < 1e-6


def test_a_hybrid_has_the_members_of_the_folds_beside_one_linear_member(files: Path, tmp_path: Path) -> None:
    settings = [f"model.encoder.name={files}/model"]
    settings += [setting.replace("model.", "model.encoder.") for setting in TRAINING]
    recipe = load_recipe("hybrid", settings=[*settings, "data.folds=2"])
    data = training.gather(recipe, train=[f"{files}/train.csv"], dev=[])
    lines: list[str] = []
    trained = training.train(recipe, data, output=tmp_path / "bundle", options=HERE, log=lines.append)
    bundle = trained.bundle
    assert trained.names == ("linear", "42, fold 1 of 2", "42, fold 2 of 2")
    assert bundle.members[0].fit_record.posts == len(data.train)
    linear, first, second = bundle.combination.weights
    assert first == second
    assert linear + first + second == pytest.approx(1)
    rows = bundle.dev.by_member
    expected = linear * rows[0] + 2 * first * rows[1]
    assert np.abs(bundle.dev_scores().probabilities - expected).max() < 1e-12
    assert any(line.endswith(f"linear {linear:.2f}, 42 {2 * first:.2f}") for line in lines)


# -- what is kept apart -----------------------------------------------------------------------------------------------


def test_posts_chosen_by_their_score_and_translations_teach_alone(files: Path, tmp_path: Path) -> None:
    posts = posts_of(60, "mixed")
    lines = ["id,text,label,language,group,origin,purpose,inclusion_p"]
    lines += [f"{item.post.id},{item.post.text},{item.label},{item.post.language},,,," for item in posts]
    lines += [
        "c1,chosen rash by its score,1,en,,,queue,1.0",
        f"t1,rash übersetzt,1,de,{posts[0].post.id},translated:x,,",
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = recipe_with(files, "data.folds=2", "training.epochs=1")
    data = training.gather(recipe, train=[str(tmp_path / "train.csv")], dev=[])
    assert (len(data.train), len(data.dev)) == (62, 60)
    bundle = training.train(recipe, data, output=tmp_path / "bundle", options=HERE).bundle
    assert data.fold_of is not None
    own = int(data.fold_of[[item.post.id for item in data.dev].index(posts[0].post.id)])
    sizes = [member.fit_record.posts for member in bundle.members]
    expected = [int((data.fold_of != fold).sum()) + 2 - (fold == own) for fold in range(2)]
    assert sizes == expected


def test_a_teacher_of_these_posts_is_refused_and_one_of_others_teaches(files: Path, tmp_path: Path) -> None:
    teachers = {}
    for name in ("train", "dev"):
        linear = load_recipe("linear")
        material = training.gather(linear, train=[f"{files}/{name}.csv"], dev=[])
        training.train(linear, material, output=tmp_path / f"of-{name}")
        teachers[name] = recipe_with(files, "data.folds=2", "training.epochs=1", f"distil.teacher={tmp_path}/of-{name}")
    data = training.gather(teachers["train"], train=[f"{files}/train.csv"], dev=[])
    with pytest.raises(SplitError, match="the teacher was trained on 72 of 72 dev posts") as raised:
        training.train(teachers["train"], data, output=tmp_path / "bundle", options=HERE)
    assert "with data.folds all posts are dev posts" in str(raised.value.hint)
    bundle = training.train(teachers["dev"], data, output=tmp_path / "bundle", options=HERE).bundle
    teacher = load(tmp_path / "of-dev", device="cpu").id
    assert [member.log.teacher for member in bundle.members if member.log] == [teacher, teacher]


def test_what_makes_no_sense_is_refused(files: Path, tmp_path: Path) -> None:
    recipe = recipe_with(files, "data.folds=4")
    with pytest.raises(RecipeError, match=r"data.folds: 4 folds are for training without dev posts, and there are 48"):
        training.gather(recipe, train=[f"{files}/train.csv"], dev=[f"{files}/dev.csv"])
    write_posts(
        tmp_path / "mixed.csv",
        [
            dataclasses.replace(item, post=dataclasses.replace(item.post, split=("train", "dev")[index % 4 == 0]))
            for index, item in enumerate(posts_of(60, "mixed"))
        ],
    )
    with pytest.raises(RecipeError, match=r"and there are 15 \(.*mixed.csv\)"):
        training.gather(recipe, train=[str(tmp_path / "mixed.csv")], dev=[])
    few = [dataclasses.replace(item, label=int(index < 3)) for index, item in enumerate(posts_of(60, "few"))]
    write_posts(tmp_path / "few.csv", few)
    with pytest.raises(SplitError, match="posts with label 1 stand in 3 of 4 folds, and each fold needs some"):
        training.gather(recipe, train=[str(tmp_path / "few.csv")], dev=[])
    with pytest.raises(RecipeError, match=r"data.folds changes nothing for model.kind = stacked; remove it"):
        load_recipe("stacked", settings=["data.folds=3"])


def test_without_folds_a_note_says_how_to_hold_none_out(files: Path) -> None:
    data = training.gather(recipe_with(files), train=[f"{files}/train.csv"], dev=[])
    assert data.fold_of is None
    assert len(data.train) + len(data.dev) == 72
    assert "to hold none out: --set data.folds=5 trains five members and tunes on all posts" in data.notes


def test_a_cascade_needs_other_posts(unbroken: tuple[Path, training.Trained], bundle: Bundle, tmp_path: Path) -> None:
    folder, decide = unbroken[0], recipe_of(unbroken[0]).decide
    plan = Plan(decide, cascade=CascadeOptions(0.01))
    with pytest.raises(RecipeError, match="has the score of one fold alone") as raised:
        tune_bundle(folder, bundle, plan, output=tmp_path / "tuned")
    assert "polyvigil tune BUNDLE DEV.csv --cascade" in str(raised.value.hint)
    plan = dataclasses.replace(plan, dev=tuple(posts_of(48, "dev")))
    tuned = tune_bundle(folder, bundle, plan, output=tmp_path / "tuned").bundle
    assert tuned.combination.cascade is not None
    assert not tuned.seen.out_of_fold


# -- killed, and run again --------------------------------------------------------------------------------------------


def _same(one: Bundle, other: Bundle) -> None:
    assert one.id == other.id
    assert np.array_equal(one.dev.by_member, other.dev.by_member)


def test_finished_folds_are_not_trained_again(
    recipe: Recipe, data: training.TrainingData, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = EncoderLearner.fit

    def counted(self: EncoderLearner, *posts: Sequence[LabelledPost], seed: int) -> object:
        fitted.append(len(posts[0]))
        if len(fitted) == FOLDS:
            raise Killed
        return fit(self, *posts, seed=seed)

    monkeypatch.setattr(EncoderLearner, "fit", counted)
    with pytest.raises(Killed):
        training.train(recipe, data, output=tmp_path / "b", options=HERE)
    lines: list[str] = []
    resumed = training.train(recipe, data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert len(fitted) == FOLDS + 1
    assert f"seed 42, fold 2 of 3 is finished: its member stands in {tmp_path}/b.work/seed-42/fold-1/finished" in lines
    _same(resumed.bundle, bundle)
    assert not (tmp_path / "b.work").exists()


def test_a_fold_under_way_goes_on_from_its_checkpoint(
    recipe: Recipe, data: training.TrainingData, bundle: Bundle, tmp_path: Path
) -> None:
    asked = iter(range(1000))
    stopped = dataclasses.replace(HERE, stop=lambda: next(asked) == 14)
    with pytest.raises(InterruptError):
        training.train(recipe, data, output=tmp_path / "b", options=stopped)
    assert list((tmp_path / "b.work/seed-42/fold-1").glob("checkpoint-*"))
    lines: list[str] = []
    resumed = training.train(recipe, data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert any(line.startswith("resuming after ") for line in lines)
    _same(resumed.bundle, bundle)


def test_members_of_other_folds_are_refused(
    recipe: Recipe, data: training.TrainingData, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "assemble_bundle", killed)
        with pytest.raises(Killed):
            training.train(recipe, data, output=tmp_path / "b", options=HERE)
    assert data.fold_of is not None
    other = dataclasses.replace(data, fold_of=(data.fold_of + 1) % FOLDS)
    with pytest.raises(TrainingError, match="the finished member there is another run's"):
        training.train(recipe, other, output=tmp_path / "b", options=HERE)
    for settings in (("data.folds=2",), ()):
        changed = recipe_with(files, *settings)
        material = training.gather(changed, train=[f"{files}/train.csv"], dev=[])
        with pytest.raises(TrainingError, match=r"holds seed-42/fold-.*, which no earlier run of this recipe has put"):
            training.train(changed, material, output=tmp_path / "b", options=HERE)


# -- what it takes ----------------------------------------------------------------------------------------------------


def test_the_estimate_counts_the_members_of_the_folds(
    recipe: Recipe, data: training.TrainingData, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estimate = estimate_cost(recipe, data, options=HERE)
    assert estimate is not None
    assert data.fold_of is not None
    assert estimate.posts_per_epoch == int((data.fold_of != 0).sum())
    assert estimate.most_disk > FOLDS * estimate.member_bytes
    several = recipe.model_copy(update={"seeds": (1, 2)})
    assert isinstance(several, EncoderRecipe)
    assert (recipe.members, several.members) == (FOLDS, 2 * FOLDS)
    line = ["train", "quick", "--train", f"{files}/train.csv", "-o", f"{files}/no", "--dry-run", "--offline"]
    for setting in (f"model.name={files}/model", *TRAINING, "data.folds=3", "seeds=[1, 2]"):
        line += ["--set", setting]
    assert program.run(line) == 0
    out = capsys.readouterr().out
    assert "6, one for each of 3 folds and 2 seeds; each learns from all folds but its own" in out


def test_the_command_shows_the_epochs_of_each_fold(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "quick", "--train", f"{files}/train.csv", "-o", f"{files}/told", "--offline", "--device", "cpu"]
    for setting in (f"model.name={files}/model", *TRAINING, "data.folds=2", "training.epochs=1"):
        line += ["--set", setting]
    assert program.run(line) == 0
    captured = capsys.readouterr()
    assert "seed 42, fold 2 of 2, cpu; * the epoch that is kept" in captured.out
    assert "each scored by a member that has not learned from it (2 folds)" in captured.err
    assert program.run(["evaluate", f"{files}/told", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "each by a model that has not learned from it" in json.dumps(told)
