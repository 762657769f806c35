"""The real command line, run as users run it: answers, exit codes, JSON, and no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from polyvigil import __version__
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost


class Ran:
    """One run of the program in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, object]:
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, "exactly one document on stdout"
        document: dict[str, object] = json.loads(lines[0])
        return document


@pytest.fixture
def polyvigil(capfd: pytest.CaptureFixture[str]) -> object:
    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        code = program.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err or "--debug" in arguments
        return Ran(code, out, err)

    return run


@pytest.fixture
def files(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> Path:
    english = [item for item in corpus if item.post.language in {"en", "fa"}]
    for split in ("train", "dev", "test"):
        write_posts(tmp_path / f"{split}.csv", [item for item in english if item.post.split == split])
    write_posts(tmp_path / "all.csv", english)
    return tmp_path


def test_train_evaluate_score_and_submit(polyvigil, files: Path) -> None:  # type: ignore[no-untyped-def]
    bundle = files / "bundle"
    trained = polyvigil("train", "linear", "--train", files / "train.csv", "--dev", files / "dev.csv", "-o", bundle)
    assert trained.code == 0
    assert "tuned on these very posts" in trained.out
    assert f"next: polyvigil evaluate {bundle}" in trained.out

    measured = polyvigil("evaluate", bundle, files / "test.csv", "-o", files / "report", "--json")
    data = measured.json["data"]
    assert measured.code == 0
    assert data["same_set"] is False
    assert {part["name"]: part["validated"] for part in data["languages"]} == {"en": True, "fa": False}
    assert json.loads((files / "report" / "evaluation.json").read_text()) == data
    assert "report.html" in {path.name for path in (files / "report").iterdir()}

    scored = polyvigil("score", bundle, files / "test.csv", "-o", files / "scored.csv", "--json")
    assert scored.json["data"]["posts"] == 1000
    assert any("not validated for fa" in warning for warning in scored.json["warnings"])

    sent = polyvigil("submit", bundle, files / "test.csv", "-o", files / "s.zip")
    assert sent.out.startswith("1,000 answers, ")
    with zipfile.ZipFile(files / "s.zip") as archive:
        archive.extractall(files)
    official = polyvigil(
        "evaluate", "--predictions", files / "predictions.csv", files / "test.csv", "-o", files / "scores.json"
    )
    scores = json.loads((files / "scores.json").read_text())
    assert official.code == 0
    assert set(scores) == {"F1-en", "F1-fa", "F1"}
    assert scores["F1"] == pytest.approx(data["pooled"]["f1"], abs=5e-5)

    looked = polyvigil("inspect", bundle)
    assert "all hashes match" in looked.out
    assert re.search(r"any other +0\.\d{4} +fallback +mean", looked.out)
    assert re.search(r"^en +0\.\d{4} +0\.\d{3}-0\.\d{3} +own +blend", looked.out, re.MULTILINE)
    again = polyvigil("inspect", bundle, "--json")
    assert again.json["data"]["manifest"]["id"] == data["bundle"]


def test_one_file_that_mixes_splits(polyvigil, files: Path) -> None:  # type: ignore[no-untyped-def]
    bundle = files / "b"
    assert polyvigil("train", "linear", "--train", files / "all.csv", "-o", bundle, "-q").code == 0
    refused = polyvigil("evaluate", bundle, files / "all.csv")
    assert refused.code == 2
    assert "mixes splits" in refused.err
    assert "next: pick one: --split test" in refused.err
    assert polyvigil("evaluate", bundle, files / "all.csv", "--split", "test").code == 0
    on_training_posts = polyvigil("evaluate", bundle, files / "all.csv", "--split", "train", "--json")
    assert on_training_posts.code == 2
    assert on_training_posts.json["error"]["code"] == "split"


def test_scoring_from_and_to_pipes(bundle_folder: Path, tmp_path: Path) -> None:
    posts = '{"body": "these pills gave me a headache"}\n{"body": "頭が痛い、薬のせい"}\n{broken\n'
    command = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), "-", "-o", "-", "--column", "text=body"]
    done = subprocess.run(command, input=posts.encode(), cwd=tmp_path, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("body,p,p_calibrated,decision,language,")
    assert [line.split(",")[4] for line in lines[1:]] == ["en", "ja"]
    assert b"2 posts scored" in done.stderr
    assert b"1 rows set aside -> scored.rejects.jsonl" in done.stderr
    assert "{broken" in (tmp_path / "scored.rejects.jsonl").read_text()  # a pipe is read once: nothing may be lost


def test_a_closed_pipe_is_no_error(bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_text("text,language\n" + "a headache from the pills,en\n" * 30_000)
    command = f"{sys.executable} -m polyvigil score {bundle_folder} {tmp_path / 'many.csv'} -o - -q | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.startswith(b"text,")
    assert b"Traceback" not in done.stderr
    assert b"error" not in done.stderr


def test_quarantine_has_its_exit_code(polyvigil, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "i.csv").write_text("text,language\nfine,en\nbad,row,here\n")
    arguments = ("score", bundle_folder, tmp_path / "i.csv", "-o", tmp_path / "o.csv")
    lenient = polyvigil(*arguments)
    assert lenient.code == 0
    assert f"1 rows set aside -> {tmp_path / 'o.csv.rejects.jsonl'}" in lenient.out
    assert polyvigil(*arguments, "--fail-on-quarantine", "--replace").code == 5
    strict = polyvigil(*arguments, "--on-error", "fail", "--replace")
    assert strict.code == 2
    assert "i.csv:3: 3 cells where the header has 2" in strict.err


def test_labels_and_languages_in_other_words_are_read_or_asked_about(polyvigil, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "posts.csv"
    words = ["Related", "Not-Related", "Not-Related"] * 6
    path.write_text(
        "text,label\n" + "".join(f"so tired {n},{word}\n" for n, word in enumerate(words)), encoding="utf-8"
    )
    asked = polyvigil("check", path)
    assert asked.code == 2
    settings = "--set data.labels.Not-Related=0 --set data.labels.Related=1"
    assert 'column "label" holds Not-Related (12), Related (6), neither 0 nor 1' in asked.err
    assert settings in asked.err
    read = polyvigil("check", path, *settings.split(), "--language", "English", "--json").json["data"]
    assert [(row["language"], row["posts"], row["positives"]) for row in read["languages"]] == [("en", 18, 6)]
    labels = [(value["value"], value["rows"], value["label"]) for value in read["files"][0]["labels"]]
    assert labels == [("Not-Related", 12, 0), ("Related", 6, 1)]
    shown = polyvigil("check", path, *settings.split(), "--language", "en")
    assert "labels of posts.csv: Not-Related 12, Related 6" in shown.out
    wrong = polyvigil("check", path, *settings.split(), "--language", "Elvish")
    assert (wrong.code, "'Elvish' is not a language" in wrong.err) == (2, True)


def test_many_posts_without_a_text_are_worth_a_warning(polyvigil, bundle_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "posts.csv"
    path.write_text("text,language\n" + "so tired,en\n" * 8 + "[removed],en\n" * 2, encoding="utf-8")
    scored = polyvigil("score", bundle_folder, path, "-o", tmp_path / "o.csv")
    assert scored.code == 0
    assert "warning: 2 of 10 posts (20%) hold no text" in scored.err


def test_training_sets_bad_rows_aside_beside_the_bundle(polyvigil, files: Path) -> None:  # type: ignore[no-untyped-def]
    with (files / "train.csv").open("a", encoding="utf-8") as stream:
        stream.write("x,text,perhaps,o,tweet,en,train,\n")
    arguments = ("train", "linear", "--train", files / "train.csv", "--dev", files / "dev.csv", "-o", files / "b")
    assert "would learn from 1,600 posts" in polyvigil(*arguments, "--dry-run").out
    assert not list(files.glob("b*"))
    ran = polyvigil(*arguments, "--fail-on-quarantine", "--json")
    assert ran.code == 5
    (line,) = (files / "b.rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "'perhaps' is not 0 or 1"
    assert any("--on-error fail" in warning for warning in ran.json["warnings"])
    taken = polyvigil(*arguments)
    assert (taken.code, "or --replace it" in taken.err) == (4, True)
    assert polyvigil(*arguments, "--replace", "--seed", "7", "--set", "model.C=1").code == 0
    assert "C = 1.0" in polyvigil("inspect", files / "b").out


def test_check_finds_and_strict_refuses(polyvigil, files: Path) -> None:  # type: ignore[no-untyped-def]
    loose = polyvigil("check", files / "train.csv", files / "test.csv", "--json")
    codes = {finding["code"] for finding in loose.json["data"]["findings"]}
    assert loose.code == 0
    assert "leak" in codes
    text = (files / "test.csv").read_text(encoding="utf-8")
    (files / "copy.csv").write_text(text.replace(",test,", ",train,"), encoding="utf-8")
    strict = polyvigil("check", files / "copy.csv", files / "test.csv", "--strict")
    assert strict.code == 3
    assert re.search(r"error +leak ", strict.out)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("scor",), 2, "Did you mean 'score'"),
        (("score",), 2, "Missing argument"),
        (("score", "/nope", "a.csv", "-o", "b.csv"), 4, "/nope: no such folder"),
        (("score", "/nope", "a.csv", "-o", "-", "--json"), 2, "would both write to stdout"),
        (("evaluate", "one"), 4, "one: no such folder"),
        (("evaluate", "a", "b", "c"), 2, "give a bundle and one file"),
        (("evaluate", "a", "b", "--predictions", "p.csv"), 2, "give one gold file and no bundle"),
        (("train", "linea", "--train", "x.csv", "-o", "b"), 2, "did you mean 'linear'?"),
        (("train", "linear", "--train", "x.csv", "-o", "b"), 2, "x.csv: no such file"),
        (("train", "linear", "--train", "x.csv", "-o", "b", "--column", "text"), 2, "is not part=NAME"),
        (("check", "x.csv", "--set", "model.C=2"), 2, "only data.* can be set here"),
        (("check", "x.csv", "--set", "data.label.yes=1"), 2, "did you mean data.labels?"),
        (("inspect", "/"), 4, "not a bundle: it has no bundle.json"),
        (("recipes", "nope"), 2, "shipped recipes: adapt, e5"),
        (("demo", "-o", "/usr"), 2, "exists and is no demo"),
    ],
)
def test_errors_name_the_problem_and_the_next_step(  # type: ignore[no-untyped-def]
    polyvigil, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ran = polyvigil(*arguments)
    assert ran.code == code
    if "--json" in arguments:
        assert ran.json["ok"] is False
        assert told in str(ran.json["error"])
    else:
        assert ran.out == ""
        assert told in ran.err
        assert ran.err.count("error: ") == 1


def test_errors_in_json_are_one_document(polyvigil) -> None:  # type: ignore[no-untyped-def]
    ran = polyvigil("inspect", "/nope", "--json")
    assert ran.code == 4
    assert ran.json == {
        "ok": False,
        "error": {
            "code": "bundle",
            "message": "no such folder",
            "hint": "train one with: polyvigil train linear --train TRAIN.csv --dev DEV.csv -o BUNDLE",
            "where": "/nope",
        },
    }


def test_debug_shows_the_traceback(polyvigil) -> None:  # type: ignore[no-untyped-def]
    assert "Traceback" in polyvigil("inspect", "/nope", "--debug").err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(28, "No space left on device", "/data/x"), 1, "error: /data/x: No space left on device"),
        (PermissionError(13, "Permission denied", "/root/x"), 1, "next: check the permissions"),
        (KeyboardInterrupt(), 130, "interrupted; nothing half-written is left behind"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("boom: the text of a post"), 1, "unexpected RuntimeError: this is a fault of the program"),
    ],
)
def test_system_errors_and_bugs_have_exit_codes(  # type: ignore[no-untyped-def]
    polyvigil, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr("polyvigil.bundle.store.load", fail)
    ran = polyvigil("inspect", "anything")
    assert ran.code == code
    assert told in ran.err
    assert "the text of a post" not in ran.err


@pytest.mark.parametrize("name", ["", *program.COMMANDS])
def test_help_opens_with_two_examples(polyvigil, name: str) -> None:  # type: ignore[no-untyped-def]
    ran = polyvigil(*([name] if name else []), "--help")
    assert ran.code == 0
    usage, examples, *rest = re.split(r"\n\n", ran.out)
    assert usage.startswith("Usage: polyvigil")
    lines = examples.strip().splitlines()
    assert lines[0].strip() == "Examples:"
    assert len(lines) == 3
    for line in lines[1:]:
        assert re.search(rf"\bpolyvigil {name}", line)
    assert rest


def test_version_doctor_and_recipes(polyvigil) -> None:  # type: ignore[no-untyped-def]
    assert polyvigil("--version").out == f"polyvigil {__version__}\n"
    healthy = polyvigil("doctor", "--json")
    assert healthy.code == 0
    states = {check["name"]: check["state"] for check in healthy.json["data"]["checks"]}
    assert states["main job"] == "ok"
    assert {"devices", "disk", "extra encoders", "numba"} <= states.keys()
    listed = polyvigil("recipes").out
    assert "\nlinear " in listed
    assert max(map(len, listed.splitlines())) <= 80
    details = polyvigil("recipes", "--json").json["data"]["details"]
    assert all(each["when"].endswith(".") and each["when"].split()[0] in listed for each in details.values())
    assert re.search(r"mmbert +308M +1,800\+ +4\.9 GB +MIT\n", listed)
    assert re.search(r"lora +560M +100 +2\.3 GB +MIT\n", listed)  # 2.2 GB of weights, 4.6 million of them trained
    assert details["nli"]["memory"] == 4 * details["nli"]["parameters"]  # nothing of it is trained
    assert "oversample = 1" in polyvigil("recipes", "linear").out


def test_demo_writes_its_files(polyvigil, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / ".polyvigil-demo").touch()
    assert polyvigil("demo", "-o", folder).code == 2
    ran = polyvigil("demo", "-o", folder, "--replace")
    assert ran.code == 0
    assert "synthetic" in ran.out
    assert {path.name for path in folder.iterdir()} >= {"bundle", "report.html", "evaluation.json", "scored.csv"}
    assert "synthetic" in (folder / "report.html").read_text(encoding="utf-8")
    steps = [line.split() for line in ran.out.splitlines() if line.startswith("  ") and str(folder) in line]
    assert len(steps) == 3
    for _, *arguments in steps:
        assert polyvigil(*arguments).code == 0


def test_starting_is_light() -> None:
    """Neither the package nor --help imports torch, scikit-learn or pyarrow."""
    for line in ("import polyvigil", "from polyvigil.cli.main import run; run(['--help'])"):
        heavy = ("torch", "transformers", "sklearn", "pyarrow")
        check = f"{line}\nimport sys; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_scoring_and_evaluating_import_what_they_need(bundle_folder: Path, tmp_path: Path) -> None:
    """Libraries that take longer to import than the command takes to run."""
    (tmp_path / "posts.csv").write_text("text\nthese pills gave me a headache\n", encoding="utf-8")
    score = ["score", str(bundle_folder), str(tmp_path / "posts.csv"), "-o", str(tmp_path / "scored.csv")]
    for line in (score, ["evaluate", str(bundle_folder)]):
        heavy = ("torch", "transformers", "sklearn", "pandas", "scipy.stats", "scipy.optimize")
        check = f"import sys; from polyvigil.cli.main import run\nprint(run({line}))\n"
        check += f"print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-2:] == ["0", "[]"], line


def test_imports_have_no_effects() -> None:
    """Importing every module changes no environment variable, no random state, no logging, and prints nothing.

    What the libraries below do when they are imported is theirs, so they come first.
    """
    program_text = """
import contextlib, importlib, logging, os, pkgutil, random
import numpy as np, py3langid, rich.console, sklearn.linear_model
with contextlib.suppress(ImportError):
    import torch.distributed
    import transformers.modeling_utils
state = lambda: (dict(os.environ), random.getstate(), logging.root.handlers[:], np.random.get_state()[1].tolist())
before = state()
import polyvigil
for module in pkgutil.walk_packages(polyvigil.__path__, "polyvigil."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert error.name.partition(".")[0] in ("torch", "transformers", "accelerate", "peft")
assert before == state()
"""
    done = subprocess.run([sys.executable, "-c", program_text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_network_is_touched(tmp_path: Path, files: Path) -> None:
    """The demo, which trains, evaluates and explains, and scoring with every socket call forbidden."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\ndef no(*a, **k): raise SystemExit('network touched')\n"
        "socket.socket.connect = no\nsocket.getaddrinfo = no\nsocket.create_connection = no\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for arguments in (
        ["demo", "-o", "d", "--json"],
        ["score", "d/bundle", "test.csv", "-o", "o.csv", "--json"],
    ):
        command = [sys.executable, "-m", "polyvigil", *arguments]
        done = subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["ok"]


def test_no_post_reaches_messages(polyvigil, files: Path) -> None:  # type: ignore[no-untyped-def]
    """A canary in texts and bad rows is in no message, no error, no report, no manifest."""
    canary = "zyxcanaryxyz"
    text = (files / "test.csv").read_text(encoding="utf-8").replace("headache", canary).replace("pain", canary)
    (files / "test.csv").write_text(text + f"x,{canary},{'maybe'},o,tweet,en,test,\n{canary},a,b\n", encoding="utf-8")
    assert canary in text
    ran = [
        polyvigil("train", "linear", "--train", files / "train.csv", "--dev", files / "dev.csv", "-o", files / "b"),
        polyvigil("check", files / "test.csv"),
        polyvigil("check", files / "test.csv", "--json"),
        polyvigil("evaluate", files / "b", files / "test.csv", "-o", files / "r"),
        polyvigil("score", files / "b", files / "test.csv", "-o", files / "o.csv"),
        polyvigil("score", files / "b", files / "test.csv", "-o", files / "p.csv", "--on-error", "fail"),
    ]
    for each in ran:
        assert canary not in each.out + each.err
    for path in (*(files / "r").iterdir(), files / "o.csv.manifest.json", *(files / "b").rglob("*.json")):
        assert canary not in path.read_text(encoding="utf-8")
    assert canary in (files / "o.csv.rejects.jsonl").read_text(encoding="utf-8")  # nothing is lost
