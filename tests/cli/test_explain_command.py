"""``polyvigil explain`` and ``score --evidence`` as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvigil.cli import main as program

CANARY = "zebrafinch"
PLANTED = "The tramadol gave me a terrible headache, had to call in sick and i'm done with it!"
TEXT = f"{CANARY} sang. {PLANTED} Good night"


def _run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = program.run([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    path.write_text(
        f'id,text,language\na,"{TEXT}",en\nb,the weather is nice,en\nc,x,no code!\n',
        encoding="utf-8",
    )
    (tmp_path / "drugs.csv").write_text("term,code\nTramadol,N02\n", encoding="utf-8")
    (tmp_path / "reactions.csv").write_text("term\nterrible headache\n", encoding="utf-8")
    return path


def test_explanations_on_stdout_and_in_files(
    capfd: pytest.CaptureFixture[str], bundle_folder: Path, posts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(posts.parent)
    lists = ("--drugs", "drugs.csv", "--reactions", "reactions.csv")
    code, out, err = _run(capfd, "explain", bundle_folder, posts, *lists)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == ["a", "b"]
    assert TEXT[rows[0]["sentence_start"] : rows[0]["sentence_end"]] == PLANTED
    assert [(TEXT[m["start"] : m["end"]], m["kind"], m["code"]) for m in rows[0]["mentions"]] == [
        ("tramadol", "drug", "N02"),
        ("terrible headache", "reaction", ""),
    ]
    assert "2 of 2 posts explained" in err
    assert CANARY not in out + err
    assert Path("explained.rejects.jsonl").is_file()

    code, out, err = _run(capfd, "explain", bundle_folder, posts, "-o", "o.html", "--flagged-only", *lists, "--json")
    document = json.loads(out)
    assert (code, document["data"]["explained"], document["data"]["set_aside"]) == (0, 1, 1)
    assert any("holds the text of posts" in warning for warning in document["warnings"])
    assert CANARY in Path("o.html").read_text()
    assert CANARY not in out + err
    code, out, _ = _run(capfd, "explain", bundle_folder, posts, "-o", "o.jsonl", "--fail-on-quarantine", "-q")
    assert code == 5
    assert out.splitlines()[1] == "1 rows set aside -> o.jsonl.rejects.jsonl"


def test_faithfulness_is_a_table_or_a_document(
    capfd: pytest.CaptureFixture[str], bundle_folder: Path, posts: Path
) -> None:
    code, out, err = _run(capfd, "explain", bundle_folder, posts, "--faithfulness")
    assert code == 0
    assert "pooled" in out
    assert "chance is 50%" in out
    assert CANARY not in out + err
    code, out, _ = _run(capfd, "explain", bundle_folder, posts, "--faithfulness", "--json")
    assert json.loads(out)["data"]["pooled"]["flagged"] == 1


def test_score_evidence(capfd: pytest.CaptureFixture[str], bundle_folder: Path, posts: Path) -> None:
    output = posts.parent / "scored.jsonl"
    code, _, _ = _run(capfd, "score", bundle_folder, posts, "-o", output, "--evidence")
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert code == 0
    assert rows[0]["text"][rows[0]["evidence_start"] : rows[0]["evidence_end"]] == PLANTED
    assert rows[1]["evidence_start"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--drugs", "bad.csv"), 'bad.csv:3: column "term": empty'),
        (("--reactions", "worse.csv"), "worse.csv: no column term"),
        (("--drugs", "none.csv"), "none.csv: no such file"),
        (("-o", "o.txt"), "o.txt: explanations are .jsonl or .html"),
        (("--json",), "would both write to stdout"),
        (("--faithfulness", "--drugs", "drugs.csv"), "goes with none of -o"),
        (("--faithfulness", "-o", "o.html"), "goes with none of -o"),
    ],
)
def test_wrong_options_exit_with_2(
    capfd: pytest.CaptureFixture[str],
    bundle_folder: Path,
    posts: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(posts.parent)
    Path("bad.csv").write_text("term,code\naspirin,1\n,2\n")
    Path("worse.csv").write_text("name\naspirin\n")
    code, out, err = _run(capfd, "explain", bundle_folder, posts, *arguments)
    assert code == 2
    assert expected in out + err
