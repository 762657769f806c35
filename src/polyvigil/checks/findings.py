"""Counts to findings: which of them matter, how much, and what to do about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from polyvigil.checks.check_result import CheckResult, Finding, Leak, ScriptCount, Severity, SuspectKind, Where
from polyvigil.checks.label_leak import EMPTY, HIDDEN, LabelLeak
from polyvigil.data.shown import shown_column, shown_name, shown_value
from polyvigil.text.language import base_language, is_cadec
from polyvigil.text.normalise import FIRST_NORMALISATION

LEAK_ERROR = 0.01  # share of the smaller split from which on a leak makes metrics wrong
FEW_POSITIVES = 10  # in dev: under this a threshold is a guess
WRONG_LANGUAGE = 0.05
MANY_SET_ASIDE = 0.01
_CHANCE = 0.001  # a group of positives alone is no accident when it would come about less often than this
NEARLY_ALL = 0.9
_ENOUGH = 20  # posts of a group that is nearly all positive, or of a language that is looked at for anything
_NONE_POSITIVE = 50  # posts without one positive
_CADEC_GAP = 0.2
_MANY = 50  # values of a column; such a column names authors or threads, not sources
_SOURCE = "a model may learn the source in place of the ADE: have both labels for each value, or report on each value"
_WITHIN = "look at the metrics inside each value before trusting the total"
_MANY_VALUES = "keep all posts of one value on one side of every split, and out of what the model reads"
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def findings_of(result: CheckResult) -> tuple[Finding, ...]:
    """All findings, errors first. Reads the counts alone, not ``result.findings``."""
    rules: tuple[Callable[[CheckResult], Iterator[Finding]], ...] = (
        _one_class, _positives_only, _no_positives, _label_leaks, _leaks, _suspects, _conflicts, _few_dev_positives,
        _wrong_language, _cadec, _repeats, _set_aside,
    )  # fmt: skip
    findings = chain.from_iterable(rule(result) for rule in rules)
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def _finding(
    severity: Severity, code: str, message: str, *, hint: str, file: str = "", split: str = "", language: str = ""
) -> Finding:
    where = Where(file=file, split=split, language=language)
    return Finding(severity=severity, code=code, message=message, hint=hint, where=where)


def _n(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _one_class(result: CheckResult) -> Iterator[Finding]:
    labelled = [(file.posts, file.positives) for file in result.files if file.positives is not None]
    posts, positives = sum(n for n, _ in labelled), sum(n for _, n in labelled)
    if posts and positives in (0, posts):
        yield _finding(
            "error",
            "one-class",
            f"all {posts:,} posts have the label {int(positives > 0)}",
            hint="a detector learns from positives and negatives: add the others, or check data.labels",
        )


def training_counts(scripts: Sequence[ScriptCount]) -> list[tuple[ScriptCount, int, int]]:
    """Each language in each script with its posts and positives in training; in all splits when none trains."""
    if any(cell.training_posts for cell in scripts):
        return [(cell, cell.training_posts, cell.training_positives) for cell in scripts]
    return [(cell, cell.posts, cell.positives) for cell in scripts]


def _positives_only(result: CheckResult) -> Iterator[Finding]:
    return positives_only(result.scripts)


def positives_only(scripts: Sequence[ScriptCount]) -> Iterator[Finding]:
    """Languages, in a script, that train with positives alone (an error) or nearly so (a warning)."""
    cells = training_counts(scripts)
    all_posts, all_positives = sum(posts for _, posts, _ in cells), sum(positives for _, _, positives in cells)
    hint = (
        "add negatives of the same source (translate or collect them as the positives were), or leave these posts out"
    )
    for cell, posts, positives in cells:
        if posts in (0, all_posts):
            continue
        elsewhere = (all_positives - positives) / (all_posts - posts)
        what = f"{cell.language} in {cell.script} script"
        if all_positive(posts, positives, elsewhere):
            yield _finding(
                "error",
                "positives-only",
                f"{what}: all {posts:,} training posts are positive (100%; elsewhere {elsewhere:.1%}), so the model"
                " will learn the language itself as the sign of an ADE",
                hint=hint,
                language=cell.language,
            )
        elif nearly_all_positive(posts, positives, elsewhere):
            yield _finding(
                "warning",
                "nearly-positives-only",
                f"{what}: {positives:,} of {posts:,} training posts are positive ({positives / posts:.1%}; elsewhere"
                f" {elsewhere:.1%}), and the model may learn the language itself as the sign of an ADE",
                hint=hint,
                language=cell.language,
            )


def all_positive(posts: int, positives: int, elsewhere: float) -> bool:
    """Whether a group is positive throughout, and no accident at the share of positives ``elsewhere``, in [0, 1]."""
    return positives == posts and bool(elsewhere**posts < _CHANCE)


def nearly_all_positive(posts: int, positives: int, elsewhere: float) -> bool:
    """Whether nine tenths of a group of 20 posts or more are positive, and under half elsewhere."""
    return posts >= _ENOUGH and positives / posts >= NEARLY_ALL and elsewhere < 0.5


def _no_positives(result: CheckResult) -> Iterator[Finding]:
    for language, (posts, positives) in _by_language(result).items():
        if not positives and posts >= _NONE_POSITIVE:
            yield _finding(
                "warning",
                "no-positives",
                f"{language}: none of {posts:,} posts is positive, so nothing can be learnt or measured in it",
                hint="add positives, or leave the language out and score it with the fallback threshold",
                language=language,
            )


def _by_language(result: CheckResult, split: str | None = None) -> dict[str, tuple[int, int]]:
    """Labelled posts and positives of each language, over all files, of one split or of all."""
    counts: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in result.languages:
        if row.positives is not None and (split is None or row.split == split):
            posts, positives = counts[row.language]
            counts[row.language] = (posts + row.posts, positives + row.positives)
    return dict(counts)


def _label_leaks(result: CheckResult) -> Iterator[Finding]:
    for item in result.giveaways:
        if item.verdict == "quiet":
            continue
        sure = item.verdict == "gives-away"
        column = (
            shown_name(item.column) + {"value": "", "pattern": " (its pattern)", "range": " (its range)"}[item.read_as]
        )
        phrase = "gives the label away" if sure else "hints at the label"
        yield _finding(
            "error" if sure else "warning",
            "label-giveaway" if sure else "label-hint",
            f"{item.language}: column {column} {phrase} (AUC {item.auc:.2f} over {item.posts:,} posts)"
            + _most_telling(item),
            hint=_MANY_VALUES if item.values > _MANY else _SOURCE if sure else _WITHIN,
            file=item.file,
            language=item.language,
        )


def _most_telling(item: LabelLeak) -> str:
    shares = [
        f"{value.value if value.value == EMPTY else repr(value.value)} {value.positives:,} of {value.posts:,} positive"
        for value in item.telling
        if value.value != HIDDEN
    ]
    return f": {'; '.join(shares[:3])}" if shares else ""


def _leaks(result: CheckResult) -> Iterator[Finding]:
    for leak in result.leaks:
        count = f"{leak.exact + leak.near:,} of {leak.first_posts:,} posts ({leak.share:.1%})"
        details = f"{leak.exact:,} word for word, {leak.near:,} nearly"
        one, other = (
            _split_name(leak.first_file, leak.first_split, leak),
            _split_name(leak.second_file, leak.second_split, leak),
        )
        if leak.same_split:
            yield _finding(
                "info",
                "repeated-across-files",
                f"{count} of {one} stand in {other} too: {details}",
                hint="leave one copy of each, or they count twice",
                file=leak.first_file,
                split=leak.first_split,
            )
            continue
        yield _finding(
            "error" if leak.share > LEAK_ERROR else "warning",
            "leak",
            f"{count} of {one} stand in {other} too: {details}",
            hint=f"take them out of {other}, or split by text and by author; the result lists up to 20 pairs of ids",
            file=leak.first_file,
            split=leak.first_split,
        )


def _split_name(file: str, split: str, leak: Leak) -> str:
    if leak.first_file == leak.second_file:
        return f"split {shown_value(split)}" if split else "the posts without a split"
    return f"split {shown_value(split)} of {file}" if split else file


_SUSPECTS: dict[SuspectKind, tuple[Severity, str, str]] = {
    "conflicting_id": (
        "error",
        "the id of another post of the file, with another text or label",
        "make ids unique: predictions are matched to labels by id",
    ),
    "repeated_id": ("warning", "several times in the file, id, text and label alike", "leave one of each"),
    "mojibake": ("warning", "wrongly decoded, by the look of it", "write the file again from its source as UTF-8"),
    "html": (
        "info",
        "with entities or tags of HTML in it (&amp; &#39; <br>), undone before a model reads it",
        f"bundles of normalisation {FIRST_NORMALISATION} read them as letters; train those again",
    ),
    "very_long": ("warning", "longer than 16,384 characters", "look for a missing quote or separator"),
    "empty": ("info", "empty but for invisible characters", "they are decided as no_text, without a model"),
    "url_only": ("info", "links and nothing else", "they are decided as no_text, without a model"),
    "mention_only": ("info", "mentions and nothing else", "they are decided as no_text, without a model"),
    "no_words": ("info", "no letter and no digit in it", "they are decided as no_text, without a model"),
}


def _suspects(result: CheckResult) -> Iterator[Finding]:
    for suspect in result.suspects:
        severity, description, hint = _SUSPECTS[suspect.kind]
        first = suspect.examples[0]
        yield _finding(
            severity,
            suspect.kind.replace("_", "-"),
            f"{_n(suspect.posts, 'post')}: {description}; the first is {shown_value(first.id)} on line {first.line}",
            hint=hint,
            file=suspect.file,
        )


def _conflicts(result: CheckResult) -> Iterator[Finding]:
    conflicts = result.conflicts
    if conflicts.posts:
        yield _finding(
            "warning",
            "conflicting-labels",
            f"{_n(conflicts.texts, 'text')} ({conflicts.posts:,} posts): positive in one post, negative in another",
            hint="decide on one label for each; the result lists up to 20 pairs of ids",
        )


def _few_dev_positives(result: CheckResult) -> Iterator[Finding]:
    dev = _by_language(result, "dev")
    for language in _by_language(result) if dev else ():
        positives = dev.get(language, (0, 0))[1]
        if positives < FEW_POSITIVES and not is_cadec(language):
            yield _finding(
                "warning",
                "few-dev-positives",
                f"{language}: {_n(positives, 'positive')} in dev, fewer than {FEW_POSITIVES}: a threshold tuned on"
                " them is a guess",
                hint="move posts from train to dev, or let the language use the pooled threshold",
                split="dev",
                language=language,
            )


def _wrong_language(result: CheckResult) -> Iterator[Finding]:
    for item in result.language_checks:
        if item.checked >= _ENOUGH and item.share > WRONG_LANGUAGE:
            yield _finding(
                "warning",
                "wrong-language",
                f"{item.disagree:,} of {item.checked:,} posts looked at ({item.share:.1%}) do not read as"
                f" {item.language}, most of them as {item.mostly}",
                hint="check the language column: thresholds are chosen by it",
                file=item.file,
                language=item.language,
            )


def _cadec(result: CheckResult) -> Iterator[Finding]:
    languages = _by_language(result)
    for language, (posts, positives) in languages.items():
        if not is_cadec(language):
            continue
        other_posts, other_positives = languages.get(base_language(language), (0, 0))
        share = positives / posts
        gap = other_posts > 0 and share - other_positives / other_posts > _CADEC_GAP
        yield _finding(
            "warning" if gap else "info",
            "cadec",
            f"{language}: {posts:,} translated CADEC reviews, {share:.1%} of them positive"
            + (f", against {other_positives / other_posts:.1%} of {other_posts:,} other posts" if other_posts else "")
            + "; the official pooled F1 leaves them out",
            hint="keep balance.weights = \"group\", or the model flags other posts of the language too often"
            if gap
            else "the two translations of one review belong on the same side of a split",
            language=language,
        )  # fmt: skip


def _repeats(result: CheckResult) -> Iterator[Finding]:
    for counts in result.places:
        if counts.exact_repeats or counts.near_repeats:
            yield _finding(
                "info",
                "duplicates",
                f"{counts.exact_repeats:,} of {counts.posts:,} posts repeat an earlier one of the same split word for"
                f" word, {counts.near_repeats:,} nearly",
                hint="harmless in training if few; in a test split each counts as often as it stands",
                file=counts.file,
                split=counts.split,
            )


def _set_aside(result: CheckResult) -> Iterator[Finding]:
    for file in result.files:
        aside = file.rows - file.posts
        if aside:
            most = file.set_aside[0]
            yield _finding(
                "warning" if aside / file.rows > MANY_SET_ASIDE else "info",
                "rows-set-aside",
                f"{aside:,} of {file.rows:,} rows cannot be used ({aside / file.rows:.1%}); most often ({most.rows:,})"
                + (f" {shown_column(most.column)}:" if most.column else "")
                + f" {most.reason}",
                hint="mend them or leave them out; reading with --on-error fail stops at the first",
                file=file.file,
            )
