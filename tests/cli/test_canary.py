"""No command that reads posts says anything of their text: not in messages, errors or warnings, nor in manifests.

A canary stands where text may stand by accident: in posts, in the header of a file without one, in shifted columns, as
a label, a language, a split, an id. The outputs that hold posts by design, and the files of rejected rows, may have it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost

Ran = Callable[..., tuple[int, str, str]]
CANARY = "zebrafinch"
SENTENCE = f"my {CANARY} sang all night after that pill"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

LINES = {
    "check": "check {} --json",
    "audit data": "audit data {} in/test.csv --json",
    "audit shortcuts": "audit shortcuts in/bundle {} --train in/train.csv --json",
    "audit augmentation": "audit augmentation in/bundle in/other {} --json",
    "audit drift": "audit drift in/bundle in/other {} --json",
    "audit truncation": "audit truncation in/bundle {} --json",
    "audit similarity": "audit similarity in/bundle {} --json",
    "train": "train linear --train {} --dev in/dev.csv -o out --json --set decide.rule=argmax",
    "train dev": "train linear --train in/train.csv --dev {} -o out --json",
    "tune": "tune in/bundle {} -o out --json",
    "ensemble": "ensemble in/bundle in/other --dev {} -o out --json",
    "judge": "judge in/bundle --with in/other --dev {} -o out --ask-at-most 0.2 --json",
    "evaluate": "evaluate in/bundle {} -o out --json",
    "evaluate by": "evaluate in/bundle {} --by split --json",
    "evaluate predictions": "evaluate --predictions {} in/test.csv --json",
    "evaluate gold": "evaluate --predictions in/predictions.csv {} --json",
    "report": "report in/bundle {} -o out --json",
    "compare": "compare in/bundle in/other {} -o out.json --json",
    "score": "score in/bundle {} -o out.csv --json",
    "score jsonl": "score in/bundle {} -o out.jsonl --json --on-error fail",
    "explain": "explain in/bundle {} -o out.jsonl --json",
    "submit": "submit in/bundle {} -o out.zip --json",
    "augment translate": "augment translate {} -o out.csv --to fa --mapping arabic --max 9 --json",
}
GOOD = [f"{n},the pill gave me a headache {n},{n % 2},en,train" for n in range(8)]
HEADER = "id,text,label,language,split"


def _file(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


FILES = {
    "text.csv": _file(*GOOD, f"9,{SENTENCE},1,en,train", f"10,{SENTENCE},0,en,test"),
    "no_header.csv": _file(*GOOD, header=f"0,{SENTENCE},1,en,train"),
    "no_header_but_one.csv": _file(*GOOD, header=f"id,{SENTENCE},label,language,split"),
    "shifted.csv": _file(*GOOD, f"9,the pill,{SENTENCE},1,en,train", f"10,,{SENTENCE},en,train"),
    "label.csv": _file(*GOOD, f"9,the pill made me ill,{SENTENCE},en,train"),
    "labels.csv": _file(*(f"{n},it hurts {n},{SENTENCE},en,train" for n in range(9))),
    "labels_differ.csv": _file(*(f"{n},it hurts {n},{SENTENCE} {n},en,train" for n in range(9))),
    "language.csv": _file(*GOOD, f"9,the pill made me ill,1,{SENTENCE},train"),
    "languages.csv": _file(*(f"{n},it hurts {n},{n % 2},{SENTENCE} {n},train" for n in range(9))),
    "split.csv": _file(*GOOD, f"9,it hurts,1,en,{SENTENCE}", f"10,it hurts me,0,en,{SENTENCE}"),
    "ids.csv": _file(*GOOD, f"{SENTENCE},it hurts,1,en,train", f"{SENTENCE},it hurts me,0,en,train"),
    "quote.csv": _file(*GOOD, f'9,"{SENTENCE},1,en,train', f"10,{SENTENCE},1,en,train"),
    "empty_text.csv": _file(*(f"{n},,{n % 2},en,{SENTENCE} {n}" for n in range(9))),
    "lines.jsonl": f'{{"text": "it hurts", "label": 1, "{SENTENCE}": "{SENTENCE}"}}\n{SENTENCE}\n["{SENTENCE}"]\n',
    "broken.json": f'[{{"text": "it hurts", "label": 1}}, {{"text": "{SENTENCE}", label}}]',
    "predicted.csv": f"id,predicted_label\n{SENTENCE},1\n1,{SENTENCE}\n",
    "predicted_ids.csv": f"id,predicted_label\n{SENTENCE},1\n{SENTENCE},1\n",
}


@pytest.fixture(scope="module")
def made(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Posts, predictions and two bundles in ``in``; the working folder."""
    place = tmp_path_factory.mktemp("canary")
    folder = place / "in"
    folder.mkdir()
    english = [item for item in corpus if item.post.language == "en"]
    for split, most in (("train", 100), ("dev", 60), ("test", 60)):
        write_posts(folder / f"{split}.csv", [item for item in english if item.post.split == split][:most])
    test = [item for item in english if item.post.split == "test"][:60]
    lines = [f"{item.post.id},{item.label}" for item in test]
    (folder / "predictions.csv").write_text("\n".join(["id,predicted_label", *lines]) + "\n", encoding="utf-8")
    train = ["train", "linear", "--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv"), "-q"]
    train += ["--set", "decide.rule=argmax"]
    assert program.run([*train, "-o", str(folder / "bundle")]) == 0
    assert program.run([*train, "-o", str(folder / "other"), "--seed", "7"]) == 0
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    before = Path.cwd()
    os.chdir(place)
    yield place
    os.chdir(before)


def _heard(out: str, err: str) -> str:
    """What was said: stderr, the error and the warnings of the document, and the manifests that were written."""
    document = json.loads(out) if out else {}
    said = [err, json.dumps(document.get("error", "")), json.dumps(document.get("warnings", ""))]
    said += [path.read_text(encoding="utf-8") for path in Path().glob("**/*manifest.json") if path.parts[0] != "in"]
    said += [path.read_text(encoding="utf-8") for path in Path().glob("**/*.log")]
    return "\n".join(said)


def _clear() -> None:
    import shutil

    for path in Path().glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", LINES)
def test_no_post_is_heard(ran: Ran, made: Path, name: str) -> None:
    for file in FILES:
        for further in ((), ("--column", "text=2", "--no-header")) if file == "no_header.csv" else ((),):
            code, out, err = ran(*LINES[name].format(file).split(), *further)
            heard = _heard(out, err)
            assert "fault of the program" not in heard, file
            assert CANARY not in heard, (file, code, heard[max(0, heard.index(CANARY) - 300) :][:600])
            _clear()


@pytest.mark.parametrize("name", ["check", "train", "evaluate", "score", "explain", "submit"])
def test_the_name_of_a_file_does_not_speak_to_the_terminal(ran: Ran, made: Path, name: str) -> None:
    file = "a\x1b]0;b\x07\x9b31m\u202e.csv"
    for text in (FILES["text.csv"], FILES["labels.csv"], ""):
        Path(file).write_text(text, encoding="utf-8")
        for words in (LINES[name].split(), LINES[name].removesuffix(" --json").split()):
            _, out, err = ran(*[file if word == "{}" else word for word in words])
            assert not _CONTROLS.search(out + err), (out + err)[:500]
            _clear()
    Path(file).unlink()


def test_what_is_asked_about_is_shown(ran: Ran, made: Path) -> None:
    """Values that look like labels stay in the hint."""
    rows = [f"{n},it hurts {n},{('mild', 'severe pain', 'not sure at all')[n % 3]},en,train" for n in range(12)]
    Path("asked.csv").write_text(_file(*rows), encoding="utf-8")
    _, _, err = ran("evaluate", "in/bundle", "asked.csv")
    assert "mild (4), severe pain (4), not sure at all (4), neither 0 nor 1" in err
    rows[0] = "0,it hurts,no ADE?,en,train"
    Path("asked.csv").write_text(_file(*GOOD, rows[0]), encoding="utf-8")
    _, _, err = ran("evaluate", "in/bundle", "asked.csv")
    assert "'no ADE?' is not 0 or 1" in err
    _, _, err = ran("evaluate", "in/bundle", "asked.csv", "--on-error", "fail")
    assert "column \"label\": 'no ADE?' is not 0 or 1" in err
