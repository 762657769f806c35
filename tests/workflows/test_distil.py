"""An ensemble teaches one encoder, through the real command line: unlabelled posts, guards, resume, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import Bundle, load
from polyvigil.cli import main as program
from polyvigil.config.load import load as load_recipe
from polyvigil.config.load import parse
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, DataError, InterruptError, RecipeError, SplitError
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import distil
from polyvigil.workflows import train as training

WORDS = ("the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep", "again", "with", "my", "doctor")
SETTINGS = (
    "model.max_tokens=32",
    "decide.rule=argmax",  # the quickest: no test here is of what is decided
    "training.epochs=4",
    "training.learning_rate=6e-3",
    "training.posts_per_step=16",
    "balance.oversample=2",
    "training.head=random",
    "model.token_pooling=model",
)


def posts_of(number: int, name: str) -> list[LabelledPost]:
    """Synthetic: a post with the word rash is positive."""
    chance = np.random.default_rng([number, *name.encode()])
    made = []
    for place in range(number):
        chosen = [str(word) for word in chance.choice(WORDS, 6)]
        if place % 3 == 0:
            chosen[int(chance.integers(6))] = "rash"
        post = Post(f"{name}_{place}", " ".join(chosen) + f" {place}", ("en", "de")[place % 2], split=name)
        made.append(LabelledPost(post, int(place % 3 == 0)))
    return made


TRAIN, DEV, TEST = posts_of(96, "train"), posts_of(48, "dev"), [item.post for item in posts_of(60, "test")]
FURTHER = [item.post for item in posts_of(80, "more")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teach")
    write_posts(folder / "train.csv", TRAIN)
    write_posts(folder / "dev.csv", DEV)
    lines = [{"text": post.text, "language": post.language} for post in FURTHER]
    lines += [{"text": DEV[place].post.text.upper(), "language": "en"} for place in (3, 4)]
    lines += [{"text": "https://x.y", "language": "en"}, {"text": "a pill", "language": "not a language"}]
    (folder / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tiny_folder(folder / "model", "xlm-roberta", texts=[item.post.text for item in TRAIN], seed=3, layers=1, spread=0.1)
    return folder


def line(files: Path, recipe: str, output: Path, *more: str, settings: tuple[str, ...] = SETTINGS) -> list[str]:
    words = ["train", recipe, "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", str(output)]
    for setting in (f"model.name={files}/model", *settings) if recipe != "linear" else ():
        words += ["--set", setting]
    return [*words, "--offline", "--device", "cpu", *more]


@pytest.fixture(scope="module")
def teacher(files: Path) -> Bundle:
    assert program.run(line(files, "quick", files / "teacher", "--set", "seeds=[1, 2]", "-q")) == 0
    return load(files / "teacher")


@pytest.fixture(scope="module")
def student(files: Path, teacher: Bundle) -> Bundle:
    more = ("--teacher", f"{files}/teacher", "--unlabelled", f"{files}/more.jsonl", "--set", "distil.weight=0.8")
    assert program.run(line(files, "quick", files / "student", *more, "-q")) == 0
    return load(files / "student")


def test_a_student_scores_close_to_its_ensemble(teacher: Bundle, student: Bundle) -> None:
    assert (len(teacher.members), len(student.members)) == (2, 1)
    said, repeated = teacher.probabilities(TEST), student.probabilities(TEST)
    assert np.corrcoef(said, repeated)[0, 1] > 0.95
    assert np.abs(said - repeated).mean() < 0.15
    log = student.members[0].log
    assert log is not None
    assert (log.teacher, log.unlabelled) == (teacher.id, len(FURTHER))
    assert log.posts_per_epoch == len(TRAIN) + sum(item.label for item in TRAIN) + len(FURTHER)
    assert student.members[0].fit_record.posts == len(TRAIN)


def test_the_posts_behind_a_student_count_as_seen(student: Bundle) -> None:
    assert np.isin(post_hashes(FURTHER), student.seen.train).all()
    assert np.isin(post_hashes(item.post for item in TRAIN), student.seen.train).all()
    assert not np.isin(post_hashes(item.post for item in DEV), student.seen.train).any()
    assert not np.isin(post_hashes(TEST), student.seen.train).any()
    assert np.array_equal(np.unique(student.seen.train), student.seen.train)


def test_teacher_training_posts_count_as_seen(files: Path, tmp_path: Path) -> None:
    other = posts_of(90, "elsewhere")
    write_posts(tmp_path / "train.csv", other)
    write_posts(tmp_path / "dev.csv", DEV)
    assert program.run(line(tmp_path, "linear", tmp_path / "linear", "-q")) == 0
    assert program.run(line(files, "quick", tmp_path / "b", "--teacher", f"{tmp_path}/linear", "-q")) == 0
    bundle = load(tmp_path / "b")
    assert np.isin(post_hashes(item.post for item in other), bundle.seen.train).all()
    assert bundle.members[0].log.teacher == load(tmp_path / "linear").id  # a linear teacher serves too


def test_left_out_posts_are_reported(files: Path, teacher: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    more = ("--teacher", f"{files}/teacher", "--unlabelled", f"{files}/more.jsonl", "--dry-run")
    assert program.run(line(files, "quick", files / "none", *more)) == 0
    told = capfd.readouterr().err
    assert "2 unlabelled posts are left out: they have the text of a dev post" in told
    assert "more.jsonl: 82 of 83 rows are used: those with something to read" in told
    assert "is not a language" in told
    assert program.run(line(files, "quick", files / "none", *more, "--json")) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert (data["train"], data["dev"], data["unlabelled"], data["set_aside"]) == (96, 48, 80, 1)
    assert program.run(line(files, "quick", files / "none", *more, "--on-error", "fail")) == 2


def test_a_file_of_several_splits_gives_its_training_rows(files: Path, tmp_path: Path) -> None:
    recipe = parse({"model": {"kind": "encoder"}, "distil": {"teacher": "t"}})
    write_posts(tmp_path / "mixed.csv", [*TRAIN, *DEV, *posts_of(60, "test")])
    material = training.gather(
        recipe, train=[f"{files}/train.csv"], dev=[f"{files}/dev.csv"], unlabelled=[str(tmp_path / "mixed.csv")]
    )
    assert material.unlabelled == tuple(item.post for item in TRAIN)
    told = f"{tmp_path}/mixed.csv: 96 of 204 rows are used: those with something to read, of split train"
    assert told in material.notes


def test_resumed_distillation_scores_the_teacher_once(
    files: Path, teacher: Bundle, student: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"model.name={files}/model", *SETTINGS, f"distil.teacher={files}/teacher", "distil.weight=0.8"]
    recipe = load_recipe("quick", settings=settings)
    material = training.gather(
        recipe, train=[f"{files}/train.csv"], dev=[f"{files}/dev.csv"], unlabelled=[f"{files}/more.jsonl"]
    )
    asked, answers = iter(range(14)), []
    whole = Bundle.probabilities
    monkeypatch.setattr(Bundle, "probabilities", lambda self, posts: answers.append(len(posts)) or whole(self, posts))
    machine = training.RunOptions(device="cpu", offline=True, stop=lambda: next(asked, None) is None)
    with pytest.raises(InterruptError):
        training.train(recipe, material, output=tmp_path / "b", options=machine)
    lines: list[str] = []
    machine = training.RunOptions(device="cpu", offline=True)
    trained = training.train(recipe, material, output=tmp_path / "b", options=machine, log=lines.append)
    assert any(text.startswith("resuming after") for text in lines)
    assert answers == [len(TRAIN) + len(FURTHER)]
    assert trained.bundle.id == student.id


def test_damaged_teacher_scores_are_computed_again(teacher: Bundle, tmp_path: Path) -> None:
    first = distil._cached_scores(teacher, TEST, work=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    assert np.array_equal(distil._cached_scores(teacher, TEST, work=tmp_path), first)
    assert np.array_equal(distil._cached_scores(teacher, TEST, work=tmp_path), first)
    assert len(distil._cached_scores(teacher, TEST[:9], work=tmp_path)) == 9
    assert len(list(tmp_path.iterdir())) == 2


def test_only_the_first_process_stores_teacher_scores(
    teacher: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, files in (("1", 0), ("0", 1)):
        monkeypatch.setenv("RANK", rank)
        assert np.array_equal(distil._cached_scores(teacher, TEST, work=tmp_path), teacher.probabilities(TEST))
        assert len(list(tmp_path.iterdir())) == files


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_linear_student_is_refused(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(line(files, "linear", files / "none", "--teacher", f"{files}/teacher")) == 2
    assert "[distil] changes nothing for model.kind = linear; remove it" in (capfd.readouterr().err.replace("\n", " "))


def test_unlabelled_posts_need_a_teacher_weight(files: Path) -> None:
    for settings, message in (
        ({}, "--unlabelled: posts without labels are for a teacher to judge, and there is none; name a bundle with"),
        ({"teacher": "t", "weight": 0.0}, "to judge, and its weight is 0; set distil.weight above 0"),
    ):
        recipe = parse({"model": {"kind": "encoder"}, "distil": settings})
        with pytest.raises(RecipeError, match=message):
            training.gather(recipe, train=[f"{files}/train.csv"], dev=[], unlabelled=[f"{files}/more.jsonl"])


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_teacher_must_be_a_bundle(files: Path, capfd: pytest.CaptureFixture[str], dry: tuple[str, ...]) -> None:
    assert program.run(line(files, "quick", files / "none", "--teacher", f"{files}/model", *dry)) == 4
    assert "not a bundle: it has no bundle.json" in capfd.readouterr().err.replace("\n", " ")


def test_a_teacher_trained_on_the_dev_posts_is_refused(files: Path, teacher: Bundle, tmp_path: Path) -> None:
    spec = load_recipe("quick", settings=[f"distil.teacher={files}/teacher"]).distil
    lines: list[str] = []
    options = {"work": tmp_path, "device": "cpu", "log": lines.append}
    with pytest.raises(
        SplitError, match=r"teacher: the teacher was trained on 48 of 48 dev posts; thresholds tuned on"
    ):
        distil.score_with_teacher(spec, DEV, [], dev=TRAIN[:48], **options)
    taught = distil.score_with_teacher(spec, DEV, [], dev=[*DEV, *TRAIN[:3]], **options)
    assert taught is not None
    assert "3 of 51 dev posts are training posts of the teacher: metrics on them are flattered" in lines


def test_a_file_without_posts_is_refused(files: Path, tmp_path: Path) -> None:
    recipe = parse({"model": {"kind": "encoder"}, "distil": {"teacher": "t"}})
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="text"):
        training.gather(recipe, train=[f"{files}/train.csv"], dev=[], unlabelled=[str(tmp_path / "odd.csv")])
    with pytest.raises(BundleError, match="no such folder"):
        distil.score_with_teacher(recipe.distil, TRAIN, [], dev=DEV, work=tmp_path, device="cpu", log=lambda _: None)
