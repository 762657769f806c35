"""Zero-shot: how surely a post entails a sentence that says what an ADE is. Nothing is learned from posts.

The model was trained on natural language inference (NLI): pairs of texts, of which the first entails the second,
contradicts it or neither. The post is the first text, the hypothesis of its language the second.
Source: Yin et al. 2019, "Benchmarking zero-shot text classification", section 5. Needs the extra ``encoders``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.base import Evidence, FitRecord, Lengths
from polyvigil.detect.occlusion import occlusion
from polyvigil.detect.reading import read_config, unreadable
from polyvigil.errors import BundleError, PolyvigilError, RecipeError
from polyvigil.nn.pairs import PairClassifier, load_pair_classifier
from polyvigil.nn.predict import entailments, token_budget
from polyvigil.text.language import base_language
from polyvigil.text.normalise import NORMALISATION, model_texts
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "polyvigil.json"
LEAST_ROOM = 8
"""Tokens that a hypothesis must leave to the post."""


class NliConfig(Frozen):
    """All of an NLI member that Hugging Face's files do not say; the names mean the same in config.model.NliSpec."""

    kind: Literal["nli"] = "nli"
    normalisation: str = NORMALISATION
    max_tokens: int
    hypotheses: dict[str, str]
    hypothesis_language: Literal["own", "en"]
    neutral: Literal["left-out", "counted"]
    fit_record: FitRecord

    def hypothesis(self, language: str) -> str:
        """The sentence for posts of a language group: its language's, or the English one where there is none."""
        if self.hypothesis_language == "en":
            return self.hypotheses["en"]
        return self.hypotheses.get(base_language(language), self.hypotheses["en"])


@dataclass(frozen=True, slots=True)
class NliDetector:
    """P(entailment) among entailment and contradiction, or among these and neutral."""

    classifier: PairClassifier
    config: NliConfig

    kind: ClassVar[str] = "nli"
    feature_names: ClassVar[tuple[str, ...]] = ("entailment",)

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

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector. The same within 1e-5 whatever posts stand beside a post."""
        items = self.classifier.tokenise(*self._pairs(posts))
        classes = class_order(self.classifier.labels, neutral=self.config.neutral)
        return entailments(self.classifier, items, classes=classes, budget=token_budget(self.classifier.device))

    def features(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """P as the one feature of a post, (n_posts, 1) (see detect.stacked)."""
        return self.probabilities(posts)[:, None]

    def lengths(self, posts: Sequence[Post]) -> Lengths:
        """See detect.base.Detector; the tokens of the hypothesis count too."""
        tokens = self.classifier.token_counts(*self._pairs(posts))
        return Lengths(tokens, tokens > self.config.max_tokens)

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """See detect.base.Detector: occlusion, at most 33 forward passes a post. Nothing beyond the cut is evidence."""
        return occlusion(self.probabilities, posts, self.normalisation)

    def save(self, folder: Path) -> None:
        """Write a folder that AutoModelForSequenceClassification.from_pretrained opens, and one file of ours."""
        self.classifier.save(folder)
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def _pairs(self, posts: Sequence[Post]) -> tuple[list[str], list[str]]:
        texts = model_texts([post.text for post in posts], self.normalisation)
        return texts, [self.config.hypothesis(post.language) for post in posts]


def class_order(labels: Sequence[str], *, neutral: Literal["left-out", "counted"]) -> tuple[int, ...]:
    """Which of the model's classes the probabilities are shared out among, entailment first.

    ``labels`` are the model's names in its own order, upper or lower case. A class called ``not_entailment`` plays
    contradiction. Raises RecipeError where entailment or contradiction is not among them, or more than one is.
    """
    names = [name.lower().replace("-", "_").replace(" ", "_") for name in labels]
    entailing = [index for index, name in enumerate(names) if name.startswith("entail")]
    contradicting = [index for index, name in enumerate(names) if name.startswith(("contradict", "not_entail"))]
    if len(entailing) != 1 or len(contradicting) != 1:
        raise RecipeError(
            f"its classes are {', '.join(labels)}; entailment and contradiction are needed, each once",
            where="model.name",
            hint="choose a model trained for natural language inference (NLI, XNLI)",
        )
    neutrals = [index for index, name in enumerate(names) if name.startswith("neutral")] if neutral == "counted" else []
    return (*entailing, *contradicting, *neutrals)


def check_room(classifier: PairClassifier, config: NliConfig) -> None:
    """Raise RecipeError for a hypothesis that leaves a post fewer than 8 of the ``max_tokens``."""
    languages = ["en"] if config.hypothesis_language == "en" else list(config.hypotheses)
    counts = classifier.token_counts([""] * len(languages), [config.hypotheses[name] for name in languages])
    for language, tokens in zip(languages, counts.tolist(), strict=True):
        if tokens + LEAST_ROOM > config.max_tokens:
            raise RecipeError(
                f"takes {tokens} of the {config.max_tokens} tokens and leaves no room for a post",
                where=f"model.hypotheses.{language}",
                hint="shorten it, or set model.max_tokens higher",
            )


def load(folder: Path, *, device: str = "auto") -> NliDetector:
    """Read what ``save`` wrote; never uses the network. Raises BundleError when it is damaged or of another make."""
    config = read_config(folder / CONFIG_FILE, NliConfig, what="NLI detector")
    try:
        classifier = load_pair_classifier(str(folder), max_tokens=config.max_tokens, offline=True)
        class_order(classifier.labels, neutral=config.neutral)
        check_room(classifier, config)
    except BundleError:
        raise
    except (PolyvigilError, OSError, ValueError, RuntimeError) as error:
        raise unreadable(folder, error, what="NLI detector") from error
    classifier.to(device)
    return NliDetector(classifier, config)
