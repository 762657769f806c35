"""polyvigil from Python: train, tune, evaluate, compare, explain and score posts in DataFrames, lists or files.

In: posts as a DataFrame (pandas, polars, pyarrow), a list of texts, of dicts or of Post, or the path of a file. Out: a
Bundle, an Evaluation, a Comparison, arrays, or a table of the same library. What always holds: posts are read by the
functions that the command line uses, so values are taken or refused with the same messages and a missing language is
detected alike; every step is a call of ``workflows``, ``evaluation`` or ``scoring``. Described in docs/python.md.
"""

from __future__ import annotations

import html
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle import store
from polyvigil.bundle.hub import bundle_folder
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.temporary import output_folder
from polyvigil.bundle.trained import as_trained, recipe_as_trained
from polyvigil.bundle.verify import verify
from polyvigil.checks.replacement_gate import MARGIN, ReplacementComparison, compare_for_replacement
from polyvigil.config.data import DataSpec
from polyvigil.config.load import load as load_recipe
from polyvigil.config.load import load_text, parse_values, to_toml
from polyvigil.config.recipe import BaseRecipe, Recipe
from polyvigil.data.atomic import whole_folder
from polyvigil.data.frames import Posts, source_of
from polyvigil.data.read import OnError, Reading, Unlabelled, read_labelled, read_unlabelled
from polyvigil.data.selection import refuse_selected
from polyvigil.data.translated import refuse_translated
from polyvigil.errors import BundleError, DataWarning, RecipeError
from polyvigil.evaluation.columns import columns_to_slice
from polyvigil.evaluation.compare import MOST_BUNDLES, Comparison, SeveralComparison, compare_several
from polyvigil.evaluation.compare import compare as compare_bundles
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.measure import cross_fitted_dev, measured, measured_on_dev
from polyvigil.judge.endpoint import EndpointPermission
from polyvigil.scoring.explain import as_record, explain_posts, terms_of
from polyvigil.scoring.table import open_posts, score_table
from polyvigil.text.mentions import lexicon

Log = Callable[[str], None]
Settings = Mapping[str, object]
"""Settings of a recipe by their path, as ``{"model.C": 2.0, "data.labels": {"yes": 1, "no": 0}}``."""
Several = Sequence[store.Bundle | Path] | list[str] | list[store.Bundle | str | Path]
"""Bundles that ``compare`` compares with the first, loaded or by their folders."""


def _quiet(_: str) -> None:
    """A log that keeps nothing."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Bundle(store.Bundle):
    """A loaded bundle: what decides whether posts mention an adverse drug event (ADE).

    It stands in a folder, and is pickled as the path of that folder; one that was trained without ``output`` stands in
    a temporary folder until ``save`` is called. It may be used by several threads at a time.
    """

    files: Path
    """The folder that holds its files, temporary or not."""
    device: str = "auto"
    """Where encoders run: auto, cpu, cuda, cuda:1."""
    temporary: object = None
    """What removes a temporary folder once nothing refers to it; None for a bundle that was saved."""

    @property
    def folder(self) -> Path | None:
        """The folder it was loaded from or saved to; None where it was not saved."""
        return None if self.temporary else self.files

    def predict_proba(self, texts: Posts, languages: Iterable[object] | None = None) -> NDArray[np.float64]:
        """P(no ADE) and P(ADE) of each post: shape (n_posts, 2), each row sums to 1, in the order of the posts.

        ``languages``: a code for each text, such as ``de``; a missing one is detected. The second column is ``p`` of
        ``score``, which thresholds are on. Raises DataError for a row that cannot be read.
        """
        with open_posts(texts, languages=languages) as posts:
            p = [self.probabilities([item.post for item in chunk]) for chunk in posts.chunks()]
        ade = np.concatenate(p) if p else np.zeros(0)
        return np.column_stack([1.0 - ade, ade])

    def predict(self, texts: Posts, languages: Iterable[object] | None = None) -> NDArray[np.int64]:
        """The decision on each post, shape (n_posts,): 1 is flagged as an ADE, by the threshold of its language."""
        flags: list[NDArray[np.bool_]] = []
        with open_posts(texts, languages=languages) as read:
            for chunk in read.chunks():
                posts = [item.post for item in chunk]
                flags.append(self.flags(posts, self.probabilities(posts)))
        return np.concatenate(flags).astype(np.int64) if flags else np.zeros(0, dtype=np.int64)

    def decide(self, posts: Posts, languages: Iterable[object] | None = None, **options: Any) -> Any:
        """A table of decisions; see ``score``, whose options it takes."""
        return score(self, posts, languages, **options)

    def explain(self, posts: Posts, languages: Iterable[object] | None = None, **options: Any) -> list[dict[str, Any]]:
        """Which sentence and words of each post carry its score; see ``polyvigil.explain``, whose options it takes."""
        return explain(self, posts, languages, **options)

    def evaluate(self, posts: Posts | None = None, **options: Any) -> Evaluation:
        """Metrics on labelled posts; see ``polyvigil.evaluate``, whose options it takes."""
        return evaluate(self, posts, **options)

    def save(self, folder: str | Path, *, replace: bool = False) -> Bundle:
        """Copy its files, hashes checked, to ``folder`` and load the bundle from there.

        Raises BundleError when something stands there, unless ``replace`` is set and it is a bundle.
        """
        folder = Path(folder)
        check_output(folder, BUNDLE, replace=replace)
        verify(self.files)
        with whole_folder(folder, replace=replace) as partial:
            shutil.copytree(self.files, partial, dirs_exist_ok=True)
        return load(folder, device=self.device)

    def __repr__(self) -> str:
        kinds = ", ".join(entry.kind for entry in self.manifest.members)
        where = self.folder or "not saved"
        return f"<Bundle {self.id}: {kinds}; {', '.join(self.policy.thresholds)}; {where}>"

    def _repr_html_(self) -> str:
        """A table of the languages for notebooks: threshold, and the dev posts it was found on. All cells escaped."""
        header = ("language", "threshold", "source", "dev posts", "dev positives", "trained on")
        rows = [
            (
                language,
                f"{threshold.value:.3f}",
                threshold.source_name,
                f"{threshold.posts:,}",
                f"{threshold.positives:,}",
                "yes" if self.is_trained_on(language) else "no",
            )
            for language, threshold in self.policy.thresholds.items()
        ]
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        caption = html.escape(repr(self)[1:-1])
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, store.Bundle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is None:
            raise BundleError(
                "a bundle that is not saved cannot be pickled",
                where=self.id,
                hint="first: bundle = bundle.save(FOLDER)",
            )
        return _reload, (str(self.folder.resolve()), self.id, self.device)


def load(
    folder: str | Path, *, revision: str = "", device: str = "auto", permission: EndpointPermission | None = None
) -> Bundle:
    """Load a bundle from its folder, every hash checked.

    ``folder``: may be the name of a bundle on the Hugging Face hub, as ``hf://org/name`` or ``hf://org/name@revision``,
    which is fetched; ``revision`` says the same apart: a branch, tag or commit. Nothing else uses the network.
    ``device``: where encoders run: auto, cpu, cuda, cuda:1. Only with a ``permission`` are posts near a threshold sent
    to a chat endpoint that the bundle names. Raises BundleError when it is missing, damaged or of another version;
    HubError when it cannot be fetched.
    """
    folder = bundle_folder(folder, revision=revision)
    return _in_folder(store.load(folder, device=device, permission=permission), Path(folder), device=device)


def train(
    recipe: str | Path | Recipe,
    train: Posts = None,
    dev: Posts = None,
    output: str | Path | None = None,
    *,
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    replace: bool = False,
    device: str = "auto",
    offline: bool = False,
    log: Log = _quiet,
) -> Bundle:
    """Learn from the posts ``train``, tune one threshold per language on ``dev``, and give the bundle.

    ``recipe``: the name of a shipped recipe (``linear``), a recipe file, or a Recipe; ``settings`` change it. Without
    ``dev`` a recipe with ``data.folds``, as a linear one, is tuned on folds of the training posts, any other one on a
    share of them that is held out (``data.dev_share``). ``output``: the bundle's folder; without one it stands in a
    temporary folder until ``Bundle.save``. ``text``, ``label`` and ``language`` name columns; further ones are named by
    settings such as ``data.columns.group``. ``on_error``: raise at the first bad row (``fail``), or set bad rows aside
    with a DataWarning (``quarantine``). ``log`` is given each stage as a line.

    Raises RecipeError for a wrong setting, DataError for rows that cannot be used, SplitError for posts that are in
    both parts, BundleError when ``output`` exists and ``replace`` is not set.
    """
    from polyvigil.workflows import train as workflow
    from polyvigil.workflows.learners import RunOptions

    values = _values(text, label, language, settings)
    if isinstance(recipe, BaseRecipe):
        resolved = load_text(to_toml(recipe), values=values, where="recipe")
    else:
        resolved = load_recipe(str(recipe), values=values)
    if output is not None:
        check_output(Path(output), BUNDLE, replace=replace)
    data = workflow.gather(
        resolved,
        train=[] if train is None else [source_of(train, name="train")],
        dev=[] if dev is None else [source_of(dev, name="dev")],
        on_error=on_error,
    )
    _report(data.notes, set_aside=len(data.row_errors), log=log)
    options = RunOptions(device=device, offline=offline)
    with output_folder(output) as (folder, temporary):
        trained = workflow.train(resolved, data, output=folder, replace=replace, options=options, log=log)
    return _in_folder(trained.bundle, folder, device=device, temporary=temporary)


def load_written(write: Callable[[Path], object], *, device: str = "auto") -> Bundle:
    """Load a bundle that ``write`` puts into a temporary folder, which lasts as long as the bundle."""
    with output_folder(None) as (folder, temporary):
        folder.mkdir()
        write(folder)
    return _in_folder(store.load(folder, device=device), folder, device=device, temporary=temporary)


def tune(
    bundle: store.Bundle | str | Path,
    dev: Posts = None,
    output: str | Path | None = None,
    *,
    unlabelled: Posts = None,
    priors: Mapping[str, float] | None = None,
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    replace: bool = False,
    device: str = "auto",
    log: Log = _quiet,
) -> Bundle:
    """A bundle with new thresholds, its members untouched: by another rule, on other posts, for new languages.

    ``dev``: labelled posts to tune on; without them the dev scores in the bundle serve. ``unlabelled``: posts of
    languages without labels, each of which gets a threshold; ``priors``: the known share of positives in some of those
    languages, in (0, 1). ``settings``: of the sections ``data`` and ``decide`` alone, as ``decide.rule``. The other
    arguments are those of ``train``. Raises what ``train`` raises.
    """
    from polyvigil.workflows.tune import Plan, recipe_of, tune_bundle

    bundle = _local(bundle)
    loaded = _with_folder(bundle, device=device, stale=True)
    if wrong := [key for key in settings or () if not key.startswith(("data.", "decide."))]:
        raise RecipeError(f"{wrong[0]!r}: only data.* and decide.* can be set here; members stay as they are")
    recipe = load_text(
        to_toml(recipe_of(loaded.files)), values=_values(text, label, language, settings), where="settings"
    )
    data = recipe_as_trained(recipe.data, loaded.files)
    labelled = (
        None if dev is None else read_labelled(source_of(dev, name="dev"), data, on_error=on_error, keep_cells=False)
    )
    further = (
        None
        if unlabelled is None
        else read_unlabelled(source_of(unlabelled, name="unlabelled"), data, on_error=on_error)
    )
    if labelled:
        refuse_translated(labelled.posts, part="dev", where=labelled.name)
        refuse_selected(labelled.selection, part="dev", where=labelled.name)
    for reading in (labelled, further):
        _report_reading(reading, log)
    plan = Plan(
        recipe.decide,
        dev=labelled.posts if labelled else (),
        data=Path(labelled.name).name if labelled else "stored dev scores",
        unlabelled=further.posts if further else (),
        priors=priors or {},
    )
    with output_folder(output) as (folder, temporary):
        result = tune_bundle(loaded.files, loaded, plan, output=folder, replace=replace, log=log)
    return _in_folder(result.bundle, folder, device=device, temporary=temporary)


def evaluate(
    bundle: store.Bundle | str | Path,
    posts: Posts = None,
    *,
    by: Sequence[str] = (),
    budgets: Sequence[int] = (),
    prevalence: float | None = None,
    split: str = "",
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    log: Log = _quiet,
) -> Evaluation:
    """Metrics of a bundle on labelled posts it has not seen: pooled, per language, per type, with intervals.

    Without ``posts`` the stored scores of its dev posts are evaluated. ``by``: columns to slice by; ``budgets``:
    numbers of posts that can be read; ``prevalence``: the share of positives where it will be used, in (0, 1);
    ``split``: read only the rows of that split. Raises SplitError when most posts were trained on, DataError for rows
    that cannot be used.
    """
    bundle = _local(bundle)
    loaded = _loaded(bundle)
    if posts is None:
        return measured_on_dev(loaded, budgets=budgets, prevalence=prevalence).evaluation
    spec = _data_spec(text, label, language, settings, bundle=bundle)
    reading = read_labelled(
        source_of(posts, name="posts"),
        spec,
        split=split,
        on_error=on_error,
        keep_cells=bool(by),
        unlabelled_hint="decide the posts with: polyvigil.score(bundle, posts)",
    )
    _report_reading(reading, log)
    columns = columns_to_slice(reading, by, spec)  # before scoring: a wrong name costs no time
    dev = cross_fitted_dev(loaded, loaded.files) if isinstance(loaded, Bundle) else ()
    return measured(loaded, reading, budgets=budgets, prevalence=prevalence, columns=columns, dev=dev).evaluation


@overload
def compare(
    first: store.Bundle | str | Path,
    second: store.Bundle | str | Path,
    posts: Posts,
    *,
    gate: Literal[False] = False,
    split: str = "",
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    log: Log = _quiet,
) -> Comparison: ...


@overload
def compare(
    first: store.Bundle | str | Path,
    second: Several,
    posts: Posts,
    *,
    gate: Literal[False] = False,
    split: str = "",
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    log: Log = _quiet,
) -> SeveralComparison: ...


@overload
def compare(
    first: store.Bundle | str | Path,
    second: store.Bundle | str | Path,
    posts: Posts,
    *,
    gate: Literal[True],
    margin: float = MARGIN,
    rates: Posts | None = None,
    split: str = "",
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    log: Log = _quiet,
) -> ReplacementComparison: ...


def compare(
    first: store.Bundle | str | Path,
    second: store.Bundle | str | Path | Several,
    posts: Posts,
    *,
    gate: bool = False,
    margin: float = MARGIN,
    rates: Posts | None = None,
    split: str = "",
    text: str = "",
    label: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
    log: Log = _quiet,
) -> Comparison | SeveralComparison | ReplacementComparison:
    """Which of two bundles is better on the same labelled posts: paired tests, calibration, changed decisions.

    Differences are the second's metrics less the first's; ``Comparison.verdict`` says it in a sentence. Raises
    SplitError when one was trained on most of the posts, DataError when two are the same.

    ``second``: a bundle, or a list of up to nine, each of which is compared with the first: a SeveralComparison, as of
    ``polyvigil compare BASELINE A B C FILE``, whose p-values are corrected by Holm over all of them.

    ``gate``: whether the second may replace the first, as ``polyvigil compare --gate``: a ReplacementComparison, whose
    ``holds`` is the answer. Reviewed posts (a whole worklist, or what ``review export`` wrote) count by the chance with
    which each was chosen. ``margin``: F1 that the second may lose, in (0, 1). ``rates``: posts, labelled or not, on
    which flag rates are compared. Both are of the gate alone. Raises RecipeError for a margin that is none, for the
    gate of several bundles, and for too many of them.
    """
    if not gate and (margin != MARGIN or rates is not None):
        raise RecipeError("is of the gate alone", where="margin, rates", hint="add gate=True")
    if not 0 < margin < 1:
        raise RecipeError(f"{margin} is not between 0 and 1", where="margin")
    further = _further(second, gate=gate)
    local = [_local(bundle) for bundle in (first, *further)]
    baseline, *compared = (_loaded(bundle) for bundle in local)
    spec = _data_spec(text, label, language, settings, bundle=local[1])
    reading = read_labelled(source_of(posts, name="posts"), spec, split=split, on_error=on_error, keep_cells=gate)
    _report_reading(reading, log)
    if not isinstance(second, store.Bundle | str | Path):
        return compare_several([baseline, *compared], reading)
    if not gate:
        return compare_bundles(baseline, compared[0], reading)
    rate_posts = () if rates is None else read_unlabelled(source_of(rates, name="rates"), spec, on_error=on_error).posts
    return compare_for_replacement(baseline, compared[0], reading, margin=margin, rate_posts=rate_posts)


def _further(second: store.Bundle | str | Path | Several, *, gate: bool) -> Sequence[store.Bundle | str | Path]:
    """The bundles that ``compare`` compares with the first. Raises RecipeError for none, for too many, and for several
    at the gate."""
    if isinstance(second, store.Bundle | str | Path):
        return [second]
    if gate:
        raise RecipeError("is for two bundles", where="gate", hint="compare with one bundle at a time")
    if not 1 <= len(second) < MOST_BUNDLES:
        raise RecipeError(
            f"{len(second)} bundles to compare with the first; give one to {MOST_BUNDLES - 1}", where="second"
        )
    return second


def explain(
    bundle: store.Bundle | str | Path,
    posts: Posts,
    languages: Iterable[object] | None = None,
    *,
    flagged_only: bool = False,
    drugs: str | Path = "",
    reactions: str | Path = "",
    text: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
) -> list[dict[str, Any]]:
    """Which sentence and words of each post carry its score: one record a post, as ``polyvigil explain`` writes it.

    Offsets are code points of the text as it was given; a record holds no text. ``flagged_only`` leaves out posts that
    are not flagged. ``drugs``, ``reactions``: files of terms to find in the posts. Raises DataError for a row or a
    term that cannot be used.
    """
    bundle = _local(bundle)
    loaded, compiled = _loaded(bundle), lexicon(terms_of(drugs=drugs, reactions=reactions))
    records: list[dict[str, Any]] = []
    spec = _data_spec(text, "", language, settings, bundle=bundle)
    with open_posts(posts, languages=languages, spec=spec, on_error=on_error) as read:
        for chunk in read.chunks():
            rows = explain_posts(
                loaded,
                [item.post for item in chunk],
                compiled,
                detected=[item.language_detected for item in chunk],
                flagged_only=flagged_only,
            )
            records += [as_record(row) for row in rows]
    return records


def score(
    bundle: store.Bundle | str | Path,
    posts: Posts,
    languages: Iterable[object] | None = None,
    *,
    evidence: bool = False,
    prevalence: float | Mapping[str, float] | None = None,
    text: str = "",
    language: str = "",
    settings: Settings | None = None,
    on_error: OnError = "fail",
) -> Any:
    """Decide on posts: their columns, and beside them those of ``polyvigil score`` (see Decision).

    Gives a DataFrame of the library that ``posts`` are of, a pandas index kept; a pyarrow.Table for a list or a file.
    As in the command's output, an input column named as one of ours, ``language`` too, is kept as ``input_NAME``, or
    ``input_NAME_2``, ... where that is taken. ``languages``: a code for each post, in place of a column; a missing one
    is detected. ``evidence``: add where the sentence is that carries the score of a flagged post. ``prevalence``: the
    share of ADEs among all posts, or among those of each language, to which ``p_calibrated`` is re-based. Columns in
    which the bundle can say nothing are left out, as in files. With ``on_error="quarantine"`` bad rows are left out
    with a DataWarning, else the first raises DataError.
    """
    bundle = _local(bundle)
    spec = _data_spec(text, "", language, settings, bundle=bundle)
    shares = {"": prevalence} if isinstance(prevalence, int | float) else prevalence
    return score_table(
        _loaded(bundle), posts, languages=languages, spec=spec, on_error=on_error, evidence=evidence, prevalence=shares
    )


def _values(text: str, label: str, language: str, settings: Settings | None) -> dict[str, object]:
    """Settings with the columns that were named; numpy's numbers become Python's."""
    values = {key: value.item() if isinstance(value, np.generic) else value for key, value in (settings or {}).items()}
    named = {"text": text, "label": label, "language": language}
    return values | {f"data.columns.{role}": column for role, column in named.items() if column}


def _data_spec(
    text: str, label: str, language: str, settings: Settings | None, *, bundle: store.Bundle | str | Path
) -> DataSpec:
    """How posts are read; the columns that the ``bundle`` was trained with are taken where the posts have them."""
    if wrong := [key for key in settings or () if not key.startswith("data.")]:
        raise RecipeError(f"{wrong[0]!r}: only data.* can be set here", hint="for example data.labels.yes")
    spec = parse_values(_values(text, label, language, settings), where="settings").data
    folder = bundle.files if isinstance(bundle, Bundle) else bundle
    return spec if isinstance(folder, store.Bundle) else as_trained(spec, folder)


def _report(notes: Sequence[str], *, set_aside: int, log: Log) -> None:
    for note in notes:
        log(note)
    if set_aside:
        message = f"{set_aside:,} rows set aside: {'; '.join(notes)}"
        warnings.warn(message, DataWarning, stacklevel=3)


def _report_reading(reading: Reading | Unlabelled | None, log: Log) -> None:
    if reading:
        _report(reading.notes, set_aside=len(reading.row_errors), log=log)


def _loaded(bundle: store.Bundle | str | Path) -> store.Bundle:
    return bundle if isinstance(bundle, store.Bundle) else load(bundle)


def _local(bundle: store.Bundle | str | Path) -> store.Bundle | str | Path:
    """A bundle as it is given; the folder of one that is named on the hub, fetched if need be."""
    return bundle if isinstance(bundle, store.Bundle) else bundle_folder(bundle)


def _with_folder(bundle: store.Bundle | str | Path, *, device: str, stale: bool) -> Bundle:
    """The bundle with its folder. Raises BundleError for one that was not loaded by this module."""
    if isinstance(bundle, Bundle):
        return bundle
    if isinstance(bundle, store.Bundle):
        raise BundleError("its folder is not known", where=bundle.id, hint="load it with polyvigil.load(FOLDER)")
    return _in_folder(store.load(bundle, device=device, stale=stale), Path(bundle), device=device)


def _in_folder(bundle: store.Bundle, folder: Path, *, device: str, temporary: object = None) -> Bundle:
    state = {field.name: getattr(bundle, field.name) for field in fields(store.Bundle)}
    return Bundle(**state, files=folder, device=device, temporary=temporary)


def _reload(folder: str, id: str, device: str) -> Bundle:
    """What a pickled bundle becomes. Raises BundleError when another one stands in its folder now."""
    bundle = load(folder, device=device)
    if bundle.id != id:
        raise BundleError(f"bundle {bundle.id} stands where {id} was when it was pickled", where=folder)
    return bundle
