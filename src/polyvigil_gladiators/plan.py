"""Which rows of the paper's tables need which steps: translations, trainings, scores of the test posts, audits.

Steps that several rows share stand here once. A recipe cannot say on which further posts it is trained, nor that two
bundles are weighed together: this file does. Ensembles over several bundles are arithmetic on their stored dev scores,
so no step joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from polyvigil.config.augment import TranslationSpec
from polyvigil.errors import RecipeError
from polyvigil_gladiators.tiny import Scale

Table = Literal["table1", "table2", "table3", "table4", "table5", "thresholds", "text"]
TABLES: tuple[Table, ...] = ("table1", "table2", "table3", "table4", "table5", "thresholds", "text")


@dataclass(frozen=True, slots=True)
class Translation:
    """Train posts in further languages, from those in ``sources``: the positives, with ``negatives`` a sample of the
    negatives too, or with ``prevalence`` a sample of all posts with the share of positives that they have."""

    name: str
    to: tuple[str, ...]
    negatives: bool = False
    prevalence: bool = False
    sources: tuple[str, ...] = ("en", "ru")

    def spec(self, scale: Scale) -> TranslationSpec:
        """What ``augment.choose`` takes."""
        if self.prevalence:
            return TranslationSpec(most=scale.sample, batch_tokens=scale.batch_tokens)
        if self.negatives:
            return TranslationSpec(negatives=scale.negatives, batch_tokens=scale.batch_tokens)
        return TranslationSpec(only="positives", batch_tokens=scale.batch_tokens)


@dataclass(frozen=True, slots=True)
class Training:
    """A shipped recipe on the train posts: with translations of some, or those of one language alone; with other
    ``seeds`` than its own where some are given."""

    name: str
    recipe: str
    translation: Translation | None = None
    language: str = ""
    seeds: tuple[int, ...] = ()
    libraries: tuple[str, ...] = ()
    """Modules it needs beside torch and transformers, by an extra of this package."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The test posts, scored by every member of a bundle."""

    training: Training

    @property
    def name(self) -> str:
        return f"{self.training.name}-test"


@dataclass(frozen=True, slots=True)
class Audit:
    """``polyvigil audit shortcuts`` of a bundle, on the dev posts."""

    training: Training

    @property
    def name(self) -> str:
        return f"{self.training.name}-audit"


Step: TypeAlias = Translation | Training | Scoring | Audit


def source_of(step: Step) -> Step | None:
    """The step whose output this one takes."""
    if isinstance(step, Scoring | Audit):
        return step.training
    return step.translation if isinstance(step, Training) else None


DE_FR = Translation("de-fr", to=("de", "fr"))
FA_V1 = Translation("fa-v1", to=("fa",))
FA_V2 = Translation("fa-v2", to=("fa",), negatives=True)
FA_V3 = Translation("fa-v3", to=("fa",), prevalence=True)
GLINER = Training("gliner", "gliner", libraries=("gliner2",))
NLI = Training("nli", "nli")
BASE = Training("xlmr-base", "xlmr-base")
BASE_DE_FR = Training("xlmr-base-de-fr", "xlmr-base", translation=DE_FR)
STACKED = Training("stacked", "stacked", libraries=("gliner2",))
SEEDS = Training("gladiators", "gladiators")
SEED_NUMBERS = (42, 123, 456)
"""Of the members of that recipe, in their order."""
FOURTH = Training("gladiators-fourth", "gladiators", seeds=(789,))
JAPANESE = Training("japanese-bert", "japanese-bert", language="ja", libraries=("fugashi", "unidic_lite"))
MDEBERTA = Training("mdeberta", "mdeberta")
SEEDS_FA = {
    version: Training(f"gladiators-{translation.name}", "gladiators", translation=translation)
    for version, translation in (("v1", FA_V1), ("v2", FA_V2), ("v3", FA_V3))
}
"""The three seeds with each of the Farsi augmentations: the paper's two, and ours."""


@dataclass(frozen=True, slots=True)
class Part:
    """A bundle in a row, and what each of its members weighs."""

    training: Training
    weight: float = 1.0


Requirement = Literal["", "labels", "fa"]
"""What a row needs of test posts: nothing, their labels, or posts in Farsi."""


@dataclass(frozen=True, slots=True)
class Row:
    """What can be run by one name: a row of Table 2, one of the text, or a whole other table.

    ``parts``: bundles whose dev scores it is made from; ``scored``: bundles that score the test posts; ``audited``:
    bundles that are audited.
    """

    key: str
    table: Table
    parts: tuple[Part, ...] = ()
    scored: tuple[Training, ...] = ()
    audited: tuple[Training, ...] = ()
    test: Requirement = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All it needs, translations before the trainings that take them, these before what takes them."""
        trainings = [part.training for part in self.parts]
        translations = [training.translation for training in trainings if training.translation]
        return (*translations, *trainings, *map(Scoring, self.scored), *map(Audit, self.audited))


def _farsi(version: str) -> Row:
    training = SEEDS_FA[version]
    parts = (Part(SEEDS), Part(training))
    return Row(f"farsi-{version}", "text", parts, scored=(training,), audited=(training,), test="fa")


ROWS: dict[str, Row] = {
    row.key: row
    for row in (
        Row("table1", "table1"),
        Row("gliner", "table2", (Part(GLINER),)),
        Row("nli", "table2", (Part(NLI),)),
        Row("xlmr-base", "table2", (Part(BASE),)),
        Row("xlmr-base-de-fr", "table2", (Part(BASE_DE_FR),)),
        Row("stacked", "table2", (Part(STACKED),)),
        Row("best-seed", "table2", (Part(SEEDS),)),
        Row("ensemble", "table2", (Part(SEEDS),)),
        Row("japanese-bert", "table2", (Part(JAPANESE),)),
        Row("mixed", "table2", (Part(SEEDS), Part(MDEBERTA))),
        Row("farsi", "table2", (Part(SEEDS_FA["v2"]),)),
        # (1.0 x P of the plain seeds + 0.7 x P of the Farsi-augmented ones) / 1.7: section 4.1 of the paper
        Row("cross-regime", "table2", (Part(SEEDS), Part(SEEDS_FA["v2"], weight=0.7))),
        Row("table3", "table3", (Part(SEEDS),), scored=(SEEDS,), test="labels"),
        Row("table4", "table4", (Part(SEEDS),)),
        Row("table5", "table5", (Part(SEEDS),)),
        Row("thresholds", "thresholds", (Part(SEEDS),)),
        Row("mdeberta", "text", (Part(MDEBERTA),)),
        Row("fourth", "text", (Part(SEEDS), Part(FOURTH))),
        Row("coefficients", "text", (Part(STACKED),)),
        Row("french", "text", (Part(BASE), Part(BASE_DE_FR))),
        _farsi("v1"),
        _farsi("v2"),
        _farsi("v3"),
        Row("scores", "text", (Part(SEEDS),), scored=(SEEDS,), test="fa"),
    )
}
"""Everything that can be run again, by its name, in the paper's order."""


def rows_of(requested: str) -> tuple[Row, ...]:
    """What to run again: ``all``, a table, or one row by its name. Raises RecipeError for another name."""
    if requested == "all":
        return tuple(ROWS.values())
    if requested in TABLES:
        return tuple(row for row in ROWS.values() if row.table == requested)
    if requested in ROWS:
        return (ROWS[requested],)
    names = {table: [row.key for row in ROWS.values() if row.table == table] for table in ("table2", "text")}
    raise RecipeError(
        f"the paper has no {requested!r}",
        where="TABLE",
        hint=f"all, {', '.join(TABLES)}; a row of table2: {', '.join(names['table2'])}; or of the text: "
        + ", ".join(names["text"]),
    )


def steps_of(rows: Sequence[Row]) -> tuple[Step, ...]:
    """What these rows need, each step once: translations, trainings and the rest, each after what it takes."""
    needed = dict.fromkeys(step for row in rows for step in row.steps)
    kinds = (Translation, Training, Scoring, Audit)
    return tuple(
        step for kinds_together in (kinds[:2], kinds[2:]) for step in needed if isinstance(step, kinds_together)
    )


def users(step: Step, rows: Sequence[Row]) -> tuple[str, ...]:
    """The names of the rows that take a step."""
    return tuple(row.key for row in rows if step in row.steps)
