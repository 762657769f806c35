"""Which languages can be learned, and what is done about rare positives: weights, repeats. No text is touched.

Measured (docs/decisions/0003): balancing moves the threshold, hardly the ranking. Average precision of plain,
balanced and three-fold positives is the same within .001; F1 at 0.5 is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.training import BalanceSpec
from polyvigil.data.translated import is_translated
from polyvigil.detect.base import LanguageCount
from polyvigil.types import LabelledPost, Labels


def trained_languages(train: Sequence[LabelledPost]) -> tuple[str, ...]:
    """The language groups with a positive and a negative training post, sorted: those a detector can be trusted in.

    Translated posts do not count: a model that knows a language from them alone was not trained on how people write it.
    """
    seen = {(item.post.language, item.label) for item in train if not is_translated(item.post)}
    return tuple(sorted(language for language, label in seen if label == 1 and (language, 0) in seen))


def language_counts(train: Sequence[LabelledPost]) -> tuple[LanguageCount, ...]:
    """How many posts and positives of each language group there are, sorted by its name."""
    posts = Counter(item.post.language for item in train)
    positives = Counter(item.post.language for item in train if item.label)
    return tuple(LanguageCount(language=name, posts=posts[name], positives=positives[name]) for name in sorted(posts))


def training_indices(labels: Labels, *, times: int) -> NDArray[np.int64]:
    """Indices into the training posts, each positive ``times`` times: all posts in order, then the further copies.

    Shape (n_posts + (times - 1) * n_positives,). The paper oversamples with times = 3.
    """
    positives = np.flatnonzero(labels == 1)
    return np.concatenate([np.arange(len(labels)), np.tile(positives, times - 1)])


def training_weights(posts: Sequence[LabelledPost], spec: BalanceSpec) -> NDArray[np.float64]:
    """Weight of each training post, shape (n_posts,), mean 1 in each balanced group.

    ``group``: inside each (language, type) the positives weigh as much as the negatives, and the group as much as it
    has posts; ``class``: the same over all posts at once. A group of one class keeps weight 1.
    """
    weights = np.ones(len(posts))
    if spec.weights == "none":
        return weights
    by_group = spec.weights == "group"
    members: dict[tuple[str, str], list[list[int]]] = {}
    for index, item in enumerate(posts):
        key = (item.post.language, item.post.type) if by_group else ("", "")
        members.setdefault(key, [[], []])[item.label].append(index)
    for classes in members.values():
        if all(classes):
            for indices in classes:
                weights[indices] = sum(map(len, classes)) / (2 * len(indices))
    return weights
