"""Zero-shot: medicines and reactions that a GLiNER2 model finds in a post. Nothing is learned from posts.

P(ADE) = best reaction x (alone + (1 - alone) x best drug), each best the highest score of its kind
(detect.entity_features, which defines the nine features too). Needs the extra ``zero-shot``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.base import Evidence, FitRecord
from polyvigil.detect.entity_features import FEATURES, Entity, features, merged, probability
from polyvigil.detect.occlusion import occlusion
from polyvigil.detect.reading import read_config, unreadable
from polyvigil.errors import BundleError, PolyvigilError, not_installed
from polyvigil.nn.entities import EntityFinder, installed, load_entity_finder
from polyvigil.text.normalise import NORMALISATION, model_text
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "polyvigil.json"


class NerConfig(Frozen):
    """All of an NER member that the model's files do not say; the names mean what they do in config.model.NerSpec."""

    kind: Literal["ner"] = "ner"
    normalisation: str = NORMALISATION
    drug_labels: tuple[str, ...]
    reaction_labels: tuple[str, ...]
    least_score: float
    alone: float
    chunk_words: int
    fit_record: FitRecord


@dataclass(frozen=True, slots=True)
class NerDetector:
    """A rule over the entities of a post."""

    finder: EntityFinder
    config: NerConfig

    kind: ClassVar[str] = "ner"
    feature_names: ClassVar[tuple[str, ...]] = FEATURES

    @property
    def fit_record(self) -> FitRecord:
        return self.config.fit_record

    @property
    def normalisation(self) -> str:
        return self.config.normalisation

    @property
    def log(self) -> None:
        """None: nothing is trained."""
        return

    def entities(self, posts: Sequence[Post]) -> list[tuple[Entity, ...]]:
        """What is found in the normalised text of each post, in the order of ``posts``; each span once a role."""
        config = self.config
        by_post = self.finder.find(
            [model_text(post.text, self.normalisation) for post in posts],
            (*config.drug_labels, *config.reaction_labels),
            least_score=config.least_score,
            chunk_words=config.chunk_words,
        )
        drugs = set(config.drug_labels)
        return [
            merged(
                [Entity(hit.start, hit.end, "drug" if hit.label in drugs else "reaction", hit.score) for hit in hits]
            )
            for hits in by_post
        ]

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector; exactly 0 without a reaction. The same within 1e-5 whatever stands beside a post,
        unless a score lies that close to ``least_score``."""
        return np.array(
            [probability(entities, alone=self.config.alone) for entities in self.entities(posts)], dtype=float
        )

    def features(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """The nine features of each post, (n_posts, 9), in the order of ``posts`` and of ``feature_names``."""
        rows = [
            features(entities, characters=len(model_text(post.text, self.normalisation)))
            for post, entities in zip(posts, self.entities(posts), strict=True)
        ]
        return np.array(rows, dtype=float).reshape(len(posts), len(FEATURES))

    def lengths(self, posts: Sequence[Post]) -> None:  # noqa: ARG002
        """None: it reads all of a post, in pieces."""
        return

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """See detect.base.Detector: occlusion, at most 33 forward passes a post."""
        return occlusion(self.probabilities, posts, self.normalisation)

    def save(self, folder: Path) -> None:
        """Write a folder that gliner2's AutoExtractor.from_pretrained opens, and one file of ours."""
        self.finder.save(folder)
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path, *, device: str = "auto") -> NerDetector:
    """Read what ``save`` wrote; never uses the network. Raises BundleError when it is damaged or of another make."""
    config = read_config(folder / CONFIG_FILE, NerConfig, what="NER detector")
    if not installed():
        needed_by = "a member of kind 'ner'"
        raise not_installed("gliner2", extra="zero-shot", needed_by=needed_by, where=str(folder), error=BundleError)
    try:
        finder = load_entity_finder(str(folder), offline=True)
    except BundleError:
        raise
    except (PolyvigilError, OSError, ValueError) as error:
        raise unreadable(folder, error, what="NER detector") from error
    finder.to(device)
    return NerDetector(finder, config)
