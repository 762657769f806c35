"""Where each gate of an audit says no, and why there. ``benchmarks/shortcuts.py`` measures those of shortcuts."""

from __future__ import annotations

PROBE_SHARE = 0.2
"""Of texts that say nothing. Under 2% of them are flagged by a clean linear model, 60 to 90% by one that learned a
script; a fifth is twice the highest share of ADEs among the languages of the shared task (ru, 10%)."""
PROBE_LIFT = 1.0
"""Logits that a script adds to texts that say nothing, 2.7 times the odds. Clean linear models: at most 0.7; those that
learned a script: 1.0 from 74 positives of 1,474 posts, 2.0 from 272 of 5,442."""
RATE_FACTOR = 3.0
"""A cell's flag rate over its prevalence. A cut of best F1 flags about as many posts as are positive; three times
that can hardly reach a precision above a third."""
FALSE_RATE = 0.25
"""Of a cell's negatives. With 10% positives a detector that flags a quarter of the negatives is under 31% precise."""
SHARE_OF_SPREAD = 0.5
"""Eta squared: beyond it, the language or type of a negative says more about its score than all that it says itself.
Clean linear models: 0.1 to 0.2."""
LENGTH = 0.5
"""Rank correlation of length and score among the negatives of a language. Clean linear models: up to 0.4."""
FLAG_FACTOR = 4 / 3
"""How far a language's flag rate may move between two bundles on the same posts: a third more flags are a third more
posts to read. A threshold moved from .70 to .27 moves rates by 1.4 to 2.5. Of 360 harmless retrains simulated at the
shared task's sizes, logits moved at random by 0.5, one went beyond."""
LOST = 0.02
"""Of all positives, those that a cut loses: two points of recall, about what a better model gains."""
LEAST_LOST = 3
"""Posts; fewer are accidents."""
LEAST_POSTS = 30
"""Of a cell, to be judged at all: under it every interval is too wide for these limits."""
