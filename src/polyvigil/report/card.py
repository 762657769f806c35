"""The model card of a bundle: Markdown with the front matter that the Hugging Face hub reads. Computes no metric.

The same bundle gives the same card: times stand in bundle.json alone. It holds counts, metrics and hashes, no text of
any post.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from polyvigil.bundle.layout import CombinationRecord, Manifest, decides
from polyvigil.bundle.outputs import OutputKind, head_of
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.detect.base import FitRecord
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.text.language import UNDETERMINED, base_language
from polyvigil.text.visible import visible

_MARKS = frozenset("\\`*_[]<>|~#&$")


def _is_card(path: Path) -> bool:
    """Whether a file begins with the front matter of one of our cards."""
    front = (head_of(path, 1 << 16) or b"").partition(b"\n---\n")[0]
    return front.startswith(b"---\n") and b"\nlibrary_name: polyvigil\n" in front


CARD = OutputKind("model card", _is_card)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card is made of, besides the manifest."""

    evaluation: Evaluation
    """On the dev posts."""
    policy: DecisionPolicy
    combination: CombinationRecord
    calibration: Calibration
    members: Sequence[FitRecord]
    """Of the members of both stages, those of the second last, as the manifest lists them."""
    out_of_fold: bool = False
    """Whether the dev posts are the training posts, each scored by a model that has not learned from it."""


def model_card(manifest: Manifest, facts: CardFacts) -> str:
    """``README.md`` of the bundle of this manifest."""
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            manifest=manifest,
            evaluation=facts.evaluation,
            policy=facts.policy,
            combination=facts.combination,
            calibration=facts.calibration.root.kind,
            members=list(zip(manifest.all_members, facts.members, strict=True)),
            languages=iso_codes(manifest.trained_languages),
            hashes={name: entry.sha256 for name, entry in manifest.files.items() if decides(name)},
            few_positives=FEW_POSITIVES,
            out_of_fold=facts.out_of_fold,
        )
    )


def iso_codes(groups: Sequence[str]) -> list[str]:
    """The ISO 639 codes of language groups, each once, sorted: ``de`` of ``de_cadec`` and ``de-at``."""
    codes = {base_language(group).replace("_", "-").split("-")[0] for group in groups}
    return sorted(codes - {UNDETERMINED})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("polyvigil.report"),
        autoescape=False,  # Markdown and YAML, escaped by the filters `plain` and `yaml`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        yaml=yaml_text,
        plain=markdown_text,
        rate=lambda value: f"{value:.3f}",
        count=lambda number: f"{number:,}",
        interval=lambda interval: f"{interval.low:.3f}-{interval.high:.3f}",
    )
    return environment


def yaml_text(value: str) -> str:
    """A double-quoted YAML scalar, in one line, of what can be printed; the rest is escaped."""
    return '"' + "".join(_escaped(character) for character in _whole(value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def markdown_text(value: str) -> str:
    """Text in which no character has a meaning to Markdown or HTML, in one line."""
    one_line = " ".join(_whole(value).split())
    return "".join(f"&#{ord(character)};" if character in _MARKS else character for character in one_line)


def _whole(value: str) -> str:
    return str(visible(value))
