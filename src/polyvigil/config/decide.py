"""``[decide]``: how stored probabilities become decisions, and what a threshold is best at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from polyvigil.config.base import Spec

ThresholdRule = Literal["fixed", "paper-grid", "argmax", "bagged-argmax", "platt-fstar", "blend", "pooled", "shrunk"]
UnlabelledRule = Literal["auto", "overlap", "share", "mean"]
CalibrationKind = Literal["identity", "temperature", "platt", "hierarchical-platt", "beta", "isotonic"]


class F1Objective(Spec):
    """Best F1 in each language: the default."""

    kind: Literal["f1"] = "f1"


class FBetaObjective(Spec):
    """Best F-beta in each language: above 1, recall weighs more."""

    kind: Literal["f-beta"] = "f-beta"
    beta: float = Field(gt=0, le=10, description="recall counts beta times as much as precision")


class PooledF1Objective(Spec):
    """Best F1 over all languages together; a small language may be given up for it."""

    kind: Literal["pooled-f1"] = "pooled-f1"


class RecallObjective(Spec):
    """In each language, the fewest flags that find this share of its positives."""

    kind: Literal["recall"] = "recall"
    at_least: float = Field(gt=0, le=1, description="share of the positives to be found")


class PrecisionObjective(Spec):
    """In each language, the most positives found while this share of the flags is right."""

    kind: Literal["precision"] = "precision"
    at_least: float = Field(gt=0, le=1, description="share of the flagged posts to be positive")


class BudgetObjective(Spec):
    """The most positives found by so many reviews a day; languages compete by calibrated P."""

    kind: Literal["budget"] = "budget"
    reviews: int = Field(ge=1, description="posts that can be reviewed in a day")
    posts: int = Field(ge=1, description="posts that come in a day, in the languages' mix of the dev posts")

    @model_validator(mode="after")
    def _fewer(self) -> BudgetObjective:
        if self.reviews > self.posts:
            raise ValueError("reviews may not be more than posts")
        return self


Objective = F1Objective | FBetaObjective | PooledF1Objective | RecallObjective | PrecisionObjective | BudgetObjective


class DecideSpec(Spec):
    """How thresholds are found on the dev posts."""

    rule: ThresholdRule = Field(
        default="blend",
        description="blend: mean logit of bagged-argmax and platt-fstar, the best of those measured when positives "
        "are few (benchmarks/decisions.py); argmax: the best cut between two scores; bagged-argmax: mean logit of its "
        "bootstrap resamples; platt-fstar: half the best F1 that calibrated scores reach; pooled: one cut for all; "
        "shrunk: between own and pooled by the number of positives; fixed: 0.5; paper-grid: best of .20, .21, ... .80",
    )
    objective: Objective = Field(default=F1Objective(), discriminator="kind", description="what a threshold is best at")
    unlabelled: UnlabelledRule = Field(
        default="auto",
        description="a language of which unlabelled posts are given: overlap weighs the labelled languages by how like "
        "their scores are and keeps the share of flags near theirs; share: flags the share they flag; mean: the "
        "paper's mean of all thresholds; auto: share, of a linear model not trained on the language, else overlap",
    )
    least_known: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="linear models: a post of a language that was not trained is not flagged where the model knows a "
        "smaller share of its character n-grams (docs/decisions/0019), or the language has no threshold; 0: it is",
    )
    calibration: CalibrationKind = Field(
        default="hierarchical-platt",
        description="the map from the ensemble's mean to a calibrated P; it moves no decision",
    )

    @model_validator(mode="after")
    def _together(self) -> DecideSpec:
        joint = self.objective.kind == "pooled-f1"
        if joint and self.rule in {"fixed", "paper-grid", "pooled", "shrunk"}:
            raise ValueError(f"the objective pooled-f1 has no rule {self.rule}; choose blend, bagged-argmax or argmax")
        if self.objective.kind == "budget" and self.rule != "blend":
            raise ValueError("the objective budget ranks posts by calibrated P and takes no rule; leave it out")
        return self
