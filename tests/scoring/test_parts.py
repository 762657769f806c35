"""Scoring in parts: the same bytes however it is cut, ended, failed or resumed; several inputs; folders."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.cli.main import run as command
from polyvigil.config.score import ScoreSpec
from polyvigil.data import atomic
from polyvigil.data.formats import open_table
from polyvigil.errors import DataError, InterruptError, RecipeError
from polyvigil.scoring import dedup
from polyvigil.scoring import part as scoring
from polyvigil.scoring.batch import ScoreSummary, score_files
from polyvigil.scoring.engine import ThisProcess
from polyvigil.types import LabelledPost

SMALL = ScoreSpec(part_posts=40)
OUTPUTS = ["o.csv", "o.tsv.gz", "o.jsonl", "o.jsonl.zst", "o.parquet"]


def _read(path: Path) -> list[dict[str, object]]:
    with open_table(path) as table:
        return [dict(row.cells) for row in table.rows]


@pytest.fixture(scope="session")
def posts(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """207 rows of CSV with newlines in cells, two of them bad."""
    path = tmp_path_factory.mktemp("posts") / "posts.csv"
    chosen = [item.post for item in corpus if item.post.language in {"de", "en", "ja"}][:205]
    lines = [f'{post.id},"{post.text} ""{place}"" \r\nnext",{post.language}\n' for place, post in enumerate(chosen)]
    lines[50:50] = ["too,few\n"]
    lines[170:170] = ["x,y,no language\n"]
    path.write_text("id,text,language\n" + "".join(lines), encoding="utf-8", newline="")
    return path


def _score(bundle: Bundle, source: object, output: object, **options: object) -> ScoreSummary:
    options = {"spec": SMALL} | options
    sources = [str(source)] if isinstance(source, str | Path) else [str(one) for one in source]  # type: ignore[attr-defined]
    return score_files(ThisProcess(bundle), sources, str(output), **options)  # type: ignore[arg-type]


def _found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("size", [20, 69, 207])
def test_the_size_of_a_part_changes_no_row(bundle: Bundle, posts: Path, tmp_path: Path, name: str, size: int) -> None:
    whole = _score(bundle, posts, tmp_path / f"whole-{name}", spec=ScoreSpec())
    summary = _score(bundle, posts, tmp_path / name, spec=ScoreSpec(part_posts=size))
    assert _read(tmp_path / name) == _read(tmp_path / f"whole-{name}")
    if name in {"o.csv", "o.jsonl"}:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert (summary.parts, whole.parts) == (-(-207 // size), 1)
    assert (summary.posts, summary.set_aside) == (whole.posts, whole.set_aside) == (205, 2)
    assert summary.languages == whole.languages
    assert summary.notes == whole.notes
    rejects = (tmp_path / f"{name}.rejects.jsonl").read_text()
    assert [json.loads(line)["line"] for line in rejects.splitlines()] == [102, 341]
    assert rejects == (tmp_path / f"whole-{name}.rejects.jsonl").read_text()
    assert not list(tmp_path.glob("*.work"))


def test_a_folder_is_read_by_pyarrow_and_back(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    _score(bundle, posts, tmp_path / "one.parquet")
    summary = _score(bundle, posts, f"{tmp_path / 'many'}/")
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == ["_manifest.json", "_rejects.jsonl", *(f"part-00000-{part:05d}.parquet" for part in range(6))]
    assert ds.dataset(tmp_path / "many").to_table().to_pylist() == _read(tmp_path / "one.parquet")
    manifest = json.loads((tmp_path / "many" / "_manifest.json").read_text())
    assert manifest == json.loads(summary.model_dump_json())
    for told in manifest["outputs"]:
        held = (tmp_path / "many" / told["path"]).read_bytes()
        assert told["sha256"] == hashlib.sha256(held).hexdigest()
    _score(bundle, tmp_path / "many", tmp_path / "again.csv")  # its rejects and its manifest are not posts
    assert len(_read(tmp_path / "again.csv")) == 205


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl.zst", "tsv"])
def test_each_file_of_a_folder_is_complete(bundle: Bundle, posts: Path, tmp_path: Path, ending: str) -> None:
    _score(bundle, posts, tmp_path / f"one.{ending}")
    _score(bundle, posts, tmp_path / "many", output_format=ending)
    files = sorted((tmp_path / "many").glob("part-*"))
    assert [row for file in files for row in _read(file)] == _read(tmp_path / f"one.{ending}")


def test_a_folder_replaces_only_an_earlier_output(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    _score(bundle, posts, out)  # an empty folder is as good as none
    before = _found(out)
    _score(bundle, posts, out, spec=ScoreSpec(), replace=True)
    assert len(_found(out)) == len(before) - 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(DataError, match="exists and is no earlier output of score; choose another folder"):
        _score(bundle, posts, tmp_path / "mine")
    with pytest.raises(DataError, match="is a file, and no earlier output of score"):
        _score(bundle, posts, tmp_path / "mine" / "thesis.tex", output_format="csv")
    with pytest.raises(DataError, match="is no folder for outputs alone"):
        _score(bundle, posts, "./")
    with pytest.raises(RecipeError, match=r"'xls' is no kind of file; as parquet, csv, jsonl\.gz, tsv\.zst"):
        _score(bundle, posts, out, output_format="xls")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_several_inputs_give_the_union_of_their_columns(bundle: Bundle, tmp_path: Path) -> None:
    data = tmp_path / "data" / "language=de"
    data.mkdir(parents=True)
    (data / "a.csv").write_text("text,likes\nKopfschmerzen von den Pillen,3\n")
    (data / "z.csv").write_text("text,language\nthese pills gave me a headache,en\n")  # its own column stands
    pq.write_table(pa.table({"likes": [7], "body": ["nausea"]}), tmp_path / "data" / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"text": "pills", "language": "en", "tags": ["x"]}\n')
    sources = [tmp_path / "data", str(tmp_path / "*.jsonl")]
    summary = _score(bundle, sources, tmp_path / "o.jsonl")
    assert [(told.path[len(str(tmp_path)) :], told.posts) for told in summary.inputs] == [
        ("/data/b.parquet", 1),
        ("/data/language=de/a.csv", 1),
        ("/data/language=de/z.csv", 1),
        ("/c.jsonl", 1),
    ]
    assert summary.notes == (
        f"{tmp_path}/data/b.parquet: column 'body' is read as text",
        "columns of the input with the names of ours are kept under others: 'language' is 'input_language'",
    )
    _score(bundle, sources, tmp_path / "o.parquet")
    rows = _read(tmp_path / "o.parquet")
    assert list(rows[0])[:5] == ["likes", "body", "text", "input_language", "tags"]
    assert [row["likes"] for row in rows] == ["7", "3", None, None]  # a number here, text there: text
    assert [row["language"] for row in rows][1:] == ["de", "en", "en"]
    assert [row["tags"] for row in rows] == [None, None, None, '["x"]']
    _score(bundle, sources, tmp_path / "o.csv")
    assert [row["tags"] for row in _read(tmp_path / "o.csv")] == ["", "", "", '["x"]']


def test_rows_far_longer_than_the_others_are_told(bundle: Bundle, tmp_path: Path) -> None:
    """What a reader knows at the end of a file alone is said once, however the file is cut; the manifest has it too."""
    rows = [f"{number},the pills hurt,en" for number in range(30)]
    rows[4] = '4,"' + "the pills hurt\n" * 60 + '",en'
    source = tmp_path / "posts.csv"
    source.write_text("\n".join(["id,text,language", *rows]) + "\n")
    for number, size in enumerate((20_000, 7, 3)):
        summary = _score(bundle, source, tmp_path / f"{number}.csv", spec=ScoreSpec(part_posts=size))
        told = [note for note in summary.notes if "far longer" in note]
        assert told == [
            f"{source}: rows far longer than the others: 61 lines from line 6; if a quote opens them by mistake: "
            "--quoting none"
        ]
        assert json.loads((tmp_path / f"{number}.csv.manifest.json").read_text())["notes"] == list(summary.notes)
    with _ended_after(4):
        _score(bundle, source, tmp_path / "o.csv", spec=ScoreSpec(part_posts=7))
    assert _score(bundle, source, tmp_path / "o.csv", spec=ScoreSpec(part_posts=7), resume=True).notes == summary.notes


def test_an_output_in_the_input_folder_is_not_read(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    shutil.copy(posts, tmp_path / "posts.csv")
    for _ in range(2):
        for output in ("scored.csv", "scored/", "again.csv"):
            assert _score(bundle, tmp_path, f"{tmp_path}/{output}", replace=True).posts == 205


def test_an_input_without_rows_gives_an_output_without_rows(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("text,language\n")
    for output in ("o.csv", "o.jsonl", "o.parquet", "folder/"):
        assert _score(bundle, tmp_path / "i.csv", f"{tmp_path}/{output}").posts == 0
    assert _read(tmp_path / "o.parquet") == []
    assert (tmp_path / "o.csv").read_text().startswith("text,input_language,p,")
    assert ds.dataset(tmp_path / "folder").count_rows() == 0


# -- ended and resumed ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """In the place of kill -9, where the instant matters."""


@contextmanager
def _ended_after(parts: int) -> Iterator[None]:
    """The run ends once so many parts are done."""
    whole, calls = scoring.Work.keep, []

    def keep(self: scoring.Work, record: scoring.PartRecord) -> None:
        whole(self, record)
        calls.append(1)
        if len(calls) == parts:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring.Work, "keep", keep)
        with suppress(Killed):
            yield
            raise AssertionError("it did not end")


@pytest.fixture
def scored_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The posts that are scored, handful by handful."""
    calls: list[int] = []
    by_row, by_column = dedup.decide_posts, scoring.decision_columns
    monkeypatch.setattr(dedup, "decide_posts", lambda b, p, **o: (calls.append(len(p)), by_row(b, p, **o))[1])
    monkeypatch.setattr(scoring, "decision_columns", lambda b, p, **o: (calls.append(len(p)), by_column(b, p, **o))[1])
    return calls


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl.gz", "o.parquet", "folder/"])
@pytest.mark.parametrize("packed", [False, True])
def test_resuming_at_every_part_gives_the_same_output(
    bundle: Bundle, posts: Path, tmp_path: Path, name: str, packed: bool, scored_again: list[int]
) -> None:
    source = tmp_path / "posts.csv"
    shutil.copy(posts, source)
    if packed:
        import gzip

        source = tmp_path / "posts.csv.gz"
        source.write_bytes(gzip.compress(posts.read_bytes()))
    out = tmp_path / "out"
    out.mkdir()
    output = f"{out}/{name}"
    _score(bundle, source, output)
    whole = _found(out)
    for parts in range(1, 7):
        shutil.rmtree(out)
        out.mkdir()
        with _ended_after(parts):
            _score(bundle, source, output)
        assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == [f"{name.rstrip('/')}.work"]
        scored_again.clear()
        _score(bundle, source, output, resume=True)
        assert sum(scored_again) == 205 - sum((40, 39, 40, 40, 39, 7)[:parts])
        assert _found(out) == whole
    scored_again.clear()
    _score(bundle, source, output, resume=True)  # all is done: nothing is done again
    assert not scored_again


def test_random_kills_change_no_byte(bundle_folder: Path, posts: Path, tmp_path: Path) -> None:
    """None lost, none twice; POLYVIGIL_KILLS=100 asks for more of them."""
    kills = os.environ.get("POLYVIGIL_KILLS", "6")
    rows = posts.read_text(encoding="utf-8").partition("\n")
    (tmp_path / "posts.csv").write_text(rows[0] + "\n" + rows[2] * 2, encoding="utf-8")
    script = Path(__file__).parent / "killer.py"
    done = subprocess.run(
        [sys.executable, str(script), str(bundle_folder), str(tmp_path / "posts.csv"), str(tmp_path), kills],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] >= int(kills)
    assert told["resumed"] > 0
    assert [run for run in told["runs"] if not run["same"]] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "posts",
            r"cannot be resumed: .*posts\.csv was changed since it was begun \([\d,]+ bytes then, [\d,]+ now\)",
        ),
        ("touch", r"posts\.csv was changed since it was begun; undo that; or remove the folder and score everything"),
        ("more", r"it was begun with 1 files, now there are 2"),
        ("other", r"it was begun with .*posts\.csv where .*other\.csv is given now"),
        ("how", r"part_posts was 40 when it was begun and is 20000 now"),
        ("bundle", r"it was begun with bundle [0-9a-f]{16}, this one is 0{16}"),
        ("library", r"it was begun with numpy [\d.]+, this is 0\.1"),
    ],
)
def test_changed_inputs_are_not_resumed(
    bundle: Bundle, posts: Path, tmp_path: Path, change: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from polyvigil.scoring import plan

    source, sources, how = tmp_path / "posts.csv", [tmp_path / "posts.csv"], SMALL
    shutil.copy(posts, source)
    shutil.copy(posts, tmp_path / "other.csv")
    with _ended_after(2):
        _score(bundle, source, tmp_path / "o.csv")
    if change == "posts":
        source.write_text(source.read_text() + "x,y,en\n")
    elif change == "touch":
        os.utime(source, (1, 1))
    elif change == "more":
        sources = [source, tmp_path / "other.csv"]
    elif change == "other":
        sources = [tmp_path / "other.csv"]
    elif change == "how":
        how = ScoreSpec()
    elif change == "bundle":
        bundle = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"id": "0" * 16}))
    else:
        real = plan.version
        monkeypatch.setattr(plan, "version", lambda name: "0.1" if name == "numpy" else real(name))
    before = _found(tmp_path)
    with pytest.raises(DataError, match=message):
        _score(bundle, sources, tmp_path / "o.csv", spec=how, resume=True)
    assert _found(tmp_path) == before


def test_an_unstarted_input_may_change(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.csv", tmp_path / "b.csv"
    shutil.copy(posts, good)
    bad.write_bytes(gzip.compress(b"text,language\nclosed,en\n")[:-4])
    with pytest.raises(DataError, match=r"b\.csv: compressed data break off"):
        _score(bundle, [good, bad], tmp_path / "o.csv")
    bad.write_text('text,language\n"closed",en\n')
    assert _score(bundle, [good, bad], tmp_path / "o.csv", resume=True).posts == 206
    _score(bundle, [good, bad], tmp_path / "p.csv")
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()


def test_without_resume_completed_parts_are_an_error(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    with _ended_after(2):
        _score(bundle, posts, tmp_path / "o.csv")
    before = _found(tmp_path)
    with pytest.raises(DataError) as caught:
        _score(bundle, posts, tmp_path / "o.csv")
    assert str(caught.value) == (
        f"{tmp_path}/o.csv.work: holds 2 finished parts of an earlier run; go on with --resume, "
        "or remove it to begin anew"
    )
    (tmp_path / "o.csv.work" / "job.json").write_text("{")
    with pytest.raises(DataError, match="of an earlier run of which nothing is known; remove the folder to begin anew"):
        _score(bundle, posts, tmp_path / "o.csv", resume=True)
    assert _found(tmp_path).keys() == before.keys()


def test_a_run_that_ended_before_its_first_part_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("text,language\nfine,en\nbad,not one\n")
    with pytest.raises(DataError, match=r"i\.csv:3"):
        _score(bundle, tmp_path / "i.csv", tmp_path / "o.csv", spec=ScoreSpec(on_error="fail"))
    assert [path.name for path in tmp_path.iterdir()] == ["i.csv"]


@pytest.mark.parametrize("where", ["parts", "records", "rejects"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_part_is_scored_again(bundle: Bundle, posts: Path, tmp_path: Path, where: str, damage: str) -> None:
    _score(bundle, posts, tmp_path / "whole.csv")
    with _ended_after(4):
        _score(bundle, posts, tmp_path / "o.csv")
    file = min((tmp_path / "o.csv.work" / where).iterdir())
    raw = bytearray(file.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    elif damage == "cut":
        file.write_bytes(raw[: len(raw) // 2])
    else:
        file.unlink()
    _score(bundle, posts, tmp_path / "o.csv", resume=True)
    for name in (".csv", ".csv.rejects.jsonl"):
        assert (tmp_path / f"o{name}").read_bytes() == (tmp_path / f"whole{name}").read_bytes()


def test_a_part_that_changes_while_the_run_goes_on_is_noticed(
    bundle: Bundle, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score(bundle, posts, tmp_path / "whole.csv")
    whole = scoring.Work.keep

    def keep(self: scoring.Work, record: scoring.PartRecord) -> None:
        whole(self, record)
        if record.part == 2:
            self.part(record.name).write_bytes(b"x")

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Work, "keep", keep)
        with pytest.raises(DataError, match=r"part-00000-00002\.csv: is no longer what was written; the disk may be"):
            _score(bundle, posts, tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()
    _score(bundle, posts, tmp_path / "o.csv", resume=True)
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_input_that_grows_while_it_is_scored_is_noticed(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    source = tmp_path / "posts.csv"
    shutil.copy(posts, source)

    def grow(*_: object) -> None:
        with source.open("a") as stream:
            stream.write("more,rows,en\n")

    with pytest.raises(DataError, match="was changed since the job began; score it again when it is no longer written"):
        _score(bundle, source, tmp_path / "o.csv", progress=grow)
    assert not (tmp_path / "o.csv").exists()


def test_two_runs_do_not_work_on_one_output(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    def again(*_: object) -> None:
        with pytest.raises(DataError, match="another run is at work on this output; wait for it, or end it"):
            _score(bundle, posts, tmp_path / "o.csv", resume=True)

    assert _score(bundle, posts, tmp_path / "o.csv", progress=again).posts == 205


def test_stopping_keeps_what_is_done(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    asked = iter([False, False, False, True])
    with pytest.raises(InterruptError, match=r"scoring was stopped; 2 finished parts are kept in .*o\.csv\.work"):
        _score(bundle, posts, tmp_path / "o.csv", stop=lambda: next(asked))
    summary = _score(bundle, posts, tmp_path / "o.csv", resume=True)
    _score(bundle, posts, tmp_path / "whole.csv")
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert summary.posts == 205


def test_progress_ends_at_one(bundle: Bundle, posts: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, float | None]] = []
    _score(bundle, posts, tmp_path / "o.csv", progress=lambda *now: told.append(now))
    assert told[-1] == (205, 2, 1.0)
    assert [share for _, _, share in told] == sorted(share for _, _, share in told)  # type: ignore[type-var]
    with _ended_after(3):
        _score(bundle, posts, tmp_path / "p.csv")
    told.clear()
    _score(bundle, posts, tmp_path / "p.csv", resume=True, progress=lambda *now: told.append(now))
    assert told[-1][0] == 86  # of this run: its speed tells the time left


# -- a failing disk ---------------------------------------------------------------------------------------------------


class _Stream:
    """A file of which a write fails."""

    def __init__(self, stream: object, call: Callable[[], None]) -> None:
        self._stream, self._call = stream, call

    def write(self, data: bytes) -> int:
        self._call()
        return self._stream.write(data)  # type: ignore[attr-defined,no-any-return]

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "folder/"])
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_any_failing_write_sync_or_rename_is_safe(
    bundle: Bundle, posts: Path, tmp_path: Path, name: str, call: str
) -> None:
    """The output is not there, or whole; what is left resumes to the same bytes."""
    out = tmp_path / "out"
    output = f"{out}/{name}"
    _score(bundle, posts, output, spec=ScoreSpec(part_posts=110))
    whole = _found(out)
    for n in range(0, 500, {"write": 11, "fsync": 3, "replace": 1}[call]):
        shutil.rmtree(out)
        calls, code = 0, (5, 28)[n % 2]

        def failing() -> None:
            nonlocal calls
            calls += 1
            if calls == n + 1:  # noqa: B023
                raise OSError(code, os.strerror(code))  # noqa: B023

        with pytest.MonkeyPatch.context() as patch:
            if call == "write":
                real = os.fdopen
                patch.setattr(atomic.os, "fdopen", lambda *a: _Stream(real(*a), failing))  # noqa: B023
            else:
                whole_call = getattr(os, call)
                patch.setattr(os, call, lambda *a, **o: (failing(), whole_call(*a, **o))[1])  # noqa: B023
            with suppress(OSError):
                _score(bundle, posts, output, spec=ScoreSpec(part_posts=110))
        left = {path: held for path, held in _found(out).items() if ".work/" not in path and not path.endswith(".lock")}
        assert all(held == whole[path] for path, held in left.items())  # never one that loads and is wrong
        assert not list(out.glob(".*.partial"))
        if calls <= n:
            break
        _score(bundle, posts, output, spec=ScoreSpec(part_posts=110), resume=True)
        assert _found(out) == whole
    assert 3 < n < 495


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_resume_hint(
    bundle_folder: Path,
    posts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["score", str(bundle_folder), str(posts), "--part-posts", "40", "-o", str(tmp_path / "o.csv")]
    again = f"go on with: polyvigil {' '.join(arguments)} --resume"
    for error, code in ((KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)):
        whole, calls = scoring.Work.keep, []

        def keep(self: scoring.Work, record: scoring.PartRecord) -> None:
            whole(self, record)  # noqa: B023
            calls.append(1)  # noqa: B023
            if len(calls) == 2:  # noqa: B023
                raise error  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(scoring.Work, "keep", keep)
            assert command(arguments) == code
        assert again in capsys.readouterr().err
        arguments = [*arguments, "--resume"] if "--resume" not in arguments else arguments
    assert command([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert (told["posts"], told["parts"], told["how"]["part_posts"]) == (205, 6, 40)


def test_standard_input_and_output(bundle_folder: Path, posts: Path, tmp_path: Path) -> None:
    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), *arguments, "--part-posts", "40"]
        return subprocess.run(line, input=stdin, capture_output=True, check=False, cwd=tmp_path)

    assert run(str(posts), "-o", "file.csv").returncode == 0
    expected = (tmp_path / "file.csv").read_bytes()
    assert run("-", "-o", "-", stdin=posts.read_bytes()).stdout == expected
    assert run("-", "-o", "piped.csv", stdin=posts.read_bytes()).returncode == 0
    assert (tmp_path / "piped.csv").read_bytes() == expected
    assert run(str(posts), "-o", "-").stdout == expected
    assert (tmp_path / "scored.2.rejects.jsonl").is_file()  # no run takes the name of another
    rejects = (tmp_path / "file.csv.rejects.jsonl").read_text()
    assert (tmp_path / "scored.2.rejects.jsonl").read_text() == rejects
    assert (tmp_path / "piped.csv.rejects.jsonl").read_text() == rejects.replace(str(posts), "<stdin>")
    refused = run("-", "-o", "again.csv", "--resume", stdin=posts.read_bytes())
    assert refused.returncode == 2
    assert b"standard input and output are for one process, and not resumed" in refused.stderr
    assert not list(tmp_path.glob("*.work"))


def test_part_posts_out_of_range_is_refused(
    bundle_folder: Path, posts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["score", str(bundle_folder), str(posts), "-o", "o.csv", "--part-posts", "0"]) == 2
    assert "error: --part-posts: 0: input should be greater than or equal to 1" in capsys.readouterr().err
