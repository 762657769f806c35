"""De-duplication: what is the same is scored once, what is not is not touched, and every post has its row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.cli.main import run as command
from polyvigil.config.score import ScoreSpec
from polyvigil.detect.base import Lengths
from polyvigil.scoring import dedup
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.dedup import DUPLICATE_COLUMNS, Deduplicated
from polyvigil.scoring.wire import score_posts
from polyvigil.text.normalise import model_text
from polyvigil.text.shingles import canonical
from polyvigil.types import Post

TEXTS = [
    ("these pills gave me a headache", "en"),
    ("these  pills gave\nme a headache", "en"),  # the same to a model
    ("These PILLS gave me a headache!!! 😀 https://t.co/x", "en"),  # nearly so
    ("these pills gave me a headache", "de"),  # in another language
    ("@anna these pills gave me 2 headache", "en"),
    ("https://t.co/x", "en"),
    ("https://t.co/x", "en"),
    ("these pills gave me no headache", "en"),
    ("500 mg", "en"),
    ("20 mg", "en"),
    ("1234", "en"),
    ("12345", "en"),  # no letters: these two are not alike
    ("half \ud800 pills", "en"),
    ("half \ufffd pills", "en"),
]
POSTS = [Post(str(place), text, language) for place, (text, language) in enumerate(TEXTS)]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the posts that are scored."""
    found: list[str] = []
    monkeypatch.setattr(
        dedup, "decide_posts", lambda b, p, **o: (found.extend(post.id for post in p), score_posts(b, p, **o))[1]
    )
    return found


@pytest.mark.parametrize("handful", [1, 3, 14])
@pytest.mark.parametrize(
    ("kind", "copies"), [("off", {}), ("exact", {1: 0, 13: 12}), ("near", {1: 0, 2: 0, 9: 8, 13: 12})]
)
def test_a_copy_has_the_decision_of_the_first_and_its_own_flags(
    bundle: Bundle, scored: list[str], kind: str, copies: dict[int, int], handful: int
) -> None:
    alike = Deduplicated(bundle, kind)  # type: ignore[arg-type]
    detected = [place % 3 == 0 for place in range(len(POSTS))]
    found = [
        decision
        for start in range(0, len(POSTS), handful)
        for decision in alike.decide(POSTS[start : start + handful], detected=detected[start : start + handful])
    ]
    plain = score_posts(bundle, POSTS, detected=detected)
    assert [int(place) for place in scored] == [place for place in range(len(POSTS)) if place not in copies]
    assert alike.copied == len(copies)
    for place, decision in enumerate(found):
        near = place in {2, 9} and kind == "near"
        flags = (*plain[place].flags, *(("near_duplicate",) if near else ()))
        assert decision == replace(plain[copies.get(place, place)], flags=flags)


def test_token_counts_are_the_posts_own(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        def __init__(self, member: object) -> None:
            self._member = member

        def __getattr__(self, name: str) -> object:
            return getattr(self._member, name)

        def lengths(self, posts: list[Post]) -> Lengths:
            import numpy as np

            tokens = np.array([len(post.text) for post in posts])
            return Lengths(tokens, tokens > 30)

    counting = replace(bundle, members=tuple(Counting(member) for member in bundle.members))  # type: ignore[arg-type]
    for kind in ("near", "off"):
        found = Deduplicated(counting, kind).decide(POSTS[:3], detected=[False] * 3)  # type: ignore[arg-type]
        assert [(d.n_tokens, d.truncated) for d in found] == [(30, False), (31, True), (50, True)]


def test_what_is_left_out_of_a_canonical_text() -> None:
    assert canonical(model_text("Ｈ̈ello,  WORLD 42 🤢 https://x.y @me <pi> #tag")) == canonical("ḧelloworldtag")
    assert canonical("Straße") == "strasse"
    assert canonical("می\u200cکند") == "میکند"
    assert canonical("頭が、痛い！") == "頭が痛い"
    assert canonical("12:30 :-)") == ""


def _read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_deduplication_is_per_part_and_counted(
    bundle_folder: Path,
    bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"id": post.id, "text": post.text, "language": post.language} for post in POSTS if post.id != "12"] * 4
    source = tmp_path / "i.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = score_file(bundle, str(source), str(tmp_path / "plain.jsonl"))
    one = score_file(bundle, str(source), str(tmp_path / "one.jsonl"), spec=ScoreSpec(dedup="exact"))
    four = score_file(bundle, str(source), str(tmp_path / "four.jsonl"), spec=ScoreSpec(dedup="exact", part_posts=13))
    assert (plain.copied, one.copied, four.copied) == (0, 4 + 3 * 10, 4)
    scored = {name: _read(tmp_path / f"{name}.jsonl") for name in ("plain", "one", "four")}
    unmarked = [
        [{k: v for k, v in row.items() if k not in DUPLICATE_COLUMNS} for row in read] for read in scored.values()
    ]
    assert unmarked[0] == unmarked[1] == unmarked[2] == scored["plain"]
    assert [row["duplicate_of"] for row in scored["four"][:3]] == ["", "0", ""]
    for row in scored["one"]:
        group = [other["id"] for other in scored["one"] if other["duplicate_group"] == row["duplicate_group"]]
        no_text = "no_text" in row["flags"]
        assert bool(row["duplicate_group"]) != no_text
        assert no_text or row["duplicate_of"] in ("", group[0])
    assert sum(row["duplicate_of"] != "" for row in scored["one"]) == one.copied
    assert [row["duplicate_group"] for row in scored["one"]] == [row["duplicate_group"] for row in scored["four"]]
    assert command(["score", str(bundle_folder), str(source), "-o", str(tmp_path / "o.csv"), "--dedup", "exact"]) == 0
    assert "34 posts (65.4%) read like one before them and were not scored again" in capsys.readouterr().out
