"""Save and load bundles: whole or not at all, every hash checked, nothing pickled, nothing outside touched."""

from __future__ import annotations

import importlib
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from polyvigil.bundle import layout
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.dev import read as read_dev
from polyvigil.bundle.dev import write as write_dev
from polyvigil.bundle.layout import Manifest, MemberEntry
from polyvigil.bundle.member_scores import Answers, carrying_windows, score_members
from polyvigil.bundle.verify import AGAIN, bundle_id, entries, scores_id, verify
from polyvigil.data.atomic import whole_folder
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.combine import Combination
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.detect import chat, stacked
from polyvigil.detect.base import Detector, FitRecord, Lengths, Scores, Tokenises, Window
from polyvigil.detect.chat import ChatDetector, EndpointPermission, Usage
from polyvigil.detect.stacked import Featured
from polyvigil.errors import BundleError, not_installed
from polyvigil.text.memo import MemoCache, memoised
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Post, Probabilities

_LOADERS = {  # kind of a member -> the module whose load(folder, device=...) reads it
    "linear": "polyvigil.detect.linear",
    "encoder": "polyvigil.detect.transformer",
    "nli": "polyvigil.detect.zeroshot_nli",
    "ner": "polyvigil.detect.zeroshot_ner",
}
_STACKED = "stacked"  # a member of two others, each read by its own loader
_CHAT = ChatDetector.kind  # on no device


@dataclass(frozen=True, slots=True)
class Seen:
    """64-bit text hashes (data.fingerprint.post_hashes) of the posts a bundle was made from; sorted."""

    train: NDArray[np.uint64]
    dev: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle: fitted members, how they are combined, and the policy that decides on the result."""

    manifest: Manifest
    members: tuple[Detector, ...]
    combination: Combination
    policy: DecisionPolicy
    calibration: Calibration
    dev: StoredDev
    seen: Seen

    @property
    def id(self) -> str:
        return self.manifest.id

    def is_trained_on(self, language: str) -> bool:
        """Whether posts of both classes in this group were trained on; if not, its scores are not validated."""
        return language in self.manifest.trained_languages

    def member_probabilities(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """See ``member_probabilities`` of this module; shape (n_members, n_posts)."""
        return member_probabilities(self.members, posts)

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """Token counts by the first member that counts them; None when none does."""
        counted = (member.lengths(posts) for member in self.members)
        return next((lengths for lengths in counted if lengths is not None), None)

    @property
    def tokenises(self) -> bool:
        """Whether ``prepare`` has anything to do."""
        return any(isinstance(member, Tokenises) for member in self.members)

    def pretokenise(self, posts: Sequence[Post]) -> MemoCache:
        """Normalise and tokenise posts, once for members that share a tokenizer: what scoring them inside
        ``text.once.once`` with this memory need not do again. In a thread of its own while others are scored."""
        cache: MemoCache = {}
        with memoised(cache):
            for member in self.members:
                if isinstance(member, Tokenises):
                    member.tokenise(posts)
        return cache

    @property
    def usage(self) -> Usage | None:
        """What asking a chat endpoint took since the bundle was loaded; None where none may be asked."""
        sessions = (member.session for member in self.members if isinstance(member, ChatDetector))
        return next((session.usage for session in sessions if session), None)

    @property
    def has_endpoint(self) -> bool:
        """Whether its second stage is a chat endpoint, asked or not."""
        return any(entry.kind == _CHAT for entry in self.manifest.members)

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE) combined over those asked, shape (n_posts,), in [0, 1]; exactly 0 for a post with nothing to read."""
        return self.decided(self.staged_probabilities(posts), [post.language for post in posts])

    def decided(self, by_member: NDArray[np.float64], languages: Sequence[str]) -> Probabilities:
        """What ``asked_probabilities`` gave, as the one P of each post that its threshold is for: (n_posts,)."""
        return self.combination.decided(by_member, self.policy.post_thresholds(languages), languages)

    def dev_scores(self) -> DevScores:
        """The dev posts by their stored scores, all members asked: what the thresholds are looked at on."""
        dev = self.dev
        languages = dev.languages.tolist()
        scores = self.combination.of_all.decided(dev.by_member, self.policy.post_thresholds(languages), languages)
        return DevScores(scores, dev.labels, dev.languages)

    def second_stage_mask(self, by_member: NDArray[np.float64], languages: Sequence[str]) -> NDArray[np.bool_]:
        """For which posts the members that are not asked of all are asked too: (n_posts,)."""
        first = self.combination.first_stage_members(len(self.members))
        thresholds = self.policy.post_thresholds(languages)
        return self.combination.second_stage_mask(by_member[first], thresholds, languages, members=len(self.members))

    def staged_probabilities(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """The probabilities of ``asked``."""
        return self.member_scores(posts).probabilities

    @memoised()
    def member_scores(self, posts: Sequence[Post]) -> Answers:
        """What each member says that is asked of a post; a post's others have NaN.

        Without cascade or judge all are asked. With one, whether a post's others are asked hangs on that post alone.
        """
        first = self.combination.first_stage_members(len(self.members))
        result = Answers.fill(len(self.members), len(posts))
        result.assign(score_members([self.members[index] for index in first], posts), first, np.arange(len(posts)))
        second_stage = np.flatnonzero(self.second_stage_mask(result.probabilities, [post.language for post in posts]))
        remaining_members = [index for index in range(len(self.members)) if index not in first]
        chosen = [posts[index] for index in second_stage.tolist()]
        result.assign(
            score_members([self.members[index] for index in remaining_members], chosen), remaining_members, second_stage
        )
        return result

    def windows(self, posts: Sequence[Post], answers: Answers) -> list[Window | None]:
        """Which window of each post carried its score (bundle.answers.carrying_windows)."""
        return carrying_windows(self.members, posts, answers)


def member_probabilities(members: Sequence[Scores], posts: Sequence[Post]) -> NDArray[np.float64]:
    """P(ADE) of each member for each post: shape (n_members, n_posts); exactly 0 with nothing to read (``ask``)."""
    return score_members(members, posts).probabilities


class Member(Protocol):
    """What of a member is saved."""

    @property
    def kind(self) -> str: ...

    @property
    def fit_record(self) -> FitRecord: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Copied:
    """A member of a bundle that stands on disk at ``source``: saved into another one byte by byte."""

    source: Path
    kind: str
    fit_record: FitRecord

    def save(self, folder: Path) -> None:
        """Copy the files."""
        shutil.copytree(self.source, folder, dirs_exist_ok=True)


def copied(folder: Path | str, bundle: Bundle) -> tuple[Copied, ...]:
    """The members of the ``bundle`` that was loaded from ``folder``."""
    return tuple(
        Copied(Path(folder) / entry.folder, entry.kind, member.fit_record)
        for entry, member in zip(bundle.manifest.members, bundle.members, strict=True)
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
    card: Callable[[Manifest], str] | None = None,
    replace: bool = False,
    device: str = "auto",
) -> Bundle:
    """Write a bundle and load it back on ``device``. ``documents`` are further text files by name (evaluation, recipe).

    ``card`` is given the manifest, with the bundle's id and all files but the card, and makes the model card's text.

    Raises BundleError when ``folder`` exists, unless ``replace`` is set and it holds a bundle.
    """
    check_free(folder, replace=replace)
    with whole_folder(folder) as partial:
        listed = []
        for index, member in enumerate(members):
            entry = MemberEntry(folder=layout.member_folder(index, member.kind), kind=member.kind)
            (partial / entry.folder).mkdir(parents=True)
            member.save(partial / entry.folder)
            listed.append(entry)
        (partial / layout.COMBINATION).write_text(combination.model_dump_json(indent=2) + "\n", encoding="utf-8")
        locked = policy.model_copy(update={"tuned_for": scores_id(tuple(listed), entries(partial))})
        decided = {layout.POLICY: locked, layout.CALIBRATION: calibration}
        texts = {name: value.model_dump_json(indent=2) + "\n" for name, value in decided.items()}
        for name, text in {**texts, **documents}.items():
            (partial / name).write_text(text, encoding="utf-8")
        write_dev(dev, partial / layout.DEV)
        save_file({"train": seen.train, "dev": seen.dev}, partial / layout.SEEN)
        trained = {language for member in members for language in member.fit_record.languages}
        provisional = Manifest(
            id="0" * 16,
            normalisation=NORMALISATION,
            trained_languages=tuple(sorted(trained)),
            tuned_languages=tuple(policy.thresholds),
            members=tuple(listed),
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


def load(
    folder: Path | str, *, device: str = "auto", stale: bool = False, permission: EndpointPermission | None = None
) -> Bundle:
    """Load a bundle after checking the name, size and hash of every file. ``device``: for encoders; auto, cpu, cuda.

    Only with ``asking`` may its scoring send posts to a chat endpoint that it names (docs/judge.md).

    Raises BundleError when it is missing, damaged, changed after it was saved, or of another version; and, unless
    ``stale``, when its thresholds were tuned on the scores of other members, since they would decide nonsense.
    """
    folder = Path(folder)
    manifest = verify(folder)
    try:
        combination = Combination.model_validate_json((folder / layout.COMBINATION).read_bytes())
        policy = DecisionPolicy.model_validate_json((folder / layout.POLICY).read_bytes())
        calibration = Calibration.model_validate_json((folder / layout.CALIBRATION).read_bytes())
        dev = read_dev(folder / layout.DEV)
        arrays = load_file(folder / layout.SEEN)
        seen = Seen(arrays["train"], arrays["dev"])
    except (OSError, ValueError, SafetensorError, KeyError, IndexError) as error:
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(folder), hint=AGAIN) from error
    members: list[Detector] = []
    for entry in manifest.members:
        if entry.kind == _CHAT:
            members.append(chat.load(folder / entry.folder, permission=permission))
            continue
        if entry.kind not in {*_LOADERS, _STACKED}:
            raise BundleError(
                f"member of unknown kind {entry.kind!r}", where=str(folder), hint="update polyvigil to read it"
            )
        members.append(_member(entry.kind, folder / entry.folder, device=device))
    first = combination.first_stage_members(len(members))
    sizes = {len(combination.weights or members), len(dev.by_member)}
    if sizes != {len(members)} or not first or not {*first} <= {*range(len(members))}:
        raise BundleError("its weights or dev scores are of other members", where=str(folder), hint=AGAIN)
    if not stale and policy.tuned_for != scores_id(manifest.members, manifest.files):
        raise BundleError(
            "its thresholds are stale: they were tuned on the scores of other members",
            where=str(folder),
            hint="tune them again: polyvigil tune BUNDLE DEV.csv -o TUNED",
        )
    return Bundle(manifest, tuple(members), combination, policy, calibration, dev, seen)


def _member(kind: str, folder: Path, *, device: str) -> Detector:
    if kind != _STACKED:
        detector: Detector = _loader(kind)(folder, device=device)
        return detector
    config = stacked.read(folder)
    base: Detector = _loader(config.base)(folder / stacked.BASE, device=device)
    further: Featured = _loader(config.further)(folder / stacked.FURTHER, device=device)
    return stacked.assemble(folder, config, base=base, further=further)


def _loader(kind: str) -> Callable[..., Any]:
    try:
        loader: Callable[..., Any] = importlib.import_module(_LOADERS[kind]).load
    except ModuleNotFoundError as error:
        needed_by = f"a member of kind {kind!r}"
        raise not_installed(error.name, extra="encoders", needed_by=needed_by, error=BundleError) from error
    return loader


def read_document(folder: Path | str, name: str) -> str:
    """A text document of a bundle that ``load`` has verified (evaluation, recipe). Raises BundleError without it."""
    try:
        return (Path(folder) / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"no readable {name}", where=str(folder), hint=AGAIN) from error


def check_free(folder: Path, *, replace: bool) -> None:
    """Raise BundleError when a bundle may not be written to ``folder``; called before hours are spent."""
    if folder.exists() and not (replace and (folder / layout.MANIFEST).is_file()):
        raise BundleError(
            "a bundle stands there already" if (folder / layout.MANIFEST).is_file() else "exists and is no bundle",
            where=str(folder),
            hint="choose another folder"
            + (", or --replace it" if (folder / layout.MANIFEST).is_file() and not replace else ""),
        )


def _libraries() -> dict[str, str]:
    names = ("polyvigil", "numpy", "scipy", "scikit-learn", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
