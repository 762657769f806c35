"""Worklists: of many scored posts the few that people are to read, in the order in which most ADEs turn up soonest.

In: scored posts and a budget. Out: a ``Worklist``, one row for each post to read, with an empty column for its label,
and what reading it is expected to find.

- ``queue``: the posts of the highest calibrated P, re-based to the prevalence of each language where it is given. A raw
  P is never compared across languages. Posts that say nearly the same (checks.duplicates) are one row.
- ``audit``: a sample of all the others (review.sampling), mixed into the queue evenly, by which what was missed can be
  estimated. The probability that a post had of being in it stands in its row for good.

The same files, options and seed give the same worklist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.checks.duplicates import find_duplicates
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.atomic import whole_file, write_whole
from polyvigil.data.formats import Row, format_of, open_table
from polyvigil.data.inputs import MANIFEST
from polyvigil.data.read import cell_text
from polyvigil.data.shown import shown_value
from polyvigil.decide.calibration import shifted
from polyvigil.errors import DataError, RecipeError
from polyvigil.evaluation.rate_curve import logits
from polyvigil.review.sampling import sample_audit
from polyvigil.review.scored_posts import ScoredFile, ScoredPosts, posts_at, rows_at
from polyvigil.scoring.columns import output_columns
from polyvigil.scoring.digits import rounded
from polyvigil.scoring.facts import check_prevalence
from polyvigil.scoring.stream import stem
from polyvigil.scoring.wire import COLUMNS
from polyvigil.scoring.workbook import check_cells
from polyvigil.scoring.write import header, row_writer
from polyvigil.types import Frozen, Probabilities

QUEUE, AUDIT, LEARN = "queue", "audit", "learn"
PURPOSES = (QUEUE, AUDIT, LEARN)
"""Why a post is read: for its score, as a sample of what is not, or to learn from."""
LABELS = ("label", "label_2", "label_3")
"""Columns that reviewers fill in: 1 for an ADE, 0 for none; of a second and a third person where needed."""
WORKLIST_COLUMNS = (*LABELS, "purpose", "inclusion_p", "similar", "scored_posts")
"""Beside the columns of scoring. ``similar``: how many further posts say nearly the same; ``scored_posts``: the name of
the scored posts that the worklist was made of (ScoredPosts.fingerprint)."""
_CANDIDATES = 3  # times the queue: so many posts are looked at for near-duplicates at first
_MORE_CANDIDATES = 1000


@dataclass(frozen=True, slots=True)
class WorklistOptions:
    """What is to be read. Raises RecipeError for options that cannot be."""

    budget: int = 300
    """Posts to read, the audit among them."""
    audit: float = 0.2
    """Below 1 the share of the budget that is audited; else how many posts."""
    prevalence: Mapping[str, float] = field(default_factory=dict)
    """The share of ADEs among all posts of a language; under ``""`` that of all other languages."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """How many posts of the queue are of a language."""
    type_quotas: Mapping[str, int] = field(default_factory=dict)
    """How many are of a type."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise RecipeError(f"a budget of {self.budget} posts", where="--budget", hint="as 300")
        if self.audit < 0 or (self.audit >= 1 and self.audit % 1) or self.n_audit > self.budget:
            raise RecipeError(
                f"an audit of {self.audit:g} is neither a share below 1 nor a number of at most {self.budget} posts",
                where="--audit",
                hint="as 0.2 or 60",
            )
        check_prevalence(self.prevalence)
        if self.quotas and self.type_quotas:
            raise RecipeError("quotas are of languages or of types, not of both", where="--quota", hint="leave one out")
        quotas = {**self.quotas, **self.type_quotas}
        if any(quota < 0 for quota in quotas.values()) or sum(quotas.values()) > self.n_queue:
            raise RecipeError(
                f"quotas of {sum(quotas.values()):,} posts, and {self.n_queue:,} to read beside the audit",
                where="--quota",
                hint="raise --budget or lower a quota",
            )

    @property
    def n_audit(self) -> int:
        return round(self.audit * self.budget) if self.audit < 1 else int(self.audit)

    @property
    def n_queue(self) -> int:
        return self.budget - self.n_audit


class WorklistLanguage(Frozen):
    """One language of a worklist, or all."""

    name: str
    posts: int
    """Posts that say different things and have a text."""
    flagged: int
    queue: int
    audit: int
    expected: float
    """ADEs that the scores expect in the queue; no estimate, since no label was looked at."""
    expected_all: float
    """ADEs that they expect among all posts."""


class WorklistSummary(Frozen):
    """What was chosen; also the manifest, ``OUT.manifest.json``."""

    output: str
    inputs: tuple[str, ...]
    scored_posts: str
    bundles: tuple[str, ...]
    posts: int
    """With a text, repeats among them."""
    without_text: int
    repeats: int
    """Posts that read the same as another but for case, links, numbers and punctuation."""
    budget: int
    queue: int
    audit: int
    similar: int
    """Further posts that stand behind one in the queue, since they say nearly the same."""
    seed: int
    prevalence: dict[str, float]
    quotas: dict[str, int]
    languages: tuple[WorklistLanguage, ...]
    pooled: WorklistLanguage
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Worklist:
    """The posts to read, as indices of ScoredPosts: in the order of reading, and what is known of each."""

    order: NDArray[np.int64]
    audited: NDArray[np.bool_]
    """(n_rows,): whether a row is of the audit, else of the queue."""
    inclusion: NDArray[np.float64]
    """(n_rows,): 1 in the queue."""
    similar: NDArray[np.int64]
    """(n_rows,): further posts that say nearly the same."""
    expected: Probabilities
    """(n_posts,): of every scored post the P that it was ordered by."""


def rebasing(calibrated: Probabilities, prevalence: float) -> float:
    """What is added to the logit of each P so that their mean is ``prevalence``: below 0 where ADEs are rarer than P
    says, 0 without posts."""
    if not len(calibrated):
        return 0.0
    posts = logits(calibrated)
    return float(brentq(lambda shift: float(expit(posts + shift).mean()) - prevalence, -60.0, 60.0, xtol=1e-10))


def choose_posts(posts: ScoredPosts, options: WorklistOptions, spec: DataSpec | None = None) -> Worklist:
    """The posts to read. Where the audit has fewer posts than there are languages, it is of those of most unread posts.

    Raises DataError for quotas and prevalences of what is not there.
    """
    distinct = posts.distinct
    expected = _expected(posts, distinct, options)
    queue, similar = _queue(posts, distinct, expected, options, spec)
    frame = distinct.copy()
    frame[queue] = False
    n_audit = min(options.n_audit, int(frame.sum()))
    audited_frame = frame & np.isin(posts.languages, _audited_languages(posts.languages[frame], n_audit))
    sample = sample_audit(posts.calibrated, posts.languages, n_audit, seed=options.seed, frame=audited_frame)
    audit = np.random.default_rng([options.seed, 1]).permutation(np.flatnonzero(sample.sampled))
    position = np.concatenate([(np.arange(len(rows)) + 0.5) / max(len(rows), 1) for rows in (queue, audit)])
    order = np.argsort(position, kind="stable")
    rows = np.concatenate([queue, audit])[order]
    audited = order >= len(queue)
    group_sizes = _group_sizes(posts)
    return Worklist(
        order=rows,
        audited=audited,
        inclusion=np.where(audited, sample.inclusion[rows], 1.0),
        similar=np.concatenate([similar, np.zeros(len(audit), dtype=np.int64)])[order] + group_sizes[rows] - 1,
        expected=expected,
    )


def _audited_languages(languages: NDArray[np.str_], n_audit: int) -> list[str]:
    """The languages of an audit: all of these posts', or as many as it has posts, those of most posts first."""
    names, counts = np.unique(languages, return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")][:n_audit]]


def _expected(posts: ScoredPosts, distinct: NDArray[np.bool_], options: WorklistOptions) -> Probabilities:
    """The P by which posts of all languages are compared."""
    expected = posts.calibrated.copy()
    known = set(posts.languages.tolist()) if options.prevalence else set()
    if unknown := sorted(set(options.prevalence) - known - {""}):
        raise _not_there("language", unknown, sorted(known), where="--prevalence")
    for language in known:
        prevalence = options.prevalence.get(language, options.prevalence.get(""))
        if prevalence is None:
            continue
        mask = posts.languages == language
        shift = rebasing(posts.calibrated[mask & distinct], prevalence)
        expected[mask] = shifted(posts.calibrated[mask], shift)
    return expected


def _not_there(what: str, names: Sequence[str], known: Sequence[str], *, where: str) -> DataError:
    return DataError(
        f"no post has the {what} {', '.join(map(repr, names))}",
        where=where,
        hint=f"there are {', '.join(map(repr, known[:20]))}" + (" and more" if len(known) > 20 else ""),
    )


def _queue(
    posts: ScoredPosts,
    distinct: NDArray[np.bool_],
    expected: Probabilities,
    options: WorklistOptions,
    spec: DataSpec | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The posts of the queue in their order, and how many near-duplicates stand behind each."""
    ranked = np.flatnonzero(distinct)
    ranked = ranked[np.lexsort((ranked, -expected[ranked], posts.abstained[ranked]))]
    quota_of = _quota_of(posts, options)
    n_looked_at = _CANDIDATES * options.n_queue + _MORE_CANDIDATES
    while True:
        looked_at = _first_of_each(ranked, quota_of, n_looked_at)
        clusters = _clusters(posts, looked_at, spec)
        first = np.unique(clusters, return_index=True)[1]
        firsts = looked_at[np.sort(first)]
        queue = _within_quotas(firsts, quota_of, options)
        if len(queue) == min(options.n_queue, len(ranked)) or len(looked_at) == len(ranked):
            break
        n_looked_at *= 2
    sizes = np.bincount(clusters)
    positions = {int(index): position for position, index in enumerate(looked_at)}
    similar = np.array([sizes[clusters[positions[int(index)]]] - 1 for index in queue], dtype=np.int64)
    return queue, similar


def _quota_of(posts: ScoredPosts, options: WorklistOptions) -> NDArray[np.int64]:
    """The number of each post's quota, in their order; -1 for posts without: (n_posts,)."""
    quota_of = np.full(len(posts.calibrated), -1)
    known = posts.types.names if options.type_quotas else tuple(np.unique(posts.languages).tolist())
    for number, name in enumerate([*options.quotas, *options.type_quotas]):
        mask = posts.types.has(name) if options.type_quotas else posts.languages == name
        if not mask.any():
            what = "type" if options.type_quotas else "language"
            raise _not_there(what, [name], sorted(known), where="--quota")
        quota_of[mask] = number
    return quota_of


def _first_of_each(ranked: NDArray[np.int64], quota_of: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The first ``n`` posts of each quota and of those without, in the order of ``ranked``."""
    numbers = quota_of[ranked]
    taken = np.zeros(len(ranked), dtype=bool)
    for number in np.unique(numbers):
        taken[np.flatnonzero(numbers == number)[:n]] = True
    return ranked[taken]


def _within_quotas(
    ranked: NDArray[np.int64], quota_of: NDArray[np.int64], options: WorklistOptions
) -> NDArray[np.int64]:
    """The first posts of each quota, and of those without as many as there is room for, in the order of ``ranked``."""
    numbers = quota_of[ranked]
    taken = np.zeros(len(ranked), dtype=bool)
    for number, quota in enumerate([*options.quotas.values(), *options.type_quotas.values()]):
        taken[np.flatnonzero(numbers == number)[:quota]] = True
    rest = np.flatnonzero(numbers == -1)[: options.n_queue - int(taken.sum())]
    taken[rest] = True
    return ranked[taken]


def _clusters(posts: ScoredPosts, indices: NDArray[np.int64], spec: DataSpec | None) -> NDArray[np.int64]:
    """A number for each of these posts, the same for near-duplicates of one language."""
    texts = posts_at(posts, indices, spec)
    near = find_duplicates([texts[index].post for index in indices.tolist()]).near
    codes = np.unique(posts.languages[indices], return_inverse=True)[1]
    _, clusters = np.unique(np.stack([codes, near]), axis=1, return_inverse=True)
    return np.asarray(clusters.reshape(-1), dtype=np.int64)


def _group_sizes(posts: ScoredPosts) -> NDArray[np.int64]:
    """How many posts read the same as each, itself among them: (n_posts,)."""
    _, inverse, counts = np.unique(posts.group, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse], dtype=np.int64)


def summarise(posts: ScoredPosts, worklist: Worklist, options: WorklistOptions, *, output: str) -> WorklistSummary:
    """What was chosen, and what it is expected to find by the scores alone."""
    distinct = posts.distinct
    in_queue = np.zeros(len(distinct), dtype=bool)
    in_queue[worklist.order[~worklist.audited]] = True
    in_audit = np.zeros(len(distinct), dtype=bool)
    in_audit[worklist.order[worklist.audited]] = True

    def part(name: str, mask: NDArray[np.bool_]) -> WorklistLanguage:
        return WorklistLanguage(
            name=name,
            posts=int((mask & distinct).sum()),
            flagged=int((mask & distinct & (posts.decision == 1)).sum()),
            queue=int((mask & in_queue).sum()),
            audit=int((mask & in_audit).sum()),
            expected=rounded(float(worklist.expected[mask & in_queue].sum())),
            expected_all=rounded(float(worklist.expected[mask & distinct].sum())),
        )

    names = np.unique(posts.languages).tolist()
    return WorklistSummary(
        output=output,
        inputs=tuple(file.path for file in posts.files),
        scored_posts=posts.fingerprint,
        bundles=tuple(posts.bundles.names),
        posts=len(distinct),
        without_text=posts.without_text,
        repeats=int((~distinct).sum()),
        budget=options.budget,
        queue=int(in_queue.sum()),
        audit=int(in_audit.sum()),
        similar=int(worklist.similar[~worklist.audited].sum()),
        seed=options.seed,
        prevalence=dict(options.prevalence),
        quotas={**options.quotas, **options.type_quotas},
        languages=tuple(part(name, posts.languages == name) for name in names),
        pooled=part("all", np.ones(len(distinct), dtype=bool)),
        notes=posts.notes,
    )


def _is_worklist(path: Path) -> bool:
    try:
        with open_table(path) as table:
            return {"purpose", "inclusion_p", "scored_posts"} <= set(table.columns)
    except DataError:
        return False


WORKLIST = OutputKind("worklist", _is_worklist)
_KINDS = ("csv", "tsv", "jsonl", "xlsx")


def check_worklist_output(output: Path, *, replace: bool, inputs: Iterable[str]) -> None:
    """Raise DataError where a worklist cannot be written: of another kind of file, over an input, or over one in which
    somebody has decided already."""
    if format_of(output) not in _KINDS:
        hint = f"-o {output.stem}.csv"
        raise DataError("a worklist is for people: csv, tsv, jsonl or xlsx", where=str(output), hint=hint)
    check_output(output, WORKLIST, replace=replace, inputs=inputs)
    if output.exists() and (decided := _decided(output)):
        raise DataError(
            f"holds {decided:,} decisions, which a new worklist would throw away",
            where=str(output),
            hint="choose another file",
        )


def _decided(path: Path) -> int:
    """Rows of a worklist in which somebody has filled in a label."""
    with open_table(path) as table:
        return sum(any(cell_text(row.cells.get(label)).strip() for label in LABELS) for row in table.rows)


def write_worklist(
    posts: ScoredPosts,
    worklist: Worklist,
    summary: WorklistSummary,
    *,
    spec: DataSpec | None = None,
    replace: bool = False,
) -> None:
    """Write the rows of a worklist and its manifest: columns of the input are kept, its id and text come first."""
    output = Path(summary.output)
    rows = {index: (file, row) for index, file, row in rows_at(posts, worklist.order, spec)}
    cells = [
        _cells(*rows[index])
        | {
            "purpose": AUDIT if audited else QUEUE,
            "inclusion_p": rounded(inclusion),
            "similar": similar,
            "scored_posts": summary.scored_posts,
        }
        for index, audited, inclusion, similar in zip(
            worklist.order.tolist(),
            worklist.audited.tolist(),
            worklist.inclusion.tolist(),
            worklist.similar.tolist(),
            strict=True,
        )
    ]
    columns = _columns(posts.files)
    cells = [{column: row.get(column) for column in columns} for row in cells]
    ending = output.name.removeprefix(Path(stem(output.name)).name)
    if format_of(output) == "xlsx":
        for row in cells:
            check_cells(row, where=f"post {shown_value(cell_text(row.get(columns[0])))}")
    with whole_file(output, replace=replace) as stream:
        stream.write(header(columns, ending=ending, spec=ScoreSpec(excel=format_of(output) == "csv")))
        with row_writer(stream, columns, ending=ending, schema=None, raw=False) as write:
            write.rows(cells)
    write_whole(Path(f"{output}{MANIFEST}"), summary.model_dump_json(indent=2) + "\n", replace=True)


def _cells(file: ScoredFile, row: Row) -> dict[str, Any]:
    """The cells of a scored post under their names in a worklist, in which a reader's labels stand apart."""
    names = output_columns(file.columns, WORKLIST_COLUMNS)
    cells = {names.get(column, column): cell for column, cell in row.cells.items()}
    return cells if file.roles.get("id") else {"id": f"row-{row.line}", **cells}


def _columns(files: Sequence[ScoredFile]) -> tuple[str, ...]:
    """Id, text, what reviewers fill in, why a post is there, what scoring says; then all further columns."""
    given: dict[str, None] = {}
    first: dict[str, None] = {}
    for file in files:
        names = output_columns(file.columns, WORKLIST_COLUMNS)
        columns = (file.roles.get(role) for role in ("id", "text"))
        first |= dict.fromkeys(names.get(column, column) if column else "id" for column in columns)
        given |= dict.fromkeys(names.values())
    scored = (column for column in COLUMNS if column in given)
    return tuple(dict.fromkeys((*first, *WORKLIST_COLUMNS[:-1], *scored, *given, WORKLIST_COLUMNS[-1])))
