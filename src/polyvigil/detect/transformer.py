"""One fine-tuned encoder: a Hugging Face folder with one file of ours beside it. Needs the extra ``encoders``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from polyvigil.config.model import LongPosts, Pooling
from polyvigil.detect.base import Evidence, FitRecord, Lengths, Read, TrainingLog, Window
from polyvigil.detect.occlusion import occlusion
from polyvigil.detect.reading import check_made_with
from polyvigil.errors import BundleError, PolyvigilError
from polyvigil.nn.encoder import Arithmetic, Encoder, load_encoder
from polyvigil.nn.predict import token_budget, window_scores
from polyvigil.nn.windows import LongRule
from polyvigil.text.align import align
from polyvigil.text.normalise import NORMALISATION, NORMALISATIONS, model_texts
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "polyvigil.json"
LOG_FILE = "training.json"  # holds times, so it is no part of a bundle's id (bundle.layout.decides)


class EncoderConfig(Frozen):
    """All of an encoder member that Hugging Face's files do not say."""

    kind: Literal["encoder"] = "encoder"
    normalisation: str = NORMALISATION
    max_tokens: int
    long_posts: LongPosts = "cut"  # of bundles that are older than windows
    window_overlap: float = 0.0
    most_windows: int = 1
    pooling: Pooling = "max"
    packing: bool
    arithmetic: Arithmetic = "fp32"
    """Of the linear layers of the encoder: int8 (nn.int8) on a CPU, bf16 (nn.bf16) on any device."""
    fit_record: FitRecord


@dataclass(frozen=True, slots=True)
class EncoderDetector:
    """softmax of a two-class head over a pretrained encoder."""

    encoder: Encoder
    config: EncoderConfig
    log: TrainingLog

    kind: ClassVar[str] = "encoder"

    @property
    def fit_record(self) -> FitRecord:
        return self.config.fit_record

    @property
    def normalisation(self) -> str:
        return self.config.normalisation

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector. The same within 1e-5 whatever posts stand beside a post."""
        return self.read(posts).probabilities

    def read(self, posts: Sequence[Post]) -> Read:
        """See detect.base.ReadsWindows."""
        items = self.encoder.tokenise(self._texts(posts))
        scores = window_scores(self.encoder, items, budget=token_budget(self.encoder.device))
        return Read(scores.pooled(self.config.pooling), scores.strongest())

    def locate(self, posts: Sequence[Post], carried: NDArray[np.int64]) -> list[Window]:
        """See detect.base.ReadsWindows: in tokens where the tokenizer keeps no offsets (Japanese BERTs)."""
        texts = [align(post.text, self.normalisation) for post in posts]
        spans = self.encoder.window_spans([text.text for text in texts])
        if spans is None:
            token_spans = self.encoder.window_tokens([text.text for text in texts])
            return [
                Window(int(rows[at, 0]), int(rows[at, 1]), "tokens")
                for rows, at in zip(token_spans, carried, strict=True)
            ]
        windows = []
        for text, rows, at in zip(texts, spans, carried, strict=True):
            start, end = rows[at].tolist()
            windows.append(Window(int(text.starts[start]), int(text.ends[end - 1])))
        return windows

    def tokenise(self, posts: Sequence[Post]) -> None:
        """See detect.base.Tokenises."""
        self.encoder.token_counts(self._texts(posts))

    def lengths(self, posts: Sequence[Post]) -> Lengths:
        """See detect.base.Detector."""
        tokens = self.encoder.token_counts(self._texts(posts))
        return Lengths(tokens, tokens > self.encoder.reader.capacity)

    def known_shares(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """See detect.base.KnowsShares: of the letters that the tokenizer reads in pieces of some length."""
        return self.encoder.known_shares(self._texts(posts))

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """See detect.base.Detector: occlusion, the post is read at most 33 times. What is cut off is no evidence."""
        return occlusion(self.probabilities, posts, self.normalisation)

    def save(self, folder: Path) -> None:
        """Write a folder that AutoModelForSequenceClassification.from_pretrained opens, and two files of ours."""
        self.encoder.save(folder)
        for name, document in ((CONFIG_FILE, self.config), (LOG_FILE, self.log)):
            (folder / name).write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def _texts(self, posts: Sequence[Post]) -> list[str]:
        return model_texts([post.text for post in posts], self.normalisation)


def load(folder: Path, *, device: str = "auto") -> EncoderDetector:
    """Read what ``save`` wrote; never uses the network. Raises BundleError when it is damaged or of another make.

    Raises RecipeError for one in int8 or bf16 where that cannot run.
    """
    try:
        config = EncoderConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
        log = TrainingLog.model_validate_json((folder / LOG_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise _unreadable(folder, error) from error
    check_made_with("normalisation", config.normalisation, known=NORMALISATIONS, where=folder / CONFIG_FILE)
    try:
        encoder = load_encoder(
            str(folder),
            max_tokens=config.max_tokens,
            long_posts=LongRule(config.long_posts, config.window_overlap, config.most_windows),
            packing=config.packing,
            offline=True,
            fresh_head=False,
        )
    except BundleError:
        raise
    except (PolyvigilError, OSError, ValueError, RuntimeError) as error:
        raise _unreadable(folder, error) from error
    encoder.compute_in(config.arithmetic)
    encoder.to(device)
    return EncoderDetector(encoder, config, log)


def _unreadable(folder: Path, error: Exception) -> BundleError:
    reason = error.message if isinstance(error, PolyvigilError) else type(error).__name__
    return BundleError(
        f"not a readable encoder ({reason})",
        where=str(folder),
        hint="copy the bundle again from where it was made, or train it again",
    )
