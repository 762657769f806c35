"""Each filter, by hand."""

from __future__ import annotations

import pytest

from polyvigil.augment.filters import LENGTHS, REASONS, SCRIPTS, Reason, rejection_reason
from polyvigil.data.sample import sample_corpus
from polyvigil.text.language import base_language

SOURCE = "I took the new tablets for three days and now my head hurts all the time"


def _fault(
    text: str, *, source_text: str = SOURCE, target: str = "de", source: str = "en", real: bool = True
) -> Reason:
    return rejection_reason(source_text, text, source=source, target=target, writes_language=real)


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("Ich nahm die neuen Tabletten drei Tage lang und jetzt tut mir ständig der Kopf weh", "de", ""),
        ("", "de", "empty"),
        (" @USER [URL] ", "de", "empty"),
        ("?!", "de", "empty"),
        (SOURCE, "de", "copy"),
        (SOURCE.upper() + "!!", "de", "copy"),
        ("I took the new tablets for three days and now my Kopf hurts all the time", "de", "copy"),
        ("der Kopf tut weh, " * 7, "de", "repetitive"),
        ("Kopfweh", "de", "length"),
        ("Ich nahm die neuen Tabletten. Jetzt tut mir ständig der Kopf weh, und der Arzt weiß auch nichts dazu. " * 2
         + "Gestern war ich noch einmal dort, heute rief ich an, morgen gehe ich wieder hin.", "de", "length"),
        ("У меня три дня болит голова после новых таблеток, всё время", "de", "script"),
        ("Pris les nouveaux comprimés trois jours, et maintenant j'ai tout le temps mal à la tête", "de", "language"),
        ("吃了三天新药，现在头一直疼", "zh", ""),
        ("新しい薬を三日飲んだら、ずっと頭が痛い", "ja", ""),
        ("新しい薬を三日飲んだら、ずっと頭が痛い", "zh", "script"),
        ("سه روز قرص‌های جدید را خوردم و حالا سرم همیشه درد می‌کند", "fa", ""),
    ],
)  # fmt: skip
def test_translations_are_kept_or_rejected_with_a_reason(text: str, target: str, reason: Reason) -> None:
    assert _fault(text, target=target) == reason
    assert reason in {"", *REASONS}


def test_a_source_that_repeats_itself_may_be_repeated() -> None:
    source = "my head hurts, " * 7
    assert _fault("der Kopf tut weh, " * 7, source_text=source) == ""
    assert _fault("der Kopf tut weh, " * 7, source_text=SOURCE) == "repetitive"


def test_placeholders_that_both_hold_make_no_copy() -> None:
    marks = "@USER @USER @USER [URL] [URL] "
    assert _fault(marks + "mir ist übel", source_text=marks + "feeling sick") == ""


def test_language_is_checked_only_where_text_has_letters() -> None:
    french = "Pris les nouveaux comprimés pendant trois jours et maintenant j'ai tout le temps mal à la tête"
    assert _fault(french) == "language"
    assert _fault(french, real=False) == ""
    assert _fault("сап пат", source_text="sad pet", real=False) == "script"


def test_every_language_of_the_task_has_a_script_and_a_length() -> None:
    assert set(SCRIPTS) == set(LENGTHS) == {"de", "en", "fa", "fr", "ja", "ru", "zh"}


def test_posts_of_each_language_pass_as_their_own_translation() -> None:
    """Script and language of the authored posts are right, so what is set aside here is set aside wrongly."""
    found: dict[str, list[Reason]] = {}
    for item in sample_corpus()[::40]:
        language = base_language(item.post.language)
        other = "xy" * round(len(item.post.text) / LENGTHS[language] / 2)
        reason = rejection_reason(other, item.post.text, source="en", target=language, writes_language=True)
        found.setdefault(language, []).append(reason)
    assert set(found) == set(SCRIPTS)
    for language, reasons in found.items():
        assert sum(map(bool, reasons)) / len(reasons) <= 0.08, language
