"""``polyvigil report`` and ``polyvigil card`` as users run them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.report.report import Report
from polyvigil.types import LabelledPost

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dev.csv, test.csv and a bundle."""
    folder = tmp_path_factory.mktemp("made")
    english = [item for item in corpus if item.post.language in {"en", "fa"}]
    for split in ("train", "dev", "test"):
        write_posts(folder / f"{split}.csv", [item for item in english if item.post.split == split])
    files = ["--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv")]
    assert program.run(["train", "linear", *files, "-o", str(folder / "bundle"), "-q"]) == 0
    return folder


def _texts(file: Path) -> list[str]:
    return [line.split(",")[1] for line in file.read_text(encoding="utf-8").splitlines()[1:] if '"' not in line]


def test_without_a_file_the_report_shows_cross_fitted_dev_values(ran: Ran, made: Path, tmp_path: Path) -> None:
    code, out, err = ran("report", made / "bundle", "-o", tmp_path / "r", "--since", made / "bundle")
    assert code == 0
    assert out.startswith("verdict: warn\nwarn: The thresholds were tuned on these very posts: stand by the cross")
    assert "reading the stored scores of" in err
    told = Report.model_validate_json((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))
    stored = json.loads((made / "bundle" / "evaluation.json").read_text(encoding="utf-8"))
    assert told.evaluation.same_set
    assert json.loads(told.evaluation.pooled.model_dump_json()) == stored["pooled"]
    assert told.since is not None
    assert all((shift.old, shift.old_share) == (shift.new, shift.new_share) for shift in told.since.shifts)


def test_the_command_in_the_report_makes_the_same_report(ran: Ran, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a report"
    options = ("--since", made / "bundle", "--show-errors", 2, "--budget", 50, "--prevalence", 0.02, "--split", "test")
    code, _, err = ran("report", made / "bundle", made / "test.csv", "-o", folder, *options, "--column", "text=text")
    assert code == 0
    assert "posts word for word, which may name or identify people" in err
    page = (folder / "report.html").read_bytes()
    told = Report.model_validate_json((folder / "report.json").read_bytes())
    (folder / "report.html").unlink()
    assert ran(*shlex.split(told.command)[1:], "--replace")[0] == 0
    assert (folder / "report.html").read_bytes() == page
    assert told.mistakes
    assert all(one.text in (made / "test.csv").read_text(encoding="utf-8") for one in told.mistakes)


def test_the_command_in_the_report_keeps_what_decides_its_figures(ran: Ran, made: Path, tmp_path: Path) -> None:
    """--on-error, --device, --ask-endpoint and a value with a space; what only the terminal shows is left out."""
    options = ("--on-error", "fail", "--device", "cpu", "--ask-endpoint", "--set", "data.labels.an ADE=1")
    folder = tmp_path / "a report"
    code, out, _ = ran("evaluate", made / "bundle", made / "test.csv", *options, "-o", folder, "--json", "-q")
    assert code == 0
    page = (folder / "report.html").read_bytes()
    command = Report.model_validate_json((folder / "report.json").read_bytes()).command
    given = ["--set", "data.labels.an ADE=1", "--on-error", "fail", "--device", "cpu", "--ask-endpoint"]
    paths = [str(made / "bundle"), str(made / "test.csv")]
    assert command == shlex.join(["polyvigil", "evaluate", *paths, *given, "-o", str(folder)])
    (folder / "report.html").unlink()
    again = ran(*shlex.split(command)[1:], "--json", "--replace")
    assert (folder / "report.html").read_bytes() == page
    assert json.loads(again[1])["data"] == json.loads(out)["data"]


def test_an_argument_that_looks_like_an_option_is_kept_apart(ran: Ran, made: Path, tmp_path: Path) -> None:
    from os import chdir

    here = Path.cwd()
    (tmp_path / "-posts.csv").write_bytes((made / "test.csv").read_bytes())
    chdir(tmp_path)
    try:
        code, _, _ = ran("evaluate", "-o", "r", "--", made / "bundle", "-posts.csv")
    finally:
        chdir(here)
    assert code == 0
    command = Report.model_validate_json((tmp_path / "r" / "report.json").read_bytes()).command
    assert command == f"polyvigil evaluate -o r -- {made / 'bundle'} -posts.csv"


def test_evaluate_of_a_bundle_alone_is_its_report(ran: Ran, made: Path, tmp_path: Path) -> None:
    code, out, err = ran("evaluate", made / "bundle", "-o", tmp_path / "r", "--json")
    evaluated = json.loads(out)["data"]
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert code == 0
    again = ran("report", made / "bundle", "-o", tmp_path / "r", "--json", "--replace")
    reported = json.loads(again[1])["data"]
    assert reported.pop("command").replace("report", "evaluate", 1) == evaluated.pop("command")
    assert reported == evaluated
    assert (tmp_path / "r" / "report.html").read_text(encoding="utf-8") == page.replace("l evaluate ", "l report ")
    code, out, err = ran("evaluate", made / "bundle")
    assert code == 0
    assert "the dev posts, by stored scores: " in out
    assert "report:" not in out
    for option in (("--by", "type"), ("--leave-one-language-out",)):
        code, _, err = ran("evaluate", made / "bundle", *option)
        assert code == 2
        assert f"{option[0]}: needs a file of labelled posts" in err


@pytest.mark.parametrize("options", [(), ("--show-errors", 3, "--drop-text")])
def test_no_text_stands_in_a_report_that_was_not_asked_for_it(
    ran: Ran, made: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    code, _, err = ran("evaluate", made / "bundle", made / "test.csv", "-o", tmp_path, *options)
    assert (code, "posts word for word" in err) == (0, False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("The texts are left out; the ids say which posts" in page) == bool(options)
    assert "and no text of any post" in page
    long_ones = [text for text in _texts(made / "test.csv") if len(text) > 30]
    assert len(long_ones) > 100
    for name in ("report.html", "report.json", "evaluation.json"):
        written = (tmp_path / name).read_text(encoding="utf-8")
        assert not [text for text in long_ones if text in written]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "{}/bundle", "{}/test.csv", "--show-errors", "3"), "give its folder"),
        (("evaluate", "{}/bundle", "{}/test.csv", "--mask"), "no text but with --show-errors"),
        (("report", "{}/bundle", "{}/test.csv", "--mask"), "no text but with --show-errors"),
        (("report", "{}/bundle", "{}/test.csv", "--drop-text"), "no text but with --show-errors"),
        (("report", "{}/bundle", "--show-errors", "3", "--mask", "--drop-text"), "the text is masked or left out"),
        (("report", "{}/bundle", "--show-errors", "3"), "a bundle keeps no text of its dev posts"),
        (("report", "{}/bundle", "--prevalence", "2"), "a prevalence lies between 0 and 1"),
        (("report", "{}/bundle", "{}/train.csv"), "were trained on; metrics on them prove nothing"),
    ],
)
def test_what_cannot_be_reported_is_refused(ran: Ran, made: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = ran(*(argument.format(made) for argument in arguments))
    assert code == 2
    assert message in err


def test_the_card_is_printed_and_stays_with_a_tuned_bundle(ran: Ran, made: Path, tmp_path: Path) -> None:
    code, out, _ = ran("card", made / "bundle")
    assert code == 0
    assert out == (made / "bundle" / "README.md").read_text(encoding="utf-8")
    assert out.startswith('---\nlicense: unknown\nlanguage:\n- "en"\nlibrary_name: polyvigil\n')
    tuned = tmp_path / "tuned"
    assert ran("tune", made / "bundle", "-o", tuned, "--set", "decide.rule=argmax", "-q")[0] == 0
    assert ran("card", tuned, "-o", tmp_path / "CARD.md")[0] == 0
    card = (tmp_path / "CARD.md").read_text(encoding="utf-8")
    manifest = json.loads((tuned / "bundle.json").read_text(encoding="utf-8"))
    assert f"bundle {manifest['id']}\n" in card
    assert "| argmax |" in card
    for line in (row for row in card.splitlines() if row.startswith("| members/") or row.startswith("| policy.json")):
        name, digest = (cell.strip(" `") for cell in line.strip("|").split("|"))
        assert manifest["files"][name]["sha256"] == digest


def test_a_bundle_without_a_card_says_so(ran: Ran, made: Path, tmp_path: Path) -> None:
    import shutil

    old = shutil.copytree(made / "bundle", tmp_path / "old")
    manifest = json.loads((old / "bundle.json").read_text(encoding="utf-8"))
    del manifest["files"]["README.md"]
    (old / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    (old / "README.md").unlink()
    code, _, err = ran("card", old)
    assert code == 4
    assert "no readable README.md" in err
