"""Which rows of the paper's tables need which trainings, and these which translations. Shared steps stand here once.

A recipe cannot say on which further posts it is trained, nor that two bundles are weighed together: this file does.
Ensembles over several bundles are arithmetic on their stored dev scores, so no step joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from polyvigil.errors import RecipeError
from polyvigil.reproduce.scale import Scale
from polyvigil.specs import TranslationSpec

Table = Literal["table2", "table3", "table4", "table5"]
TABLES: tuple[Table, ...] = ("table2", "table3", "table4", "table5")


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


def named(wanted: str) -> tuple[str, ...]:
    """What to run again: ``all``, a table, or one row of Table 2 by its key. Raises RecipeError for another name."""
    if wanted == "all":
        return TABLES
    if wanted in (*TABLES, *ROWS):
        return (wanted,)
    raise RecipeError(
        f"the paper has no {wanted!r}",
        where="TABLE",
        hint=f"all, {', '.join(TABLES)}, or a row of table2: {', '.join(ROWS)}",
    )


def rows(wanted: Sequence[str]) -> tuple[str, ...]:
    """The rows of Table 2 that are wanted, in its order."""
    return tuple(key for key in ROWS if key in wanted or "table2" in wanted)


def steps(wanted: Sequence[str]) -> tuple[Step, ...]:
    """What is needed, each step once, translations before the trainings that take them."""
    trainings = [part.training for key in rows(wanted) for part in ROWS[key]]
    if {"table3", "table4", "table5"} & set(wanted):
        trainings.append(SEEDS)
    found: dict[Step, None] = {}
    for training in trainings:
        if training.translation:
            found.setdefault(training.translation)
        found.setdefault(training)
    return tuple(found)


def users(step: Step, wanted: Sequence[str]) -> tuple[str, ...]:
    """The rows of Table 2, and the other tables, that a step serves."""
    mine = [key for key in rows(wanted) if any(step in (p.training, p.training.translation) for p in ROWS[key])]
    return (*mine, *(table for table in TABLES[1:] if table in wanted and step == SEEDS))
