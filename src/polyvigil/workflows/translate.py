"""`polyvigil augment translate`.

Labelled training posts become translated ones: read -> choose -> translate -> set aside -> write.

In: files of labelled posts, languages to translate to, and what translates (an NLLB model, or the mapping of letters).
Out: a CSV of translated posts, each with its label and where it is from. Translations are kept beside it as they are
made, so that a run that was ended goes on from there; what cannot be used is set aside with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyvigil.augment.choose import Chosen, choose, training_posts
from polyvigil.augment.mapping import Mapping
from polyvigil.augment.prevalence import Prevalence, prevalences
from polyvigil.augment.translate import (
    Cache,
    Translated,
    has_translations,
    reject_line,
    translate,
    write_translated,
)
from polyvigil.augment.translator import Translator
from polyvigil.bundle.outputs import OutputKind, check_output, rejects_of, write_rejects
from polyvigil.config.augment import TranslationSpec
from polyvigil.data.read import Reading
from polyvigil.data.read import reject_line as row_error_record
from polyvigil.errors import DataError, RecipeError, require
from polyvigil.types import LabelledPost
from polyvigil.workflows.learners import Log

TRANSLATIONS = OutputKind("file of translated posts", has_translations)


@dataclass(frozen=True, slots=True)
class TranslationPlan:
    """What is to be translated, and by what. ``originals``: the training posts of the files, of which ``chosen`` holds
    those to translate, for each target language."""

    spec: TranslationSpec
    translator: Translator
    readings: tuple[Reading, ...]
    originals: tuple[LabelledPost, ...]
    chosen: tuple[Chosen, ...]

    @property
    def posts(self) -> int:
        """How many posts there are to translate; one that goes into two languages counts twice."""
        return sum(len(one.posts) for one in self.chosen)


@dataclass(frozen=True, slots=True)
class TranslateResult:
    """``rows``: every translation, those set aside too, by target language and in the order of the posts; of the rest
    the ``prevalences`` in each language."""

    rows: tuple[Translated, ...]
    prevalences: tuple[Prevalence, ...]


def check_translations(output: Path, *, replace: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Raise RecipeError for a name that is no CSV's, DataError where translations may not be written to ``output``."""
    if output.suffix.lower() != ".csv":
        raise RecipeError("translations are written as CSV", where=str(output), hint="give a name that ends in .csv")
    check_output(output, TRANSLATIONS, replace=replace, inputs=inputs)


def open_translator(
    spec: TranslationSpec, *, mapped: bool = False, device: str = "auto", offline: bool = False
) -> Translator:
    """The model of ``spec``, loaded; with ``mapped`` the mapping of letters in its place.

    Raises RecipeError where torch is not installed, or the model is not there.
    """
    if mapped:
        return Mapping()
    require("torch", "transformers", extra="encoders", needed_by="translating", where="--model")
    from polyvigil.nn.translator import load_translator

    return load_translator(spec.model, beams=spec.beams, device=device, offline=offline, revision=spec.revision)


def plan_translation(
    readings: Sequence[Reading],
    spec: TranslationSpec,
    open_model: Callable[[], Translator],
    *,
    targets: Sequence[str],
    sources: Sequence[str] = (),
    note: Log = lambda _: None,
) -> TranslationPlan:
    """Choose the posts to translate to each of the languages ``targets``, from ``sources`` or from all languages.

    ``open_model`` is called once it is known that the posts may be translated. ``note`` is given what a user should
    know. Raises as augment.choose does.
    """
    originals, held_out = training_posts(readings)
    for text in (*(text for reading in readings for text in reading.notes), *held_out):
        note(text)
    translator = open_model()
    names = dict.fromkeys(targets)
    chosen = tuple(choose(originals, translator, spec, target=name, sources=sources) for name in names)
    for text in (text for one in chosen for text in one.notes):
        note(text)
    return TranslationPlan(spec, translator, tuple(readings), tuple(originals), chosen)


def translate_posts(
    plan: TranslationPlan,
    *,
    output: Path,
    replace: bool = False,
    log: Log = lambda _: None,
    note: Log = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> TranslateResult:
    """Translate the posts of a plan and write those that can be used to ``output``, a CSV; the others beside it.

    ``progress`` is given the share that is done, in [0, 1]. Raises DataError where no translation can be used.
    """
    check_translations(output, replace=replace)
    targets = ", ".join(one.target for one in plan.chosen)
    log(f"translating {plan.posts:,} posts to {targets} by {plan.translator.identity}")
    output.parent.mkdir(parents=True, exist_ok=True)
    rows = translate(
        plan.chosen,
        plan.translator,
        Cache(output.with_name(output.name + ".translations.jsonl")),
        batch_tokens=max(1, plan.spec.batch_tokens // plan.spec.beams),
        progress=progress,
    )
    used = [row for row in rows if not row.reason]
    _set_aside(plan, rows, output, replace=replace, note=note)
    if not used:
        raise DataError(
            f"none of {len(rows):,} translations can be used",
            where=str(rejects_of(output)),
            hint="its reasons say what is wrong",
        )
    write_translated(output, used, replace=replace)
    return TranslateResult(rows, prevalences(used, plan.originals))


def _set_aside(plan: TranslationPlan, rows: Sequence[Translated], output: Path, *, replace: bool, note: Log) -> None:
    """Keep beside ``output`` the rows of the files that could not be read, and the translations that are of no use."""
    row_errors = [row_error_record(one.name, row_error) for one in plan.readings for row_error in one.row_errors]
    rejected = [reject_line(row) for row in rows if row.reason]
    if not row_errors and not rejected:
        return
    rejects = rejects_of(output)
    inputs = [reading.name for reading in plan.readings]
    write_rejects(rejects, "".join([*row_errors, *rejected]), replace=replace, inputs=inputs)
    parts = [f"{len(row_errors):,} rows of the files"] * bool(row_errors)
    parts += [f"{len(rejected):,} of {len(rows):,} translations"] * bool(rejected)
    note(f"set aside: {' and '.join(parts)} -> {rejects}")
