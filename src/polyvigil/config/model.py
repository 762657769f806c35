"""``[model]``: what is fitted, one class for each ``model.kind``, and how posts longer than a model reads are read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from polyvigil.config.base import REVISION, Spec

LongPosts = Literal["cut", "windows", "head-tail"]
Pooling = Literal["max", "mean", "noisy-or"]
TokenPooling = Literal["model", "mean"]
TRAINED_POOLING: Pooling = "max"
"""By what an encoder is trained whose pooling is chosen afterwards (docs/decisions/0008)."""


class LinearSpec(Spec):
    """TF-IDF over word and character n-grams, then logistic regression: the embedded default."""

    kind: Literal["linear"] = "linear"
    word_ngrams: tuple[int, int] = Field(
        default=(1, 2), strict=False, description="shortest and longest word n-gram; measured best of 14 CPU models"
    )
    character_ngrams: tuple[int, int] = Field(
        default=(2, 5), strict=False, description="shortest and longest character n-gram inside words"
    )
    min_posts: int = Field(
        default=1, ge=1, description="an n-gram in fewer training posts is left out; 1 ranks best (docs/decisions/0003)"
    )
    sublinear: bool = Field(default=True, description="count n-grams as 1 + log(count)")
    C: float = Field(default=8.0, gt=0, description="inverse of the L2 penalty")
    scale: Literal["naive-bayes", "none"] = Field(
        default="naive-bayes",
        description="naive-bayes: the penalty is weaker on n-grams that stand in posts of one class (Wang and Manning "
        "2012); none: the same on all",
    )
    skip_words: int = Field(
        default=2, ge=0, le=4, description="pairs of words with 1 to so many words between them are n-grams too"
    )
    translated_likeness: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="what translated posts teach about posts as people wrote them; 1: as much as any, 0: nothing",
    )
    most_ngrams: int = Field(
        default=1 << 21, ge=1000, description="the model keeps so many n-grams, those of the largest weights"
    )

    @model_validator(mode="after")
    def _ranges(self) -> LinearSpec:
        for name, (low, high), least in (
            ("word_ngrams", self.word_ngrams, 1),
            ("character_ngrams", self.character_ngrams, 2),
        ):
            if not least <= low <= high <= 8:
                raise ValueError(f"{name} must be two whole numbers with {least} <= first <= second <= 8")
        return self


class EncoderSpec(Spec):
    """A pretrained multilingual encoder with a two-class head, fine-tuned. The defaults are the paper's."""

    kind: Literal["encoder"] = "encoder"
    name: str = Field(default="xlm-roberta-large", description="a model of the Hugging Face hub, or a local folder")
    revision: str = Field(default="", description=REVISION)
    max_tokens: int = Field(
        default=256,
        ge=8,
        le=8192,
        description="what the model reads at once, special tokens counted (paper: 256); long_posts says what becomes "
        "of a longer post",
    )
    long_posts: LongPosts = Field(
        default="windows",
        description="windows: all of a longer post in overlapping windows, in training too; head-tail: its first and "
        "last half of max_tokens (Sun et al. 2019); cut: its first max_tokens (paper)",
    )
    window_overlap: float = Field(
        default=0.25, ge=0, le=0.75, description="windows: share of a window that the next one holds too, at least"
    )
    most_windows: int = Field(
        default=128, ge=1, le=4096, description="windows: a post that needs more is cut after so many, and says so"
    )
    pooling: Literal["auto"] | Pooling = Field(
        default="auto",
        description="windows: how their P become the post's, in the loss as in scoring. max: the largest; mean; "
        "noisy-or: 1 - product of (1 - p); auto: trained as max, then one that is surely better on the dev posts",
    )
    token_pooling: TokenPooling = Field(
        default="model",
        description="what of a window the head reads. model: what the model's own head does (BERT, RoBERTa, XLM-R: the "
        "first token); mean: the mean of its tokens, by one linear layer, for models whose first token was not trained "
        "to stand for a text, as the E5 family's (docs/decisions/0021)",
    )
    packing: bool = Field(
        default=True,
        description="run on real tokens only where the architecture is known (BERT, RoBERTa, XLM-R, ModernBERT, "
        "EuroBERT); same results",
    )

    @property
    def trained_pooling(self) -> Pooling:
        """What the loss is pooled by."""
        return TRAINED_POOLING if self.pooling == "auto" else self.pooling


HYPOTHESES = {
    "en": "The author of this post had an unwanted effect of a medicine.",
    "de": "Beim Verfasser dieses Beitrags trat eine unerwünschte Wirkung eines Medikaments auf.",
    "fr": "L'auteur de ce message a subi un effet indésirable d'un médicament.",
    "ja": "この投稿の筆者に薬の副作用が出た。",
    "ru": "У автора этого сообщения возникло побочное действие лекарства.",
    "zh": "这篇帖子的作者出现了药物的不良反应。",
    "fa": "نویسندهٔ این پست دچار عارضهٔ جانبی یک دارو شده است.",
}
"""What an ADE is, in one sentence of each language."""


class NliSpec(Spec):
    """Zero-shot: a model of natural language inference says whether a post entails a sentence. Yin et al. 2019."""

    kind: Literal["nli"] = "nli"
    name: str = Field(
        default="MoritzLaurer/mDeBERTa-v3-base-mnli-xnli",
        description="an NLI model of the Hugging Face hub, or a local folder",
    )
    revision: str = Field(default="", description=REVISION)
    max_tokens: int = Field(
        default=256, ge=16, le=8192, description="a longer pair is cut here, in the post and never in the hypothesis"
    )
    hypotheses: dict[str, str] = Field(
        default=HYPOTHESES, description="the sentence for each language; other languages have that of en"
    )
    hypothesis_language: Literal["own", "en"] = Field(
        default="own", description="own: the sentence of the post's language; en: the English one for every post"
    )
    neutral: Literal["left-out", "counted"] = Field(
        default="left-out",
        description="left-out: P = entailment / (entailment + contradiction), as in zero-shot pipelines of several "
        "labels; counted: entailment's share of all three classes",
    )

    @model_validator(mode="after")
    def _english(self) -> NliSpec:
        if empty := [language for language, text in self.hypotheses.items() if not text.strip()]:
            raise ValueError(f"the hypothesis of {empty[0]} is empty")
        if "en" not in self.hypotheses:
            raise ValueError("hypotheses must hold one for en, which serves every language without its own")
        return self


class NerSpec(Spec):
    """Zero-shot: a model of named entities is asked for medicines and reactions. Zaratiana et al. 2025 (GLiNER2)."""

    kind: Literal["ner"] = "ner"
    name: str = Field(
        default="fastino/gliner2-multi-v1", description="a GLiNER2 model of the Hugging Face hub, or a local folder"
    )
    revision: str = Field(default="", description=REVISION)
    drug_labels: tuple[str, ...] = Field(
        default=("medicine",), min_length=1, strict=False, description="what the model is asked for as a drug"
    )
    reaction_labels: tuple[str, ...] = Field(
        default=("side effect", "adverse drug reaction"),
        min_length=1,
        strict=False,
        description="what the model is asked for as a reaction",
    )
    least_score: float = Field(
        default=0.05, gt=0, lt=1, description="an entity that the model is less sure of is not looked at"
    )
    alone: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="P = best reaction x (alone + (1 - alone) x best drug); 1: drugs do not count",
    )
    chunk_words: int = Field(
        default=256, ge=16, le=2048, description="a longer post is read in pieces of so many words, an eighth shared"
    )

    @model_validator(mode="after")
    def _labels(self) -> NerSpec:
        labels = (*self.drug_labels, *self.reaction_labels)
        if not all(label.strip() for label in labels) or len(set(labels)) < len(labels):
            raise ValueError("every label must have a text and stand once, as drug or as reaction")
        return self


class StackedSpec(Spec):
    """Logistic regression over a base model's P and what a zero-shot model finds: the paper's GLiNER features."""

    kind: Literal["stacked"] = "stacked"
    base: LinearSpec | EncoderSpec = Field(
        default=EncoderSpec(name="xlm-roberta-base"), discriminator="kind", description="the model that is learned"
    )
    further: NerSpec | NliSpec = Field(
        default=NerSpec(), discriminator="kind", description="where the further features come from; nothing is learned"
    )
    folds: int = Field(
        default=5,
        ge=2,
        le=20,
        description="the base is learned so many times on all but a fold, which it scores, and once more on all",
    )
    base_as: Literal["logit", "p"] = Field(
        default="logit", description="the base's feature: ln(p / (1 - p)), or p as it is (paper: +7.01 for P)"
    )
    C: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty on all coefficients but the intercept")


class HybridSpec(Spec):
    """Members of two kinds, an n-gram one and an encoder, each of which counts in the languages that it knows."""

    kind: Literal["hybrid"] = "hybrid"
    linear: LinearSpec = Field(default=LinearSpec(), description="the member that reads n-grams")
    encoder: EncoderSpec = Field(default=EncoderSpec(), description="the other members, one for each seed")
