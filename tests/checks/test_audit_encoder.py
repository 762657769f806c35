"""A cut that removes evidence, with a tiny encoder of random weights that reads 24 tokens and likes one word."""
# ruff: noqa: E402

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmarks.shortcuts import reading
from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.tails import parts
from polyvigil.checks.audit.truncation import audit_truncation
from polyvigil.decide.thresholds import mean_logit
from polyvigil.detect.base import FitRecord, TrainingLog
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
from polyvigil.nn.encoder import load_encoder
from polyvigil.types import LabelledPost, Post

WORDS = ("took", "the", "new", "pill", "today", "and", "my", "doctor", "said", "it", "is", "fine", "after", "lunch")
MAX_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Reader:
    """A bundle with one encoder, and the words to which it gives the highest and the lowest P."""

    bundle: Bundle
    ade: str
    other: str

    def post(self, place: int, *, before: int, ade: int, after: int) -> Post:
        words = [*[self.other] * before, *[self.ade] * ade, *[self.other] * after]
        return Post(f"en_{place}", " ".join(words), "en", "forum post")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, report_bundle: Bundle) -> Reader:
    """Its threshold for en lies midway between posts of the one word and of the other."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_folder(folder, "xlm-roberta", texts=[" ".join(WORDS)], head=True, hidden=32, layers=1, spread=0.5)
    encoder = load_encoder(str(folder), max_tokens=MAX_TOKENS, offline=True, fresh_head=False)
    record = FitRecord(seed=1, posts=9, positives=3, languages=("en",), train_fingerprint="0" * 32)
    log = TrainingLog(epochs=(), steps_per_epoch=1, posts_per_epoch=9, parameters=1, micro_tokens=256, device="cpu")
    member = EncoderDetector(encoder, EncoderConfig(max_tokens=MAX_TOKENS, packing=True, fit_record=record), log)
    scores = member.probabilities([Post("", " ".join([word] * 22), "en") for word in WORDS])
    middle = mean_logit(np.array([scores.min(), scores.max()]))
    own = report_bundle.policy.threshold("en").model_copy(update={"value": middle})
    bundle = replace(report_bundle, members=(member,), policy=report_bundle.policy.with_thresholds({"en": own}))
    return Reader(bundle, WORDS[int(scores.argmax())], WORDS[int(scores.argmin())])


def test_positives_with_late_evidence_are_found(reader: Reader) -> None:
    early = [LabelledPost(reader.post(place, before=0, ade=30, after=60), 1) for place in range(20)]
    late = [LabelledPost(reader.post(100 + place, before=60, ade=50, after=0), 1) for place in range(20)]
    negatives = [LabelledPost(reader.post(200 + place, before=30, ade=0, after=30), 0) for place in range(60)]
    audit = audit_truncation(reader.bundle, reading("dev.csv", [*early, *late, *negatives]))
    assert (audit.tokens, audit.cut, audit.cut_positives) == (True, 100, 40)
    assert audit.languages[0].share == 1.0
    assert [item.id for item in audit.lost] == [item.post.id for item in late]
    assert all(item.p < item.threshold <= item.p_tail for item in audit.lost)
    assert not audit.gates[0].passed
    assert audit.gates[0].findings[0].message.startswith("en: 20 of 40 positives (50.0%, ")
    quiet = audit_truncation(reader.bundle, reading("dev.csv", [*early, *negatives]))
    assert quiet.lost == ()
    assert quiet.gates[0].passed


def test_parts_are_what_the_encoder_reads_whole(reader: Reader) -> None:
    posts = [reader.post(place, before=words, ade=1, after=words) for place, words in enumerate((3, 10, 11, 12, 50))]
    found = parts(reader.bundle, posts)
    assert [" ".join(made) for made in found] == [post.text for post in posts]
    for made in found:
        lengths = reader.bundle.lengths([Post("", text) for text in made])
        assert lengths is not None
        assert not lengths.truncated.any()
        assert (lengths.tokens[:-1] >= MAX_TOKENS - 2).all()
