"""Every knob of the program: its default, its range, and where the default comes from. The one home of defaults.

Specs are frozen; an unknown key is an error. A recipe (TOML) is these specs and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, model_validator

from polyvigil.types import Frozen

Role = Literal["id", "text", "label", "origin", "type", "language", "split", "group"]
ThresholdRule = Literal["fixed", "paper-grid", "argmax", "bagged-argmax", "platt-fstar", "blend", "pooled", "shrunk"]
UnlabelledRule = Literal["overlap", "mean"]
CalibrationKind = Literal["identity", "temperature", "platt", "hierarchical-platt", "beta", "isotonic"]
LongPosts = Literal["cut", "windows", "head-tail"]
Pooling = Literal["max", "mean", "noisy-or"]
TRAINED_POOLING: Pooling = "max"
"""By what an encoder is trained whose pooling is chosen afterwards (docs/decisions/0008)."""

REVISION = "a branch, tag, commit or pull request of the hub, such as refs/pr/5; empty: the main branch"


class Spec(Frozen):
    """Base of all specs: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(strict=True)


class DataSpec(Spec):
    """How columns and labels of a file are named."""

    columns: dict[Role, str] = Field(
        default={}, description='which column of the file plays which part, e.g. {text = "tweet"}'
    )
    labels: dict[str, Literal[0, 1]] = Field(
        default={}, description="what other labels mean, e.g. {yes = 1, no = 0}; 0, 1, 0.0 and 1.0 need no entry"
    )
    dev_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of the training posts held out for tuning when no dev file is given"
    )


class ScoreSpec(Spec):
    """How files of posts are scored: what moves the bytes of the output."""

    part_posts: int = Field(
        default=20_000,
        ge=1,
        le=100_000_000,
        description="rows of one part: what is scored, written and, after an interruption, kept at once",
    )
    dedup: Literal["off", "exact", "near"] = Field(
        default="off",
        description="exact: posts of one part that read the same to a model, in one language, are scored once; near: "
        "also those that differ in case, spaces, punctuation, digits, links, mentions or emoji alone",
    )
    evidence: bool = Field(default=False, description="add the columns that say where a flagged post's score is from")
    raw_csv: bool = Field(default=False, description="leave cells that a spreadsheet would run as they are")
    ask_endpoint: bool = Field(default=False, description="put posts near a threshold to the bundle's chat endpoint")
    on_error: Literal["quarantine", "fail"] = Field(
        default="quarantine", description="a row that cannot be used: set it aside, or stop there"
    )


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
    C: float = Field(default=4.0, gt=0, description="inverse of the L2 penalty (liblinear)")

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
    packing: bool = Field(
        default=True,
        description="run on real tokens only where the architecture is known (XLM-R, RoBERTa, BERT); same results",
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


class TrainingSpec(Spec):
    """How an encoder is fine-tuned. Defaults: the paper's recipe (task.md of the paper: 8 posts x 4 accumulations)."""

    epochs: int = Field(default=5, ge=1, le=1000, description="passes over the training posts, all of them run")
    posts_per_step: int = Field(default=32, ge=1, description="posts of one optimiser step (paper: 8 x 4)")
    micro_tokens: int = Field(
        default=2048, ge=8, description="tokens held on the device at once; halved when memory runs out"
    )
    learning_rate: float = Field(default=1e-5, gt=0, description="peak rate of AdamW; cosine to zero after the warm-up")
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps over which the rate rises from zero")
    warmup_rounding: Literal["up", "down"] = Field(
        default="up",
        description="warm-up steps that are no whole number: up as Transformers' Trainer, down as the paper",
    )
    last_batch: Literal["kept", "dropped"] = Field(
        default="kept",
        description="posts at the end of an epoch that do not fill a step: a smaller step, or none (paper)",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, on what weight_decay_on says")
    weight_decay_on: Literal["weights", "all"] = Field(
        default="weights", description="weights: not biases and layer norms; all: every parameter (paper)"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    loss: Literal["focal", "cross-entropy"] = Field(default="focal", description="focal: Lin et al. 2017")
    alpha: float = Field(
        default=0.75, gt=0, lt=1, description="focal: weight of the positive class, 1 - alpha of the other"
    )
    gamma: float = Field(default=2.0, ge=0, description="focal: how much easy posts are played down")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="cross-entropy: share given to the other class")
    sampling: Literal["shuffle", "language"] = Field(
        default="shuffle", description="shuffle: every post once an epoch; language: drawn by share ** temperature"
    )
    temperature: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="language sampling: 1 keeps the shares of the languages, 0 makes them equal",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="fp16 uses a gradient scaler")
    gradient_checkpointing: bool = Field(default=False, description="less memory for about a third more time")
    checkpoint_minutes: float = Field(
        default=10.0,
        ge=0,
        description="a checkpoint to resume from at least this often, and after each epoch; 0: each step",
    )


class AdaptSpec(Spec):
    """Further masked-language training of a backbone on posts without labels, before it is fine-tuned.

    Gururangan et al. 2020; the masks are those of Devlin et al. 2019, drawn anew at every step.
    """

    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the posts")
    posts_per_step: int = Field(default=64, ge=1, description="posts of one optimiser step")
    micro_tokens: int = Field(
        default=4096, ge=8, description="tokens held on the device at once; halved when memory runs out"
    )
    mask_share: float = Field(
        default=0.15, gt=0, lt=1, description="of the tokens drawn; 80% become the mask, 10% another token, 10% stay"
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="peak rate of AdamW; cosine to zero")
    warmup: float = Field(
        default=0.06, ge=0, le=1, description="share of the steps over which the rate rises (Liu et al. 2019: 6%)"
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, on what weight_decay_on says")
    weight_decay_on: Literal["weights", "all"] = Field(
        default="weights", description="weights: not biases and layer norms; all: every parameter"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="fp16 uses a gradient scaler")
    gradient_checkpointing: bool = Field(default=False, description="less memory for about a third more time")
    held_out: float = Field(
        default=0.05, gt=0, lt=1, description="share of the posts that are only looked at, before and after"
    )
    checkpoint_minutes: float = Field(
        default=10.0, ge=0, description="a checkpoint to resume from at least this often; 0: each step"
    )


class LoraSpec(Spec):
    """Small adapters trained in place of the backbone's weights, and the head in full. Hu et al. 2021, section 4.1."""

    rank: int = Field(default=0, ge=0, le=1024, description="of each adapter; 0: no adapters, every weight is trained")
    alpha: int = Field(
        default=16, ge=1, description="adapters are scaled by alpha / rank (Hu et al. 2021, RoBERTa-large: 16, rank 8)"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of an adapter's inputs, in training alone")


class DistilSpec(Spec):
    """Learning from a teacher's probabilities beside the labels. Hinton et al. 2015, section 2."""

    teacher: str = Field(default="", description="a bundle whose P(ADE) is learned; empty: labels alone")
    weight: float = Field(
        default=0.5, ge=0, le=1, description="share of the teacher in a labelled post's loss; the label has the rest"
    )
    temperature: float = Field(
        default=1.0, ge=1, le=100, description="flattens both probabilities: their log-odds are divided by it"
    )


class BalanceSpec(Spec):
    """What is done about the rarity of positives, in training alone. It moves thresholds, hardly the ranking."""

    weights: Literal["group", "class", "none"] = Field(
        default="group",
        description="group: positives and negatives weigh the same inside each (language, type); class: over all posts",
    )
    oversample: int = Field(default=1, ge=1, le=100, description="each positive stands this many times (paper: 3)")


class TranslationSpec(Spec):
    """Which posts are translated for training, and by what (docs/augmentation.md)."""

    model: str = Field(
        default="facebook/nllb-200-distilled-600M",
        description="an NLLB model (NLLB Team 2022): a name on the Hugging Face hub, or a local folder",
    )
    revision: str = Field(default="", description=REVISION)
    beams: int = Field(default=1, ge=1, le=16, description="1 takes the likeliest token each time")
    batch_tokens: int = Field(default=2048, ge=8, description="tokens translated at once, padding and beams counted")
    only: Literal["positives", "negatives", "all"] = Field(
        default="all", description="posts of which label; all keeps the prevalence, and so teaches no shortcut"
    )
    negatives: int | None = Field(default=None, ge=0, description="at most so many negatives, drawn at random")
    most: int | None = Field(
        default=None, ge=1, description="at most so many posts for each target language, drawn at their prevalence"
    )
    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="of the draws")


class ChatSpec(Spec):
    """A chat endpoint of the OpenAI kind that judges single posts (docs/judge.md). A file of its own, no recipe."""

    base_url: str = Field(description="what stands before /chat/completions, as http://localhost:8000/v1")
    model: str = Field(min_length=1, description="as the endpoint calls it")
    key_variable: str = Field(
        default="", description="the environment variable that holds the key; empty: no key is sent"
    )
    prompt: Literal["1"] = Field(default="1", description="which of the shipped prompts is sent before the post")
    insecure_http: bool = Field(
        default=False, description="allow http:// to another machine: everybody on the way can read the posts"
    )
    timeout: float = Field(default=60.0, gt=0, le=3600, description="seconds until an answer must be there")
    attempts: int = Field(default=4, ge=1, le=20, description="for a post, where the endpoint is busy or out of reach")
    wait: float = Field(
        default=1.0, ge=0, le=600, description="seconds before the second attempt, doubled before each further one"
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="posts that are asked about at once")
    most_characters: int = Field(default=4000, ge=100, description="a longer post is cut here, after it was masked")
    answer_tokens: int = Field(default=64, ge=8, le=16384, description="longest answer; reasoning models need more")
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="sent along, for endpoints that heed it")
    price_in: float | None = Field(default=None, ge=0, description="of a million tokens sent, in any currency")
    price_out: float | None = Field(default=None, ge=0, description="of a million tokens answered")

    @model_validator(mode="after")
    def _address(self) -> ChatSpec:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise ValueError("base_url must be as https://host/v1 or http://localhost:8000/v1")
        if url.username or url.password:
            raise ValueError("base_url must hold no user or password; name the key's variable in key_variable")
        if url.scheme == "http" and url.hostname not in _HERE and not self.insecure_http:
            raise ValueError(
                "base_url is http:// to another machine, so everybody on the way can read the posts; use https://, or "
                "say insecure_http = true"
            )
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("give both price_in and price_out, or neither")
        return self


_HERE = {"localhost", "127.0.0.1", "::1"}


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
        default="overlap",
        description="a language of which unlabelled posts are given: overlap weighs the labelled languages by how like "
        "their scores are and keeps the share of flags near theirs; mean: the paper's mean of all thresholds",
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


class Recipe(Spec):
    """One training run, from files to a bundle."""

    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="every random choice follows from it")
    seeds: tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...] = Field(
        default=(), strict=False, description="encoders: one member for each of these; none: one member, of `seed`"
    )
    data: DataSpec = DataSpec()
    model: LinearSpec | EncoderSpec | NliSpec | NerSpec | StackedSpec = Field(
        default=LinearSpec(), discriminator="kind"
    )
    adapt: AdaptSpec = AdaptSpec()
    training: TrainingSpec = TrainingSpec()
    lora: LoraSpec = LoraSpec()
    distil: DistilSpec = DistilSpec()
    balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seed of each member, in their order."""
        return self.seeds or (self.seed,)

    @property
    def learns(self) -> bool:
        """Whether train posts are used at all: a zero-shot model is taken as it is."""
        return self.model.kind not in {"nli", "ner"}

    @property
    def encoder(self) -> EncoderSpec | None:
        """The encoder that is fine-tuned, if any: the model or the base of a stacked one."""
        spec = self.model.base if isinstance(self.model, StackedSpec) else self.model
        return spec if isinstance(spec, EncoderSpec) else None

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that mean nothing for this kind of model."""
        if not self.learns:
            return ("seeds", "adapt", "training", "lora", "distil", "balance")
        if self.encoder is None:
            return ("seeds", "adapt", "training", "lora", "distil")
        return ("distil",) if self.model.kind == "stacked" else ()

    @model_validator(mode="before")
    @classmethod
    def _linear_by_default(cls, tree: Any) -> Any:
        model = tree.get("model") if isinstance(tree, dict) else None
        return {**tree, "model": {"kind": "linear", **model}} if isinstance(model, dict) else tree

    @model_validator(mode="after")
    def _encoder_settings(self) -> Recipe:
        if self.model.kind == "linear" and (self.seeds or "training" in self.model_fields_set):
            raise ValueError("seeds and [training] are for encoders; a linear model has one optimum, whatever the seed")
        if self.model.kind == "linear" and {"lora", "distil"} & self.model_fields_set:
            raise ValueError(
                "[lora] and [distil], a teacher, are for encoders; a linear model learns from labels alone"
            )
        if idle := sorted({*self.idle} & (self.model_fields_set - ({"seeds"} if not self.seeds else set()))):
            raise ValueError(f"{', '.join(idle)} would change nothing for this model; leave it out")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed stands twice in seeds; its members would be the same")
        return self
