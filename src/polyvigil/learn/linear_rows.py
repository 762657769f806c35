"""Posts as rows of hashed n-grams, in bounded memory: what the solver of the linear detector reads.

Two passes over the posts. The first counts, in a sketch of one byte for each hash prefix, in how many posts an n-gram
stands; a counter is never too low. The second gives a column to each n-gram of ``least`` posts or more and writes the
rows down, in memory, or above ``IN_MEMORY`` bytes in a file without a name, which the system removes whatever becomes
of this process. An n-gram of one post alone needs no column (learn.linear_dual), so most of the n-grams take no memory.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import NgramSpace, batches
from polyvigil.errors import TrainingError
from polyvigil.learn import linear_kernel as kernel
from polyvigil.learn.linear_problem import Problem
from polyvigil.text.hashing import code_points, word_characters
from polyvigil.text.normalise import NORMALISATION, model_texts
from polyvigil.types import Post

IN_MEMORY = 1 << 28
"""Bytes of rows that are held in memory; more go to a file: about 200,000 short posts."""
NGRAMS_IN_MEMORY = 1 << 28
"""Bytes of n-grams that are kept from the first pass for the others: those of 50,000 short posts. Of more, none are."""
_NGRAM_BYTES = 32  # a character, about: 3 n-grams of 8 bytes for the hash and one for the count
MOST_COLUMNS = 1 << 23
"""Above so many n-grams only the more frequent ones are columns, at 60 bytes each while they are counted."""
_BLOCK = 1 << 23  # entries
_BATCH_CHARACTERS = 1 << 18
_NGRAMS_PER_POST = 384
_SKETCH_BITS = (18, 28)
_FREQUENCIES = 1 << kernel.COUNT_BITS

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many posts are done, and how many there are."""


_Batch = tuple[int, NDArray[np.uint64], NDArray[np.uint32], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Texts:
    """The posts to learn from, and how their n-grams are counted.

    Each pass reads the posts anew, unless the n-grams of all of them fit in ``NGRAMS_IN_MEMORY`` bytes.
    """

    posts: Sequence[Post]
    space: NgramSpace
    sublinear: bool
    _held: list[_Batch] = field(default_factory=list, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.posts)

    @property
    def frequency(self) -> NDArray[np.float64]:
        """What the counts 0, 1, ... weigh; 0 for none."""
        counts = np.arange(1, _FREQUENCIES, dtype=np.float64)
        return np.append(0.0, 1.0 + np.log(counts) if self.sublinear else counts)

    def ngrams(self) -> Iterator[_Batch]:
        """Batches of posts: the index of the first, and kernel.distinct_ngrams of them."""
        if self._held:
            for first, hashes, counts, ends in self._held:
                yield first, hashes, counts.astype(np.uint32, copy=False), ends
            return
        held: list[_Batch] = []
        expected = _NGRAM_BYTES * sum(len(post.text) for post in self.posts)
        room = NGRAMS_IN_MEMORY if expected <= NGRAMS_IN_MEMORY else 0
        for first, hashes, counts, ends in self._read():
            yield first, hashes, counts, ends
            if room > 0:
                narrow = counts.astype(np.min_scalar_type(counts.max(initial=0)))
                held.append((first, hashes.copy(), narrow, ends))
                room -= hashes.nbytes + narrow.nbytes + ends.nbytes
                if room <= 0:
                    held.clear()
        if room > 0:
            self._held.extend(held)

    def _read(self) -> Iterator[_Batch]:
        words = (*self.space.word_ngrams, self.space.skip_words)
        first = 0
        for batch in batches(self.posts, characters=_BATCH_CHARACTERS):
            laid = code_points(model_texts([post.text for post in batch], NORMALISATION))
            yield (
                first,
                *kernel.distinct_ngrams(
                    laid.points, laid.lengths, word_characters(), words, self.space.character_ngrams
                ),
            )
            first += len(batch)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of consecutive posts from ``first`` on. ``ends``: see learn.linear_kernel; ``location``: its first byte in
    the file, or its entries."""

    first: int
    ends: NDArray[np.int64]
    location: int | NDArray[np.uint32]

    @property
    def n_posts(self) -> int:
        return len(self.ends) // 2


@dataclass(slots=True)
class RowStore:
    """Blocks of entries, in memory as long as they take no more than ``in_memory`` bytes."""

    in_memory: int
    blocks: list[Block] = field(default_factory=list)
    _file: io.BufferedRandom | None = None
    _room: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, dtype=np.uint32))

    def add(self, first: int, ends: NDArray[np.int64], entries: NDArray[np.uint32]) -> None:
        """Append a block; ``entries`` is copied."""
        held = sum(4 * int(block.ends[-1]) for block in self.blocks)
        if self._file is None and held + entries.nbytes > self.in_memory:
            with _disk_errors():
                self._file = tempfile.TemporaryFile(prefix="polyvigil-")  # noqa: SIM115
            for at, block in enumerate(self.blocks):
                self.blocks[at] = Block(block.first, block.ends, self._append(self.entries(block)))
        location = entries.copy() if self._file is None else self._append(entries)
        self.blocks.append(Block(first, ends, location))

    def entries(self, block: Block) -> NDArray[np.uint32]:
        """The entries of a block; of one in the file, they hold until the next call."""
        size = int(block.ends[-1])
        if not isinstance(block.location, int):
            return block.location[:size]
        assert self._file is not None
        if len(self._room) < size:
            self._room = np.empty(size, dtype=np.uint32)
        with _disk_errors():
            self._file.seek(block.location)
            if self._file.readinto(self._room[:size].data.cast("B")) != 4 * size:
                raise OSError("the file is shorter than it was")
        return self._room[:size]

    def rewrite(self, at: int, entries: NDArray[np.uint32]) -> None:
        """Keep ``entries``, no more than there were, as those of ``blocks[at]``, whose ``ends`` say so."""
        block = self.blocks[at]
        if isinstance(block.location, int):
            self._write(block.location, entries)
        else:
            self.blocks[at] = Block(block.first, block.ends, entries.copy())

    def close(self) -> None:
        """Give the disk back; what a full one has not taken is not missed."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _append(self, entries: NDArray[np.uint32]) -> int:
        assert self._file is not None
        location = self._file.seek(0, io.SEEK_END)
        self._write(location, entries)
        return location

    def _write(self, location: int, entries: NDArray[np.uint32]) -> None:
        assert self._file is not None
        with _disk_errors():
            self._file.seek(location)
            self._file.write(entries.tobytes())
            self._file.flush()  # a full disk is told here


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the n-grams of the training posts cannot be kept on disk ({error})",
            where=tempfile.gettempdir(),
            hint="free some disk, or name a folder with room for 1.3 kB a post in the environment variable TMPDIR",
        ) from error


@dataclass(frozen=True, slots=True)
class Columns:
    """The n-grams that have a column, by falling number of posts, then by hash: ``hashes``, ``n_posts``, ``is_words``
    (n,), and ``masses`` (n, 2), the weights of the negative and of the positive posts they stand in."""

    hashes: NDArray[np.uint64]
    n_posts: NDArray[np.uint32]
    is_words: NDArray[np.bool_]
    masses: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The posts as rows of ``columns``. ``hapaxes`` (2 n_posts,): of each half (learn.linear_kernel) the sum of squared
    frequencies of its n-grams that no other post has; ``sketch``, ``keys``, ``ids`` and ``new_ids`` tell which those
    are (kernel.hapax_weights)."""

    store: RowStore
    columns: Columns
    hapaxes: NDArray[np.float64]
    sketch: kernel.Sketch
    keys: NDArray[np.uint64]
    ids: NDArray[np.int32]
    new_ids: NDArray[np.int32]


def rows_of(
    texts: Texts,
    problem: Problem,
    *,
    min_posts: int,
    store: RowStore,
    most_columns: int = MOST_COLUMNS,
    sketch_bits: int | None = None,
    progress: Progress = lambda *_: None,
) -> Rows:
    """Read the posts twice, into ``store``.

    n-grams of fewer than ``min_posts`` posts are left out. Where more than ``most_columns`` remain, so are those of 2
    posts, then of 3, and so on: never those of one post, which cost nothing. Raises TrainingError on a full disk.
    """
    sketch = _sketch(texts, max(min_posts, 2), most_columns, sketch_bits, progress)
    hapaxes = np.zeros(2 * len(texts))
    table, n_columns = _written_rows(texts, problem, sketch, hapaxes, store, progress)
    columns, new_ids = _by_frequency(table, n_columns, sketch.least)
    if min_posts > 1:
        new_ids[new_ids == _HAPAX] = _LEFT_OUT
        hapaxes[:] = 0.0
    for at, block in enumerate(store.blocks):
        entries = store.entries(block)
        part = hapaxes[2 * block.first : 2 * (block.first + block.n_posts)]
        n_kept = kernel.renumber(entries, block.ends, new_ids, part, texts.frequency, texts.sublinear)
        store.rewrite(at, entries[:n_kept])
    return Rows(store, columns, hapaxes, sketch, table.keys, table.ids, new_ids)


_LEFT_OUT, _HAPAX = -1, -2  # as kernel.renumber reads them


def _sketch(texts: Texts, least: int, most_columns: int, sketch_bits: int | None, progress: Progress) -> kernel.Sketch:
    """The first pass."""
    low, high = _SKETCH_BITS
    bits = sketch_bits or min(max((len(texts) * _NGRAMS_PER_POST).bit_length(), low), high)
    counters, shift = np.zeros(1 << bits, dtype=np.uint8), np.uint64(64 - bits)
    for first, hashes, _, ends in texts.ngrams():
        kernel.add_to_sketch(counters, shift, hashes)
        progress("counting n-grams", first + len(ends) // 2, len(texts))
    seen = _histogram(counters)
    while least < 255 and seen[least:].sum() > most_columns:
        least += 1
    return kernel.Sketch(counters, shift, least)


def _histogram(counters: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many counters have each value, (256,). By parts, since bincount makes int64 of what it counts."""
    seen = np.zeros(256, dtype=np.int64)
    for at in range(0, len(counters), 1 << 20):
        seen += np.bincount(counters[at : at + (1 << 20)], minlength=256)
    return seen


def _written_rows(
    texts: Texts,
    problem: Problem,
    sketch: kernel.Sketch,
    hapaxes: NDArray[np.float64],
    store: RowStore,
    progress: Progress,
) -> tuple[kernel.ColumnTable, int]:
    """The second pass: rows into ``store``, a column for each n-gram as it is met; the table, and how many."""
    table = _larger(None, 0, int(1.05 * _histogram(sketch.counters)[sketch.least :].sum()) + 1024)
    frequency, n_columns = texts.frequency, 0
    room, n_entries, block_first = np.empty(_BLOCK, dtype=np.uint32), 0, 0
    block_ends: list[NDArray[np.int64]] = []
    for first, hashes, counts, ends in texts.ngrams():
        if n_entries + 2 * len(hashes) > len(room):  # an entry is two numbers at most
            if block_ends:
                store.add(block_first, np.concatenate(block_ends), room[:n_entries])
            room = np.empty(max(len(room), 2 * len(hashes)), dtype=np.uint32) if 2 * len(hashes) > len(room) else room
            block_ends, n_entries, block_first = [], 0, first
        entry_ends = np.empty(len(ends), dtype=np.int64)
        posts = slice(first, first + len(ends) // 2)
        half = 0
        while half < len(ends):
            half, n_columns, n_entries = kernel.to_entries(
                hashes, counts, ends, half, sketch, table, n_columns, problem.labels[posts], problem.costs[posts],
                room, n_entries, entry_ends, hapaxes[2 * posts.start : 2 * posts.stop], frequency, texts.sublinear,
            )  # fmt: skip
            if half < len(ends):
                needed = n_columns + int(ends[half] - (ends[half - 1] if half else 0))
                table = _larger(table, n_columns, max(needed, int(1.5 * n_columns)))
        block_ends.append(entry_ends)
        progress("weighing n-grams", posts.stop, len(texts))
    store.add(block_first, np.concatenate(block_ends), room[:n_entries])
    return table, n_columns


def _larger(table: kernel.ColumnTable | None, n_columns: int, room: int) -> kernel.ColumnTable:
    """A table with room for so many columns, of which the first ``n_columns`` are those of ``table``."""
    slots = 1 << max((2 * room - 1).bit_length(), 4)
    keys, ids = np.zeros(slots, dtype=np.uint64), np.full(slots, -1, dtype=np.int32)
    larger = kernel.ColumnTable(
        keys, ids, np.zeros(room, np.uint64), np.zeros(room, np.uint32), np.zeros(room, bool), np.zeros((room, 2))
    )
    if table is not None:
        for name in ("hashes", "n_posts", "is_words", "masses"):
            getattr(larger, name)[:n_columns] = getattr(table, name)[:n_columns]
        kernel.rehash(keys, ids, larger.hashes, n_columns)
    return larger


def _by_frequency(table: kernel.ColumnTable, n_columns: int, least: int) -> tuple[Columns, NDArray[np.int32]]:
    """The columns in their final order, without those the sketch took for more frequent; of each old one the new."""
    hashes, n_posts = table.hashes[:n_columns], table.n_posts[:n_columns]
    new_ids = np.where(n_posts == 1, np.int32(_HAPAX), np.int32(_LEFT_OUT))
    kept = np.flatnonzero(n_posts >= least)
    kept = kept[np.lexsort((hashes[kept], -n_posts[kept].astype(np.int64)))]
    new_ids[kept] = np.arange(len(kept), dtype=np.int32)
    return Columns(hashes[kept], n_posts[kept], table.is_words[kept], table.masses[kept]), new_ids
