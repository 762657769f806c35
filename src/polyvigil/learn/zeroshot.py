"""Zero-shot members: a model is fetched and made a detector as it is. Train posts are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from polyvigil.config.model import NerSpec, NliSpec
from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import FitRecord
from polyvigil.detect.zeroshot_ner import NerConfig, NerDetector
from polyvigil.detect.zeroshot_nli import NliConfig, NliDetector, check_room, class_order
from polyvigil.nn.entities import load_entity_finder
from polyvigil.nn.pairs import load_pair_classifier
from polyvigil.nn.source import needs_fetching
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost


@dataclass(frozen=True, slots=True)
class NliLearner:
    """Maker of ``NliDetector``."""

    spec: NliSpec
    _: KW_ONLY
    offline: bool = False
    device: str = "auto"

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> NliDetector:  # noqa: ARG002
        """The model as it is, and no posts behind it.

        Raises RecipeError (no such model or device, a model without the needed classes, a hypothesis too long) and
        BundleError (a damaged model).
        """
        spec = self.spec
        config = NliConfig(
            normalisation=NORMALISATION,
            max_tokens=spec.max_tokens,
            hypotheses=spec.hypotheses,
            hypothesis_language=spec.hypothesis_language,
            neutral=spec.neutral,
            fit_record=nothing_learned(seed),
        )
        classifier = load_pair_classifier(
            spec.name, max_tokens=spec.max_tokens, offline=self.offline, revision=spec.revision
        )
        class_order(classifier.labels, neutral=spec.neutral)
        check_room(classifier, config)
        classifier.to(self.device)
        return NliDetector(classifier, config)

    def estimate_cost(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> None:
        """None: no steps are taken. Raises as ``fit`` does where nothing must be fetched first."""
        if not needs_fetching(self.spec.name, revision=self.spec.revision):
            self.fit(train, dev, seed=seed)


@dataclass(frozen=True, slots=True)
class NerLearner:
    """Maker of ``NerDetector``."""

    spec: NerSpec
    _: KW_ONLY
    offline: bool = False
    device: str = "auto"

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> NerDetector:  # noqa: ARG002
        """The model as it is, and no posts behind it.

        Raises RecipeError (no such model or device, gliner2 not installed) and BundleError (a damaged model).
        """
        spec = self.spec
        config = NerConfig(
            normalisation=NORMALISATION,
            drug_labels=spec.drug_labels,
            reaction_labels=spec.reaction_labels,
            least_score=spec.least_score,
            alone=spec.alone,
            chunk_words=spec.chunk_words,
            fit_record=nothing_learned(seed),
        )
        finder = load_entity_finder(spec.name, offline=self.offline, revision=spec.revision)
        finder.to(self.device)
        return NerDetector(finder, config)

    def estimate_cost(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> None:
        """None: no steps are taken. Raises as ``fit`` does where nothing must be fetched first."""
        if not needs_fetching(self.spec.name, revision=self.spec.revision):
            self.fit(train, dev, seed=seed)


def nothing_learned(seed: int) -> FitRecord:
    """The record of a detector that no post was used for: it is trained on no language."""
    return FitRecord(seed=seed, posts=0, positives=0, languages=(), train_fingerprint=fingerprint([]))
