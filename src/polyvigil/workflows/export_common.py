"""What both exports share: which members, on which posts they are judged, and what a bundle decides on those."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polyvigil.bundle.store import Bundle
from polyvigil.checks.export_gate import Decided, ExportComparison, Form, compare_export
from polyvigil.data.read import Reading
from polyvigil.errors import DataError, RecipeError
from polyvigil.evaluation.evaluate import gold_of
from polyvigil.evaluation.measure import cautions_about

if TYPE_CHECKING:
    from polyvigil.detect.transformer import EncoderDetector

ENCODER = "encoder"


@dataclass(frozen=True, slots=True)
class Exported:
    """``bundle_id``: of the new bundle; empty for ONNX, and where the gate said no. Sizes of the folders in bytes.

    ``left_out``: what the bundle has and the export lacks.
    """

    comparison: ExportComparison
    bundle_id: str
    bytes_before: int
    bytes_after: int
    left_out: tuple[str, ...] = ()


def encoder_folders(source: Path, bundle: Bundle, *, every: bool) -> tuple[str, ...]:
    """The folders of the encoder members. Raises RecipeError without one; with ``every`` for any other member too."""
    if bundle.second_stage:
        raise RecipeError(
            "has a judge, whose bands were found for its first stage as it is",
            where=str(source),
            hint="export the bundle of its first stage, then run polyvigil judge again",
        )
    folders = tuple(entry.folder for entry in bundle.manifest.members if entry.kind == ENCODER)
    other_kinds = [entry.folder for entry in bundle.manifest.members if entry.kind != ENCODER]
    if not folders or (every and other_kinds):
        raise RecipeError(
            f"{other_kinds[0]} is no encoder, and encoders alone can be exported",
            where=str(source),
            hint="a linear member is small and fast as it is",
        )
    for entry, member in zip(bundle.manifest.members, bundle.members, strict=True):
        if entry.kind == ENCODER and (arithmetic := encoder_of(member).config.arithmetic) != "fp32":
            raise RecipeError(
                f"{entry.folder} is in {arithmetic} already",
                where=str(source),
                hint="export the bundle it was made from",
            )
    return folders


def encoder_of(member: object) -> EncoderDetector:
    """A member of this kind as what it is."""
    from polyvigil.detect.transformer import EncoderDetector

    assert isinstance(member, EncoderDetector)
    return member


def check_posts(bundle: Bundle, reading: Reading) -> tuple[str, ...]:
    """Cautions about the posts. Raises DataError for posts of one class, SplitError as ``evaluation.measure``."""
    positives = sum(item.label for item in reading.posts)
    if not 0 < positives < len(reading.posts):
        raise DataError(
            f"the {len(reading.posts)} posts hold {positives} positives; the gate needs both classes",
            where=reading.name,
            hint="give the dev posts, or other labelled posts that were not trained on",
        )
    cautions = cautions_about(bundle, reading)
    absent = sorted({*bundle.manifest.trained_languages} - {item.post.language for item in reading.posts})
    return (*cautions, *([f"no posts of {', '.join(absent)}: not judged"] if absent else []))


def decided(bundle: Bundle, reading: Reading) -> Decided:
    """What a bundle says: P of all members together; decisions by its cascade, if it has one."""
    posts = [item.post for item in reading.posts]
    languages = [post.language for post in posts]
    combination = bundle.combination.of_all
    p = combination.mean(combination.counted(bundle.member_probabilities(posts), languages))
    decisive = bundle.probabilities(posts) if bundle.combination.cascade else p
    return Decided(bundle.policy.flags(decisive, languages), p)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def judged(
    form: Form, bundle: Bundle, before: Decided, after: Decided, reading: Reading, *, tuned: bool = False
) -> ExportComparison:
    """The parity gate on the posts of ``reading``, in its order. Raises as ``check_posts``."""
    return compare_export(
        form,
        before,
        after,
        labels=gold_of(reading.posts).labels,
        languages=[item.post.language for item in reading.posts],
        source=bundle.id,
        data=Path(reading.name).name,
        tuned=tuned,
        cautions=check_posts(bundle, reading),
    )
