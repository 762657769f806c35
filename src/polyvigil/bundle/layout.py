"""Names and shapes of what stands in a bundle. Data only.

::

    bundle.json             what this is: id, languages, versions, and size and SHA-256 of every other file
    members/00-linear/      one folder for each member: config.json, weights.safetensors
    members/00-encoder/     or a Hugging Face folder, with polyvigil.json and training.json (times; not in the id)
    members/00-nli/         zero-shot: a Hugging Face folder and polyvigil.json; 00-ner/: with encoder_config/ in it
    members/00-stacked/     config.json, and two members in it: base/ and further/
    members/01-chat/        config.json: the endpoint of a judge, never a key
    combination.json        how the members' probabilities become one
    policy.json             thresholds, and how each was found
    calibration.json        the map from the mean of the members to a calibrated P; moves no decision
    dev.safetensors         probabilities of the members on the dev posts, labels, languages; no text
    seen.safetensors        64-bit hashes of the posts used for training and for tuning; no text
    evaluation.json         figures on the dev posts, same-set and cross-fitted
    recipe.toml             the resolved recipe: every setting of the run
    README.md               the model card: Markdown with the front matter of the Hugging Face hub
    sources.json            of an ensemble: the bundles its members come from, each with its recipe
    parity.json             of an int8 or bf16 bundle: how far it is from the bundle it was exported from
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from polyvigil.types import Frozen

SCHEMA = 2
MANIFEST = "bundle.json"
COMBINATION = "combination.json"
POLICY = "policy.json"
CALIBRATION = "calibration.json"
DEV = "dev.safetensors"
SEEN = "seen.safetensors"
EVALUATION = "evaluation.json"
RECIPE = "recipe.toml"
SOURCES = "sources.json"
PARITY = "parity.json"
CARD = "README.md"
MEMBERS = "members"
TRAINING_LOG = "training.json"

_MEMBER = rf"{MEMBERS}/\d\d-[a-z][a-z0-9-]{{0,40}}"
_FOLDER = re.compile(_MEMBER)
_WITH_FILES = re.compile(rf"{_MEMBER}(/base|/further)?(/encoder_config)?")
"""A member's folder, those of the two detectors in a stacked one, and that which GLiNER2 keeps in its own."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


class FileEntry(Frozen):
    """Size in bytes and SHA-256 (hex) of one file."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class MemberEntry(Frozen):
    """One member: its folder and its kind."""

    folder: str
    kind: str


class Sources(Frozen):
    """``sources.json``."""

    members: tuple[str, ...]
    """Of each member the id of the bundle that it was trained in; ``endpoint`` of a chat member."""
    recipes: dict[str, str]
    """The recipe of each of those bundles, as TOML; of ``endpoint`` its configuration."""


class Manifest(Frozen):
    """``bundle.json``."""

    format: Literal["polyvigil-bundle"] = "polyvigil-bundle"
    schema_version: int = SCHEMA
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Hash of all that moves a decision: members, policy, normalisation."""
    normalisation: str
    trained_languages: tuple[str, ...]
    tuned_languages: tuple[str, ...]
    members: tuple[MemberEntry, ...] = Field(min_length=1)
    libraries: dict[str, str]
    created: str
    files: dict[str, FileEntry]


def member_folder(index: int, kind: str) -> str:
    """``members/00-linear`` for place 0."""
    return f"{MEMBERS}/{index:02d}-{kind}"


def is_member_folder(path: str) -> bool:
    """Whether ``path`` may be a member's folder: inside the bundle, one plain name."""
    return _FOLDER.fullmatch(path) is not None


def is_bundle_file(path: str) -> bool:
    """Whether ``path`` may be a file of a bundle: a plain name, never ``..``, at its top, in a member's folder, or in
    one of the few folders that may stand there."""
    folder, _, name = path.rpartition("/")
    return _FILE.fullmatch(name) is not None and (path == name or _WITH_FILES.fullmatch(folder) is not None)


def decides(path: str) -> bool:
    """Whether a file of a bundle moves decisions, and so belongs to the bundle's id."""
    return path in {POLICY, COMBINATION} or (path.startswith(f"{MEMBERS}/") and not path.endswith(f"/{TRAINING_LOG}"))
