"""Which posts are translated, and what a translation says of where it is from."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from polyvigil.augment.choose import choose, training_posts
from polyvigil.augment.mapping import Mapping
from polyvigil.augment.prevalence import prevalences
from polyvigil.augment.translate import Cache, Translated, translate, write_translated
from polyvigil.config.augment import TranslationSpec
from polyvigil.data.formats import Row
from polyvigil.data.read import Reading, read_labelled
from polyvigil.data.split import group_key
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.types import LabelledPost, Post


def _post(name: str, *, label: int = 0, language: str = "en", split: str = "train", **more: str) -> LabelledPost:
    text = more.pop("text", f"this is what {name} writes")
    return LabelledPost(Post(name, text, language, split=split, **more), label)


def _reading(items: list[LabelledPost]) -> Reading:
    return Reading("posts.csv", tuple(items), tuple(Row(place + 2, {}) for place in range(len(items))), (), ())


def _translated(items: list[LabelledPost], tmp_path: Path, *, spec: TranslationSpec | None = None) -> list[Translated]:
    chosen = choose(items, Mapping(), spec or TranslationSpec(), target="fa")
    return list(translate([chosen], Mapping(), Cache(tmp_path / "cache.jsonl"), batch_tokens=100))


def test_rows_hold_their_source_and_can_be_read_again(tmp_path: Path) -> None:
    items = [
        _post("t1", label=1, type="tweet", origin="SMM4H"),
        _post("ru_2", language="ru", text="от таблеток болит живот", group="thread 7"),
        _post("de_cadecv2_12", label=1, language="de_cadec", type="drug_review", text="mir ist übel davon"),
    ]
    rows = _translated(items, tmp_path)
    assert [row.reason for row in rows] == ["", "", ""]
    write_translated(tmp_path / "out.csv", rows)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert [(row["id"], row["label"], row["type"], row["group"], row["translated_from"]) for row in cells] == [
        ("t1__fa", "1", "tweet", "t1", "en:t1"),
        ("ru_2__fa", "0", "", "thread 7", "ru:ru_2"),
        ("de_cadecv2_12__fa", "1", "drug_review", "de_cadecv2_12", "de_cadec:de_cadecv2_12"),
    ]
    assert {row["language"] for row in cells} == {"fa"}
    assert {(row["origin"], row["model"], row["split"]) for row in cells} == {
        ("translated:mapping-arabic", "mapping-arabic@1", "train")
    }
    assert read_labelled(tmp_path / "out.csv").posts == tuple(row.item for row in rows)


def test_translations_of_a_post_share_a_group(tmp_path: Path) -> None:
    rows = _translated([_post("a"), _post("b", group="g")], tmp_path)
    assert [group_key(row.item.post, 0) for row in rows] == ["group:a", "group:g"]


def test_dev_test_and_translated_rows_are_left_out_with_a_note() -> None:
    items = [_post("a"), _post("b", split=""), _post("c", split="dev"), _post("d", split="test")]
    items.append(_post("e__fa", origin="translated:mapping-arabic", language="fa"))
    posts, notes = training_posts([_reading(items)])
    assert [item.post.id for item in posts] == ["a", "b"]
    assert notes == [
        "posts.csv: 1 of split dev, 1 of split test left out: translations are for training alone",
        "posts.csv: 1 posts left out that are translations already",
    ]


def test_a_file_of_dev_rows_alone_is_refused() -> None:
    with pytest.raises(SplitError, match=r"no row is left: posts\.csv: 2 of split dev left out"):
        training_posts([_reading([_post("a", split="dev"), _post("b", split="dev")])])


def test_missing_and_repeated_ids_are_refused() -> None:
    with pytest.raises(DataError, match="2 posts have no id, and a translation is known by its source's"):
        training_posts([_reading([_post("row-2"), _post("row-3")])])
    with pytest.raises(DataError, match="1 ids stand for several posts, such as 'a'"):
        training_posts([_reading([_post("a"), _post("a", text="another text")])])


def _crowd() -> list[LabelledPost]:
    return [
        _post(f"{name}{n}", label=int(n % 10 == 0), language=name) for name in ("en", "ru", "ja") for n in range(100)
    ]


def _labels(items: tuple[LabelledPost, ...]) -> Counter[int]:
    return Counter(item.label for item in items)


def test_label_languages_and_numbers_select_posts() -> None:
    crowd = _crowd()

    def chosen(spec: TranslationSpec, *sources: str) -> tuple[LabelledPost, ...]:
        return choose(crowd, Mapping(), spec, target="fa", sources=sources).posts

    assert _labels(chosen(TranslationSpec())) == {0: 180, 1: 20}
    assert _labels(chosen(TranslationSpec(only="positives"), "ru")) == {1: 10}
    assert _labels(chosen(TranslationSpec(only="negatives"))) == {0: 180}
    assert _labels(chosen(TranslationSpec(negatives=50))) == {0: 50, 1: 20}
    assert _labels(chosen(TranslationSpec(most=60))) == {0: 54, 1: 6}, "the prevalence of what there is"
    some, other = (chosen(TranslationSpec(most=60, seed=seed)) for seed in (1, 2))
    assert some == chosen(TranslationSpec(most=60, seed=1)) != other
    assert list(some) == [item for item in crowd if item in some], "in the order of the files"
    more = [*crowd, *(_post(f"later{n}") for n in range(20))]
    again = choose(more, Mapping(), TranslationSpec(most=60, seed=1), target="fa").posts
    assert len({item.post.id for item in again} & {item.post.id for item in some}) >= 45


def test_untranslatable_languages_are_reported_or_refused() -> None:
    note = choose(_crowd(), Mapping(), TranslationSpec(negatives=999), target="fa").notes
    assert note == (
        "100 posts in ja are not translated to fa",
        "there are 180 negatives to translate to fa, not 999",
    )
    with pytest.raises(RecipeError, match="cannot map ja to fa"):
        choose(_crowd(), Mapping(), TranslationSpec(), target="fa", sources=("en", "ja"))
    with pytest.raises(RecipeError, match="cannot map en to de"):
        choose(_crowd(), Mapping(), TranslationSpec(), target="de")


def test_no_selected_post_is_an_error_with_counts() -> None:
    negatives = [_post("a"), _post("b", language="ru")]
    with pytest.raises(
        DataError, match="no post is left to translate to fa: there are 1 in en, 1 in ru; wanted were pos"
    ):
        choose(negatives, Mapping(), TranslationSpec(only="positives"), target="fa")


def test_share_of_positives_is_reported(tmp_path: Path) -> None:
    crowd = [item for item in _crowd() if item.post.language != "ja"]
    rows = _translated(crowd, tmp_path, spec=TranslationSpec(only="positives"))
    (alone,) = prevalences(rows, crowd)
    assert (alone.language, alone.posts, alone.positives, alone.usual) == ("fa", 20, 20, 0.1)
    assert alone.positives_alone
    (both,) = prevalences(rows, [*crowd, *(_post(f"fa{n}", language="fa") for n in range(60))])
    assert (both.posts, both.positives, both.positives_alone, both.raised) == (80, 20, False, True)
    (natural,) = prevalences(_translated(crowd, tmp_path), crowd)
    assert (natural.share, natural.positives_alone, natural.raised) == (0.1, False, False)


def test_too_long_sentences_reject_their_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Mapping(longest=30)
    items = [_post("a", text="it hurts"), _post("b", text="it hurts. " + "and so on " * 9)]
    chosen = choose(items, short, TranslationSpec(), target="fa")
    rows = translate([chosen], short, Cache(tmp_path / "cache.jsonl"), batch_tokens=10)
    assert [row.reason for row in rows] == ["", "too-long"]
