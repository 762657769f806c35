"""Language codes, groups, detection and scripts."""

from __future__ import annotations

import pytest

from polyvigil.data.sample import sample_corpus
from polyvigil.text.language import (
    NO_PRIOR,
    base_language,
    detect_languages,
    estimate_prior,
    is_cadec,
    language_group,
    standard_group,
)
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
        ("pt-br", "", "1", "pt"),
        ("deutsch", "drug_review", "1", "de_cadec"),
    ],
)
def test_groups(language: str, kind: str, identity: str, group: str) -> None:
    assert language_group(language, type=kind, id=identity) == group
    assert base_language(group) == group.removesuffix("_cadec")
    assert is_cadec(group) == group.endswith("_cadec")


@pytest.mark.parametrize(
    "language", ["1", "d", "de fr", "xx", "English please", "en_forum", "tokipona", "Mono", "x-foo", "none of these"]
)
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


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *((word, "en") for word in ("en", "EN", "eng", "en-US", "en_GB", "English", "english (US)", "en_US.UTF-8")),
        *((word, "de") for word in ("de", "deu", "ger", "German", "Deutsch", "allemand", "de-AT")),
        *((word, "zh") for word in ("zh-Hans", "zh_CN", "cmn", "Chinese", "中文", "Simplified Chinese")),
        *((word, "ja") for word in ("jpn", "Japanese", "日本語")),
        *((word, "fa") for word in ("fas", "per", "pes", "Persian", "Farsi", "فارسی")),
        ("iw", "he"),
        ("no", "no"),
        ("nb", "no"),
        ("is", "is"),
        ("to", "to"),
        ("de_cadec", "de_cadec"),
        ("DE_CADEC", "de_cadec"),
        *((word, "und") for word in ("", " ", "nan", "None", "null", "und", "zxx", "qme", "qht", "mul", "N/A", "<NA>")),
    ],
)
def test_codes_and_names_are_one_code(given: str, code: str) -> None:
    assert standard_group(given) == code
    assert standard_group(code) == code


def test_short_posts_take_the_languages_of_their_file() -> None:
    texts = ["zoloft nausea", "headache lyrica", "so tired", "no sleep", "ugh prednisone", "humira day 3", "hi all"]
    texts += ["brain fog, again", "mood: bad", "feeling awful since friday", "my doctor said it is normal"]
    alone = detect_languages(texts)
    together = detect_languages(texts, estimate_prior(texts, {}))
    assert alone.count("en") < 5
    assert together.count("en") >= len(texts) - 1
    assert detect_languages(["so tired"], estimate_prior([], {"en": 50})) == ["en"]
    assert estimate_prior(["so tired"], {}) == NO_PRIOR


def test_a_mixed_file_gets_no_worse_with_its_prior() -> None:
    posts = [item.post for item in sample_corpus() if not is_cadec(item.post.language)][::40]
    texts = [model_text(post.text)[:30] for post in posts]
    prior = estimate_prior(texts, {})
    right = [
        sum(language == post.language for language, post in zip(detected, posts, strict=True))
        for detected in (detect_languages(texts), detect_languages(texts, prior))
    ]
    assert right[1] >= right[0]
    assert detect_languages(["El medicamento me dio náuseas terribles toda la noche, no lo tomo más"], prior) == ["es"]
