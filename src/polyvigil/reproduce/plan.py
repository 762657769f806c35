"""Which rows of the paper's tables need which trainings, and these which translations. Shared steps stand here once.

A recipe cannot say on which further posts it is trained, nor that two bundles are weighed together: this file does.
Ensembles over several bundles are arithmetic on their stored dev scores, so no step joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from polyvigil.reproduce.scale import Scale
from polyvigil.specs import TranslationSpec

Table = Literal["table2", "table3", "table4", "table5"]
TABLES: tuple[Table, ...] = ("table2", "table3", "table4", "table5")


def named(wanted: str) -> tuple[Table, ...]:
    """One table by its name, or ``all``."""
    return TABLES if wanted == "all" else tuple(table for table in TABLES if table == wanted)


@dataclass(frozen=True, slots=True)
class Translation:
    """Train posts in further languages: the positives in en and ru, and with ``negatives`` a draw of theirs."""

    name: str
    to: tuple[str, ...]
    negatives: bool = False
    sources: tuple[str, ...] = ("en", "ru")

    def spec(self, scale: Scale) -> TranslationSpec:
        """What ``augment.choose`` takes."""
        if not self.negatives:
            return TranslationSpec(only="positives", batch_tokens=scale.batch_tokens)
        return TranslationSpec(negatives=scale.negatives, batch_tokens=scale.batch_tokens)


@dataclass(frozen=True, slots=True)
class Training:
    """A shipped recipe on the train posts: with translations of some, or those of one language alone."""

    name: str
    recipe: str
    translation: Translation | None = None
    language: str = ""
    libraries: tuple[str, ...] = ()
    """Modules it needs beside torch and transformers, by an extra of this package."""


Step = Translation | Training

DE_FR = Translation("de-fr", to=("de", "fr"))
FA = Translation("fa-v2", to=("fa",), negatives=True)
GLINER = Training("gliner", "gliner", libraries=("gliner2",))
NLI = Training("nli", "nli")
BASE = Training("xlmr-base", "xlmr-base")
BASE_DE_FR = Training("xlmr-base-de-fr", "xlmr-base", translation=DE_FR)
STACKED = Training("stacked", "stacked", libraries=("gliner2",))
SEEDS = Training("gladiators", "gladiators")
SEED_NUMBERS = (42, 123, 456)
"""Of the members of that recipe, in their order."""
JAPANESE = Training("japanese-bert", "japanese-bert", language="ja", libraries=("fugashi", "unidic_lite"))
MDEBERTA = Training("mdeberta", "mdeberta")
SEEDS_FA = Training("gladiators-fa-v2", "gladiators", translation=FA)


@dataclass(frozen=True, slots=True)
class Part:
    """A bundle in a row, and what each of its members weighs."""

    training: Training
    weight: float = 1.0


ROWS: dict[str, tuple[Part, ...]] = {
    "gliner": (Part(GLINER),),
    "nli": (Part(NLI),),
    "xlmr-base": (Part(BASE),),
    "xlmr-base-de-fr": (Part(BASE_DE_FR),),
    "stacked": (Part(STACKED),),
    "best-seed": (Part(SEEDS),),
    "ensemble": (Part(SEEDS),),
    "japanese-bert": (Part(JAPANESE),),
    "mixed": (Part(SEEDS), Part(MDEBERTA)),
    "farsi": (Part(SEEDS_FA),),
    # The paper names the weights 1.0 and 0.7, and not which is whose: the plain seeds are taken for the former.
    "cross-regime": (Part(SEEDS), Part(SEEDS_FA, weight=0.7)),
}
"""Table 2, by the keys of ``paper.TABLE2``. Tables 3 to 5 are about ``SEEDS`` alone."""


def steps(tables: Sequence[Table]) -> tuple[Step, ...]:
    """What the tables need, each step once, translations before the trainings that take them."""
    trainings = [part.training for parts in ROWS.values() for part in parts] if "table2" in tables else []
    if {"table3", "table4", "table5"} & set(tables):
        trainings.append(SEEDS)
    found: dict[Step, None] = {}
    for training in trainings:
        if training.translation:
            found.setdefault(training.translation)
        found.setdefault(training)
    return tuple(found)


def users(step: Step, tables: Sequence[Table]) -> tuple[str, ...]:
    """The rows of Table 2, and the other tables, that a step serves."""
    rows = [
        key
        for key, parts in ROWS.items()
        if any(step in (part.training, part.training.translation) for part in parts) and "table2" in tables
    ]
    return (*rows, *(table for table in tables if table != "table2" and step == SEEDS))
