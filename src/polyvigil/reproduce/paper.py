"""The figures of the paper, as it prints them. Data only.

Source: Singh 2026, *Gladiators at #SMM4H-HeaRD 2026, Multi-Seed XLM-RoBERTa Ensemble with Focal Loss and Per-Language
Threshold Optimization for Multilingual Adverse Drug Event Detection* (aclanthology 2026.smm4h-1.2), Tables 1 to 5. All
F1 are on its dev posts, at thresholds tuned on these very posts: same-set figures, without an interval.
"""

from __future__ import annotations

from dataclasses import dataclass


def places(f1: float) -> int:
    """How many places the paper prints of an F1: three, of ensembles four."""
    return max(3, len(str(f1)) - 2)


@dataclass(frozen=True, slots=True)
class Posts:
    """Table 1: posts of a language, the CADEC reviews left out."""

    language: str
    train: int
    dev: int
    dev_positives: int


POSTS = (
    Posts("de", 1_482, 634, 35),
    Posts("en", 17_128, 888, 61),
    Posts("fr", 976, 418, 30),
    Posts("ja", 14_208, 3_045, 72),
    Posts("ru", 10_695, 2_669, 272),
    Posts("zh", 2_248, 379, 38),
)
TRAIN, CADEC_TRAIN, DEV, DEV_POSITIVES = 46_737, 810, 8_033, 508


@dataclass(frozen=True, slots=True)
class Approach:
    """A row of Table 2: pooled dev F1 (of the Japanese one: on Japanese posts), and the posts it flags where told."""

    key: str
    name: str
    f1: float
    flagged: int | None = None


TABLE2 = (
    Approach("gliner", "GLiNER zero-shot", 0.244, flagged=622),
    Approach("nli", "NLI zero-shot", 0.155, flagged=5_177),
    Approach("xlmr-base", "XLM-R-base", 0.704),
    Approach("xlmr-base-de-fr", "XLM-R-base + translation augmentation", 0.687),
    Approach("stacked", "XLM-R-base + GLiNER features", 0.704),
    Approach("best-seed", "XLM-R-large, best seed", 0.738),
    Approach("ensemble", "XLM-R-large, 3-seed ensemble", 0.7505),
    Approach("japanese-bert", "Japanese BERT (ja posts)", 0.662),
    Approach("mixed", "3 x XLM-R-large + mDeBERTa", 0.7502),
    Approach("farsi", "3-seed Farsi-augmented v2", 0.7512),
    Approach("cross-regime", "6-model cross-regime, weighted", 0.7585),
)
STACKED_P, STACKED_FURTHER = 7.01, 0.23
"""The stacked row's coefficient of P, and what the other nine stay below."""
MDEBERTA = 0.686
"""Dev F1 of mDeBERTa-v3-base alone."""
JAPANESE_THRESHOLDS = (0.70, 0.27)
"""Of the ensemble, and of the Farsi-augmented one."""


@dataclass(frozen=True, slots=True)
class Language:
    """A row of Table 3: the 3-seed ensemble in one language."""

    language: str
    f1: float
    threshold: float
    precision: float | None = None
    recall: float | None = None


TABLE3 = (
    Language("de", 0.698, 0.56),
    Language("en", 0.815, 0.32),
    Language("fr", 0.783, 0.36),
    Language("ja", 0.662, 0.70, precision=0.72, recall=0.61),
    Language("ru", 0.730, 0.49),
    Language("zh", 0.960, 0.66),
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A row of Table 4: seed 42. ``learning_rate`` after the epoch's last step."""

    epoch: int
    loss: float
    learning_rate: float
    dev_f1: float


SEED = 42
TABLE4 = (
    Epoch(1, 0.0331, 9.7e-6, 0.702),
    Epoch(2, 0.0145, 7.5e-6, 0.726),
    Epoch(3, 0.0069, 4.1e-6, 0.721),
    Epoch(4, 0.0030, 1.2e-6, 0.729),
    Epoch(5, 0.0016, 0.0, 0.731),
)


@dataclass(frozen=True, slots=True)
class Seeds:
    """A row of Table 5: pooled dev F1 of the mean of some seeds."""

    seeds: tuple[int, ...]
    f1: float


TABLE5 = (
    Seeds((123,), 0.738),
    Seeds((42, 123), 0.745),
    Seeds((123, 456), 0.743),
    Seeds((42, 123, 456), 0.7505),
)
