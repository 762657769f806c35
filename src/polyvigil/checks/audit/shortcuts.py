"""The analysis behind ``polyvigil audit shortcuts``: does a bundle flag something that is no ADE?"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.association import beyond_correlation, eta_squared, rank_correlation
from polyvigil.checks.audit.cells import FlagCell, flag_cells, negatives_gate, rate_gate
from polyvigil.checks.audit.gate import ETA_SQUARED, LEAST_POSTS, LENGTH, Gate, Measured, gate_of
from polyvigil.checks.audit.probing import Probe, probe, probe_gates
from polyvigil.checks.audit.training import TrainingAudit, audit_training, record_gate
from polyvigil.data.packed_posts import NormalisedTexts, field_of, labels_of, posts_of
from polyvigil.data.packed_strings import CHUNK, StringColumn, pack
from polyvigil.data.read import Reading
from polyvigil.progress import report_share
from polyvigil.text.script import main_scripts
from polyvigil.types import Frozen, Labels, Probabilities


class LengthCell(Frozen):
    """Negatives of one language: rank correlation of their length in characters and their score.

    Not of positives, whose evidence weighs less the more stands beside it.
    """

    language: str
    posts: int
    correlation: float


class ShortcutAudit(Frozen):
    """All that was measured, and the gates on it."""

    bundle: str
    cells: tuple[FlagCell, ...]
    probes: tuple[Probe, ...]
    language_spread: float
    """Eta squared of the logit of negatives, by language and by type."""
    type_spread: float
    lengths: tuple[LengthCell, ...]
    training: TrainingAudit
    gates: tuple[Gate, ...]


def audit_shortcuts(bundle: Bundle, reading: Reading, *, train: Reading | None = None) -> ShortcutAudit:
    """Probe a bundle with texts that say nothing, and look at what it flags among labelled posts.

    ``train``: the posts it was trained on, looked at for what gives labels away; else ``reading`` is, for columns only.
    """
    posts, labels = posts_of(reading.posts), labels_of(reading.posts)
    scores = bundle.probabilities(posts)
    languages = list(field_of(posts, "language"))
    texts = NormalisedTexts(posts, bundle.normalisation)
    scripts, characters = StringColumn(), array("q")
    for number, batch in enumerate(texts.batches()):
        report_share("looking at scripts", number * CHUNK, len(texts))
        scripts.add_chunk(pack(main_scripts(batch)))
        characters.extend(map(len, batch))
    cells = flag_cells(
        labels,
        bundle.policy.flags(scores, languages),  # also where the bundle abstains: what the scores learned is judged
        languages,
        scripts,
        dev_labels=bundle.dev.labels,
        dev_languages=bundle.dev.languages,
    )
    probes = probe(bundle, posts, labels, scripts)
    negatives = (labels == 0) & (scores > 0)
    by_language = eta_squared(scores[negatives], list(compress(languages, negatives.tolist())))
    by_type = eta_squared(scores[negatives], list(compress(field_of(posts, "type"), negatives.tolist())))
    lengths = tuple(_lengths(characters, languages, labels, scores))
    training = audit_training(train or reading, is_train=train is not None)
    return ShortcutAudit(
        bundle=bundle.id,
        cells=cells,
        probes=probes,
        language_spread=by_language,
        type_spread=by_type,
        lengths=lengths,
        training=training,
        gates=(
            *training.gates,
            record_gate(bundle),
            *probe_gates(probes),
            rate_gate(cells),
            negatives_gate(cells),
            _eta_squared_gate("language", by_language, int(negatives.sum())),
            _eta_squared_gate("type", by_type, int(negatives.sum())),
            _length_gate(lengths),
        ),
    )


def _eta_squared_gate(what: str, value: float, posts: int) -> Gate:
    measured = Measured(
        group=what,
        value=value,
        beyond=value > ETA_SQUARED,
        message=f"negatives: {value:.0%} of the spread of their scores goes with their {what} (eta squared over"
        f" {posts:,} posts; limit {ETA_SQUARED:.0%}), so the score tells the {what} more than the post",
        advice=f'train with balance.weights = "group", and see that every {what} has positives and negatives',
    )
    return gate_of(f"{what}-spread", ETA_SQUARED, [measured] if posts >= LEAST_POSTS else [])


def _lengths(
    lengths: Sequence[int], languages: Sequence[str], labels: Labels, scores: Probabilities
) -> Iterator[LengthCell]:
    characters, names = np.array(lengths, dtype=np.float64), np.array(languages)
    for language in sorted(set(languages)):
        mask = (names == language) & (labels == 0) & (scores > 0)
        if mask.sum() >= LEAST_POSTS:
            correlation = rank_correlation(characters[mask], scores[mask])
            yield LengthCell(language=language, posts=int(mask.sum()), correlation=correlation)


def _length_gate(cells: Sequence[LengthCell]) -> Gate:
    measured = [
        Measured(
            group=cell.language,
            value=abs(cell.correlation),
            beyond=beyond_correlation(cell.correlation, cell.posts, LENGTH),
            message=f"{cell.language}: of {cell.posts:,} negatives the "
            f"{'long' if cell.correlation > 0 else 'short'} ones"
            f" score higher (rank correlation {cell.correlation:+.2f}; limit {LENGTH:g})",
            advice="compare the lengths of its positives and negatives in training, and add what is missing",
            language=cell.language,
        )
        for cell in cells
    ]
    return gate_of("length", LENGTH, measured)
