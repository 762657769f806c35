"""A short run of benchmarks/farsi.py: positives alone teach that a script means an ADE, the natural mix does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks.farsi import Told, arm
from benchmarks.shortcuts import PLAIN

from polyvigil.config.recipe import LinearRecipe
from polyvigil.types import LabelledPost

GATES = {"positives-only", "trained-on-positives", "mapped-lift", "flag-rate", "negatives"}


@pytest.fixture(scope="module")
def told(corpus: Sequence[LabelledPost], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """The default's arms on English and Russian, with fewer n-grams than the default has."""
    posts = [item for item in corpus if item.post.language in {"en", "ru"}]
    recipe = LinearRecipe(model=PLAIN.model_copy(update={"character_ngrams": (2, 3)}))
    folder = tmp_path_factory.mktemp("farsi")
    found, before = {}, None
    for name in ("none", "v1", "v3"):
        found[name], bundle = arm(posts, name, recipe=recipe, balance="group", folder=folder, before=before)
        before = before or bundle
    return found


def test_audit_finds_positives_only_augmentation(told: dict[str, Told]) -> None:
    assert (told["v1"].mapped, told["v1"].mapped_positives) == (212, 212)
    assert told["v1"].flagged_negatives > 0.9
    assert told["v1"].dev_f1 > told["none"].dev_f1 - 0.05, "its 95% interval is wider than that"
    assert set(told["v1"].refused) >= GATES


def test_natural_mix_passes_the_audit(told: dict[str, Told]) -> None:
    v3 = told["v3"]
    assert (v3.mapped, v3.mapped_positives) == (771, 63)
    assert v3.flagged_negatives < v3.prior < v3.flagged_positives
    assert not v3.refused
    assert v3.moved < 0.25
    assert v3.rate < 1.25
    assert abs(v3.dev_f1 - told["none"].dev_f1) < 0.03
