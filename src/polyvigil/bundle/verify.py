"""Whether a bundle on disk is the one that was saved: names, links, sizes, hashes, its id. No member is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from polyvigil.bundle import layout
from polyvigil.bundle.layout import FileEntry, Manifest, MemberEntry
from polyvigil.errors import BundleError
from polyvigil.types import Frozen

AGAIN = "copy the bundle again from where it was made, or train it again"


def verify(folder: Path | str) -> Manifest:
    """The manifest of a bundle, after checking the name, size and hash of every file; no member is loaded.

    Raises BundleError when the bundle is missing, damaged, changed after it was saved, or of another version.
    """
    folder = Path(folder)
    path = folder / layout.MANIFEST
    if not path.is_file():
        raise BundleError(
            "no such folder" if not folder.is_dir() else f"not a bundle: it has no {layout.MANIFEST}",
            where=str(folder),
            hint="train one with: polyvigil train linear --train TRAIN.csv --dev DEV.csv -o BUNDLE",
        )
    try:
        raw = json.loads(path.read_bytes())
        if isinstance(raw, dict) and raw.get("schema_version") not in (None, *layout.READABLE):
            readable = " and ".join(map(str, layout.READABLE))
            raise BundleError(
                f"written in schema version {raw['schema_version']!r}; this polyvigil reads {readable}",
                where=str(path),
                hint="update polyvigil, or train it again",
            )
        manifest = Manifest.model_validate(raw)
    except (OSError, ValueError, RecursionError) as error:  # JSON, Unicode and pydantic errors are ValueErrors
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(path), hint=AGAIN) from error
    needed = {layout.COMBINATION, layout.POLICY, layout.CALIBRATION, layout.DEV, layout.SEEN}
    for stage, listed in ((layout.MEMBERS, manifest.members), (layout.SECOND_STAGE, manifest.second_stage)):
        for entry in listed:
            if not layout.is_member_folder(entry.folder, stage=stage):
                raise BundleError(f"member folder {entry.folder!r} is not allowed", where=str(path), hint=AGAIN)
    if missing := needed - manifest.files.keys():
        raise BundleError(f"lists no {sorted(missing)[0]}", where=str(path), hint=AGAIN)
    for name, file_entry in manifest.files.items():
        _verify_file(folder, name, file_entry)
    for file in [*(folder / layout.MEMBERS).rglob("*"), *(folder / layout.SECOND_STAGE).rglob("*")]:
        if not file.is_dir() and file.relative_to(folder).as_posix() not in manifest.files:
            raise BundleError("a file that the bundle does not list", where=str(file), hint="remove it, or " + AGAIN)
    if bundle_id(manifest) != manifest.id:
        raise BundleError("its id does not match its contents", where=str(path), hint=AGAIN)
    return manifest


def _verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    if not layout.is_bundle_file(name):
        raise BundleError(f"file name {name!r} is not allowed", where=str(folder / layout.MANIFEST), hint=AGAIN)
    path = folder / name
    for part in (path, *path.parents[: name.count("/")]):
        if part.is_symlink() and not (part is path and _is_hub_blob(folder, path)):
            raise BundleError("is a link, which a bundle may not hold", where=str(part), hint=AGAIN)
    if not path.is_file():
        raise BundleError("is missing", where=str(path), hint=AGAIN)
    if path.stat().st_size != entry.bytes or _entry(path) != entry:
        raise BundleError("was changed or damaged after the bundle was saved", where=str(path), hint=AGAIN)


def _is_hub_blob(folder: Path, path: Path) -> bool:
    """Whether a link is one of the hub's cache, which leads from ``REPOSITORY/snapshots/COMMIT/`` to a file right in
    ``REPOSITORY/blobs/``; its contents are hashed as those of any other file."""
    snapshots = folder.absolute().parent
    return snapshots.name == "snapshots" and path.resolve().parent == (snapshots.parent / "blobs").resolve()


def entries(folder: Path) -> dict[str, FileEntry]:
    """Size and hash of every file in a folder, by its path inside it."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): _entry(path) for path in paths}


def scores_id(members: tuple[MemberEntry, ...], files: Mapping[str, FileEntry], *, normalisation: str) -> str:
    """Hash of all that moves a score: what thresholds are tuned for. ``members``: of both stages."""
    moving = {name: files[name].sha256 for name in sorted(files) if layout.decides(name) and name != layout.POLICY}
    payload = [normalisation, [entry.model_dump() for entry in members], moving]
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as stream:
        return FileEntry(bytes=path.stat().st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


class _Identity(Frozen):
    """What a bundle's id is the hash of."""

    schema_version: int
    normalisation: str
    trained_languages: tuple[str, ...]
    members: tuple[MemberEntry, ...]
    second_stage: tuple[MemberEntry, ...]
    files: dict[str, str]


def bundle_id(manifest: Manifest) -> str:
    """Hash of all that moves a decision."""
    identity = _Identity(
        schema_version=manifest.schema_version,
        normalisation=manifest.normalisation,
        trained_languages=manifest.trained_languages,
        members=manifest.members,
        second_stage=manifest.second_stage,
        files={name: entry.sha256 for name, entry in sorted(manifest.files.items()) if layout.decides(name)},
    )
    absent = set() if manifest.second_stage else {"second_stage"}  # as ids were before there was one
    return hashlib.sha256(identity.model_dump_json(exclude=absent).encode()).hexdigest()[:16]


def bundle_around(path: Path) -> Path | None:
    """The bundle that ``path`` is or lies in, where a file more would damage it; None outside of any."""
    there = path.absolute()
    return next((folder for folder in (there, *there.parents) if (folder / layout.MANIFEST).is_file()), None)
