"""Language codes, groups, detection and scripts."""

from __future__ import annotations

import pytest

from polyvigil.data.sample import sample_corpus
from polyvigil.text.language import base_language, detect_languages, is_cadec, language_group
from polyvigil.text.normalise import model_text
from polyvigil.text.script import main_script


@pytest.mark.parametrize(
    ("language", "kind", "identity", "group"),
    [
        ("de", "tweet", "de_1", "de"),
        (" DE ", "forum post", "de_1", "de"),
        ("de", "drug_review", "x", "de_cadec"),
        ("fr", "", "fr_cadecv2_1599", "fr_cadec"),
        ("de_cadec", "drug_review", "de_cadec_1", "de_cadec"),
        ("", "tweet", "1", "und"),
        ("und", "drug_review", "cadec", "und"),
        ("pt-br", "", "1", "pt-br"),
    ],
)
def test_groups(language: str, kind: str, identity: str, group: str) -> None:
    assert language_group(language, type=kind, id=identity) == group
    assert base_language(group) == group.removesuffix("_cadec")
    assert is_cadec(group) == group.endswith("_cadec")


@pytest.mark.parametrize("language", ["German", "1", "d", "de fr", "日本語"])
def test_invalid_codes_are_refused(language: str) -> None:
    with pytest.raises(ValueError):
        language_group(language, type="", id="1")


def test_detection_agrees_with_the_sample_corpus() -> None:
    posts = [item.post for item in sample_corpus() if not is_cadec(item.post.language)]
    for language in ("en", "de", "fr", "ja", "ru", "zh", "fa"):
        chosen = [post for post in posts if post.language == language][:100]
        found = detect_languages([model_text(post.text) for post in chosen])
        assert found.count(language) >= 90, language
        assert len(set(found) - {language, "und"}) <= 3


def test_unsure_is_und_and_foreign_is_foreign() -> None:
    assert detect_languages(["", "😀", "ok", "El medicamento me dio náuseas terribles toda la noche"]) == [
        "und",
        "und",
        "und",
        "es",
    ]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("headache", "Latin"),
        ("голова", "Cyrillic"),
        ("سردرد", "Arabic"),
        ("頭痛", "Han"),
        ("頭が痛い", "Japanese"),
        ("두통", "Hangul"),
        ("123 !", "none"),
        ("ⴰⴳⴰⵢⵢⵓ", "other"),
        ("", "none"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert main_script(text) == script
