"""Explained posts: the sentence and the words that carry each score, as records, as files and as one HTML page.

In: a bundle and posts or a file. Out: `ExplainedPost` records in the posts' order; the page needs nothing else (no
script, nothing fetched) and escapes every text. A post's text is cut into parts whose concatenation is the text
again.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import regex
from jinja2 import Environment, PackageLoader, StrictUndefined

from polyvigil.bundle.explain import Explanation, explain
from polyvigil.bundle.outputs import (
    REJECTS,
    OutputKind,
    check_output,
    free_rejects,
    head_of,
    json_lines,
    rejects_of,
)
from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.data.atomic import whole_file
from polyvigil.data.columns import ColumnMap, map_columns
from polyvigil.data.formats import RowError, Table, open_table
from polyvigil.data.languages import LanguageSpellings
from polyvigil.data.read import OnError, ReadPost, RowErrorCounts, read_rows, reject_line, row_error
from polyvigil.data.streams import STDIN
from polyvigil.data.terms import read_terms
from polyvigil.errors import DataError, RecipeError
from polyvigil.scoring.stream import Hashed, chunked, compressed
from polyvigil.scoring.wire import Decision, flags_text, score_posts
from polyvigil.scoring.write import json_writer
from polyvigil.text.legible import LegibleText
from polyvigil.text.mask import LINKS_AND_PEOPLE, TOKENS, MaskedSpan, masked_spans
from polyvigil.text.mentions import Lexicon, Mention, Term, lexicon, mentions
from polyvigil.types import Frozen, Post


@dataclass(frozen=True, slots=True)
class ExplainedPost:
    """A post, what was decided, why, and which of the user's terms stand in it."""

    post: Post
    decision: Decision
    explanation: Explanation
    mentions: tuple[Mention, ...]


def explain_posts(
    bundle: Bundle,
    posts: Sequence[Post],
    terms: Lexicon,
    *,
    detected: Sequence[bool] | None = None,
    flagged_only: bool = False,
) -> list[ExplainedPost]:
    """Score posts and explain them, in their order; with ``flagged_only`` the others are left out. ``detected`` as in
    scoring.wire."""
    decisions = score_posts(bundle, posts, detected=detected)
    selected = [
        (post, decision)
        for post, decision in zip(posts, decisions, strict=True)
        if decision.decision or not flagged_only
    ]
    explanations = explain(bundle, [post for post, _ in selected])
    return [
        ExplainedPost(post, decision, explanation, _mentions(LegibleText.of(post.text, bundle.normalisation), terms))
        for (post, decision), explanation in zip(selected, explanations, strict=True)
    ]


def _mentions(text: LegibleText, terms: Lexicon) -> tuple[Mention, ...]:
    """The terms that a reader sees in a post, by where they stand in it as it was written."""
    seen = mentions(text.seen.text, terms)
    return tuple(Mention(*text.written(mention.start, mention.end), mention.term) for mention in seen)


def as_record(row: ExplainedPost) -> dict[str, object]:
    """The record as a line of JSONL: offsets in code points of the text as it was written, and none of the text."""
    explanation = explanation_fields(row.explanation)
    method = explanation.pop("method")
    return {
        "id": row.post.id,
        "p": row.decision.p,
        "decision": row.decision.decision,
        "language": row.decision.language,
        "threshold": row.decision.threshold,
        "flags": flags_text(row.decision.flags),
        **explanation,
        "mentions": [{"start": mention.start, "end": mention.end} | asdict(mention.term) for mention in row.mentions],
        "method": method,
        "bundle": row.decision.bundle,
    }


def explanation_fields(explanation: Explanation) -> dict[str, object]:
    """An explanation as data: offsets in code points of the text as it was written, and none of the text."""
    sentence = explanation.sentence
    return {
        "sentence_start": sentence.start if sentence else None,
        "sentence_end": sentence.end if sentence else None,
        "sentence_score": sentence.score if sentence else None,
        "spans": [asdict(span) for span in explanation.spans],
        "method": explanation.method,
    }


@dataclass(frozen=True, slots=True)
class Marked:
    """A part of a text, and what is true of all of it."""

    text: str
    strong: bool
    """Whether it is in a span of the explanation."""
    mention: Mention | None
    last: bool
    """Whether the mention ends with it."""


@dataclass(frozen=True, slots=True)
class MarkedPost:
    """What stands before, in and after the sentence that carries the score; ``sentence`` is empty without one."""

    before: tuple[Marked, ...]
    sentence: tuple[Marked, ...]
    after: tuple[Marked, ...]


def marked(
    text: str, explanation: Explanation, marked_mentions: Sequence[Mention], masks: Sequence[MaskedSpan] = ()
) -> MarkedPost:
    """``text`` cut wherever a sentence, a span or one of the mentions, which do not overlap, begins or ends; in place
    of each of the ``masks`` stands its token."""
    sentence = explanation.sentence
    start, end = (sentence.start, sentence.end) if sentence else (0, 0)
    intervals = [*((span.start, span.end) for span in explanation.spans), *((m.start, m.end) for m in marked_mentions)]
    intervals += [(masked.start, masked.end) for masked in masks]
    edges = sorted({0, start, end, len(text), *(edge for interval in intervals for edge in interval)})
    spans, mentions, masked_parts = iter(explanation.spans), iter(marked_mentions), iter(masks)
    span, mention, masked = next(spans, None), next(mentions, None), next(masked_parts, None)
    parts: tuple[list[Marked], list[Marked], list[Marked]] = ([], [], [])
    for left, right in pairwise(edges):
        while span is not None and span.end <= left:
            span = next(spans, None)
        while mention is not None and mention.end <= left:
            mention = next(mentions, None)
        while masked is not None and masked.end <= left:
            masked = next(masked_parts, None)
        here = mention if mention is not None and mention.start <= left else None
        strong = span is not None and span.start <= left
        which = 0 if right <= start else 1 if right <= end else 2
        shown = text[left:right]
        if masked is not None and masked.start <= left:
            shown = masked.token if masked.start == left else ""
        parts[which].append(Marked(shown, strong, here, here is not None and here.end == right))
    return MarkedPost(*map(tuple, parts))


# Control characters, lone surrogates, and what would turn round text beyond the post; LRM, RLM and joiners stay.
_HIDDEN = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069--[\n\t]]", regex.V1)


def render_html(
    rows: Iterator[ExplainedPost], *, bundle: str, languages: Sequence[str] = (), mask: bool = False
) -> Iterator[bytes]:
    """The page in pieces, in UTF-8; memory does not grow with the number of ``rows``, which are taken as it goes.

    Links, e-mail addresses and names of users are masked, and with ``mask`` all that text.mask masks. ``languages``:
    those by which the page can be filtered, posts of all others together. A post that is not flagged has no frame.
    """
    tokens = TOKENS if mask else LINKS_AND_PEOPLE

    def shown(row: ExplainedPost) -> MarkedPost:
        explanation = row.explanation if row.decision.decision else Explanation(None, (), "")
        return marked(row.post.text, explanation, row.mentions, masked_spans(row.post.text, tokens))

    groups = {language: number for number, language in enumerate(languages)}
    template = _environment().get_template("explained.html.j2")
    for piece in template.generate(rows=rows, bundle=bundle, groups=groups, shown=shown, mask=mask):
        yield piece.encode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("polyvigil.scoring"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    if type(value) is not str:
        return value
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r\n", "\n").replace("\r", "\n"))


_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")
HTML_SUFFIX = ".html"


class ExplainSummary(Frozen):
    """What was explained."""

    bundle: str
    input: str
    output: str
    output_sha256: str
    posts: int
    flagged: int
    explained: int
    set_aside: int
    rejects: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """How a file is read and which of its posts are explained; the user's ``terms`` are looked for in these."""

    spec: DataSpec = field(default_factory=DataSpec)
    terms: Sequence[Term] = ()
    flagged_only: bool = False
    on_error: OnError = "quarantine"
    mask: bool = False
    """Of a page: mask all that text.mask masks, beside links, addresses and names of users."""


_DEFAULTS = ExplainOptions()


def terms_of(*, drugs: str | Path, reactions: str | Path) -> tuple[Term, ...]:
    """The terms of the user's lists, each a file, or empty where there is none. Raises DataError (data.terms)."""
    lists = (("drug", drugs), ("reaction", reactions))
    return tuple(term for kind, path in lists if path for term in read_terms(path, kind=kind))


def explain_file(
    bundle: Bundle,
    source: str,
    output: str,
    options: ExplainOptions = _DEFAULTS,
    *,
    replace: bool = False,
    inputs: Sequence[str] = (),
) -> ExplainSummary:
    """Explain every post of ``source``, or the flagged ones, into ``output``: JSONL (also .gz, .zst), or one HTML page.

    ``-`` is stdin, or JSONL on stdout. JSONL holds offsets and no text of posts; the page shows it. Bad rows go to
    ``OUT.rejects.jsonl`` (``explained.rejects.jsonl``, where ``-`` is the output). ``replace``: an earlier output,
    never one of the further ``inputs``. Raises DataError for a file or, with ``on_error="fail"``, a row that cannot be
    read; nothing is then left behind.
    """
    spec, fails, is_page = options.spec, options.on_error == "fail", output.lower().endswith(HTML_SUFFIX)
    if options.mask and not is_page:
        raise RecipeError(
            "offsets hold no text to mask", where="--mask", hint="leave it out, or write a page: -o x.html"
        )
    rejects_path = free_rejects("explained") if output == STDIN else rejects_of(output)
    _check(output, rejects_path, replace=replace, inputs=(source, *inputs), sets_aside=not fails)
    row_errors, spellings, counts = RowErrorCounts(), LanguageSpellings(), Counter[str]()
    with ExitStack() as stack:
        table = stack.enter_context(open_table(source, spec))
        columns = map_columns(table.columns, spec, required=("text",), where=table.name, derived=table.derived)
        hashed = Hashed(
            sys.stdout.buffer if output == STDIN else stack.enter_context(whole_file(Path(output), replace=replace))
        )
        stream: IO[bytes] = stack.enter_context(compressed(hashed, output))

        rejects = _Rejects(rejects_path, table.name, stack, fail=fails, replace=replace)
        chunks = _good_rows(table, columns, spec, row_errors, rejects, spellings)
        rows = _explained_rows(bundle, chunks, lexicon(options.terms), counts, flagged_only=options.flagged_only)
        if is_page:
            languages = tuple(bundle.policy.thresholds)
            stream.writelines(render_html(rows, bundle=bundle.id, languages=languages, mask=options.mask))
        else:
            write = json_writer(stream)
            for row in rows:
                write([as_record(row)])
    if output == STDIN:
        sys.stdout.buffer.flush()
    return ExplainSummary(
        bundle=bundle.id,
        input=table.name,
        output=output,
        output_sha256=hashed.hexdigest(),
        posts=counts["posts"],
        flagged=counts["flagged"],
        explained=counts["explained"],
        set_aside=row_errors.total,
        rejects=str(rejects_path) if row_errors.total else None,
        notes=(
            *table.notes,
            *columns.guesses,
            *row_errors.messages(table.name),
            *table.late_notes(),
            *spellings.messages(table.name, default=spec.language),
            *((_WHAT_IS_MASKED[options.mask],) if is_page else ()),
        ),
    )


_WHAT_IS_MASKED = {
    False: "the page shows no links, e-mail addresses and names of users; --mask masks dates and numbers too",
    True: "the page shows no links, e-mail addresses, names of users, dates and long numbers; names in the text stay",
}


class _Rejects:
    """The file of rejected rows, made with the first of them; with ``fail`` the first one is raised instead."""

    def __init__(self, path: Path, input_name: str, stack: ExitStack, *, fail: bool, replace: bool) -> None:
        self._path, self._input_name, self._stack, self._fail = path, input_name, stack, fail
        self._replace = replace
        self._stream: IO[bytes] | None = None

    def add(self, error: RowError) -> None:
        """Write a row that cannot be used. Raises DataError with ``fail``."""
        if self._fail:
            raise row_error(error, self._input_name)
        self._stream = self._stream or self._stack.enter_context(whole_file(self._path, replace=self._replace))
        self._stream.write(reject_line(self._input_name, error).encode())


def _good_rows(
    table: Table,
    columns: ColumnMap,
    spec: DataSpec,
    row_errors: RowErrorCounts,
    rejects: _Rejects,
    spellings: LanguageSpellings,
) -> Iterator[list[ReadPost]]:
    """The posts of a table in chunks; rows that are none are counted and go to ``rejects``."""
    for chunk in chunked(read_rows(table, columns, spec, labelled=False)):
        for error in (item for item in chunk if isinstance(item, RowError)):
            rejects.add(error)
            row_errors.add(error)
        good = [item for item in chunk if isinstance(item, ReadPost)]
        for item in good:
            spellings.add(item.language_given)
        yield good


def _explained_rows(
    bundle: Bundle, chunks: Iterable[list[ReadPost]], terms: Lexicon, counts: Counter[str], *, flagged_only: bool
) -> Iterator[ExplainedPost]:
    """Explain posts chunk by chunk; ``counts`` gets how many were read, explained and flagged."""
    for good in chunks:
        posts, detected = [item.post for item in good], [item.language_detected for item in good]
        explained = explain_posts(bundle, posts, terms, detected=detected, flagged_only=flagged_only)
        flagged = sum(row.decision.decision for row in explained)
        counts.update(posts=len(posts), explained=len(explained), flagged=flagged)
        yield from explained


_EXPLANATIONS = json_lines("file of explanations", ("id", "p", "sentence_start", "spans", "mentions"))
_EXPLAINED_HTML = OutputKind(
    "page of explanations", lambda path: b"<title>Explained posts</title>" in (head_of(path) or b"")
)


def _check(output: str, rejects: Path, *, replace: bool, inputs: Sequence[str], sets_aside: bool) -> None:
    if output == STDIN:
        return
    if not output.lower().endswith((*_LINES, HTML_SUFFIX)):
        raise DataError("explanations are .jsonl or .html", where=output, hint="for example -o explained.html")
    if Path(output).is_dir():
        raise DataError("is a folder", where=output, hint="name a file, e.g. explained.jsonl")
    kind = _EXPLAINED_HTML if output.lower().endswith(HTML_SUFFIX) else _EXPLANATIONS
    check_output(Path(output), kind, replace=replace, inputs=inputs)
    if sets_aside:
        check_output(rejects, REJECTS, replace=replace, inputs=inputs)
