"""``--table``: the metrics as LaTeX, Markdown and CSV, numbers as in the JSON document."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvigil.cli.views.paper import Estimate, PaperTable, TableFormat, paper_lines
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost

Ran = Callable[..., tuple[int, str, str]]

TABLE = PaperTable(
    r"50% of a_b & c\d",
    ("name", "F1", "difference"),
    [
        ("a|b_1", Estimate(0.5, 0.4, 0.6), Estimate(-0.0123, -0.02, 0.001, signed=True)),
        ("macro", Estimate(0.25), None),
        ("n", 1234567, "x,y"),
    ],
    ("a note, 5% {of} it",),
)


def test_latex_escapes_and_writes_a_minus() -> None:
    lines = paper_lines(TABLE, TableFormat.latex)
    assert r"\caption{50\% of a\_b \& c\textbackslash{}d}" in lines
    assert r"a|b\_1 & 0.500 (0.400 to 0.600) & $-$0.012 ($-$0.020 to $+$0.001) \\" in lines
    assert r"macro & 0.250 &  \\" in lines
    assert r"n & 1,234,567 & x,y \\" in lines
    assert r"\par\footnotesize a note, 5\% \{of\} it" in lines


def test_latex_compiles(tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    body = "\n".join(paper_lines(TABLE, TableFormat.latex))
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_markdown_has_as_many_cells_in_each_row() -> None:
    lines = paper_lines(TABLE, TableFormat.markdown)
    table = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {4}
    assert lines[0] == TABLE.caption
    assert lines[-1] == TABLE.notes[0]


def test_csv_has_numbers_in_full_and_bounds_as_columns() -> None:
    rows = list(csv.reader(io.StringIO("\n".join(paper_lines(TABLE, TableFormat.csv)))))
    assert rows[0] == ["name", "F1", "F1 low", "F1 high", "difference", "difference low", "difference high"]
    assert rows[1] == ["a|b_1", "0.5", "0.4", "0.6", "-0.0123", "-0.02", "0.001"]
    assert rows[2] == ["macro", "0.25", "", "", "", "", ""]
    assert rows[3] == ["n", "1234567", "", "", "x,y", "", ""]


@pytest.fixture(scope="module")
def file(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test posts of three languages."""
    path = tmp_path_factory.mktemp("tables") / "test.csv"
    chosen = [item for item in corpus if item.post.split == "test" and item.post.language in {"en", "de", "ru"}]
    write_posts(path, chosen)
    return path


@pytest.mark.parametrize("on_file", [True, False])
def test_evaluate_prints_what_it_measured(ran: Ran, bundle_folder: Path, file: Path, on_file: bool) -> None:
    line = ["evaluate", bundle_folder, *([file] if on_file else [])]
    measured = json.loads(ran(*line, "--json")[1])["data"]
    code, out, err = ran(*line, "--table", "csv")
    assert code == 0
    rows = {row["language"]: row for row in csv.DictReader(io.StringIO(out))}
    assert list(rows) == [part["name"] for part in measured["languages"]] + ["pooled", "macro"]
    pooled = measured["pooled"]["cross_fitted"] or measured["pooled"]
    assert float(rows["pooled"]["F1"]) == pooled["f1"]
    assert float(rows["pooled"]["recall high"]) == pooled["recall_interval"]["high"]
    assert float(rows["pooled"]["AP low"]) == measured["pooled"]["average_precision_interval"]["low"]
    assert "macro F1" in err  # the rest goes to stderr


def test_compare_prints_its_differences(ran: Ran, bundle_folder: Path, file: Path, tmp_path: Path) -> None:
    assert ran("tune", bundle_folder, "-o", tmp_path / "other", "--set", "decide.rule=argmax", "-q")[0] == 0
    line = ["compare", bundle_folder, tmp_path / "other", file]
    measured = json.loads(ran(*line, "--json")[1])["data"]["paired"]["pooled"]["f1"]
    code, out, err = ran(*line, "--table", "markdown", "-q")
    assert code == 0
    (pooled,) = [row for row in out.splitlines() if row.startswith("| pooled")]
    shown = f"{measured['difference']:+.3f} ({measured['low']:+.3f} to {measured['high']:+.3f})"
    assert f"| {measured['first']:.3f} | {measured['second']:.3f} | {shown} |" in pooled
    assert err == ""


@pytest.mark.parametrize("line", ["evaluate b t.csv", "compare b b t.csv", "reproduce all --scale tiny"])
def test_a_table_and_json_are_refused(ran: Ran, line: str) -> None:
    code, out, _ = ran(*line.split(), "--table", "latex", "--json")
    assert code == 2
    assert "both write to stdout" in json.loads(out)["error"]["message"]


def test_a_table_of_an_official_score_is_refused(ran: Ran, file: Path) -> None:
    code, _, err = ran("evaluate", "--predictions", file, file, "--table", "csv")
    assert code == 2
    assert "a table is of a bundle's own metrics" in err
