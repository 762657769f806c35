"""A synthetic corpus of about 10,000 posts in seven languages, for showing and testing the program.

Nobody wrote these posts: they are authored phrases (``sample_phrases/<language>.toml``) joined at random from a seed.
Metrics measured on them show that the program works; they say nothing about its quality on real posts.

What the corpus imitates: rare positives, hard negatives that share drugs and symptoms with the positives, long forum
posts with one or two telling sentences, templates that no training post shows, about 1% wrong labels, posts of dev and
test that have drifted from train (longer, or more of them doubtful: 0.5 is then a poor threshold), a language (fa) that
is only in the test split, and drug reviews that exist in German and in French under one group.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from random import Random
from typing import Any

from polyvigil.types import LabelledPost, Post

SAMPLE_NOTE: str = (
    "The sample corpus is synthetic text for showing and testing the program: "
    "metrics on it say nothing about quality on real posts."
)

_SPLITS = ("train", "dev", "test")
_SIZES: Mapping[str, tuple[int, int, int]] = {
    "en": (1600, 500, 600),
    "ja": (1200, 600, 600),
    "ru": (1000, 400, 500),
    "zh": (500, 250, 300),
    "de": (400, 300, 300),
    "fr": (350, 300, 300),
    "fa": (0, 0, 400),
}
_POSITIVE_SHARE = {"en": 0.07, "ja": 0.03, "ru": 0.10, "zh": 0.10, "de": 0.06, "fr": 0.07, "fa": 0.08}
_REVIEW_SIZES = (60, 20, 30)
_REVIEW_POSITIVE_SHARE = 0.6
_REVIEW_LANGUAGES = ("de", "fr")
_SOURCES = ("sample-a", "sample-b", "sample-c")
_WRONG_LABELS = 0.01  # of the rows of a split, half of them in each direction, at most a tenth of the positives
_SHOWN = (0.74, 0.87, 1.0)  # of the templates of a class, those that a post of train, dev, test may show
_SLOT = re.compile(r"\{([a-z]+)(?::(\d))?\}")
_ENDED = tuple(".,:!?…。，、！？،؟~)）")
_COMMAS = (",", "،", "-")
_REDRAWS = 6  # of a text that is there already
_FORUM_LENGTH = ((300, 500), (500, 790))  # characters, about; in train and later


@dataclass(frozen=True, slots=True)
class _Phrases:
    """What is authored for one language. An entry of a slot holds its grammatical forms, ``{n:1}`` names the second."""

    types: tuple[str, ...]
    long: bool
    space: str
    joints: tuple[str, ...]
    elongations: Mapping[str, str]
    slots: Mapping[str, tuple[tuple[str, ...], ...]]
    posts: Mapping[str, tuple[str, ...]]
    review: Mapping[str, tuple[str, ...]]
    shares: Mapping[str, tuple[float, float]]  # of the posts that have a trait, in train and later
    later: bool = False


def sample_corpus(*, seed: int = 42) -> tuple[LabelledPost, ...]:
    """About 10,000 authored posts, the same for the same seed; by language, then split, shuffled inside a split.

    Every post has a ``split`` (train, dev, test) and a label in {0, 1}; ids are unique. The drug reviews of one
    ``group`` are translations of each other and lie in one split.
    """
    by_language = {language: _phrases(language) for language in _SIZES}
    rows = [row for language, templates in by_language.items() for row in _posts(language, templates, seed)]
    rows += [row for language in _REVIEW_LANGUAGES for row in _reviews(language, by_language[language], seed)]
    return tuple(rows)


def _phrases(language: str) -> _Phrases:
    """Read the phrase file of a language: a list is one string there, one phrase on a line."""
    source = files("polyvigil.data").joinpath("sample_phrases", f"{language}.toml")
    data: dict[str, Any] = tomllib.loads(source.read_text(encoding="utf-8"))

    def lists(name: str) -> dict[str, tuple[str, ...]]:
        return {key: tuple(text.strip().splitlines()) for key, text in data.get(name, {}).items()}

    return _Phrases(
        types=tuple(data["types"]),
        long=data["long"],
        space=data["space"],
        joints=tuple(data["joints"]),
        elongations=data["stretch"],
        slots={key: tuple(tuple(line.split("|")) for line in lines) for key, lines in lists("slots").items()},
        posts=lists("posts"),
        review=lists("review"),
        shares={key: (train, later) for key, (train, later) in data["shares"].items()},
    )


def _posts(language: str, templates: _Phrases, seed: int) -> list[LabelledPost]:
    """All posts of one language, the reviews apart."""
    rng = Random(f"{seed}-{language}")
    by_split = _by_split(templates, rng)
    write = _forum_post if templates.long else _short_post
    rows: list[LabelledPost] = []
    known: set[str] = set()
    for split, size in zip(_SPLITS, _SIZES[language], strict=True):
        for truth, label in _labels(size, _POSITIVE_SHARE[language], rng):
            for _ in range(_REDRAWS):
                text = write(by_split[split], truth, rng)
                if text not in known:
                    break
            known.add(text)
            post = Post(
                id=f"{language}_{len(rows) + 1:05d}",
                text=text,
                language=language,
                type=rng.choice(templates.types),
                origin=rng.choice(_SOURCES),
                split=split,
            )
            rows.append(LabelledPost(post, label))
    return rows


def _reviews(language: str, templates: _Phrases, seed: int) -> list[LabelledPost]:
    """The drug reviews of one language. The draws depend on seed and number alone, and the lists of the two languages
    are line-by-line translations: so are the reviews."""
    rng = Random(f"{seed}-reviews")
    by_split = _by_split(replace(templates, posts=templates.review), rng)
    numbers = rng.sample(range(1, 2 * sum(_REVIEW_SIZES)), sum(_REVIEW_SIZES))
    rows: list[LabelledPost] = []
    for split, size in zip(_SPLITS, _REVIEW_SIZES, strict=True):
        for truth, label in _labels(size, _REVIEW_POSITIVE_SHARE, rng):
            number = f"{numbers[len(rows)]:04d}"
            post = Post(
                id=f"{language}_cadecv2_{number}",
                text=_review(by_split[split], truth, Random(f"{seed}-review-{number}")),
                language=f"{language}_cadec",
                type="drug_review",
                origin=rng.choice(_SOURCES),
                split=split,
                group=number,
            )
            rows.append(LabelledPost(post, label))
    return rows


def _labels(size: int, share: float, rng: Random) -> list[tuple[int, int]]:
    """(what the text says, what the label says) of each post, in shuffled order; the labels hold exactly the share."""
    positives = round(size * share)
    truth = [1] * positives + [0] * (size - positives)
    labels = list(truth)
    for i in range(min(round(size * _WRONG_LABELS / 2), positives // 10)):
        labels[i], labels[-1 - i] = 0, 1
    pairs = list(zip(truth, labels, strict=True))
    rng.shuffle(pairs)
    return pairs


def _by_split(templates: _Phrases, rng: Random) -> dict[str, _Phrases]:
    """The phrases as each split sees them: some templates of either class are kept from train, some from dev too."""
    order = {kind: rng.sample(templates.posts[kind], len(templates.posts[kind])) for kind in ("positive", "negative")}
    return {
        split: replace(
            templates,
            posts={**templates.posts, **{kind: tuple(t[: round(share * len(t))]) for kind, t in order.items()}},
            later=split != "train",
        )
        for split, share in zip(_SPLITS, _SHOWN, strict=True)
    }


def _short_post(templates: _Phrases, truth: int, rng: Random) -> str:
    """A tweet, a sentence or a health question: one core, and around it what either class may have."""
    drug = rng.choice(templates.slots["drug"])
    if truth or rng.random() < 0.85:
        parts = [_fill(_core(templates, truth, rng), templates, drug, rng)]
    else:
        parts = rng.sample(templates.posts["chat"], rng.choice((1, 2)))
    if rng.random() < (_share("aftermath", templates) if truth else 0.006):
        parts.append(_common(templates.posts["aftermath"], rng))
    if rng.random() < 0.3:
        parts.insert(0, _fill(rng.choice(templates.posts["context"]), templates, drug, rng))
    if truth and rng.random() < 0.08:
        parts.append(_other_drug(templates, drug, rng))
    if rng.random() < 0.3:
        parts.insert(0, rng.choice(templates.posts["opener"]))
    if rng.random() < 0.3:
        parts.append(rng.choice(templates.posts["closer"]))
    if rng.random() < 0.15:
        parts.append(rng.choice(templates.posts["chat"]))
    return _dress(_sentence_sequence(parts, templates, rng), templates, rng)


def _forum_post(templates: _Phrases, truth: int, rng: Random) -> str:
    """A long post (about 300 to 900 characters): greeting, chat, history, and a core sentence or two somewhere."""
    drug = rng.choice(templates.slots["drug"])
    if truth:
        cores = [_fill(_core(templates, 1, rng), templates, drug, rng) for _ in range(rng.choice((1, 2, 2, 2)))]
        cores += [
            _common(templates.posts["aftermath"], rng)
            for _ in range(2)
            if rng.random() < 0.6 * _share("aftermath", templates)
        ]
        cores += [_other_drug(templates, drug, rng) for _ in range(rng.choice((0, 0, 1)))]
    else:
        cores = [_fill(_core(templates, 0, rng), templates, drug, rng) for _ in range(rng.choice((1, 2, 2)))]
        cores += [_common(templates.posts["aftermath"], rng) for _ in range(rng.random() < 0.01)]
    filler = list(rng.sample(templates.posts["chat"], len(templates.posts["chat"])))
    filler[1:1] = [_fill(t, templates, drug, rng) for t in rng.sample(templates.posts["context"], rng.choice((1, 2)))]
    body = list(dict.fromkeys(cores))
    target = rng.uniform(*_FORUM_LENGTH[templates.later]) - sum(map(len, body))
    while target > 0 and filler:
        sentence = filler.pop(0)
        body.insert(rng.randrange(len(body) + 1), sentence)
        target -= len(sentence) + 1
    text = _sentence_sequence(
        [rng.choice(templates.posts["opener"]), *body, rng.choice(templates.posts["closer"])], templates, rng
    )
    return _typo(text, rng) if rng.random() < 0.2 else text


def _review(templates: _Phrases, truth: int, rng: Random) -> str:
    """A drug review. Draws the same numbers in every language, whatever the words."""
    drug = rng.choice(templates.slots["drug"])
    parts = rng.sample(templates.posts["context"], rng.choice((1, 2, 3)))
    parts.insert(rng.randrange(len(parts) + 1), rng.choice(templates.posts["positive" if truth else "negative"]))
    return " ".join(_capital(_fill(part, templates, drug, rng)) for part in parts)


def _other_drug(templates: _Phrases, drug: tuple[str, ...], rng: Random) -> str:
    """A harmless sentence about a drug that is not the culprit."""
    other = rng.choice([entry for entry in templates.slots["drug"] if entry != drug])
    return _fill(_common(templates.posts["negative"], rng), templates, other, rng)


def _core(templates: _Phrases, truth: int, rng: Random) -> str:
    """The template that decides the label; now and then one that even an annotator could read either way."""
    if rng.random() < _share("vague_positive" if truth else "vague_negative", templates):
        return rng.choice(templates.posts["vague"])
    return _common(templates.posts["positive" if truth else "negative"], rng)


def _share(trait: str, templates: _Phrases) -> float:
    """How many of the posts have a trait, in [0, 1]: in train, or in the drifted later splits."""
    return templates.shares[trait][templates.later]


def _common(templates: Sequence[str], rng: Random) -> str:
    """One of the templates, the first ones more often than the last, as some turns of phrase are common."""
    return templates[int(len(templates) * rng.random() ** 1.8)]


def _fill(template: str, templates: _Phrases, drug: tuple[str, ...], rng: Random) -> str:
    """Put phrases into the slots; one slot name draws one entry for the whole template, and ``drug`` is given."""
    sampled = {"drug": drug}

    def entry(match: re.Match[str]) -> str:
        name, form = match[1], int(match[2] or 0)
        if name not in sampled:
            sampled[name] = rng.choice(templates.slots[name])
        return sampled[name][form]

    return _SLOT.sub(entry, template)


def _sentence_sequence(parts: Sequence[str], templates: _Phrases, rng: Random) -> str:
    """One text of the parts: a part that does not end a sentence gets a joint that fits the language."""
    text = ""
    for part in filter(None, parts):
        if text:
            text += templates.space if text.endswith(_ENDED) else rng.choice(templates.joints)
        text += part if text.rstrip().endswith(_COMMAS) else _capital(part)
    return unicodedata.normalize("NFC", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _dress(text: str, templates: _Phrases, rng: Random) -> str:
    """What hurried people and platforms do to a short post; never what carries the label."""
    if rng.random() < 0.35:
        text = text.lower().replace("@user___", "@USER___")
    for word, long_word in templates.elongations.items():
        if rng.random() < 0.25:
            text = text.replace(word, long_word, 1)
    if templates.space and rng.random() < 0.12:
        text = _typo(text, rng)
    if rng.random() < 0.35:
        text += " " + rng.choice(templates.posts["tail"])
    if "tweet" in templates.types:
        if rng.random() < 0.25:
            text = "@USER___ " + text
        if rng.random() < 0.08:
            text += " https://t.co/" + "".join(
                rng.choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=10)
            )
    return text


def _typo(text: str, rng: Random) -> str:
    """Two neighbouring letters change places."""
    at = rng.randrange(1, max(2, len(text) - 2))
    pair = text[at : at + 2]
    return text[:at] + pair[::-1] + text[at + 2 :] if pair.isalpha() else text
