"""Reviewed posts that measure: which stay, what they weigh, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.review.made import Cells, write_rows

from polyvigil.bundle.store import Bundle, Seen, load
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.read import read_labelled
from polyvigil.data.selection import is_held_out
from polyvigil.errors import DataError
from polyvigil.evaluation.reweighed import ReweighedPosts, reweighed
from polyvigil.types import Post

BUNDLE = Path(__file__).parents[1] / "golden" / "bundles" / "linear"
QUEUE = [f"the pill gave me a rash {word}" for word in map(chr, range(97, 123))]
AUDIT = [f"nothing came of it {word}" for word in map(chr, range(97, 107))]


def rows(texts: list[str], purpose: str, inclusion: float, *, language: str = "en") -> list[Cells]:
    return [
        {"id": f"{purpose}{language}{i}", "text": text, "label": str(i % 2), "language": language}
        | {"purpose": purpose, "inclusion_p": str(inclusion)}
        for i, text in enumerate(texts)
    ]


def made_from(train: Sequence[str], dev: Sequence[str] = ()) -> Bundle:
    """A bundle that says it was made from these texts."""
    bundle = load(BUNDLE)
    hashes = [np.unique(post_hashes(Post(id="", text=text) for text in texts)) for texts in (train, dev)]
    return Bundle(**{name: getattr(bundle, name) for name in Bundle.__dataclass_fields__} | {"seen": Seen(*hashes)})


def measured(path: Path, some: list[Cells], train: Sequence[str] = (), dev: Sequence[str] = ()) -> ReweighedPosts:
    return reweighed(read_labelled(write_rows(path / "reviewed.csv", some)), made_from([]), made_from(train, dev))


def test_a_worklist_that_trained_nothing_counts_whole(tmp_path: Path) -> None:
    posts = measured(tmp_path, [*rows(QUEUE, "queue", 1), *rows(AUDIT, "audit", 0.05)])
    assert len(posts.items) == len(QUEUE) + len(AUDIT)
    assert dict(zip(posts.purposes.tolist(), posts.weights.tolist(), strict=True)) == {"queue": 1, "audit": 20}
    assert (posts.notes, posts.unmeasured, posts.were_chosen) == ((), (), True)


def test_of_a_queue_that_trained_the_held_out_stand_for_all(tmp_path: Path) -> None:
    held_out = [text for text in QUEUE if is_held_out(text)]
    assert 0 < len(held_out) < len(QUEUE)
    trained = [text for text in QUEUE if text not in held_out][2:]  # two were not learned from: still no sample
    posts = measured(tmp_path, [*rows(QUEUE, "queue", 1), *rows(AUDIT, "audit", 0.05)], trained)
    of_queue = posts.purposes == "queue"
    assert [item.post.text for item, kept in zip(posts.items, of_queue, strict=True) if kept] == held_out
    assert posts.weights[of_queue].sum() == pytest.approx(len(QUEUE))
    assert posts.weights[~of_queue].tolist() == [20] * len(AUDIT)
    assert posts.notes == (
        f"en: {len(QUEUE) - len(held_out)} of {len(QUEUE)} posts read for their score are left out, since the second "
        f"bundle was made from such posts; the other {len(held_out)} stand for all of them",
    )


def test_audited_posts_that_a_bundle_knows_are_left_out(tmp_path: Path) -> None:
    some = [*rows(QUEUE, "queue", 1), *rows(AUDIT, "audit", 0.05)]
    posts = measured(tmp_path, some, AUDIT[:1], AUDIT[1:3])
    assert posts.weights[posts.purposes == "audit"].sum() == pytest.approx(200)
    assert (posts.purposes == "audit").sum() == 7
    assert "3 of 10 posts audited are left out" in posts.notes[0]
    posts = measured(tmp_path, some, [], [text.upper() for text in AUDIT])
    assert posts.unmeasured == ("en: a bundle was made from all of its 10 posts that were audited",)


def test_masked_texts_are_known_again(tmp_path: Path) -> None:
    text = "ask me at www.example.org about the rash"
    posts = measured(tmp_path, rows([text, *AUDIT], "audit", 0.5), ["ask me at [URL] about the rash"])
    assert len(posts.items) == len(AUDIT)


def test_a_language_without_an_audit_is_named(tmp_path: Path) -> None:
    some = [*rows(QUEUE, "queue", 1, language="fa"), *rows(AUDIT, "audit", 0.05)]
    posts = measured(tmp_path, some)
    assert posts.unmeasured == ("fa: none of its posts was audited",)
    assert posts.unmeasured_share == pytest.approx(26 / 226)


def test_a_few_posts_of_a_queue_that_all_trained_are_left_out(tmp_path: Path) -> None:
    trained = [text for text in QUEUE if not is_held_out(text)]
    russian = [text for text in AUDIT if not is_held_out(text)][:1]
    some = [
        *(row for language in ("en", "ru") for row in rows(AUDIT[5:], "audit", 0.05, language=language)),
        *rows(QUEUE, "queue", 1),
        *rows(russian, "queue", 1, language="ru"),
    ]
    posts = measured(tmp_path, some, [*trained, *russian])
    assert posts.unmeasured == ("ru: a bundle was made from all of its 1 posts read for their score",)
    assert posts.unmeasured_share == pytest.approx(1 / 27)
    assert (posts.unaudited, set(posts.languages.tolist())) == (set(), {"en", "ru"})
    every = measured(tmp_path, some, [*QUEUE, *russian, *(text for text in QUEUE if is_held_out(text))])
    assert every.unmeasured_share == 1


def test_posts_to_learn_from_measure_nothing(tmp_path: Path) -> None:
    posts = measured(tmp_path, [*rows(QUEUE, "learn", 1), *rows(AUDIT, "audit", 0.05)])
    assert len(posts.items) == len(AUDIT)
    assert "26 posts picked for learning" in posts.notes[-1]


def test_posts_that_were_all_labelled_weigh_the_same(tmp_path: Path) -> None:
    some = [{k: v for k, v in row.items() if k not in ("purpose", "inclusion_p")} for row in rows(AUDIT, "", 1)]
    posts = measured(tmp_path, some, AUDIT[:4])
    assert posts.weights.tolist() == pytest.approx([10 / 6] * 6)
    assert not posts.were_chosen


def test_what_cannot_be_weighed_is_refused(tmp_path: Path) -> None:
    undecided = rows(AUDIT, "audit", 0.05)
    undecided[3]["label"] = ""
    with pytest.raises(DataError, match="1 of its rows are not decided"):
        measured(tmp_path, undecided)
    unknown = rows(AUDIT, "audit", 0.05)
    unknown[3]["inclusion_p"] = ""
    with pytest.raises(DataError, match="1 of its posts were chosen to be read, and nothing says with what chance"):
        measured(tmp_path, unknown)
    with pytest.raises(DataError, match="no post is left"):
        measured(tmp_path, rows(AUDIT, "audit", 0.05), AUDIT)
