"""Exports of annotation tools and of Twitter, and JSON of other shapes: text and label without a --column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from polyvigil.checks.check import check
from polyvigil.config.data import DataSpec
from polyvigil.data.formats import open_table
from polyvigil.data.read import Reading, read_labelled, read_unlabelled

TEXTS = ("since the tablets my head aches", "picked it up at the pharmacy", "no sleep since the second week")


def _read(tmp_path: Path, content: str, name: str = "export.jsonl", **settings: Any) -> Reading:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return read_labelled(path, DataSpec.model_validate({"language": "en", **settings}), on_error="quarantine")


def _labels(reading: Reading) -> list[tuple[str, int]]:
    return [(item.post.text, item.label) for item in reading.posts]


def _lines(objects: Sequence[object]) -> str:
    return "".join(json.dumps(item) + "\n" for item in objects)


EXPECTED = [(TEXTS[0], 1), (TEXTS[1], 0), (TEXTS[2], 1)]


def _studio(text: str, *choices: str, cancelled: bool = False) -> dict[str, Any]:
    results = [{"value": {"choices": [choice]}, "from_name": "ade", "type": "choices"} for choice in choices]
    annotations = [{"result": [result], "was_cancelled": cancelled} for result in results]
    return {"id": 7, "data": {"text": text, "lang": "en"}, "annotations": annotations}


STUDIO = [_studio(TEXTS[0], "ADE"), _studio(TEXTS[1], "no ADE", "no ADE"), _studio(TEXTS[2], "ADE")]
PRODIGY = [
    {"text": text, "label": "ADE", "answer": answer, "_task_hash": n}
    for n, (text, answer) in enumerate(zip(TEXTS, ("accept", "reject", "accept"), strict=True))
]
CHOICE = [
    {"text": text, "options": [{"id": "yes"}, {"id": "no"}], "accept": [chosen], "answer": "accept"}
    for text, chosen in zip(TEXTS, ("yes", "no", "yes"), strict=True)
]
CATS = [{"text": text, "cats": {"ADE": label, "NONE": 1 - label}} for text, label in EXPECTED]
ARGILLA = [
    {"id": f"r{label}", "status": "completed", "text": text, "ade.responses": ["no", "yes"][label : label + 1]}
    for text, label in EXPECTED
]
DOCCANO = [
    {"id": n, "text": text, "label": [["none", "ADE"][label]], "Comments": []}
    for n, (text, label) in enumerate(EXPECTED)
]


@pytest.mark.parametrize(
    ("name", "objects"),
    [
        ("label-studio", STUDIO),
        ("prodigy", PRODIGY),
        ("prodigy", CHOICE),
        ("spacy", CATS),
        ("argilla", ARGILLA),
        ("doccano", DOCCANO),
    ],
)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_an_export_is_recognised_and_read(tmp_path: Path, name: str, objects: list[dict[str, Any]], form: str) -> None:
    content = _lines(objects) if form == "lines" else json.dumps(objects, indent=1)
    reading = _read(tmp_path, content, "export.jsonl" if form == "lines" else "export.json")
    assert _labels(reading) == EXPECTED
    assert any(f"exported from {name}" in note for note in reading.notes)
    assert _labels(_read(tmp_path, content, "named.json", format=name)) == EXPECTED


def test_annotations_that_contradict_each_other_are_set_aside(tmp_path: Path) -> None:
    reading = _read(tmp_path, _lines([*STUDIO, _studio("said yes and no", "ADE", "no ADE")]))
    assert _labels(reading) == EXPECTED
    (error,) = reading.row_errors
    assert (error.line, error.reason) == (4, "its annotations give 2 labels")
    assert error.cells["data"]["text"] == "said yes and no"


def test_tasks_that_were_skipped_are_no_labels(tmp_path: Path) -> None:
    ignored = {"text": "what is this", "label": "ADE", "answer": "ignore"}
    discarded = {**ARGILLA[0], "status": "discarded"}
    assert _labels(_read(tmp_path, _lines([*PRODIGY, ignored]))) == EXPECTED
    assert [error.reason for error in _read(tmp_path, _lines([*ARGILLA, discarded])).row_errors] == [
        "skipped by the annotator"
    ]


def test_a_named_column_goes_before_the_export(tmp_path: Path) -> None:
    reading = _read(tmp_path, _lines(PRODIGY), columns={"label": "answer"}, labels={"accept": 0, "reject": 1})
    assert [item.label for item in reading.posts] == [0, 1, 0]


def test_nested_values_are_named_by_their_path(tmp_path: Path) -> None:
    objects = [{"meta": {"post": {"body": text}}, "marks": [{"value": [label]}]} for text, label in EXPECTED]
    reading = _read(tmp_path, _lines(objects), columns={"text": "meta.post.body", "label": "marks.0.value"})
    assert _labels(reading) == EXPECTED


def _texts(tmp_path: Path, content: str, name: str = "tweets.jsonl") -> list[str]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return [post.text for post in read_unlabelled(path).posts]


def test_tweets_are_read_in_full(tmp_path: Path) -> None:
    tweets = [
        {"id_str": "1", "full_text": TEXTS[0], "text": "since the ta…"},
        {"id_str": "2", "text": "picked it…", "truncated": True, "extended_tweet": {"full_text": TEXTS[1]}},
        {"id_str": "3", "full_text": "RT @a: no sl…", "retweeted_status": {"full_text": TEXTS[2]}},
    ]
    assert _texts(tmp_path, _lines(tweets)) == list(TEXTS)


def test_pages_and_archives_of_twitter(tmp_path: Path) -> None:
    posts = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]
    assert _texts(tmp_path, _lines([{"data": posts[:2], "meta": {}}, {"data": posts[2:]}])) == list(TEXTS)
    wrapped = [{"tweet": {"id_str": str(n), "full_text": text}} for n, text in enumerate(TEXTS)]
    assert _texts(tmp_path, f"window.YTD.tweets.part0 = {json.dumps(wrapped, indent=1)}", "tweets.js") == list(TEXTS)


def test_the_columns_of_json_lines_are_those_of_all_lines(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [{"id": n, "deleted": True} for n in range(300)]
    path = tmp_path / "late.jsonl"
    path.write_text(_lines([*objects, {"id": 300, "text": "hello there", "extra": 1}]))
    with open_table(path) as table:
        assert table.columns == ("id", "deleted", "text", "extra")


def test_an_array_that_breaks_off_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "posts.json"
    path.write_text('[\n{"text": "a"},\n{"text": "b"\n')
    with pytest.raises(Exception, match=r"posts\.json:3: not JSON"):
        read_unlabelled(path)


def test_check_does_not_take_the_annotations_for_a_giveaway(tmp_path: Path) -> None:
    for number, objects in enumerate((STUDIO, PRODIGY, CATS, ARGILLA)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(_lines([{**item, "n": n} for n, item in enumerate(objects * 20)]))
        reading = read_labelled(path, DataSpec(language="en"), on_error="quarantine")
        measured = {leak.column for leak in check([reading]).giveaways}
        assert not measured & {"data", "annotations", "answer", "cats", "ade.responses"}
