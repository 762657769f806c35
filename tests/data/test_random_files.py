"""Files at random, of the kinds that people have: never a crash, and never another number of posts without a word.

``POLYVIGIL_NIGHTLY=1`` makes it 20,000 files.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import cell_text
from polyvigil.errors import DataError

N_FILES = 20_000 if os.environ.get("POLYVIGIL_NIGHTLY") else 1_000
_WORDS = {
    "en": ["the", "pill", "gave", "me", "a", "headache", "and", "my", "doctor", "said", "stop", "it", "now", "please"],
    "de": [
        "die",
        "Tablette",
        "macht",
        "müde",
        "und",
        "mir",
        "ist",
        "übel",
        "seit",
        "gestern",
        "früh",
        "sagt",
        "Ärztin",
    ],
    "ru": ["после", "таблеток", "болит", "голова", "врач", "сказал", "подождать", "ещё", "неделю"],
    "ja": ["この薬", "を飲んで", "頭が", "痛い", "です", "先生は", "大丈夫", "と言った"],
    "zh": ["吃了", "这个药", "以后", "头疼", "医生", "说", "继续", "两周"],
}
_CODECS = {
    "en": ("utf-8", "utf-8-sig", "utf-16", "cp1252"),
    "de": ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"),
    "ru": ("utf-8", "utf-16", "cp1251", "koi8_r"),
    "ja": ("utf-8", "utf-8-sig", "cp932", "euc_jp"),
    "zh": ("utf-8", "utf-16-be", "gb18030"),
}
_MARKS = ('"', '""', ",", ";", "|", "'", " ", "!", "\\", "#", "\n", "\r\n", "\t", "=1+1", "@you", "😀")


@dataclass(frozen=True)
class RandomFile:
    """A file, and the texts that were written into it; ``damage`` says what is wrong with it, if anything."""

    name: str
    data: bytes
    texts: list[str]
    damage: str = ""


def _text(chance: random.Random, language: str, *, marks: tuple[str, ...]) -> str:
    words = [chance.choice(_WORDS[language]) for _ in range(chance.randrange(3, 14))]
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        words.insert(chance.randrange(len(words) + 1), chance.choice(marks))
    return ("" if language in ("ja", "zh") else " ").join(words).strip()


def _encodable(text: str, codec: str) -> str:
    return text.encode(codec, "ignore").decode(codec)


def random_file(seed: int) -> RandomFile:
    chance = random.Random(seed)
    language = chance.choice(sorted(_WORDS))
    codec = chance.choice(_CODECS[language])
    style = chance.choice(("minimal", "all", "unquoted", "backslash", "jsonl", "json"))
    delimiter = chance.choice((",", ",", ";", "\t", "|"))
    plain = tuple(mark for mark in _MARKS if delimiter not in mark and "\n" not in mark and mark != '""')
    marks = _MARKS if style != "unquoted" else plain
    texts = [_encodable(_text(chance, language, marks=marks), codec) for _ in range(chance.randrange(2, 30))]
    rows = [(f"a{n}", text, str(n % 2)) for n, text in enumerate(texts)]
    header = ("id", chance.choice(("text", "tweet", "body")), "label")
    body = _written(chance, header, rows, style, delimiter)
    damage = ""
    if style in ("minimal", "all", "unquoted") and chance.random() < 0.25:
        damage = chance.choice(("quote", "cut", "wide"))
        body = _damaged(chance, body, damage, delimiter)
    data = body.encode("utf-8" if style.startswith("json") else codec)
    ending = {"jsonl": "jsonl", "json": "json"}.get(style, "tsv" if delimiter == "\t" else "csv")
    pack, packed = chance.choice(((None, ""), (None, ""), (gzip.compress, ".gz"), (bz2.compress, ".bz2")))
    return RandomFile(f"posts.{ending}{packed}", pack(data) if pack else data, texts, damage)


def _written(
    chance: random.Random, header: tuple[str, ...], rows: list[tuple[str, ...]], style: str, delimiter: str
) -> str:
    ends = chance.choice(("\n", "\n", "\r\n"))
    objects = [dict(zip(header, row, strict=True)) for row in rows]
    if style == "jsonl":
        return "".join(json.dumps(item, ensure_ascii=chance.random() < 0.5) + "\n" for item in objects)
    if style == "json":
        return json.dumps(objects, indent=chance.choice((None, 1)))
    if style == "unquoted":
        return "".join(delimiter.join(row) + ends for row in (header, *rows))
    out = io.StringIO()
    escape = {"escapechar": "\\", "doublequote": False} if style == "backslash" else {}
    quoting = csv.QUOTE_MINIMAL if style == "minimal" else csv.QUOTE_ALL
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=ends, **escape)  # type: ignore[arg-type]
    writer.writerows((header, *rows))
    return out.getvalue()


def _damaged(chance: random.Random, body: str, damage: str, delimiter: str) -> str:
    lines = body.splitlines(keepends=True)
    at = chance.randrange(1, len(lines))
    if damage == "cut":
        return body[: chance.randrange(len(lines[0]) + 1, len(body) + 1)]
    if damage == "wide":
        lines[at] = lines[at].rstrip("\r\n") + f"{delimiter}more{delimiter}cells\n"
    else:
        cells = lines[at].split(delimiter)
        cells[min(1, len(cells) - 1)] = '"' + cells[min(1, len(cells) - 1)]
        lines[at] = delimiter.join(cells)
    return "".join(lines)


def read_file(path: Path) -> tuple[list[str], int, list[str]]:
    """The texts that are read, the rows set aside, and what was said."""
    with open_table(path) as table:
        columns = map_columns(table.columns, DataSpec(), required=("text",), where=table.name)
        rows = list(table.rows)
        texts = [cell_text(row.cell(columns.columns["text"])) for row in rows if not isinstance(row, RowError)]
        return texts, len(rows) - len(texts), [note for note in table.notes if "recognised" in note]


def outcome(path: Path, file: RandomFile) -> str:
    """What reading came to: ``right``, ``refused``, ``said`` (rows set aside, or a guess named), ``as written`` (all
    posts, a quote or backslash more), ``cut`` (a file that ends early between two rows); else ``unsaid``."""
    path.write_bytes(file.data)
    try:
        texts, set_aside, notes = read_file(path)
    except DataError:
        return "refused"
    if texts == file.texts:
        return "right"
    if set_aside or notes:
        return "said"
    if len(texts) == len(file.texts):
        return "as written"  # a stray quote or a doubled backslash, which may be meant
    return "cut" if file.damage == "cut" and len(texts) < len(file.texts) else "unsaid"


def test_no_random_file_crashes_or_is_misread_without_a_word(tmp_path: Path) -> None:
    outcomes: Counter[tuple[bool, str]] = Counter()
    for seed in range(N_FILES):
        file = random_file(seed)
        path = tmp_path / file.name
        came_to = outcome(path, file)
        assert came_to != "unsaid", f"file {seed}: {file.name}, {file.damage or 'whole'}"
        outcomes[bool(file.damage), came_to] += 1
    whole = sum(number for (damaged, _), number in outcomes.items() if not damaged)
    assert outcomes[False, "right"] > 0.95 * whole
