"""Save and load bundles: whole or not at all, every hash checked, nothing pickled, nothing outside touched."""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from polyvigil.bundle import layout
from polyvigil.bundle.layout import FileEntry, Manifest, MemberEntry
from polyvigil.data.atomic import whole_folder
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.detect.base import Detector, Lengths
from polyvigil.errors import BundleError
from polyvigil.records import Post, Probabilities
from polyvigil.text.normalise import NORMALISATION, model_text, no_text_reason

_LOADERS = {  # kind of a member -> the module whose load(folder, device=...) reads it
    "linear": "polyvigil.detect.linear",
    "encoder": "polyvigil.detect.transformer",
}
_AGAIN = "copy the bundle again from where it was made, or train it again"


@dataclass(frozen=True, slots=True)
class Seen:
    """64-bit text hashes (data.fingerprint.post_hashes) of the posts a bundle was made from; sorted."""

    train: NDArray[np.uint64]
    dev: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle: fitted members and the policy that decides on the mean of their probabilities."""

    manifest: Manifest
    members: tuple[Detector, ...]
    policy: DecisionPolicy
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
        found = (member.lengths(posts) for member in self.members)
        return next((lengths for lengths in found if lengths is not None), None)

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """Mean P(ADE) over the members, shape (n_posts,), in [0, 1]; exactly 0 for a post with nothing to read."""
        mean: Probabilities = self.member_probabilities(posts).mean(axis=0)
        return mean


def member_probabilities(members: Sequence[Detector], posts: Sequence[Post]) -> NDArray[np.float64]:
    """P(ADE) of each member for each post: shape (n_members, n_posts).

    A post with nothing to read (empty, a link, only emoji) is given to no member and has exactly 0, which no threshold
    flags.
    """
    readable = [place for place, post in enumerate(posts) if not no_text_reason(model_text(post.text))]
    result = np.zeros((len(members), len(posts)))
    chosen = [posts[place] for place in readable]
    for row, member in zip(result, members, strict=True):
        row[readable] = member.probabilities(chosen)
    return result


def save(
    folder: Path,
    *,
    members: Sequence[Detector],
    policy: DecisionPolicy,
    seen: Seen,
    documents: Mapping[str, str],
    replace: bool = False,
) -> Bundle:
    """Write a bundle and load it back. ``documents`` are further text files by name (evaluation, recipe).

    Raises BundleError when ``folder`` exists, unless ``replace`` is set and it holds a bundle.
    """
    check_free(folder, replace=replace)
    with whole_folder(folder) as partial:
        entries = []
        for place, member in enumerate(members):
            entry = MemberEntry(folder=layout.member_folder(place, member.kind), kind=member.kind)
            (partial / entry.folder).mkdir(parents=True)
            member.save(partial / entry.folder)
            entries.append(entry)
        for name, text in {layout.POLICY: policy.model_dump_json(indent=2) + "\n", **documents}.items():
            (partial / name).write_text(text, encoding="utf-8")
        save_file({"train": seen.train, "dev": seen.dev}, partial / layout.SEEN)
        files = {
            str(path.relative_to(partial).as_posix()): _entry(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        trained = {language for member in members for language in member.fit_record.languages}
        draft = Manifest(
            id="0" * 16,
            normalisation=NORMALISATION,
            trained_languages=tuple(sorted(trained)),
            tuned_languages=tuple(policy.thresholds),
            members=tuple(entries),
            libraries=_libraries(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files=files,
        )
        manifest = draft.model_copy(update={"id": _bundle_id(draft)})
        (partial / layout.MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return load(folder)


def load(folder: Path | str, *, device: str = "auto") -> Bundle:
    """Load a bundle after checking the name, size and hash of every file. ``device``: for encoders; auto, cpu, cuda.

    Raises BundleError when it is missing, damaged, changed after it was saved, or of another version.
    """
    folder = Path(folder)
    manifest = _verified_manifest(folder)
    try:
        policy = DecisionPolicy.model_validate_json((folder / layout.POLICY).read_bytes())
        arrays = load_file(folder / layout.SEEN)
        seen = Seen(arrays["train"], arrays["dev"])
    except (OSError, ValidationError, SafetensorError, KeyError) as error:
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(folder), hint=_AGAIN) from error
    members = []
    for entry in manifest.members:
        if entry.kind not in _LOADERS:
            raise BundleError(
                f"member of unknown kind {entry.kind!r}", where=str(folder), hint="update polyvigil to read it"
            )
        members.append(_loader(entry.kind)(folder / entry.folder, device=device))
    return Bundle(manifest, tuple(members), policy, seen)


def _loader(kind: str) -> Callable[..., Detector]:
    try:
        loader: Callable[..., Detector] = importlib.import_module(_LOADERS[kind]).load
    except ModuleNotFoundError as error:
        raise BundleError(
            f"a member of kind {kind!r} needs {error.name}, which is not installed",
            hint="install torch for this machine, then: pip install 'polyvigil[encoders]'",
        ) from error
    return loader


def read_document(folder: Path | str, name: str) -> str:
    """A text document of a bundle that ``load`` has verified (evaluation, recipe). Raises BundleError without it."""
    try:
        return (Path(folder) / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"no readable {name}", where=str(folder), hint=_AGAIN) from error


def check_free(folder: Path, *, replace: bool) -> None:
    """Raise BundleError when a bundle may not be written to ``folder``; called before hours are spent."""
    if folder.exists() and not (replace and (folder / layout.MANIFEST).is_file()):
        raise BundleError(
            "a bundle stands there already" if (folder / layout.MANIFEST).is_file() else "exists and is no bundle",
            where=str(folder),
            hint="choose another folder"
            + (", or --replace it" if (folder / layout.MANIFEST).is_file() and not replace else ""),
        )


def _verified_manifest(folder: Path) -> Manifest:
    path = folder / layout.MANIFEST
    if not path.is_file():
        raise BundleError(
            "no such folder" if not folder.is_dir() else f"not a bundle: it has no {layout.MANIFEST}",
            where=str(folder),
            hint="train one with: polyvigil train linear --train TRAIN.csv --dev DEV.csv -o BUNDLE",
        )
    try:
        raw = json.loads(path.read_bytes())
        if isinstance(raw, dict) and raw.get("schema_version") not in (None, layout.SCHEMA):
            raise BundleError(
                f"written in schema version {raw['schema_version']!r}; this polyvigil reads {layout.SCHEMA}",
                where=str(path),
                hint="update polyvigil, or train it again",
            )
        manifest = Manifest.model_validate(raw)
    except (OSError, ValueError, RecursionError) as error:  # JSON, Unicode and pydantic errors are ValueErrors
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(path), hint=_AGAIN) from error
    needed = {layout.POLICY, layout.SEEN}
    for entry in manifest.members:
        if not layout.is_member_folder(entry.folder):
            raise BundleError(f"member folder {entry.folder!r} is not allowed", where=str(path), hint=_AGAIN)
    if missing := needed - manifest.files.keys():
        raise BundleError(f"lists no {sorted(missing)[0]}", where=str(path), hint=_AGAIN)
    for name, file_entry in manifest.files.items():
        _verify_file(folder, name, file_entry)
    for file in (folder / layout.MEMBERS).rglob("*"):
        if not file.is_dir() and file.relative_to(folder).as_posix() not in manifest.files:
            raise BundleError("a file that the bundle does not list", where=str(file), hint="remove it, or " + _AGAIN)
    if _bundle_id(manifest) != manifest.id:
        raise BundleError("its id does not match its contents", where=str(path), hint=_AGAIN)
    return manifest


def _verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    if not layout.is_bundle_file(name):
        raise BundleError(f"file name {name!r} is not allowed", where=str(folder / layout.MANIFEST), hint=_AGAIN)
    path = folder / name
    for part in (path, *path.parents[: name.count("/")]):
        if part.is_symlink():
            raise BundleError("is a link, which a bundle may not hold", where=str(part), hint=_AGAIN)
    if not path.is_file():
        raise BundleError("is missing", where=str(path), hint=_AGAIN)
    if path.stat().st_size != entry.bytes or _entry(path) != entry:
        raise BundleError("was changed or damaged after the bundle was saved", where=str(path), hint=_AGAIN)


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as stream:
        return FileEntry(bytes=path.stat().st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


class _Identity(BaseModel):
    """What a bundle's id is the hash of."""

    schema_version: int
    normalisation: str
    trained_languages: tuple[str, ...]
    members: tuple[MemberEntry, ...]
    files: dict[str, str]


def _bundle_id(manifest: Manifest) -> str:
    identity = _Identity(
        schema_version=manifest.schema_version,
        normalisation=manifest.normalisation,
        trained_languages=manifest.trained_languages,
        members=manifest.members,
        files={name: entry.sha256 for name, entry in sorted(manifest.files.items()) if layout.decides(name)},
    )
    return hashlib.sha256(identity.model_dump_json().encode()).hexdigest()[:16]


def _libraries() -> dict[str, str]:
    names = ("polyvigil", "numpy", "scipy", "scikit-learn", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
