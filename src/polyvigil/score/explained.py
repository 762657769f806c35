"""The record of an explained post, shared by every way of showing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from polyvigil.bundle.explain import Explanation, explain
from polyvigil.bundle.store import Bundle
from polyvigil.score.wire import Decision, score_posts
from polyvigil.text.mentions import Lexicon, Mention, mentions
from polyvigil.types import Post


@dataclass(frozen=True, slots=True)
class ExplainedPost:
    """A post, what was decided, why, and which of the user's terms stand in it."""

    post: Post
    decision: Decision
    explanation: Explanation
    mentions: tuple[Mention, ...]


def explain_posts(
    bundle: Bundle,
    posts: Sequence[Post],
    terms: Lexicon,
    *,
    detected: Sequence[bool] | None = None,
    flagged_only: bool = False,
) -> list[ExplainedPost]:
    """Score posts and explain them, in their order; with ``flagged_only`` the others are left out. ``detected`` as in
    score.wire."""
    decisions = score_posts(bundle, posts, detected=detected)
    selected = [
        (post, decision)
        for post, decision in zip(posts, decisions, strict=True)
        if decision.decision or not flagged_only
    ]
    explanations = explain(bundle, [post for post, _ in selected])
    return [
        ExplainedPost(post, decision, explanation, tuple(mentions(post.text, terms)))
        for (post, decision), explanation in zip(selected, explanations, strict=True)
    ]


def as_record(row: ExplainedPost) -> dict[str, object]:
    """The record as a line of JSONL: offsets in code points of the text as it was written, and none of the text."""
    sentence = row.explanation.sentence
    return {
        "id": row.post.id,
        "p": row.decision.p,
        "decision": row.decision.decision,
        "language": row.decision.language,
        "threshold": row.decision.threshold,
        "flags": row.decision.flags,
        "sentence_start": sentence.start if sentence else None,
        "sentence_end": sentence.end if sentence else None,
        "sentence_score": sentence.score if sentence else None,
        "spans": [asdict(span) for span in row.explanation.spans],
        "mentions": [{"start": mention.start, "end": mention.end} | asdict(mention.term) for mention in row.mentions],
        "method": row.explanation.method,
        "bundle": row.decision.bundle,
    }
