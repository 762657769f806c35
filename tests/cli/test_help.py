"""``polyvigil help``: every column, flag, exit code and file that the code knows is explained, and no other one."""

from __future__ import annotations

import ast
import inspect
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from markupsafe import escape
from rich.cells import cell_len

import polyvigil.errors
from polyvigil.augment.translate import FURTHER
from polyvigil.bundle import layout
from polyvigil.bundle.store import load
from polyvigil.cli import signals
from polyvigil.cli.help import TOPICS, page
from polyvigil.cli.main import run
from polyvigil.cli.options import GATE, QUARANTINED
from polyvigil.cli.views.markdown import WIDTH, entries, plain_lines
from polyvigil.data import protection
from polyvigil.data.write import COLUMNS as SCHEMA
from polyvigil.decide.policy import ThresholdSource
from polyvigil.errors import PolyvigilError
from polyvigil.evaluation.measure import measured_on_dev
from polyvigil.evaluation.official import LABEL_COLUMN
from polyvigil.glossary import meaning
from polyvigil.report.render import report_html
from polyvigil.report.report import report_of
from polyvigil.review import exporting
from polyvigil.review.worklist import PURPOSES, WORKLIST_COLUMNS
from polyvigil.scoring import dedup
from polyvigil.scoring.evidence import EVIDENCE_COLUMNS
from polyvigil.scoring.wire import ABSTAINED, COLUMNS, FLAGS
from polyvigil.text import normalise

SRC = Path(polyvigil.errors.__file__).parent


def section(topic: str, title: str) -> set[str]:
    """The entries under a heading of the second level."""
    text = page(topic).partition(f"\n## {title}\n")[2]
    return set(entries(re.split(r"^## ", text, flags=re.MULTILINE)[0]))


def test_the_pages_are_the_topics() -> None:
    assert {path.stem for path in (SRC / "help").glob("*.md")} == set(TOPICS)


def test_every_column_of_a_scored_file_is_explained() -> None:
    assert section("columns", "Columns of a scored file") == set(COLUMNS)
    assert section("columns", "Further columns, when asked for") == {*dedup.DUPLICATE_COLUMNS, *EVIDENCE_COLUMNS}


def test_every_column_of_other_files_is_explained() -> None:
    assert section("columns", "Columns of a worklist") == set(WORKLIST_COLUMNS)
    assert section("columns", "Columns of other files") == {LABEL_COLUMN, *FURTHER}
    known = {*COLUMNS, *WORKLIST_COLUMNS, *SCHEMA} - {"split"}
    assert section("columns", "Columns of `review export`") == set(exporting._SCHEMA.names) - known


def test_the_sources_of_a_threshold_and_the_purposes_are_explained() -> None:
    told = entries(page("columns"))
    sources = [*ThresholdSource.__args__, ABSTAINED]  # type: ignore[attr-defined]
    assert sorted(re.findall(r"`(\w+)(?::LANGUAGE)?`:", told["threshold_source"])) == sorted(sources)
    assert re.findall(r"`(\w+)`:", told["purpose"]) == list(PURPOSES)


def test_every_flag_is_explained() -> None:
    assert set(entries(page("flags"))) == {*FLAGS, dedup.NEAR, protection.FLAG}


def test_every_reason_for_no_text_is_explained() -> None:
    (function,) = ast.parse(inspect.getsource(normalise.no_text_reason)).body
    returned = {
        node.value
        for answer in ast.walk(function)
        if isinstance(answer, ast.Return) and answer.value is not None
        for node in ast.walk(answer.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    }
    reasons = {*returned, *normalise._PLACEHOLDERS.values()}
    assert set(re.findall(r"^\| `(\w+)` \|", entries(page("flags"))["no_text"], re.MULTILINE)) == reasons


def test_every_flag_in_the_code_is_one_of_the_known() -> None:
    """Flags are put together in three modules; a text that stands there as a flag must be explained too."""
    spoken = {*FLAGS, dedup.NEAR, protection.FLAG}
    for module in ("scoring/wire.py", "scoring/dedup.py", "scoring/part.py"):
        tree = ast.parse((SRC / module).read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "flags.append":
                assert not isinstance(call.args[0], ast.Constant), f"{module}:{call.lineno}"
    golden = Path(__file__).parents[1] / "golden" / "documents"
    written = set()
    for path in golden.glob("score*.json"):
        for cell in re.findall(r'"flags": \\?"([^"\\]*)', path.read_text(encoding="utf-8")):
            written |= {flag.partition(":")[0] for flag in cell.split(";") if flag}
    assert written - {"string"} <= spoken  # the type of the column stands in schemas of Parquet


def _error_classes(base: type[PolyvigilError] = PolyvigilError) -> Iterator[type[PolyvigilError]]:
    yield base
    for inner in base.__subclasses__():
        yield from _error_classes(inner)


def _literal_codes() -> Iterator[int]:
    """Numbers that a command answers or exits with, where they stand as numbers."""
    for path in (SRC / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                given = node.args[2:3] if name == "Answer" else node.args if name in ("typer.Exit", "sys.exit") else []
                given = [*given, *(key.value for key in node.keywords if key.arg == "exit_code")]
                for value in given:
                    yield from (
                        one.value for one in ast.walk(value) if isinstance(one, ast.Constant) and type(one.value) is int
                    )


def test_every_exit_code_is_explained() -> None:
    interrupts = {128 + getattr(signal, name) for name in signals._NAMES}
    codes = {
        0,
        1,
        2,
        GATE,
        QUARANTINED,
        *interrupts,
        *_literal_codes(),
    }  # 1, 2: what main gives system and usage errors
    codes |= {error.exit_code for error in _error_classes() if error.__module__.startswith("polyvigil")}
    assert set(entries(page("exit-codes"))) == {str(code) for code in codes}


def test_every_file_of_a_bundle_is_explained() -> None:
    names = {
        value for name, value in vars(layout).items() if name.isupper() and name[0] != "_" and isinstance(value, str)
    }
    assert set(entries(page("bundle"))) == names


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_fits_a_terminal(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", topic]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= WIDTH
    assert not any(re.search(r"`|\*\*|\]\(|^#|^\s*\||<!--", line) for line in lines)


def test_without_a_topic_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= WIDTH
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(TOPICS)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is p?", "what the model believes, from 0 to 1"),
        ("Which column do I sort by?", "By p_calibrated, largest first"),
        ("What does this flag mean?", "'polyvigil help flags' explains every one"),
        ("What happens to my file?", "input files are only read"),
        ("How do I stop, and go on?", "Press Ctrl-C once"),
    ],
)
def test_the_questions_of_a_newcomer_are_answered(
    question: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From ``polyvigil --help`` alone: it names the page, and the page has the question and its answer."""
    assert run(["--help"]) == 0
    assert "polyvigil help questions" in " ".join(capsys.readouterr().out.split())
    assert run(["help", "questions"]) == 0
    text = capsys.readouterr().out
    below = text.partition(f"\n{question}\n")[2].partition("\n\n")[2].partition("?\n")[0]
    assert answer in " ".join(below.split())


@pytest.mark.parametrize(
    "answer",
    [
        "p: What the model believes, from 0 to 1",
        "Which column do I sort by? By p_calibrated, largest first",
        "flags: What else to know about the row, joined by semicolons; empty: nothing. 'polyvigil help flags' explains",
        "What happens to my file? Nothing: input files are only read.",
        "How do I stop, and go on? Press Ctrl-C once.",
    ],
)
def test_the_questions_are_answered_by_the_help_of_score_alone(answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "--help"]) == 0
    assert answer in " ".join(capsys.readouterr().out.split())


def test_words_are_explained_alike_everywhere(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, in --help, in what is printed, in the report and on the page."""

    def printed(*arguments: str) -> str:
        assert run([*arguments]) == 0
        return " ".join(capsys.readouterr().out.split())

    for word in ("p", "p_calibrated", "threshold_source", "flags"):
        assert f"{word}: {meaning(word)}" in printed("score", "--help")
        assert f"{word}: {meaning(word)}" in printed("evaluate", "--help")
        assert meaning(word) in printed("help", "columns", word)
    evaluated, made = printed("evaluate", str(bundle_folder)), report_html_of(bundle_folder)
    for word in ("same set", "cross-fitted"):
        assert f"{word}: {meaning(word)}" in printed("evaluate", "--help")
        assert f"{word}: {meaning(word)}" in evaluated
        assert meaning(word) in printed("help", "metrics", word)
        assert meaning(word) in made
    for word in ("p", "p_calibrated", "threshold_source"):
        assert escape(meaning(word)) in made
    with pytest.raises(KeyError):
        meaning("weather")


def report_html_of(folder: Path) -> str:
    bundle = load(folder)
    return report_html(report_of(measured_on_dev(bundle), bundle))


def test_one_entry_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "flags", "no_text:url_only"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("no_text\n    There is nothing to read")
    assert "language_detected" not in out
    assert run(["help", "columns", "p_calibrated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["text"].startswith("### `p_calibrated`")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["flag"], "did you mean flags? see: polyvigil help"),
        (["flags", "judge"], "did you mean judged? see: polyvigil help flags"),
        (["weather"], "see: polyvigil help"),
    ],
)
def test_what_there_is_not(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", *arguments]) == 2
    assert f"next: {hint}" in capsys.readouterr().err


def test_markdown_as_plain_text() -> None:
    text = (
        "# A *page*\n\nOne [link](x.md#y) and `code`.\n\n- an item\n  goes on\n- another\n\n"
        "| a | b |\n|---|---|\n| `x\\|y` | 雨 |\n\n```text\nas it   is\n```\n\n### `name`\n\nwhat it is\n"
    )
    assert plain_lines(text) == [
        *("A *page*", "────────", "", "One link and code.", "", "- an item goes on", "- another", ""),
        *("a    b", "───  ──", "x|y  雨", "", "    as it   is", "", "name", "    what it is"),
    ]
