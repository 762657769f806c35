"""Every format, container, encoding and delimiter that is read: what is written so comes back, without an option."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from polyvigil.config.score import ScoreSpec
from polyvigil.data import streams
from polyvigil.data.read import read_labelled
from polyvigil.scoring.write import header, row_writer

zstd = streams._zstd()
PAGE = Path(__file__).parents[2] / "src" / "polyvigil" / "help" / "formats.md"
BEGIN, END = "<!-- begin: formats -->", "<!-- end: formats -->"
Rows = Sequence[tuple[str, str, int, str]]
_SPECIAL = (
    'he said "never again", twice',
    "a; b | c, d\te",
    "two\nlines and\nthree",
    '"quoted" at the start',
    "1/2 = .5",
)
_TEXTS = {
    "en": ("this pill gave me a headache", "picked it up at the pharmacy today", "week two, still no sleep"),
    "de": (
        "seit den Tabletten ist mir übel",
        "nehme sie täglich für die Nerven",
        "heute früh müde, sonst läuft es gut",
    ),
    "fr": ("depuis j'ai très mal à la tête", "le médecin a changé la dose", "ça va mieux, même après l'été"),
    "ru": ("после таблеток болит голова", "врач выписал новые таблетки", "сегодня всё хорошо, жду весну"),
    "ja": ("この薬を飲んでから頭が痛い", "今日も薬局に行ってきました", "先生に聞いたら大丈夫だと言われた"),
    "zh": ("吃了这个药以后一直头疼", "今天去医院拿了新的药", "医生说要继续吃两个星期"),
    "zh-tw": ("吃了這個藥以後一直頭痛", "今天去醫院拿了新的藥", "醫生說要繼續吃兩個星期"),
    "ko": ("이 약을 먹은 뒤로 머리가 아파요", "오늘 약국에서 새 약을 받았어요", "선생님은 괜찮다고 하셨어요"),
}


def rows_in(*languages: str, special: Sequence[str] = _SPECIAL) -> Rows:
    texts = [(text, language) for language in languages for text in (*_TEXTS[language] * 3, *special)]
    return [(f"p{n}", f"{text} {n}", n % 2, language.partition("-")[0]) for n, (text, language) in enumerate(texts)]


HEADER = ("id", "text", "label", "language")


def delimited(rows: Rows, delimiter: str = ",", *, quoting: Any = csv.QUOTE_MINIMAL, prefix: str = "") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([HEADER, *rows])
    return prefix + out.getvalue()


def unquoted(rows: Rows, delimiter: str) -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [HEADER, *rows])


def objects(rows: Rows) -> list[dict[str, object]]:
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(objects(rows))


def _parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(table(rows), out)
    return out.getvalue()


def _feather(rows: Rows) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(table(rows), out)
    return out.getvalue()


def _arrow_stream(rows: Rows) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table(rows).schema) as writer:
        writer.write_table(table(rows))
    return out.getvalue()


def _pandas_index(rows: Rows) -> bytes:
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame(objects(rows)).set_index("id").to_parquet(out)
    return out.getvalue()


def _scored(rows: Rows, ending: str) -> bytes:
    """As ``polyvigil score`` writes rows: with its columns, and cells that a spreadsheet would run protected."""
    further = {"p": 0.5, "decision": 1, "threshold": 0.25, "flags": (), "bundle": "0" * 16}
    columns, out = (*HEADER, *further), io.BytesIO()
    out.write(header(columns, ending=ending, spec=ScoreSpec(excel=True)))
    with row_writer(out, columns, ending=ending, schema=None, raw=False) as write:
        write.rows([row | further for row in objects(rows)])
    return out.getvalue()


def _xlsx(rows: Rows) -> bytes:
    import xlsxwriter  # type: ignore[import-untyped]

    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("posts")
        for number, row in enumerate([HEADER, *rows]):
            for column, cell in enumerate(row):
                sheet.write(number, column, cell)
    return out.getvalue()


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/posts.csv", data)
        archive.writestr("__MACOSX/folder/._posts.csv", b"\0\1")
    return out.getvalue()


def _long_window(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.window_log: 31})


LATIN = rows_in("de", "fr")
ALL = rows_in("en", "de", "fr", "ru", "ja", "zh", "ko")
FORMULAS = rows_in("en", "de", special=("=1+1 pills", "@home", "'=own", "''@own", "-5 mg, too much", "＝wide", "'tis"))
NO_TABS = rows_in("en", "de", special=('he said "never again"', '"quoted" at the start', '"never closed'))


@dataclass(frozen=True)
class Case:
    format: str
    name: str
    rows: Rows
    data: bytes
    recognised: str = ""


def _text(format: str, name: str, rows: Rows, text: str, codec: str = "utf-8", recognised: str = "") -> Case:
    return Case(format, name, rows, text.encode(codec), recognised)


def _encoded(codec: str, language: str, *, told: bool = True, label: str = "") -> Case:
    rows = rows_in(language, special=('he said "never again", twice',))
    name = label or codec
    return _text(f"CSV in {name}", "posts.csv", rows, delimited(rows), codec, f"encoding {codec}" if told else "")


def _packed(ending: str, pack: Callable[[bytes], bytes], label: str) -> Case:
    return Case(f"CSV, {label}", f"posts.csv{ending}", ALL, pack(delimited(ALL).encode()))


CASES = (
    _text("CSV", "posts.csv", ALL, delimited(ALL)),
    _text("CSV, all cells quoted", "posts.csv", ALL, delimited(ALL, quoting=csv.QUOTE_ALL)),
    _text("CSV with semicolons", "posts.csv", ALL, delimited(ALL, ";"), recognised="delimiter semicolon"),
    _text("CSV with tabs", "posts.csv", ALL, delimited(ALL, "\t"), recognised="delimiter tab"),
    _text("CSV with |", "posts.csv", ALL, delimited(ALL, "|"), recognised="delimiter |"),
    _text("CSV under sep=;", "posts.csv", ALL, delimited(ALL, ";", prefix="sep=;\n"), recognised="delimiter semicolon"),
    _text(
        "CSV under a title", "posts.csv", ALL, delimited(ALL, prefix="Posts of May\n\n"), recognised="2 lines before"
    ),
    _text("CSV under comments", "posts.csv", ALL, delimited(ALL, prefix="# by hand\n"), recognised="1 line before"),
    _text("CSV of old Macs (CR)", "posts.csv", NO_TABS, delimited(NO_TABS).replace("\n", "\r")),
    _text("CSV with CRLF", "posts.csv", NO_TABS, delimited(NO_TABS).replace("\n", "\r\n")),
    _text("TSV, not quoted", "posts.tsv", NO_TABS, unquoted(NO_TABS, "\t")),
    _text("TSV, quoted", "posts.tsv", ALL, delimited(ALL, "\t"), recognised="quoting minimal"),
    _text("tab-separated .txt", "posts.txt", NO_TABS, unquoted(NO_TABS, "\t")),
    _text("CSV without an ending", "part-00000", ALL, delimited(ALL)),
    _text("CSV with a byte order mark", "posts.csv", ALL, delimited(ALL), "utf-8-sig"),
    _text("UTF-16 of Excel", "posts.txt", NO_TABS, unquoted(NO_TABS, "\t"), "utf-16"),
    _text("CSV in UTF-16 without a mark", "posts.csv", LATIN, delimited(LATIN), "utf-16-le"),
    _text("CSV in UTF-32", "posts.csv", ALL, delimited(ALL), "utf-32"),
    _encoded("cp1252", "de"),
    _encoded("cp1252", "fr", label="Latin-1 (French)"),
    _encoded("cp1251", "ru"),
    _encoded("koi8_r", "ru", label="KOI8-R"),
    _encoded("cp866", "ru"),
    _encoded("cp932", "ja", label="Shift-JIS"),
    _encoded("euc_jp", "ja", label="EUC-JP"),
    _encoded("iso2022_jp", "ja", label="ISO-2022-JP"),
    _encoded("gb18030", "zh", label="GB18030"),
    _encoded("big5", "zh-tw", label="Big5"),
    _encoded("cp949", "ko", label="EUC-KR (cp949)"),
    _packed(".gz", gzip.compress, "gzip"),
    _packed(".gz", lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]), "gzip of several members"),
    _packed(".zst", zstd.compress, "zstd"),
    _packed(".zst", _long_window, "zstd --long=31"),
    _packed(".bz2", bz2.compress, "bzip2"),
    _packed(".xz", lzma.compress, "xz"),
    _packed(".zip", _zip, "ZIP of one file"),
    _text("JSON Lines", "posts.jsonl", ALL, "".join(json.dumps(row) + "\n" for row in objects(ALL))),
    _text("JSON array", "posts.json", ALL, json.dumps(objects(ALL), indent=1, ensure_ascii=False)),
    _text("JSON array on one line", "posts.jsonl", ALL, json.dumps(objects(ALL))),
    _text("pages of an interface", "pages.jsonl", ALL, json.dumps({"data": objects(ALL), "meta": {"n": 1}}) + "\n"),
    _text(
        "JSON Lines called .csv",
        "posts.csv",
        ALL,
        "".join(json.dumps(row) + "\n" for row in objects(ALL)),
        recognised="jsonl",
    ),
    Case("Parquet", "posts.parquet", ALL, _parquet(ALL)),
    Case("Arrow (Feather)", "posts.feather", ALL, _feather(ALL)),
    Case("Arrow stream", "posts.arrow", ALL, _arrow_stream(ALL)),
    Case("Excel workbook", "posts.xlsx", ALL, _xlsx(ALL)),
    Case("Parquet of pandas, ids as its index", "posts.parquet", ALL, _pandas_index(ALL)),
    Case("CSV of polyvigil score --excel", "scored.csv", FORMULAS, _scored(FORMULAS, ".csv")),
    Case("JSON Lines of polyvigil score, gzip", "scored.jsonl.gz", FORMULAS, _scored(FORMULAS, ".jsonl.gz")),
    Case("Excel workbook of polyvigil score", "scored.xlsx", FORMULAS, _scored(FORMULAS, ".xlsx")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_what_is_written_comes_back_without_an_option(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data)
    reading = read_labelled(path)
    assert [(p.post.id, p.post.text, p.label, p.post.language) for p in reading.posts] == list(case.rows)
    assert not reading.row_errors
    said = " ".join(note for note in reading.notes if "recognised" in note or "read as" in note)
    assert case.recognised in said
    assert bool(said) == bool(case.recognised)


def test_the_page_of_formats_lists_what_was_shown() -> None:
    lines = ["| written as | file | said when read |", "|---|---|---|"]
    lines += [
        f"| {case.format.replace('|', chr(92) + '|')} | `{case.name}` | {case.recognised.replace('|', chr(92) + '|')} |"
        for case in CASES
    ]
    table = "\n".join([BEGIN, *lines, END])
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if os.environ.get("POLYVIGIL_WRITE_DOCS"):
        PAGE.write_text(before + table + after, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == before + table + after
