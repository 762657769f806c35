"""Explanations: a planted sentence is found wherever it stands, offsets cut the original text, members are balanced."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import numpy as np
import pytest

from polyvigil.bundle.explain import MOST_SPANS, explain
from polyvigil.bundle.store import Bundle
from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.decide.combine import Combination
from polyvigil.detect.base import Evidence
from polyvigil.learn.linear import LinearLearner
from polyvigil.text.sentences import sentences
from polyvigil.types import LabelledPost, Post

PARTS = {  # subjects, predicates: 30 sentences that have nothing to do with medicines; then one that reports an ADE
    "en": (
        ("The garden", "My sister", "Our neighbour", "The old dog", "The train", "Her cousin"),
        (" was late on Monday. ", " looks lovely today. ", " sings in the rain. ", " likes the river. ", " is blue. "),
        "The tramadol gave me a terrible headache and i threw up all night. ",
    ),
    "de": (
        ("Der Garten", "Meine Schwester", "Unser Nachbar", "Der alte Hund", "Der Zug", "Ihr Vetter"),
        (" kam am Montag. ", " sieht schön aus. ", " singt im Regen. ", " mag den Fluss. ", " ist blau. "),
        "Von Lamotrigin habe ich schlimme Kopfschmerzen bekommen. ",
    ),
    "ja": (
        ("庭", "妹", "隣の人", "犬", "電車", "先生"),
        ("は月曜に遅れた。", "は今日きれい。", "は雨の中で歌う。", "は川が好き。", "は青い。"),
        "ロキソニン飲んだら頭痛がひどくなった、副作用つらい。",
    ),
    "fa": (
        ("باغ", "خواهرم", "همسایه", "سگ پیر", "قطار", "معلم"),
        (" دوشنبه دیر آمد. ", " امروز زیباست؟ ", " زیر باران می\u200cخواند! ", " رودخانه را دوست دارد. ", " آبی است. "),
        "بعد از سرترالین سردرد شدید و حالت تهوع گرفتم! ",
    ),
}
ODD = (
    "😀 ",
    "👩🏽\u200d⚕\ufe0f ",
    "e\u0301te\u0301 ",
    "\r\n",
    "\ud800 ",
    "\u202eabc\u202c ",
    "\u200f",
    "!!!!!! ",
    "https://t.co/a.b ",
    "\0",
)


@pytest.fixture(scope="module")
def persian(bundle: Bundle, corpus: tuple[LabelledPost, ...]) -> Bundle:
    """The bundle with another member in place of its own, which has seen Persian posts."""
    posts = [item for item in corpus if item.post.language == "fa"]
    return replace(bundle, members=(LinearLearner(LinearSpec(), BalanceSpec()).fit(posts, (), seed=1),))


@pytest.mark.parametrize("language", PARTS)
def test_a_planted_sentence_is_found_at_every_position(bundle: Bundle, persian: Bundle, language: str) -> None:
    subjects, predicates, planted = PARTS[language]
    neutral = [subject + predicate for subject, predicate in product(subjects, predicates)]
    assert len(neutral) == 30
    random.Random(1).shuffle(neutral)
    texts = ["".join([*neutral[:place], planted, *neutral[place:]]) for place in range(31)]
    found = explain(persian if language == "fa" else bundle, [Post("p", text, language) for text in texts])
    for text, explanation in zip(texts, found, strict=True):
        sentence = explanation.sentence
        assert sentence is not None
        assert text[sentence.start : sentence.end] == planted.strip()
        strongest = max(explanation.spans, key=lambda span: span.score)
        assert sentence.start <= strongest.start < strongest.end <= sentence.end


@pytest.mark.parametrize("language", PARTS)
def test_offsets_are_of_the_original_text(bundle: Bundle, persian: Bundle, language: str) -> None:
    """Among all that the normalisation changes, removes or joins, the planted sentence is still cut out exactly."""
    subjects, predicates, planted = PARTS[language]
    draw = random.Random(2)
    texts = []
    for _ in range(40):
        parts = [
            s + "".join(draw.sample(ODD, 2)) + p for s, p in zip(subjects, draw.sample(predicates, 5), strict=False)
        ]
        parts.insert(draw.randrange(6), draw.choice(("", "\r\n\r\n", " \t")) + planted)
        texts.append("".join(parts))
    found = explain(persian if language == "fa" else bundle, [Post("p", text, language) for text in texts])
    exact = 0
    for text, explanation in zip(texts, found, strict=True):
        sentence = explanation.sentence
        assert sentence is not None
        cut = text[sentence.start : sentence.end]
        assert planted.strip() in cut
        exact += cut == planted.strip()
        assert sentence.start in {start + len(part) - len(part.lstrip()) for start, part in _sentences(text)}
        assert len(explanation.spans) <= MOST_SPANS
        for one, after in zip(explanation.spans, explanation.spans[1:], strict=False):
            assert one.end <= after.start
        for span in explanation.spans:
            word = text[span.start : span.end]
            assert word == word.strip()
            assert span.score > 0
    assert exact >= 30  # sometimes what stands before the planted sentence ends no sentence


def _sentences(text: str) -> list[tuple[int, str]]:
    return [(part.start, text[part.start : part.end]) for part in sentences(text)]


def test_sentence_score_is_the_sum_of_its_evidence(bundle: Bundle) -> None:
    post = Post("p", "My sister sings.  The pills gave me a headache! \r\nWe left", "en")
    (evidence,) = bundle.members[0].evidence([post])
    (found,) = explain(bundle, [post])
    assert found.sentence is not None
    assert post.text[found.sentence.start : found.sentence.end] == "The pills gave me a headache!"
    assert found.sentence.score == pytest.approx(evidence.characters[18:47].sum())
    assert found.method == "contributions"


def test_nothing_to_read_has_no_explanation(bundle: Bundle) -> None:
    for found in explain(bundle, [Post("1", ""), Post("2", "https://t.co/x"), Post("3", "😀\r\n")]):
        assert (found.sentence, found.spans, found.method) == (None, (), "")
    assert explain(bundle, []) == []


@dataclass(frozen=True, slots=True)
class Pointing:
    """A member that points at one word, as strongly as it is told."""

    kind: ClassVar[str] = "pointing"
    word: str
    strength: float
    p: float = 0.9

    def probabilities(self, posts: list[Post]) -> np.ndarray:
        return np.full(len(posts), self.p)

    def evidence(self, posts: list[Post]) -> list[Evidence]:
        found = []
        for post in posts:
            characters = np.zeros(len(post.text))
            at = post.text.index(self.word)
            characters[at : at + len(self.word)] = self.strength / len(self.word)
            found.append(Evidence("occlusion", 2.0, characters))
        return found


def _pointing(bundle: Bundle, spreads: tuple[float, float], **options: object) -> Bundle:
    """Two members whose logits on the dev posts spread so, pointing at ``first`` with 4 logits, ``second`` with 3."""
    logits = np.linspace(-1, 1, len(bundle.dev.labels))
    by_member = np.array([1 / (1 + np.exp(-spread * logits)) for spread in spreads])
    members = (Pointing("first", 4.0), Pointing("second", 3.0))
    return replace(
        bundle,
        members=members,
        dev=replace(bundle.dev, by_member=by_member),
        **{"combination": Combination()} | options,
    )


POST = Post("p", "Here is the first. Here is the second.", "en")


def test_evidence_is_weighted_and_scaled_by_member(bundle: Bundle) -> None:
    (alike,) = explain(_pointing(bundle, (1.0, 1.0)), [POST])
    assert [(POST.text[s.start : s.end], s.score) for s in alike.spans] == [
        ("first", pytest.approx(2.0)),
        ("second", pytest.approx(1.5)),
    ]
    (found,) = explain(_pointing(bundle, (3.0, 1.0)), [POST])  # the first member's logits lie three times as far apart
    scores = {POST.text[s.start : s.end]: s.score for s in found.spans}
    assert scores == {"first": pytest.approx(4 / 2 * 2 / 3), "second": pytest.approx(3 / 2 * 2)}
    weighed = _pointing(bundle, (1.0, 1.0), combination=Combination(weights=(1.0, 3.0)))
    (found,) = explain(weighed, [POST])
    assert found.sentence is not None
    assert POST.text[found.sentence.start : found.sentence.end] == "Here is the second."
    assert found.sentence.score == pytest.approx(3 * 3 / 4)
    (flat,) = explain(_pointing(bundle, (1.0, 0.0)), [POST])  # no spread to go by: as they are
    assert [span.score for span in flat.spans] == [pytest.approx(2.0), pytest.approx(1.5)]


def test_methods_of_different_members_are_both_named(bundle: Bundle) -> None:
    both = replace(_pointing(bundle, (1.0, 1.0)), members=(bundle.members[0], Pointing("second", 3.0)))
    (found,) = explain(both, [POST])
    assert found.method == "contributions+occlusion"


def test_only_members_that_scored_the_post_are_counted(bundle: Bundle) -> None:
    from polyvigil.decide.cascade import Cascade, CascadeCounts

    tally = CascadeCounts(posts=1, called=0, disagreeing=0, cost=0.5)
    cascade = Cascade(first=0, band=0.0, stated=0.1, learned=tally, verified=tally)
    one = _pointing(bundle, (1.0, 1.0), combination=Combination(cascade=cascade))
    (found,) = explain(one, [POST])
    assert [(POST.text[s.start : s.end], s.score) for s in found.spans] == [("first", pytest.approx(4.0))]
