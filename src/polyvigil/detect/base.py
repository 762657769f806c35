"""What every detector is, and what is remembered of how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from polyvigil.config.model import Pooling
from polyvigil.types import Frozen, LabelledPost, Post, Probabilities


class LanguageCount(Frozen):
    """How many posts of a language group a detector was fitted on."""

    language: str
    posts: int
    positives: int


class FitRecord(Frozen):
    """How a detector was fitted: enough to fit it again and to notice that a set of posts is used twice."""

    seed: int
    posts: int
    positives: int
    languages: tuple[str, ...]
    """Language groups with at least one positive and one negative training post, sorted."""
    train_fingerprint: str
    counts: tuple[LanguageCount, ...] = ()
    """By language group, sorted; copies of oversampled posts are not counted."""


class EpochRecord(Frozen):
    """One row of the paper's Table 4, and what the epoch cost."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the posts of the epoch."""
    learning_rate: float
    """After the epoch's last step."""
    dev_f1: float
    """Pooled F1 on the dev posts at thresholds tuned on them, CADEC groups left out; in [0, 1], optimistic."""
    best: bool
    """Whether its weights took the place of those kept before: its dev F1 is above that of every epoch before it. A
    model of a fold keeps every epoch's, so that it ends with the last."""
    seconds: float
    posts_per_second: float
    """Training posts, time of training and scoring together; both are sums over interrupted runs."""
    peak_memory: int
    """Bytes: the epoch's most on a GPU, the process's most so far on a CPU."""
    warnings: tuple[str, ...] = ()


class PoolingChoice(Frozen):
    """How the windows of a long post become one P, when that was left to the dev posts (learn.pooling)."""

    trained: Pooling
    chosen: Pooling
    long_posts: int
    """Dev posts of several windows; ``long_positives`` of them mention an ADE."""
    long_positives: int
    figures: dict[Pooling, float] = Field(default={})
    """Cross-fitted, of all dev posts, by pooling: F1, or what the thresholds are to be best at. Empty where there were
    too few long posts to tell. ``chosen`` is ``trained`` unless another one is surely better."""


class TrainingLog(Frozen):
    """How an encoder was trained, epoch by epoch."""

    epochs: tuple[EpochRecord, ...]
    steps_per_epoch: int
    posts_per_epoch: int
    parameters: int
    micro_tokens: int
    """At the end: lower than asked for where memory ran out."""
    device: str
    teacher: str = ""
    """Id of the bundle whose probabilities were learned beside the labels."""
    unlabelled: int = 0
    """Posts without a label among those of an epoch."""
    pooling: PoolingChoice | None = None
    """None where no choice was asked for."""

    @property
    def best(self) -> EpochRecord:
        """The epoch whose weights are kept: the first of the highest dev F1; the last of a model of a fold."""
        return next(record for record in reversed(self.epochs) if record.best)

    @property
    def seconds(self) -> float:
        """Of all epochs, training and scoring of the dev posts together."""
        return sum(record.seconds for record in self.epochs)


class CostEstimate(Frozen):
    """One member's training, before it is begun."""

    parameters: int
    """Of the whole model; ``trained`` of them are trained."""
    trained: int
    posts_per_epoch: int
    """Copies of oversampled posts included."""
    steps_per_epoch: int
    tokens_per_epoch: int
    """Of all windows."""
    full: int
    """Posts that fill what the model reads at once: most of them are longer."""
    checkpoint_bytes: int
    """The most that checkpoints take while the member is trained."""
    member_bytes: int
    """The member in the bundle."""
    most_disk: int
    """Bytes at the fullest moment of the whole run, all members and their checkpoints (learn.disk)."""
    seconds: float
    """Of all epochs, dev posts scored after each; from ``measured_steps`` steps, by their tokens."""
    measured_steps: int
    """0: nothing was run, and the numbers are estimates (learn.estimate)."""
    peak_memory: int
    """Bytes (see learn.memory)."""
    device: str
    device_memory: int = 0
    """Bytes of an estimate's device; 0 where not known."""
    download: int = 0
    """Bytes that are fetched first, about; 0 where the model is here."""
    how: str = ""
    """Of an estimate: where the device's speed is from."""
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lengths:
    """``tokens`` int32 (n_posts,), special tokens included, before any cut; ``truncated`` bool (n_posts,)."""

    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where in one post a detector finds its score."""

    method: Literal["contributions", "occlusion"]
    """contributions: the parts that the logit is the sum of, its intercept apart; occlusion: how far the logit falls
    when a part of the post is left out."""
    logit: float
    """ln(p / (1 - p)) of the post."""
    characters: NDArray[np.float64]
    """Of each character of the text as it was written, (len(text),), in logits; what counts against an ADE is below
    0. The sum over a stretch is the evidence in it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a post: ``text[start:end]`` as it was written, in code points; or, by a tokenizer that does not tell
    characters, its tokens from ``start`` to ``end``, special ones not counted."""

    start: int
    end: int
    unit: Literal["characters", "tokens"] = "characters"


@dataclass(frozen=True, slots=True)
class Read:
    """``probabilities`` (n_posts,), and by which window each was ``carried``: its number, -1 of a post read whole."""

    probabilities: Probabilities
    carried: NDArray[np.int64]


class Scores(Protocol):
    """What of a detector is asked for a score."""

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE) of each post: (n_posts,), in [0, 1], in their order."""
        ...


NGRAM_KINDS = frozenset({"linear"})
"""Kinds of detectors that know nothing of a language but the n-grams of their training posts."""
TOKEN_KINDS = frozenset({"encoder", "nli"})
"""Kinds of detectors that count tokens, and may cut a post or read it in windows; a stacked one does as its base."""


@runtime_checkable
class KnowsShares(Protocol):
    """A detector that tells, without a label, how much of a post it can read."""

    def known_shares(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """How much of each post it knows, (n_posts,) in [0, 1]: of its n-grams, or of the letters of its pieces."""
        ...


class Detector(Protocol):
    """Fitted and immutable: there is no unfitted detector."""

    kind: ClassVar[str]

    @property
    def fit_record(self) -> FitRecord: ...

    @property
    def normalisation(self) -> str:
        """How it reads posts: one of text.normalise.NORMALISATIONS."""
        ...

    @property
    def log(self) -> TrainingLog | None:
        """How it was trained, epoch by epoch; None from a detector without epochs."""
        ...

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE), shape (n_posts,), in [0, 1], in the order of ``posts``, the same whatever the other posts are."""
        ...

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:
        """How many tokens each post has and whether some were cut off; None from a detector that counts no tokens."""
        ...

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """Where in each post its score comes from, in the order of ``posts``."""
        ...

    def save(self, folder: Path) -> None:
        """Write the detector into an existing empty folder; the module's ``load(folder)`` reads it back, bit-equal."""
        ...


@runtime_checkable
class Tokenises(Protocol):
    """A detector with a tokenizer of its own, which ``text.once`` remembers the work of."""

    def tokenise(self, posts: Sequence[Post]) -> None:
        """Do what of ``probabilities`` needs no model, so that it need not be done later."""
        ...


@runtime_checkable
class WarmsUp(Protocol):
    """A detector that becomes quicker once it has read much."""

    def warm_up(self) -> None:
        """Become so now, which takes a moment: for a process that is there to score."""
        ...


@runtime_checkable
class ReadsWindows(Protocol):
    """What a detector can do besides that reads a long post in windows."""

    def read(self, posts: Sequence[Post]) -> Read:
        """``Detector.probabilities``, and the window with the largest P of each post, in one pass."""
        ...

    def locate(self, posts: Sequence[Post], carried: NDArray[np.int64]) -> list[Window]:
        """Where these windows, one of each post, stand in it. Runs no model."""
        ...


def read_windows(detector: Scores, posts: Sequence[Post]) -> Read:
    """What ``detector`` reads, in one pass; one that knows no windows reads posts whole."""
    if isinstance(detector, ReadsWindows):
        return detector.read(posts)
    return Read(detector.probabilities(posts), np.full(len(posts), -1, dtype=np.int64))


D_co = TypeVar("D_co", bound=Detector, covariant=True)


class Learner(Protocol[D_co]):
    """Makes a detector."""

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> D_co: ...

    def estimate_cost(
        self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int
    ) -> CostEstimate | None:
        """What ``fit`` would take; None where it takes no steps, or where a model would have to be fetched first."""
        ...
