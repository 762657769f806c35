"""Bundles on the Hugging Face hub: fetched by ``hf://ORG/NAME@REVISION``, pushed as one commit.

In comes such a name, or a bundle's folder and ``ORG/NAME``; out goes the folder in the hub's cache, every hash checked,
or what was pushed. What always holds: the network is used for a name that begins with ``hf://`` and by ``push``, for
nothing else; of a repository only the files that its bundle.json lists are fetched; a branch or tag is looked up each
time, so that no older bundle stands in for it unnoticed; HF_HUB_OFFLINE is obeyed. Token, cache and address are those
of huggingface_hub (HF_TOKEN, HF_HUB_CACHE, HF_ENDPOINT). The reasons stand in docs/decisions/0028-hub.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvigil.bundle import layout
from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.verify import verify
from polyvigil.errors import BundleError, HubError, PolyvigilError, RecipeError, require
from polyvigil.types import Frozen

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

PREFIX = "hf://"
MAIN = "main"
_REPOSITORY = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"{PREFIX}(?P<repository>{_REPOSITORY})(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FREE = frozenset({".gitattributes", "README.md"})
"""What a repository without a bundle may hold already: what the hub puts into a new one."""

Log = Callable[[str], None]


class HubName(Frozen):
    """A bundle on the hub: its repository, as ``org/name``, and a branch, tag or commit of it."""

    repository: str
    revision: str = MAIN

    def __str__(self) -> str:
        at = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{PREFIX}{self.repository}{at}"

    @property
    def is_commit(self) -> bool:
        """Whether it names one commit, which never changes."""
        return _COMMIT.fullmatch(self.revision) is not None


class Pushed(Frozen):
    """What was pushed, and where to."""

    repository: str
    commit: str
    bundle: str
    files: int
    bytes: int
    private: bool
    url: str


def parse_hub_name(name: str, *, revision: str = "") -> HubName:
    """``hf://org/name`` or ``hf://org/name@revision`` as a HubName. Raises RecipeError for anything else."""
    match = _NAME.fullmatch(name)
    if not match:
        raise RecipeError(
            "no name of a bundle on the hub", where=name, hint="write it as hf://ORG/NAME or hf://ORG/NAME@REVISION"
        )
    if match["revision"] and revision:
        raise RecipeError("names a revision already", where=name, hint="give the revision once")
    return HubName(repository=match["repository"], revision=match["revision"] or revision or MAIN)


def bundle_folder(bundle: str | Path, *, revision: str = "", log: Log = lambda _: None) -> str:
    """The folder of a bundle: that of one on the hub, fetched if need be; any other name as it is.

    Raises RecipeError for a wrong name, or a ``revision`` of a folder; HubError where it cannot be fetched; BundleError
    for one that is damaged.
    """
    if isinstance(bundle, str) and bundle.startswith(PREFIX):
        return str(fetch(parse_hub_name(bundle, revision=revision), log=log))
    if revision:
        raise RecipeError(
            f"is a folder, which has no revision {revision!r}",
            where=str(bundle),
            hint="a bundle on the hub: hf://ORG/NAME",
        )
    return str(bundle)


def fetch(name: HubName, *, log: Log = lambda _: None) -> Path:
    """The folder in the hub's cache that holds this bundle, every hash checked; what is not there yet is fetched.

    Raises HubError where the hub cannot be reached, refuses, or has no such bundle; BundleError for a damaged one.
    """
    _require("fetching a bundle", where=str(name))
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    options: dict[str, Any] = {"library_name": "polyvigil", "library_version": version("polyvigil")}
    try:
        newest = "" if name.is_commit or constants.HF_HUB_OFFLINE else _commit(name)
        path = Path(hf_hub_download(name.repository, layout.MANIFEST, revision=name.revision, **options))
        commit = path.parent.name
        if newest not in ("", commit):
            raise HubError("changed while it was fetched", where=str(name), hint="run it again")
        manifest = _manifest(path, name)
        size = sum(entry.bytes for entry in manifest.files.values())
        log(f"bundle {manifest.id}, {size / 1e6:,.1f} MB: {HubName(repository=name.repository, revision=commit)}")
        files = [layout.MANIFEST, *manifest.files]
        folder = Path(snapshot_download(name.repository, revision=commit, allow_patterns=files, **options))
    except PolyvigilError:
        raise
    except Exception as error:  # the hub's, the network's and a bad name's errors have no common class
        raise _hub_error(error, name) from error
    try:
        verify(folder)
    except BundleError as error:
        error.hint = f"{_PUSH_AGAIN}; if this disk is at fault: remove {folder.parent.parent} and fetch it again"
        raise
    return folder


_PUSH_AGAIN = "whoever pushed it can push it again: polyvigil push BUNDLE ORG/NAME --replace"


def _manifest(path: Path, name: HubName) -> Manifest:
    """The bundle.json that was fetched, its file names within bounds. Raises BundleError."""
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"unreadable {layout.MANIFEST} ({type(error).__name__})", where=str(name)) from error
    if wrong := [file for file in manifest.files if not layout.is_bundle_file(file)]:
        raise BundleError(f"file name {wrong[0]!r} is not allowed", where=str(name), hint=_PUSH_AGAIN)
    return manifest


def push(folder: Path, repository: str, *, public: bool = False, replace: bool = False, log: Log) -> Pushed:
    """Check every hash of the bundle in ``folder`` and write its files to a model repository of the hub as one commit.

    The repository is made if there is none, private unless ``public``; the visibility of one that exists is left as it
    is, and to one that everybody can read nothing is sent unless ``public``. Raises BundleError for a damaged bundle,
    and for a repository that holds a bundle, unless ``replace`` is set, or that holds anything else; RecipeError for a
    wrong name; HubError where the repository is public unasked, where a bundle with texts of posts would be public, or
    where the hub cannot be reached or refuses.
    """
    repository = repository.removeprefix(PREFIX)
    if not re.fullmatch(_REPOSITORY, repository):
        raise RecipeError("no name of a repository", where=repository, hint="write it as ORG/NAME")
    manifest = verify(folder)
    if public and manifest.files_with_posts:
        raise HubError(
            f"holds texts of posts ({manifest.files_with_posts[0]}), which are not for everybody to read",
            where=str(folder),
            hint="push it without --public, or judge again without --examples",
        )
    _require("pushing a bundle", where=repository)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants, get_token

    name = HubName(repository=repository)
    if constants.HF_HUB_OFFLINE:
        raise HubError("nothing is sent while HF_HUB_OFFLINE is set", where=str(name), hint="unset it and push again")
    if not get_token():
        raise HubError("no token, which pushing needs", where=str(name), hint=_LOG_IN)
    files = [layout.MANIFEST, *manifest.files]
    size = sum((folder / file).stat().st_size for file in files)
    try:
        api = _api()
        api.create_repo(repository, private=not public, exist_ok=True)
        before = api.model_info(repository)
        if not before.private and not public:
            raise HubError(
                "everybody can read it", where=str(name), hint="add --public if they may, or make it private"
            )
        there = [file.rfilename for file in before.siblings or ()]
        _check_repository(there, name, replace=replace)
        log(f"pushing {len(files)} files, {size / 1e6:,.1f} MB")
        old = [file for file in there if layout.is_bundle_file(file) and file not in files]
        commit = api.create_commit(
            repository,
            operations=[
                *(CommitOperationAdd(file, folder / file) for file in files),
                *(CommitOperationDelete(file) for file in old),
            ],
            commit_message=f"polyvigil bundle {manifest.id}",
            parent_commit=before.sha,
        )
    except PolyvigilError:
        raise
    except Exception as error:
        raise _hub_error(error, name, pushing=True) from error
    return Pushed(
        repository=repository,
        commit=commit.oid,
        bundle=manifest.id,
        files=len(files),
        bytes=size,
        private=bool(before.private),
        url=f"{constants.ENDPOINT}/{repository}",
    )


def _check_repository(files: list[str], name: HubName, *, replace: bool) -> None:
    """Raises BundleError where a bundle may not be written to a repository that holds these files."""
    if layout.MANIFEST not in files:
        if other := [file for file in files if file not in _FREE]:
            raise BundleError(
                f"holds {other[0]} and no bundle", where=str(name), hint="choose another name for the repository"
            )
    elif not replace:
        raise BundleError(
            "a bundle is there already",
            where=str(name),
            hint="choose another name, or --replace it; older commits can still be fetched",
        )


def local_names(folder: Path) -> Iterator[tuple[str, str]]:
    """(setting, value) of what in a bundle's recipe names a folder of this machine, which pushing would show."""
    try:
        recipe = tomllib.loads((folder / layout.RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    yield from _local_values(recipe, "")


def _local_values(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _local_values(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, str) and re.match(r"[/~]|[A-Za-z]:[\\/]", value):
        yield path, value


def _commit(name: HubName) -> str:
    """The commit that a branch or tag is now; huggingface_hub itself would take the one it fetched last in silence when
    the hub cannot be reached."""
    return str(_api().model_info(name.repository, revision=name.revision).sha)


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="polyvigil", library_version=version("polyvigil"))


def _require(step: str, *, where: str) -> None:
    require("huggingface_hub", extra="hub", needed_by=step, where=where)


_LOG_IN = "run: hf auth login, or set HF_TOKEN; tokens are made at huggingface.co/settings/tokens"


def _hub_error(error: Exception, name: HubName, *, pushing: bool = False) -> HubError:
    """What an error of huggingface_hub means, and what to do; no text of the server's answer is repeated."""
    from huggingface_hub import errors

    match error:
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled() if _is_offline():
            reason = "was not fetched before, or not whole, and HF_HUB_OFFLINE is set"
            hint = "unset HF_HUB_OFFLINE and run it again"
        case errors.HfHubHTTPError():
            reason, hint = _refusal(error, name, right="may write there" if pushing else "may read it")
        case errors.HFValidationError():
            reason, hint = "no name that the hub takes", "write it as ORG/NAME, without -- and .. in it"
        case RuntimeError(__cause__=Exception() as cause):  # an upload of several
            return _hub_error(cause, name, pushing=pushing)
        case _ if isinstance(error, errors.LocalEntryNotFoundError) or _is_of_network(error):
            reason = f"the hub cannot be reached ({type(error).__name__})"
            hint = "check the network and HF_ENDPOINT"
            if not pushing:
                hint += "; what was fetched before is used with HF_HUB_OFFLINE=1"
        case OSError(strerror=str() as strerror):
            reason = f"the cache of the hub cannot be used ({strerror})"
            hint = "check the disk and the rights of its folder, or name another one: HF_HUB_CACHE"
        case _:
            reason = f"huggingface_hub fails ({type(error).__name__})"
            hint = "run it again with --debug, which shows where"
    return HubError(reason, where=str(name), hint=hint)


def _refusal(error: HfHubHTTPError, name: HubName, *, right: str) -> tuple[str, str]:
    """What an answer of the hub other than yes means, and what to do."""
    from huggingface_hub import errors

    status = error.response.status_code
    match error:
        case errors.GatedRepoError():
            return "is given out on request only", "accept its terms on its web site, then run: hf auth login"
        case errors.RepositoryNotFoundError():
            hint = f"check the spelling; a private one needs a token: {_LOG_IN}"
            return "no such repository, or none that your token may see", hint
        case errors.RevisionNotFoundError():
            hint = f"name a branch, tag or commit of it; the newest is {HubName(repository=name.repository)}"
            return f"the repository has no revision {name.revision!r}", hint
        case errors.RemoteEntryNotFoundError():
            hint = "a model that recipes fine-tune is named without hf://: --set model.name=ORG/NAME"
            return f"has no {layout.MANIFEST}: it is no bundle of polyvigil", hint
        case _ if status in {401, 403}:
            return f"the hub refuses (HTTP {status})", f"use a token that {right}: {_LOG_IN}"
        case _:
            return f"the hub answers HTTP {status}", "run it again later"


def _is_of_network(error: Exception) -> bool:
    """Whether a request got no answer; by name, since versions of huggingface_hub use different HTTP libraries."""
    names = {parent.__name__ for parent in type(error).__mro__}
    return bool(names & {"TransportError", "RequestException", "ConnectionError", "TimeoutError", "gaierror"})


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
