"""What is translated of a post, and the post put together again."""

from __future__ import annotations

import pytest

from polyvigil.augment.mapping import Mapping
from polyvigil.augment.translate import Segment, reassemble, segments
from polyvigil.data.sample import sample_corpus
from polyvigil.errors import RecipeError
from polyvigil.text.normalise import model_text
from polyvigil.text.script import main_script


def test_sentences_are_split_and_keep_their_end_marks() -> None:
    assert segments("@USER__ took Humira today.  My head hurts 😭😭 https://t.co/x") == (
        Segment("@USER ", "took Humira today.", ""),
        Segment("", "My head hurts", " 😭😭 [URL]"),
    )
    assert segments("[URL]") == (Segment("[URL]", "", ""),)
    assert segments("10/10!!") == (Segment("10/10!!", "", ""),)
    assert segments("") == ()


def test_unchanged_sentences_give_the_post_back() -> None:
    for item in sample_corpus()[::60]:
        cut = segments(item.post.text)
        same = {part.core: part.core for part in cut}
        language = item.post.language
        assert "".join(reassemble(cut, same, target=language).split()) == "".join(model_text(item.post.text).split())
        if language not in {"ja", "zh"}:
            assert reassemble(cut, same, target=language) == model_text(item.post.text)


def test_japanese_and_chinese_are_joined_without_spaces() -> None:
    cut = segments("It hurts. @USER It really does!")
    told = {"It hurts.": "痛いです。", "It really does!": " 本当に！ "}
    assert reassemble(cut, told, target="ja") == "痛いです。@USER 本当に！"
    assert reassemble(cut, told, target="en") == "痛いです。 @USER 本当に！"


def test_the_mapping_is_one_to_one_and_leaves_placeholders() -> None:
    mapping = Mapping()
    letters = "abcdefghijklmnopqrstuvwxyzäöüßéœабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
    (told,) = mapping.translate([letters], source="en", target="fa")
    assert len(set(told)) == len(letters)
    assert {main_script(letter) for letter in told} == {"Arabic"}
    upper, lower = mapping.translate(["Übel, 20 MG!", "übel, 20 mg!"], source="de", target="fa")
    assert upper == lower
    assert [mark for mark in upper if not mark.isalpha()] == list(",  20 !".replace("  ", " ", 1)[:1] + " 20 !")
    (kept,) = mapping.translate(["[URL] no @USER"], source="en", target="fa")
    assert kept.startswith("[URL] ")
    assert kept.endswith(" @USER")


@pytest.mark.parametrize(("source", "target"), [("ja", "fa"), ("en", "de"), ("und", "fa")])
def test_the_mapping_refuses_other_pairs(source: str, target: str) -> None:
    with pytest.raises(RecipeError, match=rf"cannot map {source} to {target}: it takes de, en, fr, ru to fa"):
        Mapping().translate(["x"], source=source, target=target)
