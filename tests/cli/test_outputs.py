"""No command overwrites anything without ``--replace``, and with it only its own earlier output; an input never."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from polyvigil.cli import main as program
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts

Ran = Callable[..., tuple[int, str, str]]

WRITERS = {
    "train": ("train linear --train in/train.csv --dev in/dev.csv -o {}", "b"),
    "tune": ("tune in/bundle -o {}", "b"),
    "ensemble": ("ensemble in/bundle in/other -o {}", "b"),
    "judge": ("judge in/bundle --with in/other --dev in/dev.csv -o {} --ask-at-most 0.2", "b"),
    "evaluate": ("evaluate in/bundle in/test.csv -o {}", "r"),
    "evaluate --predictions": ("evaluate --predictions in/predictions.csv in/test.csv -o {}", "scores.json"),
    "report": ("report in/bundle -o {}", "r"),
    "compare": ("compare in/other in/bundle in/test.csv -o {}", "c.json"),
    "card": ("card in/bundle -o {}", "card.md"),
    "audit behaviour": ("audit behaviour in/bundle --language en --capability negation -o {}", "a.json"),
    "score": ("score in/bundle in/test.csv -o {}", "s.csv"),
    "score folder": ("score in/bundle in/test.csv -o {} --output-format jsonl", "s"),
    "explain": ("explain in/bundle in/few.csv -o {}", "e.jsonl"),
    "explain page": ("explain in/bundle in/few.csv -o {}", "e.html"),
    "submit": ("submit in/bundle in/test.csv -o {}", "s.zip"),
    "worklist": ("worklist in/scored.csv --budget 20 -o {}", "w.csv"),
    "review export": ("review export in/review.db -o {} --labels none", "x.csv"),
    "review metrics": ("review metrics in/review.db -o {}", "m.json"),
    "review metrics page": ("review metrics in/review.db -o {}", "m.html"),
    "monitor report": ("monitor report in/monitor.jsonl -o {}", "m.html"),
    "augment translate": ("augment translate in/train.csv -o {} --to fa --mapping arabic --max 9", "fa.csv"),
}
"""Command lines that write, and the name of what they write. Those that need torch are tried in tests/workflows."""
ELSEWHERE = {"adapt", "convert", "export", "demo", "reproduce"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Posts, predictions and two bundles."""
    folder = tmp_path_factory.mktemp("made")
    corpus = [item for item in sample_corpus() if item.post.language == "en"]
    for split, most in (("train", 400), ("dev", 200), ("test", 120)):
        write_posts(folder / f"{split}.csv", [item for item in corpus if item.post.split == split][:most])
    write_posts(folder / "few.csv", [item for item in corpus if item.post.split == "test"][:8])
    test = [item for item in corpus if item.post.split == "test"][:120]
    lines = [f"{item.post.id},{item.label}" for item in test]
    (folder / "predictions.csv").write_text("\n".join(["id,predicted_label", *lines]) + "\n", encoding="utf-8")
    train = ["train", "linear", "--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv"), "-q"]
    assert program.run([*train, "-o", str(folder / "bundle")]) == 0
    assert program.run([*train, "-o", str(folder / "other"), "--seed", "7", "--set", "model.C=0.3"]) == 0
    assert (
        program.run(["score", str(folder / "bundle"), str(folder / "test.csv"), "-o", str(folder / "scored.csv")]) == 0
    )
    assert program.run(["review", "add", str(folder / "review.db"), str(folder / "scored.csv"), "-q"]) == 0
    week = ["--week", "2026-W12", "-q"]
    assert program.run(["monitor", "add", str(folder / "monitor.jsonl"), str(folder / "scored.csv"), *week]) == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A working folder with a copy of the inputs in ``in``."""
    shutil.copytree(made, tmp_path / "in")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def _contents(folder: Path) -> dict[str, str]:
    """Every file, its content by hash; a link by where it leads."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_is_replaced_on_request_alone(ran: Ran, place: Path, name: str) -> None:
    line, output = WRITERS[name]
    arguments = line.format(output).split()
    assert ran(*arguments)[0] == 0
    before = _contents(place)
    code, _, err = ran(*arguments)
    assert code in {2, 4}, err
    assert "stands there already" in err
    assert "--replace it" in err
    assert _contents(place) == before
    assert ran(*arguments, "--replace")[0] == 0
    assert {path for path in _contents(place) if not path.startswith(f"{output}/")} == {
        path for path in before if not path.startswith(f"{output}/")
    }


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_none_of_ours_is_never_replaced(ran: Ran, place: Path, name: str) -> None:
    line, output = WRITERS[name]
    if "." in output:
        Path(output).write_text("id,text\n1,the only copy\n", encoding="utf-8")
    else:
        Path(output).mkdir()
        (Path(output) / "thesis.tex").write_text("the only copy", encoding="utf-8")
    before = _contents(place)
    for further in ((), ("--replace",)):
        code, _, err = ran(*line.format(output).split(), *further)
        assert code in {2, 4}, err
        assert "exists and is no " in err
        assert _contents(place) == before


@pytest.mark.parametrize("name", WRITERS)
def test_an_input_is_no_output_through_whatever_link(ran: Ran, place: Path, name: str) -> None:
    line, output = WRITERS[name]
    folder = "." not in output
    source = "in/bundle" if folder and name not in {"train"} else "in/train.csv" if name == "augment translate" else ""
    source = source or ("in/train.csv" if name == "train" else "in/bundle/recipe.toml" if name == "card" else "")
    source = source or next(
        word for word in line.split() if word.startswith("in/") and word.endswith((".csv", "dle", ".db", ".jsonl"))
    )
    Path(f"link{Path(output).suffix}").symlink_to(source)
    targets = [f"link{Path(output).suffix}", source]
    if Path(source).is_file():
        os.link(source, f"hard{Path(output).suffix}")
        targets.append(f"hard{Path(output).suffix}")
    before = _contents(place)
    for target in targets:
        code, _, err = ran(*line.format(target).split(), "--replace")
        assert code in {2, 4}, (target, err)
        assert "error" in err
        assert _contents(place) == before


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_into_a_bundle_or_over_a_device(ran: Ran, place: Path, name: str) -> None:
    line, output = WRITERS[name]
    Path("alias").symlink_to("in/bundle/members")
    ending = Path(output).suffix
    os.mkfifo(f"pipe{ending}")
    Path(f"nowhere{ending}").symlink_to("missing")
    before = _contents(place / "in")
    for target, message in (
        (f"in/bundle/{output}", "lies in a bundle"),
        (f"alias/{output}", "lies in a bundle"),
        (f"pipe{ending}", "is no ordinary file"),
        (f"nowhere{ending}", "is a link that leads nowhere"),
    ):
        code, _, err = ran(*line.format(target).split(), "--replace")
        assert code in {2, 4}, err
        assert message in err
        assert _contents(place / "in") == before
        assert Path(f"pipe{ending}").is_fifo()


def test_every_command_with_an_output_is_tried_here() -> None:
    """A command that gets ``--output`` must get ``--replace`` and a line in the table above."""
    group = typer.main.get_command(program.app)
    context = group.make_context("polyvigil", ["doctor"], resilient_parsing=True)
    seen = set()
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        entry = group._load(context, name)  # type: ignore[attr-defined]
        below = getattr(entry, "_table", None)
        commands = (
            {
                f"{name} {child}": entry._load(
                    entry.make_context(name, ["x"], parent=context, resilient_parsing=True), child
                )
                for child in below
            }
            if below
            else {name: entry}
        )
        for full, command in commands.items():
            names = {parameter.name for parameter in command.params}
            if "output" in names:
                seen.add(full)
                assert "replace" in names or full == "reproduce", full  # its folder is one to go on in
    assert seen == {name for name in seen if name in WRITERS or name in ELSEWHERE}


def test_rejects_have_a_name_of_their_own(ran: Ran, place: Path) -> None:
    """Two outputs of one stem, an input that is called as rejects are, and those of an earlier run."""
    Path("i.csv").write_text("text,language\nfine,en\nbad,row,here\n", encoding="utf-8")
    Path("x.rejects.jsonl").write_text('{"text": "an input of this name", "language": "en"}\n', encoding="utf-8")
    for output in ("posts.csv", "posts.tsv"):
        assert ran("score", "in/bundle", "i.csv", "-o", output)[0] == 0
        assert Path(f"{output}.rejects.jsonl").is_file()
    assert ran("score", "in/bundle", "x.rejects.jsonl", "-o", "x.jsonl")[0] == 0
    assert "this name" in Path("x.jsonl").read_text(encoding="utf-8")
    code, _, err = ran("score", "in/bundle", "i.csv", "-o", "a.csv.rejects.jsonl")
    assert (code, "is a name for rejected rows" in err) == (2, True)
    before = Path("posts.csv.rejects.jsonl").read_bytes()
    code, _, err = ran(
        "score", "in/bundle", "posts.csv.rejects.jsonl", "-o", "posts.csv", "--replace", "--column", "text=reason"
    )
    assert (code, "input and output are one file" in err) == (2, True)
    assert Path("posts.csv.rejects.jsonl").read_bytes() == before
    Path("o.csv.rejects.jsonl").write_text("mine\n", encoding="utf-8")
    code, _, err = ran("score", "in/bundle", "i.csv", "-o", "o.csv")
    assert (code, "exists and is no file of rejected rows" in err) == (2, True)
    assert not Path("o.csv").exists()
    Path("i.csv").write_text("text,language\nfine,en\n", encoding="utf-8")
    assert ran("score", "in/bundle", "i.csv", "-o", "posts.csv", "--replace")[0] == 0
    assert Path("posts.csv.rejects.jsonl").read_bytes() == before  # this run wrote none


def test_what_came_there_meanwhile_stays(ran: Ran, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes the name while a command runs is no older output, whatever the check said before."""
    from polyvigil.scoring import submission

    real = submission.predictions_csv

    def slow(*arguments: object) -> str:
        Path("s.zip").write_text("mine", encoding="utf-8")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(submission, "predictions_csv", slow)
    code, _, err = ran("submit", "in/bundle", "in/test.csv", "-o", "s.zip")
    assert (code, "s.zip" in err) == (1, True)
    assert Path("s.zip").read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in place.iterdir()) == ["in", "s.zip"]


@pytest.fixture
def place_with_encoder(place: Path) -> Path:
    """``place``, a bundle of an encoder and a quarter of its posts, and the encoder itself."""
    golden = Path(__file__).parents[1] / "golden"
    shutil.copytree(golden / "bundles" / "encoder", place / "in" / "encoder")
    shutil.copytree(golden / "models" / "encoder", place / "in" / "model")
    for split in ("train", "dev"):
        with (golden / "posts" / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        with (place / "in" / f"encoder_{split}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([header, *rows[::4]])
    return place


_ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of scripts whose children are forked: a child waits for ever for OpenMP threads that its parent had started."""


def test_a_kill_leaves_the_old_or_the_new(place_with_encoder: Path) -> None:
    """A kill of each command that writes, at one of its file-system calls; ``make nightly`` does 500."""
    kills = int(os.environ.get("POLYVIGIL_KILLS", "12"))
    script = Path(__file__).with_name("killer.py")
    line = [sys.executable, str(script), str(place_with_encoder), str(kills)]
    done = subprocess.run(line, capture_output=True, check=False, text=True, env=_ONE_THREAD)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout.splitlines()[-1])
    assert sum(run["kills"] for run in runs.values()) == kills


def test_every_file_of_a_bundle_follows_the_umask(ran: Ran, place: Path) -> None:
    before = os.umask(0o027)
    try:
        assert ran("tune", "in/bundle", "-o", "b")[0] == 0
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in Path("b").rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in (Path("b"), *Path("b").rglob("*")) if path.is_dir()}
    assert (modes, folders) == ({0o640}, {0o750})


def test_a_full_disk_leaves_the_old(place_with_encoder: Path) -> None:
    """A real disk in memory, full before a command is done: 6 points; ``make nightly`` does 100."""
    points = int(os.environ.get("POLYVIGIL_FULL_DISKS", "6"))
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a disk can be mounted here by nobody but the administrator")
    line = [*apart, sys.executable, str(Path(__file__).with_name("filler.py")), str(place_with_encoder), str(points)]
    done = subprocess.run(line, capture_output=True, check=False, text=True, env=_ONE_THREAD)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout.splitlines()[-1])
    assert sum(run["points"] for run in runs.values()) == points
    assert sum(run["full"] for run in runs.values()) > points / 3
