"""Two bundles on the same posts, cut posts, languages side by side: planted faults found, quiet without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from benchmarks.shortcuts import reading

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.augmentation import audit_augmentation
from polyvigil.checks.audit.drift import audit_drift
from polyvigil.checks.audit.similarity import audit_similarity
from polyvigil.checks.audit.tails import parts
from polyvigil.checks.audit.truncation import audit_truncation, bands
from polyvigil.decide.unlabelled import overlap
from polyvigil.detect.base import FitRecord, Lengths
from polyvigil.errors import DataError
from polyvigil.metrics import count
from polyvigil.types import LabelledPost, Post, Probabilities

_RECORD = FitRecord(seed=1, posts=10, positives=5, languages=("en", "ja", "ru"), train_fingerprint="0" * 32)


@dataclass(frozen=True, slots=True)
class Told:
    """A detector that says of each post what its id is known for."""

    kind: ClassVar[str] = "linear"
    log: ClassVar[None] = None
    known: Mapping[str, float]
    fit_record: FitRecord = _RECORD

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.array([self.known[post.id] for post in posts])

    def lengths(self, posts: Sequence[Post]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """A detector that reads ten words, and knows one."""

    kind: ClassVar[str] = "encoder"
    log: ClassVar[None] = None
    fit_record: FitRecord = _RECORD

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.array([0.9 if "dizzy" in post.text.split()[:10] else 0.1 for post in posts])

    def lengths(self, posts: Sequence[Post]) -> Lengths:
        tokens = np.array([len(post.text.split()) for post in posts], dtype=np.int32)
        return Lengths(tokens, tokens > 10)


def with_member(bundle: Bundle, member: object, **thresholds: float) -> Bundle:
    own = next(iter(bundle.policy.thresholds.values()))
    cuts = {name: own.model_copy(update={"value": value, "source": "own"}) for name, value in thresholds.items()}
    return replace(bundle, members=(member,), policy=bundle.policy.with_thresholds(cuts))


def task_scores(seed: int = 5, *, times: float = 1.0) -> tuple[list[LabelledPost], dict[str, float]]:
    """Posts of the sizes and prevalences of the task's ja and ru dev sets, or fewer, with scores on the logit scale."""
    random = np.random.default_rng(seed)
    items, known = [], {}
    for language, posts, positives in (("ja", 3045, 72), ("ru", 2669, 272)):
        for place in range(round(posts * times)):
            label = int(place < positives * times)
            item = LabelledPost(Post(f"{language}_{place}", f"{language} text {place}", language, "tweet"), label)
            items.append(item)
            logit = random.normal(1.2, 1.3) if label else random.normal(-2.6, 1.0)
            known[item.post.id] = float(1 / (1 + np.exp(-logit)))
    return items, known


def test_the_shift_of_the_papers_japanese_threshold_is_found(report_bundle: Bundle) -> None:
    """.70 -> .27 after its Farsi augmentation; nothing else moved."""
    items, known = task_scores()
    posts = [item.post for item in items]
    old = with_member(report_bundle, Told(known), ja=0.70, ru=0.49)
    new = with_member(report_bundle, Told(known), ja=0.27, ru=0.49)
    audit = audit_drift(old, new, posts)
    assert [row.language for row in audit.languages] == ["ja", "ru"]
    assert not audit.gates[0].passed
    finding = audit.gates[0].findings[0]
    assert len(audit.gates[0].findings) == 1
    assert finding.where.language == "ja"
    assert finding.message.startswith("ja: ")
    assert "limit 1.33 times either way); threshold 0.70 -> 0.27" in finding.message
    assert "--like OLD" in finding.hint
    assert audit.languages[0].overlap == pytest.approx(1)


def test_scores_moving_with_their_threshold_raise_no_alarm(report_bundle: Bundle) -> None:
    items, known = task_scores()
    moved = {name: p**2 for name, p in known.items()}
    old = with_member(report_bundle, Told(known), ja=0.5, ru=0.4)
    new = with_member(report_bundle, Told(moved), ja=0.25, ru=0.16)
    audit = audit_drift(old, new, [item.post for item in items])
    assert audit.gates[0].passed
    assert all(row.old_share == row.new_share and row.ratio.value == 1 for row in audit.languages)
    assert max(row.overlap for row in audit.languages) < 0.7


@pytest.mark.parametrize("seed", range(5))
def test_random_score_changes_raise_no_alarm(report_bundle: Bundle, seed: int) -> None:
    items, known = task_scores()
    random = np.random.default_rng(seed)
    again = {name: float(1 / (1 + (1 / p - 1) * np.exp(random.normal(0, 0.3)))) for name, p in known.items()}
    sides = [with_member(report_bundle, Told(scores), ja=0.7, ru=0.49) for scores in (known, again)]
    assert audit_drift(*sides, [item.post for item in items]).gates[0].passed


def test_no_posts_are_an_error(report_bundle: Bundle) -> None:
    with pytest.raises(DataError, match="no posts to compare"):
        audit_drift(report_bundle, report_bundle, [])
    with pytest.raises(DataError, match="no posts to compare"):
        audit_similarity(report_bundle, [])


def test_a_language_that_loses_by_augmentation_is_found(report_bundle: Bundle) -> None:
    """Half of the Japanese positives are no longer found; Russian is as it was."""
    items, known = task_scores(times=0.25)
    worse = {name: p * 0.3 if name.startswith("ja") and int(name[3:]) < 14 else p for name, p in known.items()}
    before, after = (with_member(report_bundle, Told(scores), ja=0.5, ru=0.49) for scores in (known, worse))
    audit = audit_augmentation(before, after, reading("test.csv", items))
    lost, moved = audit.gates
    assert (lost.name, moved.name) == ("f1-lost", "flag-rate-moved")
    assert [finding.where.language for finding in lost.findings] == ["ja", ""]
    assert lost.findings[0].message.startswith("ja: F1 fell from ")
    assert "over all languages)" in lost.findings[0].message
    assert {part.name: part.f1 for part in audit.before.languages}["ru"] == audit.after.languages[1].f1
    gained = audit_augmentation(after, before, reading("test.csv", items))
    assert gained.gates[0].passed
    assert [finding.where.language for finding in gained.gates[1].findings] == [
        f.where.language for f in moved.findings
    ]


def _post(place: int, words: str, label: int) -> LabelledPost:
    return LabelledPost(Post(f"en_{place}", words, "en", "forum post"), label)


def test_parts_of_a_truncated_post_cover_it(report_bundle: Bundle) -> None:
    bundle = with_member(report_bundle, Reader(), en=0.5)
    texts = [" ".join(f"w{number}" for number in range(words)) for words in (3, 10, 11, 37)]
    found = parts(bundle, [Post("", text, "en") for text in texts])
    assert [len(made) for made in found] == [1, 1, 2, 4]
    assert [" ".join(made) for made in found] == texts
    assert all(len(part.split()) == 10 for part in found[3][:3])


def test_evidence_behind_the_truncation_is_found(report_bundle: Bundle) -> None:
    """Of 40 positives 10 tell their ADE after the tenth word, 5 never do."""
    filler = " ".join(["we"] * 12)
    items = [_post(place, f"so dizzy {filler}", 1) for place in range(25)]
    items += [_post(100 + place, f"{filler} so dizzy", 1) for place in range(10)]
    items += [_post(200 + place, f"{filler} all in all", 1) for place in range(5)]
    items += [_post(300 + place, "fine", 0) for place in range(60)]
    audit = audit_truncation(with_member(report_bundle, Reader(), en=0.5), reading("dev.csv", items))
    assert (audit.tokens, audit.posts, audit.cut, audit.positives, audit.cut_positives) == (True, 100, 40, 40, 40)
    assert [item.id for item in audit.lost] == [f"en_{100 + place}" for place in range(10)]
    assert {(item.p, item.p_tail, item.threshold) for item in audit.lost} == {(0.1, 0.9, 0.5)}
    finding = audit.gates[0].findings[0]
    assert finding.message.startswith("en: 10 of 40 positives (25.0%, 95% ")
    assert "would be flagged; 40 of them are cut" in finding.message
    assert "model.max_tokens" in finding.hint
    whole = audit_truncation(with_member(report_bundle, Reader(), en=0.5), reading("dev.csv", items[:25] + items[35:]))
    assert whole.lost == ()
    assert whole.gates[0].passed


def test_a_member_without_token_counts_truncates_nothing(bundle: Bundle, corpus: tuple[LabelledPost, ...]) -> None:
    items = [item for item in corpus if item.post.split == "test" and item.post.language in {"de", "en"}]
    audit = audit_truncation(bundle, reading("test.csv", items))
    assert (audit.tokens, audit.cut, audit.lost, audit.languages) == (False, 0, (), ())
    assert audit.gates[0].passed
    assert sum(band.posts for band in audit.bands) == len(items)


def test_bands_are_quarters_of_the_lengths() -> None:
    random = np.random.default_rng(1)
    sizes, labels = random.integers(1, 50, 400), (random.random(400) < 0.3).astype(np.int8)
    flags, cut = random.random(400) < 0.3, np.arange(400) % 3 == 0
    told = bands(sizes, labels, flags, cut)
    assert len(told) == 4
    assert [band.low for band in told[1:]] > [band.high for band in told[:-1]]
    for band in told:
        mine = (sizes >= band.low) & (sizes <= band.high)
        counts = count(labels[mine], flags[mine])
        assert 70 <= band.posts == mine.sum() <= 130
        assert (band.positives, band.found, band.cut) == (labels[mine].sum(), counts.tp, cut[mine].sum())
        assert band.f1 == counts.f1
        assert band.f1_interval.low <= band.f1 <= band.f1_interval.high
    assert len(bands(np.full(9, 5), labels[:9], flags[:9], cut[:9])) == 1


def test_similarity_is_the_overlap_of_every_two_languages(report_bundle: Bundle) -> None:
    items, known = task_scores()
    audit = audit_similarity(with_member(report_bundle, Told(known), ja=0.7, ru=0.49), [item.post for item in items])
    scores = {name: np.array([p for key, p in known.items() if key.startswith(name)]) for name in ("ja", "ru")}
    assert [part.language for part in audit.languages] == ["ja", "ru"]
    assert audit.overlaps[0][1] == audit.overlaps[1][0] == overlap(scores["ja"], scores["ru"])
    assert audit.overlaps[0][0] == pytest.approx(1)
    assert audit.languages[1].mean == pytest.approx(scores["ru"].mean())
    assert audit.languages[1].share == pytest.approx((scores["ru"] >= 0.49).mean())
