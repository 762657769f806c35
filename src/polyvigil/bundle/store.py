"""Save and load bundles: whole or not at all, every hash checked, nothing pickled, nothing outside touched."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from polyvigil.bundle import layout
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.dev import read as read_dev
from polyvigil.bundle.dev import write as write_dev
from polyvigil.bundle.layout import CombinationRecord, Manifest, MemberEntry
from polyvigil.bundle.members import load_member, load_second_stage
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.verify import AGAIN, bundle_id, entries, scores_id, verify
from polyvigil.data.atomic import whole_folder
from polyvigil.data.packed_posts import field_of
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.combine import Combination
from polyvigil.decide.judge import Judge
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.detect.base import (
    NGRAM_KINDS,
    Detector,
    FitRecord,
    KnowsShares,
    Lengths,
    Scores,
    Tokenises,
    WarmsUp,
    Window,
)
from polyvigil.detect.member_scores import MemberScores, carrying_windows, score_members
from polyvigil.errors import BundleError
from polyvigil.judge.endpoint import Endpoint, EndpointPermission, Usage
from polyvigil.judge.stage import SecondStage, SecondStageResult
from polyvigil.progress import report_share
from polyvigil.text.memo import MemoCache, memoised
from polyvigil.types import Post, Probabilities

_POSTS_OF_A_BATCH = 20_000  # by n-grams, of which each takes memory for its normalised text meanwhile


@dataclass(frozen=True, slots=True)
class Seen:
    """64-bit text hashes (data.fingerprint.post_hashes) of the posts a bundle was made from; sorted."""

    train: NDArray[np.uint64]
    dev: NDArray[np.uint64]

    @property
    def out_of_fold(self) -> bool:
        """Whether the dev posts are training posts, each scored by a model of other folds (learn.folds): nothing else
        may be tuned on posts of which half or more were learned from (workflows.ensemble.leaks)."""
        return len(self.dev) > 0 and 2 * int(np.isin(self.dev, self.train).sum()) >= len(self.dev)


@dataclass(frozen=True, slots=True)
class BundleScores:
    """What the members of a bundle gave some posts, before it is combined."""

    first: MemberScores
    """(n_members, n_posts); NaN where a cascade left a member out."""
    second: SecondStageResult | None
    """None of a bundle without a second stage."""

    @property
    def all_members(self) -> MemberScores:
        """The rows of both stages, those of the second last."""
        return self.first if self.second is None else MemberScores.stacked([self.first, self.second.scores])


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle: fitted members, how they are combined, the policy that decides on the result, and possibly a
    second stage that decides the posts near a threshold."""

    manifest: Manifest
    members: tuple[Detector, ...]
    """Of the first stage."""
    combination: Combination
    """Of ``members``."""
    policy: DecisionPolicy
    calibration: Calibration
    dev: StoredDev
    seen: Seen
    second_stage: SecondStage | None = None

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def normalisation(self) -> str:
        """How its members read posts: one of text.normalise.NORMALISATIONS."""
        return self.manifest.normalisation

    @property
    def all_members(self) -> tuple[Detector | Endpoint, ...]:
        """The members of both stages, those of the second last, in the order of ``manifest.all_members``."""
        return (*self.members, *(self.second_stage.members if self.second_stage else ()))

    @property
    def combination_record(self) -> CombinationRecord:
        """The combination of both stages, as ``combination.json`` holds it."""
        second = self.second_stage
        return CombinationRecord(
            weights=self.combination.weights + (second.combination.weights if second else ()),
            cascade=self.combination.cascade,
            judge=second.judge if second else None,
            coverage=self.combination.coverage,
        )

    def is_trained_on(self, language: str) -> bool:
        """Whether posts of both classes in this group were trained on; if not, its scores are not validated."""
        return language in self.manifest.trained_languages

    def flags(self, posts: Sequence[Post], probabilities: Probabilities) -> NDArray[np.bool_]:
        """Whether each post is flagged, (n_posts,), given its P: by its threshold, unless the bundle abstains."""
        flags = self.policy.flags(probabilities, list(field_of(posts, "language")))
        return flags & ~self.abstains(posts)

    def abstains(self, posts: Sequence[Post]) -> NDArray[np.bool_]:
        """Which posts are not flagged whatever their P, (n_posts,), because nothing says what it means there.

        Of a bundle that reads n-grams alone, those of a language it was not trained on, if the language has no
        threshold (workflows.tune gives it one from posts without labels), or if every member knows a smaller share of
        the post than ``policy.least_known``. 0 there: none.
        """
        result = np.zeros(len(posts), dtype=np.bool_)
        foreign = {name for name in {*field_of(posts, "language")} if not self.is_trained_on(name)}
        if not foreign or not self.reads_ngrams_alone or not self.policy.least_known:
            return result
        indices = [index for index, name in enumerate(field_of(posts, "language")) if name in foreign]
        if len(indices) > _POSTS_OF_A_BATCH:
            return np.concatenate([self.abstains(batch) for batch in _batches(posts)])
        chosen = [posts[index] for index in indices]
        members = [member for member in self.members if isinstance(member, KnowsShares)]
        shares = np.max([member.known_shares(chosen) for member in members], axis=0)
        unknown = np.array([post.language not in self.policy.thresholds for post in chosen], dtype=np.bool_)
        result[indices] = unknown | (shares < self.policy.least_known)
        return result

    @property
    def reads_ngrams_alone(self) -> bool:
        """Whether nothing in it knows more of a language than the n-grams of its training posts."""
        return self.second_stage is None and all(
            member.kind in NGRAM_KINDS and isinstance(member, KnowsShares) for member in self.members
        )

    def member_probabilities(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """See ``member_probabilities`` of this module; shape (n_members, n_posts)."""
        if len(posts) > _POSTS_OF_A_BATCH and self.reads_ngrams_alone:
            return np.concatenate([self.member_probabilities(batch) for batch in _batches(posts)], axis=1)
        return member_probabilities(self.members, posts, normalisation=self.normalisation)

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """Token counts by the first member that counts them; None when none does."""
        counted = (detector.lengths(posts) for detector in self._detectors)
        return next((lengths for lengths in counted if lengths is not None), None)

    @property
    def tokenises(self) -> bool:
        """Whether ``pretokenise`` has anything to do."""
        return any(isinstance(detector, Tokenises) for detector in self._detectors)

    def pretokenise(self, posts: Sequence[Post]) -> MemoCache:
        """Normalise and tokenise posts, once for members that share a tokenizer: what scoring them inside
        ``text.memo.memoised`` with this cache need not do again. In a thread of its own while others are scored."""
        cache: MemoCache = {}
        with memoised(cache):
            for detector in self._detectors:
                if isinstance(detector, Tokenises):
                    detector.tokenise(posts)
        return cache

    def warm_up(self) -> None:
        """Do now what scoring would else do when it is first worth it, such as compiling: before the first post of a
        process that is there to score."""
        for detector in self._detectors:
            if isinstance(detector, WarmsUp):
                detector.warm_up()

    @property
    def usage(self) -> Usage | None:
        """What requests to a chat endpoint took since the bundle was loaded; None where none is allowed."""
        return self.second_stage.usage if self.second_stage else None

    @property
    def has_endpoint(self) -> bool:
        """Whether its second stage is a chat endpoint, open or not."""
        return self.second_stage is not None and self.second_stage.has_endpoint

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE) of all stages, shape (n_posts,), in [0, 1]; exactly 0 for a post with nothing to read."""
        if len(posts) > _POSTS_OF_A_BATCH and self.reads_ngrams_alone:  # whose bits hang on no neighbour
            return np.concatenate([self.probabilities(batch) for batch in _batches(posts)])
        return self.combined(self.scores(posts), [post.language for post in posts])

    def combined(self, scores: BundleScores, languages: Sequence[str]) -> Probabilities:
        """What ``scores`` gave, as the one P of each post that its threshold is for: (n_posts,)."""
        if self.second_stage is None or scores.second is None:
            return self.combination.mean(scores.first.probabilities)
        first = self.combination.plain_mean(scores.first.probabilities)
        thresholds = self.policy.post_thresholds(languages)
        return self.second_stage.decide(first, scores.second.scores.probabilities, thresholds, languages)

    def dev_scores(self) -> DevScores:
        """The dev posts by their stored scores, all members scored: what thresholds are tuned on."""
        dev, languages = self.dev, self.dev.languages.tolist()
        if self.second_stage is None or dev.second_stage is None:
            scores = dev.scores(self.combination.of_all).probabilities
        else:
            first, thresholds = (
                self.combination.plain_mean(dev.counted(self.combination)),
                self.policy.post_thresholds(languages),
            )
            scores = self.second_stage.decide(first, dev.second_stage, thresholds, languages)
        return DevScores(scores, dev.labels, dev.languages)

    def staged_probabilities(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """What each member gave each post, (n_members, n_posts); NaN where a cascade left it out."""
        return self._first_scores(posts).probabilities

    @memoised()
    def scores(self, posts: Sequence[Post]) -> BundleScores:
        """Score posts by the members, and those near a threshold by the second stage where there is one.

        Whether further members or a second stage score a post depends on that post alone.
        """
        first = self._first_scores(posts)
        if self.second_stage is None:
            return BundleScores(first, None)
        alone = self.combination.plain_mean(first.probabilities)
        thresholds = self.policy.post_thresholds([post.language for post in posts])
        second = self.second_stage.score(posts, alone, thresholds, normalisation=self.normalisation)
        return BundleScores(first, second)

    def windows(self, posts: Sequence[Post], scores: BundleScores) -> list[Window | None]:
        """Which window of each post carried its score (detect.member_scores.carrying_windows)."""
        return carrying_windows(self.all_members, posts, scores.all_members)

    @memoised()
    def _first_scores(self, posts: Sequence[Post]) -> MemberScores:
        """The first members of a cascade score every post, the remaining ones those near the threshold; without a
        cascade all score every post. A member that does not count in a post's language does not score it."""
        first = self.combination.first_members(len(self.members))
        result = MemberScores.empty(len(self.members), len(posts))
        languages = [post.language for post in posts]
        known = self.combination.mask(languages, members=len(self.members))
        self._score(result, first, posts, known)
        near = self.combination.remaining_mask(result.probabilities[first], self.policy.post_thresholds(languages))
        remaining = [index for index in range(len(self.members)) if index not in first]
        self._score(result, remaining, posts, known & near)
        return result

    def _score(
        self, result: MemberScores, members: Sequence[int], posts: Sequence[Post], mask: NDArray[np.bool_]
    ) -> None:
        """Write into ``result`` what ``members`` give the posts of their rows of ``mask``, (n_members, n_posts).

        Those that score the same posts do it together.
        """
        alike: dict[bytes, list[int]] = {}
        for index in members:
            alike.setdefault(mask[index].tobytes(), []).append(index)
        for indices in alike.values():
            rows = np.flatnonzero(mask[indices[0]])
            chosen = [posts[index] for index in rows.tolist()]
            detectors = [self.members[index] for index in indices]
            result.assign(score_members(detectors, chosen, normalisation=self.normalisation), indices, rows)

    @property
    def _detectors(self) -> tuple[Detector, ...]:
        return (*self.members, *(self.second_stage.detectors if self.second_stage else ()))


def _batches(posts: Sequence[Post]) -> Iterator[list[Post]]:
    """Posts that are scored together, in their order."""
    for start in range(0, len(posts), _POSTS_OF_A_BATCH):
        report_share("scoring", start, len(posts))
        yield list(posts[start : start + _POSTS_OF_A_BATCH])


def member_probabilities(
    members: Sequence[Scores], posts: Sequence[Post], *, normalisation: str
) -> NDArray[np.float64]:
    """P(ADE) of each member for each post: shape (n_members, n_posts); exactly 0 with nothing to read by the members'
    ``normalisation``."""
    return score_members(members, posts, normalisation=normalisation).probabilities


class Member(Protocol):
    """What of a member is saved."""

    @property
    def kind(self) -> str: ...

    @property
    def fit_record(self) -> FitRecord: ...

    @property
    def normalisation(self) -> str: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Copied:
    """A member of a bundle that stands on disk at ``source``: saved into another one byte by byte."""

    source: Path
    kind: str
    fit_record: FitRecord
    normalisation: str

    def save(self, folder: Path) -> None:
        """Copy the files."""
        shutil.copytree(self.source, folder, dirs_exist_ok=True)


def copied(folder: Path | str, bundle: Bundle) -> tuple[Copied, ...]:
    """The members of the first stage of the ``bundle`` that was loaded from ``folder``."""
    return tuple(
        Copied(Path(folder) / entry.folder, entry.kind, member.fit_record, bundle.normalisation)
        for entry, member in zip(bundle.manifest.members[: len(bundle.members)], bundle.members, strict=True)
    )


@dataclass(frozen=True, slots=True)
class UnsavedSecondStage:
    """A second stage before it is saved."""

    judge: Judge
    members: Sequence[Member]
    """Its detectors, or its endpoint alone."""
    weights: tuple[float, ...] = ()
    """One for each member; empty: all the same."""


def combination_record(
    combination: Combination, members: int, second_stage: UnsavedSecondStage | None
) -> CombinationRecord:
    """How ``members`` and a second stage become one; where one stage has weights the members of the other have 1."""
    if second_stage is None:
        return CombinationRecord(
            weights=combination.weights, cascade=combination.cascade, coverage=combination.coverage
        )
    weights: tuple[float, ...] = ()
    if combination.weights or second_stage.weights:
        first = combination.weights or (1.0,) * members
        weights = (*first, *(second_stage.weights or (1.0,) * len(second_stage.members)))
    return CombinationRecord(
        weights=weights, cascade=combination.cascade, judge=second_stage.judge, coverage=combination.coverage
    )


def save(
    folder: Path,
    *,
    members: Sequence[Member],
    combination: Combination,
    policy: DecisionPolicy,
    calibration: Calibration,
    dev: StoredDev,
    seen: Seen,
    documents: Mapping[str, str],
    second_stage: UnsavedSecondStage | None = None,
    card: Callable[[Manifest], str] | None = None,
    replace: bool = False,
    device: str = "auto",
) -> Bundle:
    """Write a bundle and load it back on ``device``. ``documents`` are further text files by name (evaluation, recipe).

    ``card`` is given the manifest, with the bundle's id and all files but the card, and makes the model card's text.

    Raises BundleError when ``folder`` exists, unless ``replace`` is set and it holds a bundle, and for members that
    read posts in different ways.
    """
    check_output(folder, BUNDLE, replace=replace)
    further = second_stage.members if second_stage else ()
    normalisation = _common_normalisation([*members, *further], where=folder)
    with whole_folder(folder, replace=replace) as partial:
        listed = _save_members(partial, members, stage=layout.MEMBERS)
        listed_further = _save_members(partial, further, stage=layout.SECOND_STAGE)
        record = combination_record(combination, len(members), second_stage)
        (partial / layout.COMBINATION).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        all_listed = (*listed, *listed_further)
        tuned_for = scores_id(all_listed, entries(partial), normalisation=normalisation)
        locked = policy.model_copy(update={"tuned_for": tuned_for})
        decided = {layout.POLICY: locked, layout.CALIBRATION: calibration}
        texts = {name: value.model_dump_json(indent=2) + "\n" for name, value in decided.items()}
        for name, text in {**texts, **documents}.items():
            (partial / name).write_text(text, encoding="utf-8")
        write_dev(dev, partial / layout.DEV)
        save_file({"train": seen.train, "dev": seen.dev}, partial / layout.SEEN)
        trained = {language for member in (*members, *further) for language in member.fit_record.languages}
        provisional = Manifest(
            schema_version=layout.SCHEMA_WITH_SECOND_STAGE if further else layout.SCHEMA,
            id="0" * 16,
            normalisation=normalisation,
            trained_languages=tuple(sorted(trained)),
            tuned_languages=tuple(policy.thresholds),
            members=listed,
            second_stage=listed_further,
            libraries=_libraries(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files=entries(partial),
        )
        manifest = provisional.model_copy(update={"id": bundle_id(provisional)})
        if card:
            (partial / layout.CARD).write_text(card(manifest), encoding="utf-8")
            manifest = manifest.model_copy(update={"files": entries(partial)})
        (partial / layout.MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return load(folder, device=device)


def _common_normalisation(members: Sequence[Member | Detector | Endpoint], *, where: Path) -> str:
    """How all of them read posts. Raises BundleError where they differ."""
    names = list(dict.fromkeys(member.normalisation for member in members))
    if len(names) > 1:
        raise BundleError(f"its members read posts by {' and '.join(names)}", where=str(where), hint=AGAIN)
    return names[0]


def _save_members(partial: Path, members: Sequence[Member], *, stage: str) -> tuple[MemberEntry, ...]:
    listed = []
    for index, member in enumerate(members):
        entry = MemberEntry(folder=layout.member_folder(index, member.kind, stage=stage), kind=member.kind)
        (partial / entry.folder).mkdir(parents=True)
        member.save(partial / entry.folder)
        listed.append(entry)
    return tuple(listed)


def load(
    folder: Path | str, *, device: str = "auto", stale: bool = False, permission: EndpointPermission | None = None
) -> Bundle:
    """Load a bundle after checking the name, size and hash of every file. ``device``: for encoders; auto, cpu, cuda.

    Only with a ``permission`` may its scoring send posts to a chat endpoint that it names (docs/judge.md).

    Raises BundleError when it is missing, damaged, changed after it was saved, or of another version; and, unless
    ``stale``, when its thresholds were tuned on the scores of other members, since they would decide nonsense.
    """
    folder = Path(folder)
    manifest = verify(folder)
    try:
        record = CombinationRecord.model_validate_json((folder / layout.COMBINATION).read_bytes())
        policy = DecisionPolicy.model_validate_json((folder / layout.POLICY).read_bytes())
        calibration = Calibration.model_validate_json((folder / layout.CALIBRATION).read_bytes())
        dev = read_dev(folder / layout.DEV)
        arrays = load_file(folder / layout.SEEN)
        seen = Seen(arrays["train"], arrays["dev"])
    except (OSError, ValueError, SafetensorError, KeyError, IndexError) as error:
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(folder), hint=AGAIN) from error
    listed, second = manifest.all_members, record.second_stage_members
    first = len(listed) - second  # in schema version 2 the last ones of ``members`` are the second stage
    combination, second_combination = record.stages(first)
    sizes = {len(record.weights or listed), len(dev.by_member)}
    if (
        first < 1
        or sizes != {len(listed)}
        or (manifest.second_stage and len(manifest.second_stage) != second)
        or not {*combination.first_members(first), *combination.counting} <= {*range(first)}
    ):
        raise BundleError("its weights or dev scores are of other members", where=str(folder), hint=AGAIN)
    members = [load_member(folder, entry, device=device) for entry in listed[:first]]
    second_stage = None
    if record.judge:
        source = load_second_stage(folder, listed[first:], device=device, permission=permission)
        second_stage = SecondStage(record.judge, source, second_combination)
    every = (*members, *(second_stage.members if second_stage else ()))
    if (normalisation := _common_normalisation(every, where=folder)) != manifest.normalisation:
        raise BundleError(
            f"its members read posts by {normalisation}, the bundle by {manifest.normalisation}",
            where=str(folder),
            hint=AGAIN,
        )
    if not stale and policy.tuned_for != scores_id(listed, manifest.files, normalisation=normalisation):
        raise BundleError(
            "its thresholds are stale: they were tuned on the scores of other members",
            where=str(folder),
            hint="tune them again: polyvigil tune BUNDLE DEV.csv -o TUNED",
        )
    return Bundle(
        manifest, tuple(members), combination, policy, calibration, dev.split_stages(second), seen, second_stage
    )


def read_document(folder: Path | str, name: str) -> str:
    """A text document of a bundle that ``load`` has verified (evaluation, recipe). Raises BundleError without it."""
    try:
        return (Path(folder) / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"no readable {name}", where=str(folder), hint=AGAIN) from error


def _libraries() -> dict[str, str]:
    names = ("polyvigil", "numpy", "scipy", "scikit-learn", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
