"""Translating from files of labelled posts to a CSV, by the mapping of letters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvigil.augment.mapping import Mapping
from polyvigil.augment.translator import Translator
from polyvigil.config.augment import TranslationSpec
from polyvigil.config.data import DataSpec
from polyvigil.data.read import Reading, read_labelled
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.workflows.translate import check_translations, open_translator, plan_translation, translate_posts

SPEC = TranslationSpec()


def _reading(folder: Path, *rows: str) -> Reading:
    path = folder / "in.csv"
    path.write_text("id,text,label,language,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return read_labelled(path, DataSpec())


def _mapping() -> Translator:
    return open_translator(SPEC, mapped=True)


def test_posts_are_chosen_translated_and_written(tmp_path: Path) -> None:
    reading = _reading(
        tmp_path, "1,bad rash,1,en,train", "2,fine today,0,en,train", "3,Kopfweh,1,de,train", "4,held out,1,en,test"
    )
    notes: list[str] = []
    plan = plan_translation([reading], SPEC, _mapping, targets=["fa", "fa"], note=notes.append)
    assert [item.post.id for item in plan.chosen[0].posts] == ["1", "2", "3"]
    assert plan.posts == 3, "a language that is named twice is translated to once"
    assert any("1 of split test left out" in note for note in notes)

    shares: list[float] = []
    output = tmp_path / "new" / "fa.csv"
    result = translate_posts(plan, output=output, note=notes.append, progress=shares.append)
    assert [(row.item.post.id, row.item.label, row.reason) for row in result.rows] == [
        ("1__fa", 1, ""),
        ("2__fa", 0, ""),
        ("3__fa", 1, ""),
    ]
    assert [item.label for item in read_labelled(output, DataSpec()).posts] == [1, 0, 1]
    assert shares[-1] == 1.0
    assert [(one.language, one.posts, one.positives) for one in result.prevalences] == [("fa", 3, 2)]
    assert not list(output.parent.glob("*.rejects.jsonl"))


def test_what_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    reading = _reading(tmp_path, "1,bad rash,1,en,train", "2,12 34,0,en,train", "3,no label,maybe,en,train")
    notes: list[str] = []
    plan = plan_translation([reading], SPEC, _mapping, targets=["fa"])
    result = translate_posts(plan, output=tmp_path / "fa.csv", note=notes.append)
    reasons = {row.source.post.id: row.reason for row in result.rows}
    rejects = [json.loads(line) for line in (tmp_path / "fa.csv.rejects.jsonl").read_text().splitlines()]
    assert reasons["1"] == ""
    assert [entry["reason"] for entry in rejects][1:] == [reason for reason in reasons.values() if reason]
    assert rejects[0]["line"] == 4
    assert notes == [
        f"set aside: 1 rows of the files and {len(rejects) - 1} of 2 translations -> "
        + str(tmp_path / "fa.csv.rejects.jsonl")
    ]


def test_no_model_is_opened_for_posts_that_may_not_be_translated(tmp_path: Path) -> None:
    opened: list[Translator] = []

    def open_model() -> Translator:
        opened.append(Mapping())
        return opened[-1]

    with pytest.raises(SplitError, match="no row is left"):
        plan_translation([_reading(tmp_path, "1,bad rash,1,en,test")], SPEC, open_model, targets=["fa"])
    assert not opened


def test_a_target_that_exists_or_is_no_csv_is_refused(tmp_path: Path) -> None:
    plan = plan_translation([_reading(tmp_path, "1,bad rash,1,en,train")], SPEC, _mapping, targets=["fa"])
    with pytest.raises(RecipeError, match="written as CSV"):
        translate_posts(plan, output=tmp_path / "fa.jsonl")
    translate_posts(plan, output=tmp_path / "fa.csv")
    with pytest.raises(DataError, match="stands there already"):
        translate_posts(plan, output=tmp_path / "fa.csv")
    check_translations(tmp_path / "fa.csv", replace=True)
    with pytest.raises(DataError, match="input and output are one file"):
        check_translations(tmp_path / "fa.csv", replace=True, inputs=[tmp_path / "fa.csv"])
