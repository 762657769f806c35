"""A training keeps its checkpoints in ``OUTPUT.work`` and removes it: where anything else is in it, none begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvigil.cli import main as program
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.errors import TrainingError
from polyvigil.workflows.work_folder import check_work_folder, work_folder

SEEDS = (1, 42)
OURS = (
    "seed-1/checkpoint-0001-00000004/model.safetensors",
    "seed-1/.checkpoint-0001-00000004.old/model.safetensors",
    "seed-42/.finished.ab12.partial/member/model.safetensors",
    "seed-42/finished/finished.json",
    "seed-42/base/fold-1/checkpoint-0000-00000001/checkpoint.json",
    "teacher-0123456789abcdef.safetensors",
    "metrics.jsonl",
)
FOREIGN = (
    "thesis.tex",
    "job.json",
    "parts/part-00000-00000.csv",
    "seed-7/finished/finished.json",
    "seed-1/notes.txt",
    "checkpoint-0001-00000004/model.safetensors",
    "teacher-of-mine.safetensors",
)


def _put(work: Path, name: str) -> None:
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_text("the only copy", encoding="utf-8")


def test_the_work_of_an_earlier_run_may_stand_there(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    check_work_folder(work, seeds=SEEDS)
    for name in OURS:
        _put(work, name)
    check_work_folder(work, seeds=SEEDS)
    adapted = tmp_path / "adapted.work"
    _put(adapted, "checkpoint-0001-00000004/model.safetensors")
    check_work_folder(adapted, seeds=None)


@pytest.mark.parametrize("name", FOREIGN)
def test_anything_else_is_refused(tmp_path: Path, name: str) -> None:
    _put(tmp_path, OURS[0])
    _put(tmp_path, name)
    with pytest.raises(TrainingError, match=f"holds {name}, which no earlier run of this recipe has put there; move"):
        check_work_folder(tmp_path, seeds=SEEDS)


@pytest.mark.parametrize(("name", "folds"), [("seed-1/fold-2/finished/finished.json", (3, None)),
                                             ("seed-1/finished/finished.json", (0, None))])  # fmt: skip
def test_members_of_other_folds_are_not_taken_for_these(
    tmp_path: Path, name: str, folds: tuple[int | None, ...]
) -> None:
    """A stack has folders of its own inside that of a seed (None)."""
    _put(tmp_path, name)
    for count in (0, 2, 3, None):
        if count in folds:
            check_work_folder(tmp_path, seeds=SEEDS, folds=count)
            continue
        with pytest.raises(TrainingError, match="which no earlier run of this recipe has put there"):
            check_work_folder(tmp_path, seeds=SEEDS, folds=count)


def test_a_link_or_a_file_is_no_work_folder(tmp_path: Path) -> None:
    (tmp_path / "file.work").write_text("mine", encoding="utf-8")
    (tmp_path / "link.work").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(TrainingError, match="is no folder, and checkpoints are to be kept there"):
            check_work_folder(work_folder(tmp_path / name), seeds=SEEDS)


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    items = [item for item in sample_corpus() if item.post.language == "en" and item.post.split == "train"][:200]
    write_posts(tmp_path / "train.csv", items)
    return tmp_path / "train.csv"


@pytest.mark.parametrize("name", ["thesis.tex", "seed-42/finished/finished.json"])
def test_train_touches_nothing_of_it(posts: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A linear model keeps no checkpoints: those of an encoder, interrupted under the same name, are not its own."""
    output = tmp_path / "out"
    _put(work_folder(output), name)
    code = program.run(["train", "linear", "--train", str(posts), "-o", str(output)])
    err = capfd.readouterr().err
    assert (code, f"out.work: holds {name}, which no earlier run" in err) == (1, True), err
    assert (work_folder(output) / name).read_text(encoding="utf-8") == "the only copy"
    assert not output.exists()


def test_what_a_teacher_said_is_its_own(posts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    _put(work_folder(output), OURS[-1])
    assert program.run(["train", "linear", "--train", str(posts), "-o", str(output), "-q"]) == 0
    assert not work_folder(output).exists()
