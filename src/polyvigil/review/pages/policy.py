"""The labelling policy as a page shows it: the lead's Markdown, or the rules that this project is trained by."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup

from polyvigil.review.notes import kept_text

BUILT_IN = """\
One post, one answer: does it mention an adverse drug event (ADE)?

**It does:**

- what the author regards as a disorder or a lost function caused by a drug, in lay words too;
- effects of stopping a drug (withdrawal);
- an ADE of a relative or friend who is named.

**It does not:**

- the reason why the drug is taken ("I take it for headaches");
- a drug that does not help;
- fear of effects, questions, what might happen;
- advice to somebody else;
- a symptom that is denied.

If you cannot tell, say unsure: a lead decides.
"""
INLINE_CHARACTERS = 6_000
"""A longer policy is a page of its own, not part of every post's."""


@lru_cache(maxsize=8)
def policy_html(markdown: str) -> Markup:
    """The policy as HTML: no HTML of its own, no images; links go nowhere by themselves."""
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # below the page's own headings
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def policy_version(markdown: str) -> str:
    """The SHA-256 of a policy as the store keeps it, which the log states."""
    return hashlib.sha256(kept_text(markdown, where="policy", most=len(markdown) + 1).encode()).hexdigest()
