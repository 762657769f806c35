"""Names and shapes of what stands in a bundle. Data only.

::

    bundle.json             what this is: id, languages, versions, and size and SHA-256 of every other file
    members/00-linear/      one folder for each member: config.json, weights.safetensors
    members/00-encoder/     or a Hugging Face folder, with polyvigil.json and training.json (times; not in the id)
    members/00-nli/         zero-shot: a Hugging Face folder and polyvigil.json; 00-ner/: with encoder_config/ in it
    members/00-stacked/     config.json, and two members in it: base/ and further/
    second_stage/00-linear/ the members of a second stage, which decides the posts near a threshold; as those above
    second_stage/00-chat/   config.json: a second stage that is a chat endpoint, never a key; examples.jsonl: posts that
                            go along with each that is sent, masked, with labels; drugs.jsonl: names of drugs and their
                            ingredients; both only where the user gave such files
    combination.json        how the members' probabilities become one, and which posts the second stage decides
    policy.json             thresholds, and how each was found
    calibration.json        the map from the mean of the members to a calibrated P; moves no decision
    dev.safetensors         probabilities of the members on the dev posts, labels, languages; no text; with a second
                            stage its members' below those of the first
    seen.safetensors        64-bit hashes of the posts used for training and for tuning; no text
    evaluation.json         metrics on the dev posts, same-set and cross-fitted
    metrics.jsonl           what the training measured while it went on; holds times, so it is no part of the id
    recipe.toml             the resolved recipe: every setting of the run
    README.md               the model card: Markdown with the front matter of the Hugging Face hub
    sources.json            of an ensemble: the bundles its members come from, each with its recipe
    parity.json             of an int8 or bf16 bundle: how far it is from the bundle it was exported from

A bundle without a second stage is written in schema version 2, one with it in version 3. In version 2 a second stage
had no folder of its own: its members stood behind the others in ``members/``; such bundles are still read.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from polyvigil.decide.cascade import Cascade
from polyvigil.decide.combine import Combination
from polyvigil.decide.coverage import MemberCoverage
from polyvigil.decide.judge import Judge
from polyvigil.judge.messages import DRUGS_FILE, EXAMPLES_FILE
from polyvigil.types import Frozen

SCHEMA = 2
SCHEMA_WITH_SECOND_STAGE = 3
READABLE = (SCHEMA, SCHEMA_WITH_SECOND_STAGE)
MANIFEST = "bundle.json"
COMBINATION = "combination.json"
POLICY = "policy.json"
CALIBRATION = "calibration.json"
DEV = "dev.safetensors"
SEEN = "seen.safetensors"
EVALUATION = "evaluation.json"
METRICS = "metrics.jsonl"
RECIPE = "recipe.toml"
SOURCES = "sources.json"
PARITY = "parity.json"
CARD = "README.md"
EXAMPLES, DRUGS = EXAMPLES_FILE, DRUGS_FILE  # of a chat endpoint (judge.messages writes them)
MEMBERS = "members"
SECOND_STAGE = "second_stage"
TRAINING_LOG = "training.json"

_MEMBER = r"/\d\d-[a-z][a-z0-9-]{0,40}"
_WITH_FILES = re.compile(rf"({MEMBERS}|{SECOND_STAGE}){_MEMBER}(/base|/further)?(/encoder_config)?")
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
    """Of each member, those of a second stage last, the id of the bundle that it was trained in; ``endpoint`` of a chat
    endpoint."""
    recipes: dict[str, str]
    """The recipe of each of those bundles, as TOML; of ``endpoint`` its configuration."""


class CombinationRecord(Frozen):
    """``combination.json``: how the members of both stages become one probability."""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One for each member, those of a second stage last; only their ratios inside a stage matter. Empty: all the
    same."""
    cascade: Cascade | None = None
    judge: Judge | None = None
    """Where set, the last ``judge.members`` of the members are the second stage."""
    coverage: MemberCoverage | None = None
    """Which members of the first stage count in which language; in the file only where not all of them always do."""

    @model_validator(mode="after")
    def _one_of_them(self) -> CombinationRecord:
        if self.cascade and self.judge:
            raise ValueError("a bundle has a cascade or a judge, not both")
        return self

    @model_serializer(mode="wrap")
    def _without_no_coverage(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        return {name: value for name, value in fields.items() if name != "coverage" or value}

    @property
    def second_stage_members(self) -> int:
        """How many members the second stage has; 0 without one."""
        return self.judge.members if self.judge else 0

    def stages(self, first: int) -> tuple[Combination, Combination]:
        """The combination of the ``first`` members, and that of the rest, which are the second stage."""
        second = Combination(weights=self.weights[first:])
        return Combination(weights=self.weights[:first], cascade=self.cascade, coverage=self.coverage), second


class Manifest(Frozen):
    """``bundle.json``."""

    format: Literal["polyvigil-bundle"] = "polyvigil-bundle"
    schema_version: int = SCHEMA
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Hash of all that moves a decision: members, policy, normalisation."""
    normalisation: str
    """How all members read posts: one of text.normalise.NORMALISATIONS."""
    trained_languages: tuple[str, ...]
    tuned_languages: tuple[str, ...]
    members: tuple[MemberEntry, ...] = Field(min_length=1)
    """In schema version 2 the members of a second stage too, behind those of the first."""
    second_stage: tuple[MemberEntry, ...] = ()
    """The members of the second stage; in the file only where there are any, in schema version 3."""
    libraries: dict[str, str]
    created: str
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _schema_fits(self) -> Manifest:
        if bool(self.second_stage) != (self.schema_version == SCHEMA_WITH_SECOND_STAGE):
            raise ValueError(f"a second stage is listed in schema version {SCHEMA_WITH_SECOND_STAGE} and in no other")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_stage(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        return {name: value for name, value in fields.items() if name != "second_stage" or value}

    @property
    def all_members(self) -> tuple[MemberEntry, ...]:
        """The members of both stages, those of the second last."""
        return (*self.members, *self.second_stage)

    @property
    def files_with_posts(self) -> tuple[str, ...]:
        """The files that hold texts of posts: none but the examples of a chat endpoint."""
        return tuple(name for name in self.files if name.rpartition("/")[2] == EXAMPLES)


def member_folder(index: int, kind: str, *, stage: str = MEMBERS) -> str:
    """``members/00-linear`` for index 0; ``stage``: MEMBERS or SECOND_STAGE."""
    return f"{stage}/{index:02d}-{kind}"


def is_member_folder(path: str, *, stage: str = MEMBERS) -> bool:
    """Whether ``path`` may be a member's folder of this stage: inside the bundle, one plain name."""
    return re.fullmatch(stage + _MEMBER, path) is not None


def is_bundle_file(path: str) -> bool:
    """Whether ``path`` may be a file of a bundle: a plain name, never ``..``, at its top, in a member's folder, or in
    one of the few folders that may stand there."""
    folder, _, name = path.rpartition("/")
    return _FILE.fullmatch(name) is not None and (path == name or _WITH_FILES.fullmatch(folder) is not None)


def decides(path: str) -> bool:
    """Whether a file of a bundle moves decisions, and so belongs to the bundle's id."""
    of_member = path.startswith((f"{MEMBERS}/", f"{SECOND_STAGE}/"))
    return path in {POLICY, COMBINATION} or (of_member and not path.endswith(f"/{TRAINING_LOG}"))
