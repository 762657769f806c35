"""What was found and missed, for people: a table of languages, then sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from polyvigil.cli.views.table import WIDTH, table
from polyvigil.evaluation.audit_estimate import NOT_RULED_OUT, AuditEstimate, Estimate, percent
from polyvigil.review.estimating import LanguageEstimate, ReviewEstimate

_FEW_LANGUAGES = 3  # of which each has sentences of its own
_LEAST_STATED = 0.05
"""Recall from which on it is worth a sentence that reading in order shows it."""


def estimate_lines(result: ReviewEstimate) -> list[str]:
    """The whole answer: a table, one block of all languages together, then one of each; of many languages only of those
    that have a value of recall."""
    parts = [*result.languages, *((result.pooled,) if len(result.languages) > 1 else ())]
    header = ["language", "read", "ADEs", "precision", "unread", "audited", "ADEs ", "recall", "at least"]
    rows = [_row(part.estimate) for part in parts]
    stated = [part for part in parts if _is_stated(part, result)]
    blocks = [line for part in reversed(stated) for line in ["", *_sentences(part)]]
    if rest := [part.estimate.name for part in parts if part not in stated]:
        blocks += ["", *_wrapped(f"Bounds alone, in the table, with their reasons in --json: {', '.join(rest)}.")]
    general = any(NOT_RULED_OUT in part.estimate.remarks for part in parts)
    return [table(header, rows), *blocks, *(["", *_wrapped(NOT_RULED_OUT)] if general else [])]


def _is_stated(part: LanguageEstimate, result: ReviewEstimate) -> bool:
    """Whether a part has sentences of its own."""
    few = len(result.languages) <= _FEW_LANGUAGES
    return few or part is result.pooled or bool(part.estimate.recall and part.estimate.recall.value is not None)


def _row(estimate: AuditEstimate) -> list[str]:
    return [
        estimate.name,
        f"{estimate.read:,}",
        f"{estimate.true_positives:,}",
        "-" if estimate.precision is None else f"{estimate.precision:.2f}",
        f"{estimate.unread:,}",
        f"{estimate.audited:,}",
        f"{estimate.audit_positives:,}",
        _between(estimate.recall) if estimate.recall else "-",
        "-" if estimate.recall_at_least is None else f"{estimate.recall_at_least:.2f}",
    ]


def _between(estimate: Estimate) -> str:
    return f"{estimate.low:.2f}-{estimate.high:.2f}"


def _sentences(part: LanguageEstimate) -> list[str]:
    estimate = part.estimate
    sentences = [_counted(estimate)]
    if estimate.recall and estimate.missed and estimate.f1:
        sentences += _missed(estimate, estimate.missed, estimate.recall, estimate.f1)
    sentences += [remark for remark in estimate.remarks if remark != NOT_RULED_OUT]
    if part.flags_recall:
        sentences.append(f"Recall of the flags alone: {_stated(part.flags_recall, '.2f')}.")
    elif estimate.recall:
        sentences.append(
            f"Recall of the flags is not given, since {part.flagged_unread:,} flagged posts were not read: what stands "
            "above is the recall of what was read."
        )
    if part.stopping and part.stopping.recall >= _LEAST_STATED:
        sentences.append(
            f"The order of reading alone shows, with {percent(estimate.level)} confidence, that at least "
            f"{part.stopping.recall:.2f} of the ADEs were found."
        )
    return [line for sentence in sentences for line in _wrapped(sentence)]


def _counted(estimate: AuditEstimate) -> str:
    if not estimate.read:
        return f"{estimate.name}: nothing was read because of its score."
    return (
        f"{estimate.name}: {estimate.true_positives:,} of {estimate.read:,} posts read were ADEs, precision "
        f"{estimate.precision:.2f} (counted)."
    )


def _missed(estimate: AuditEstimate, missed: Estimate, recall: Estimate, f1: Estimate) -> list[str]:
    number = "no ADE was" if not estimate.audit_positives else f"{estimate.audit_positives:,} ADEs were"
    if estimate.audit_positives == 1:
        number = "1 ADE was"
    sure = percent(estimate.level)
    return [
        f"Recall: {_stated(recall, '.2f', level=sure)}. At least {estimate.recall_at_least:.2f} with {sure} certainty: "
        f"at most {estimate.missed_at_most:,.0f} missed.",
        f"{estimate.audited:,} of {estimate.unread:,} unread posts were audited, and {number} among them: missed "
        f"{_stated(missed, ',.0f')}. F1 {_stated(f1, '.2f')}.",
    ]


def _stated(estimate: Estimate, form: str, *, level: str = "") -> str:
    between = f"between {estimate.low:{form}} and {estimate.high:{form}}"
    if estimate.value is None:
        return f"{between} ({level})" if level else between
    return f"{estimate.value:{form}} ({f'{level}: ' if level else ''}{between})"


def _wrapped(sentence: str) -> Sequence[str]:
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ")
