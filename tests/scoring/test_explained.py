"""Explaining files: rows without text, a page that nothing can break out of, the columns of ``score --evidence``."""

from __future__ import annotations

import json
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.explain import Explanation, ScoredSpan, explain
from polyvigil.bundle.store import Bundle
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import open_table
from polyvigil.errors import DataError, RecipeError
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.explain import ExplainOptions, explain_file, marked
from polyvigil.scoring.wire import COLUMNS, SEVERAL_MEMBERS, TOKENS, score_posts
from polyvigil.text.legible import LegibleText
from polyvigil.text.mask import MaskedSpan
from polyvigil.text.mentions import Mention, Term, lexicon, mentions
from polyvigil.types import Post

FILLED = tuple(name for name in COLUMNS if name not in (*SEVERAL_MEMBERS, *TOKENS))
"""The columns of a bundle of one linear member."""

XSS = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>&lt;"
POSTS = [
    {
        "id": "a",
        "text": "My day was nice. Tramadol gave me a terrible headache, i'm done with it!\r\nBye",
        "language": "en",
    },
    {"id": "b", "text": "ロキソニン飲んだら頭痛がひどい。副作用つらすぎる。猫が寝た。", "language": "ja"},
    {"id": "c", "text": "https://t.co/x", "language": "de"},
    {
        "id": XSS,
        "text": f"{XSS} tramadol gave me a terrible headache, had to call in sick and i'm done with it {XSS}",
        "language": "en",
    },
    {"id": "e", "text": "سرم درد گرفت؟ \u202eevil\u202c می\u200cشود \u200f", "language": "fa"},
    {"id": "f", "text": "half \ud800 a pair 😀 e\u0301", "language": "en"},
]
TERMS = (
    Term("TRAMADOL", "drug", "N02"),
    Term("headache", "reaction"),
    Term("ロキソニン", "drug", XSS),
    Term("alert(1)</script><img", "reaction", '"><script>'),
)


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in POSTS), encoding="utf-8")
    return str(path)


def _read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.ndjson.zst"])
def test_rows_hold_offsets_and_no_text(bundle: Bundle, source: str, tmp_path: Path, name: str) -> None:
    summary = explain_file(bundle, source, str(tmp_path / name), ExplainOptions(terms=TERMS))
    with open_table(tmp_path / name) as table:
        rows = [dict(row.cells) for row in table.rows]
    posts = [Post(row["id"], row["text"], row["language"]) for row in POSTS]
    decided, found = score_posts(bundle, posts), explain(bundle, posts)
    for row, post, decision, explanation in zip(rows, posts, decided, found, strict=True):
        assert (row["id"], row["p"], row["decision"]) == (post.id, decision.p, decision.decision)
        sentence = explanation.sentence
        assert row["sentence_start"] == (sentence.start if sentence else None)
        assert row["sentence_end"] == (sentence.end if sentence else None)
        assert [(s["start"], s["end"], s["score"]) for s in row["spans"]] == [
            (s.start, s.end, s.score) for s in explanation.spans
        ]
        told = [(m["start"], m["end"], m["text"], m["kind"], m["code"]) for m in row["mentions"]]
        text = LegibleText.of(post.text, bundle.normalisation)
        known = mentions(text.seen.text, lexicon(TERMS))
        assert told == [(*text.written(m.start, m.end), m.term.text, m.term.kind, m.term.code) for m in known]
        assert row["bundle"] == bundle.id
    assert [len(row["mentions"]) for row in rows] == [2, 1, 0, 2, 0, 0]
    assert "nice" not in str(rows)
    assert POSTS[0]["text"][rows[0]["sentence_start"] : rows[0]["sentence_end"]] == (
        "Tramadol gave me a terrible headache, i'm done with it!"
    )
    assert summary.output_sha256 == sha256((tmp_path / name).read_bytes()).hexdigest()
    assert (summary.posts, summary.explained, summary.flagged) == (6, 6, sum(d.decision for d in decided))


def test_flagged_only(bundle: Bundle, source: str, tmp_path: Path) -> None:
    summary = explain_file(bundle, source, str(tmp_path / "o.jsonl"), ExplainOptions(flagged_only=True))
    rows = _read(tmp_path / "o.jsonl")
    assert {row["decision"] for row in rows} == {1}
    assert summary.explained == summary.flagged == len(rows) == 3


class _Tags(HTMLParser):
    """The tags of a page, and what it shows."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.posts: list[str] = []
        self.framed: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if ("dir", "auto") in attrs:
            self.posts.append("")
            self.framed.append("")
        if tag not in {"meta", "input"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag  # everything is closed where it should be

    def handle_data(self, data: str) -> None:
        if self.posts and "article" in self._inside and "sup" not in self._inside and self._inside.count("p"):
            self.posts[-1] += data if "about" not in data else ""
            self.framed[-1] += data if "mark" in self._inside else ""


def test_the_page_escapes_everything_and_shows_the_text_whole(bundle: Bundle, source: str, tmp_path: Path) -> None:
    explain_file(bundle, source, str(tmp_path / "o.html"), ExplainOptions(terms=TERMS))
    page = (tmp_path / "o.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert not tags.tags & {"script", "img", "iframe", "link", "object", "a"}
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "http://" not in page
    assert "<script" not in page.lower()
    assert "holds the text of posts" in page
    plain = {"lang", "charset", "http-equiv", "content", "name", "class", "role", "dir", "title"}
    assert tags.attributes <= plain | {"id", "for", "type", "checked", "style", "aria-label"}
    assert "\u202e" not in page  # shown as a sign of its own: it would turn round what follows
    shown = "".join(tags.posts)
    for row in POSTS:
        expected = (
            str(row["text"])
            .replace("https://t.co/x", "[URL]")
            .replace("\u202e", "�")
            .replace("\u202c", "�")
            .replace("\ud800", "�")
            .replace("\r", "")
        )
        assert expected in shown
    assert "Tramadol gave me a terrible headache, i'm done with it!" in tags.framed
    assert page.count('class="drug"') == 1 + 3  # the legend, and three mentions
    assert page.count("<article ") == len(POSTS)
    assert "no_text:url_only" in page
    assert "(&#39;" not in page


NAMED = (
    "@anna_b see https://t.co/abc: tramadol gave me a terrible headache since 12.3.2024, call +49 170 1234567 or a@b.de"
)


def _explained_page(bundle: Bundle, folder: Path, *, mask: bool) -> str:
    rows = [
        {"id": "yes", "text": f"{NAMED} i'm done with it", "language": "en"},
        {"id": "no", "text": "Lovely weather @anna_b https://t.co/abc", "language": "de"},
        {"id": "far", "text": "ok", "language": "tlh"},
    ]
    (folder / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    summary = explain_file(
        bundle, str(folder / "i.jsonl"), str(folder / "o.html"), ExplainOptions(mask=mask), replace=True
    )
    assert ("--mask masks" in summary.notes[-1]) == (not mask)
    return (folder / "o.html").read_text(encoding="utf-8")


def test_the_page_masks_links_and_names_of_users(bundle: Bundle, tmp_path: Path) -> None:
    for mask in (False, True):
        page = _explained_page(bundle, tmp_path, mask=mask)
        for hidden in ("anna_b", "t.co", "a@b.de"):
            assert hidden not in page
        assert page.count("[USER]") == page.count("[URL]") == 2
        for number in ("12.3.2024", "+49 170 1234567"):
            assert (number in page) == (not mask)
        assert ("[DATE]" in page, "[PHONE]" in page) == (mask, mask)


def test_what_is_not_flagged_has_no_frame_and_posts_are_sorted_and_filtered_by_style(
    bundle: Bundle, tmp_path: Path
) -> None:
    page = _explained_page(bundle, tmp_path, mask=False)
    yes, no, far = page.partition("<main")[2].split("<article ")[1:]
    assert "<mark>" in yes
    assert "framed" in yes
    assert not [part for part in ("<mark>", "<u>", "framed") if part in no + far]
    number = list(bundle.policy.thresholds).index("de")
    assert yes.startswith('class="yes l')
    assert no.startswith(f'class="not l{number}" style="--rank: ')
    assert far.startswith('class="not others"')
    ranks = [int(part.partition("--rank: ")[2].partition('"')[0]) for part in (yes, no, far)]
    assert ranks[0] == min(ranks)
    assert f".choices:has(#l{number}:checked) ~ .posts article:not(.l{number})" in page
    assert ".choices:has(#flagged:checked) ~ .posts .not { display: none; }" in page


def test_offsets_have_nothing_to_mask(bundle: Bundle, source: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="offsets hold no text to mask"):
        explain_file(bundle, source, str(tmp_path / "o.jsonl"), ExplainOptions(mask=True))


def test_the_parts_of_a_marked_text_are_the_text() -> None:
    text = "Drug x. It hurts much. End"
    explanation = Explanation(ScoredSpan(8, 22, 1.0), (ScoredSpan(0, 4, 0.5), ScoredSpan(11, 16, 2.0)), "contributions")
    found = (Mention(5, 10, Term("x. It", "drug")), Mention(17, 26, Term("much. End", "reaction")))
    post = marked(text, explanation, found)
    parts = [*post.before, *post.sentence, *post.after]
    assert "".join(part.text for part in parts) == text
    assert "".join(part.text for part in post.sentence) == text[8:22]
    assert "".join(part.text for part in parts if part.strong) == "Drughurts"
    assert "".join(part.text for part in parts if part.mention == found[0]) == "x. It"
    assert [part.text for part in parts if part.last] == ["It", " End"]
    hidden = marked(text, explanation, found, [MaskedSpan(3, 10, "[URL]"), MaskedSpan(24, 26, "[USER]")])
    shown = "".join(part.text for part in (*hidden.before, *hidden.sentence, *hidden.after))
    assert shown == f"{text[:3]}[URL]{text[10:24]}[USER]"
    empty = marked("", Explanation(None, (), ""), ())
    assert (empty.before, empty.sentence, empty.after) == ((), (), ())
    plain = marked("no evidence", Explanation(None, (), ""), ())
    assert [part.text for part in (*plain.before, *plain.sentence)] == []
    assert [part.text for part in plain.after] == ["no evidence"]


def test_bad_rows_are_set_aside_and_nothing_is_left_behind(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("id,text,language\n1,fine pills,en\n2,x,not a code!\n", encoding="utf-8")
    for name in ("o.jsonl", "o.html"):
        summary = explain_file(bundle, str(path), str(tmp_path / name))
        assert (summary.posts, summary.set_aside, summary.rejects) == (1, 1, str(tmp_path / f"{name}.rejects.jsonl"))
        assert "is not a language" in (tmp_path / f"{name}.rejects.jsonl").read_text()
        assert summary.notes
        (tmp_path / name).unlink()
        with pytest.raises(DataError, match="is not a language"):
            explain_file(bundle, str(path), str(tmp_path / name), ExplainOptions(on_error="fail"))
        assert not (tmp_path / name).exists()
    path.write_text("id,text,language\n1,fine pills,en\n", encoding="utf-8")
    explain_file(bundle, str(path), str(tmp_path / "p.jsonl"))
    assert not (tmp_path / "p.jsonl.rejects.jsonl").exists()
    assert (tmp_path / "o.jsonl.rejects.jsonl").exists()  # another run's


@pytest.mark.parametrize(
    ("output", "message"),
    [("o.csv", "explanations are .jsonl or .html"), ("folder.html", "is a folder"), ("posts.jsonl", "are one file")],
)
def test_bad_outputs_are_refused(bundle: Bundle, source: str, tmp_path: Path, output: str, message: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(DataError, match=message):
        explain_file(bundle, source, str(tmp_path / output))


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_scoring_adds_evidence_columns_with_the_option(bundle: Bundle, source: str, tmp_path: Path, name: str) -> None:
    score_file(bundle, source, str(tmp_path / "plain.csv"))
    with open_table(tmp_path / "plain.csv") as table:
        assert table.columns == ("id", "text", "input_language", *FILLED)
    score_file(bundle, source, str(tmp_path / name), spec=ScoreSpec(evidence=True))
    with open_table(tmp_path / name) as table:
        rows = [dict(row.cells) for row in table.rows]
    assert list(rows[0]) == ["id", "text", "input_language", *FILLED, "evidence_start", "evidence_end"]
    found = explain(bundle, [Post(row["id"], row["text"], row["language"]) for row in POSTS])
    cells = [(row["evidence_start"], row["evidence_end"]) for row in rows]
    expected = [
        (f.sentence.start, f.sentence.end) if f.sentence and int(str(row["decision"])) else (None, None)
        for f, row in zip(found, rows, strict=True)
    ]
    assert [tuple(None if v in ("", None) else int(str(v)) for v in cell) for cell in cells] == expected
    assert sum(cell != (None, None) for cell in expected) == 3
    if name == "o.parquet":
        assert pq.read_schema(tmp_path / name).field("evidence_start").type == pa.int64()


def test_an_input_column_of_that_name_is_kept(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("text,evidence_start\npills,mine\n", encoding="utf-8")
    score_file(bundle, str(path), str(tmp_path / "o.jsonl"), spec=ScoreSpec(evidence=True))
    assert _read(tmp_path / "o.jsonl")[0]["input_evidence_start"] == "mine"
    score_file(bundle, str(path), str(tmp_path / "p.jsonl"))
    assert _read(tmp_path / "p.jsonl")[0]["evidence_start"] == "mine"
