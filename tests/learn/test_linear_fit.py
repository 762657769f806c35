"""Fitting the linear detector in bounded memory, against scikit-learn's solver and a twin that counts in dicts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.detect.linear import LinearDetector
from polyvigil.detect.ngram_features import NgramSpace, characters_of
from polyvigil.errors import TrainingError
from polyvigil.learn import linear, linear_dual, linear_exact, linear_kernel, linear_rows
from polyvigil.learn.linear import LinearLearner
from polyvigil.learn.linear_problem import Largest, Problem
from polyvigil.learn.linear_rows import RowStore, Texts, rows_of
from polyvigil.learn.linear_scale import Scale
from polyvigil.text.normalise import NORMALISATION, model_texts
from polyvigil.types import LabelledPost, Post

SPACE = NgramSpace((1, 2), (2, 4), 1)
WORDS = ["pain", "no", "pills", "dizzy", "頭痛", "боль", "a", "🙂", "ok" * 20]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def train(corpus: tuple[LabelledPost, ...]) -> tuple[LabelledPost, ...]:
    """2,000 synthetic posts with both kinds of translated ones."""
    posts = [item for item in corpus if item.post.split == "train"]
    cadec = [item for item in posts if item.post.language.endswith("_cadec")]
    others = [item for item in posts if not item.post.language.endswith("_cadec")]
    return (*others[: 2000 - len(cadec)], *cadec)


@pytest.fixture(scope="module")
def test_texts(corpus: tuple[LabelledPost, ...]) -> list[str]:
    return model_texts([item.post.text for item in corpus if item.post.split == "test"], NORMALISATION)


def _problem(labels: Sequence[int], costs: Sequence[float] | None = None, *, naive_bayes: bool = False) -> Problem:
    gold = np.array(labels, dtype=np.int8)
    weights = np.ones(len(gold)) if costs is None else np.array(costs)
    return Problem(gold, weights, np.zeros(len(gold), bool), 0.5, Scale.over(gold, weights, naive_bayes=naive_bayes))


def _fit(
    train: Sequence[LabelledPost], spec: LinearSpec, monkeypatch: pytest.MonkeyPatch, *, worth: int
) -> LinearDetector:
    monkeypatch.setattr(linear, "WORTH_CHARACTERS", worth)
    return LinearLearner(spec, BalanceSpec(oversample=2)).fit(train, (), seed=7)


@pytest.mark.parametrize(
    "spec",
    [
        LinearSpec(),
        LinearSpec(scale="none", skip_words=0, translated_likeness=1.0, C=4.0),
        LinearSpec(min_posts=2, translated_likeness=0.0),
        LinearSpec(min_posts=3, sublinear=False, word_ngrams=(1, 1), character_ngrams=(3, 3)),
    ],
    ids=["default", "as scikit-learn", "two posts", "three posts"],
)
def test_both_solvers_find_the_same_logits(
    train: tuple[LabelledPost, ...], test_texts: list[str], spec: LinearSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(linear_exact.solve.__kwdefaults__, "tolerance", 1e-9)
    monkeypatch.setitem(linear_dual.solve.__kwdefaults__, "stop", 1e-8)
    monkeypatch.setattr(linear_dual, "MOST_EPOCHS", 200)
    exact, dual = (_fit(train, spec, monkeypatch, worth=worth) for worth in (1 << 60, 0))
    for one, other in ((exact.words, dual.words), (exact.characters, dual.characters)):
        assert np.array_equal(one.vocabulary.hashes, other.vocabulary.hashes)
        assert np.array_equal(one.idf, other.idf)
    assert np.abs(exact.logits(test_texts) - dual.logits(test_texts)).max() < 1e-4
    assert np.ptp(dual.logits(test_texts)) > 3


def test_as_it_ships_it_ranks_as_the_optimum(
    train: tuple[LabelledPost, ...], test_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, dual = (_fit(train, LinearSpec(), monkeypatch, worth=worth) for worth in (1 << 60, 0))
    assert np.abs(exact.logits(test_texts) - dual.logits(test_texts)).max() < 0.02


def test_translated_posts_teach_less_the_less_alike_they_are(train: tuple[LabelledPost, ...]) -> None:
    """A word that translated posts alone hold weighs in proportion to the likeness, in both solvers."""
    posts = [LabelledPost(Post(f"{n}", f"zzqq word{n % 7}", "de_cadec"), 1) for n in range(40)]
    posts += [LabelledPost(Post(f"w{n}", f"word{n % 7} again", "de"), n % 2) for n in range(200)]
    weights = []
    for likeness in (0.0, 0.5, 1.0):
        detector = LinearLearner(LinearSpec(translated_likeness=likeness), BalanceSpec()).fit(posts, (), seed=1)
        plain = LinearLearner(LinearSpec(translated_likeness=likeness, skip_words=0), BalanceSpec())
        assert plain.fit(posts, (), seed=1).fit_record == detector.fit_record
        z = detector.logits(["zzqq", "word1"])
        weights.append(z[0] - z[1])
    assert weights[0] < weights[1] < weights[2]


@settings(max_examples=150, deadline=None)
@given(
    TEXTS,
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([3, 6, 12]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_rows_are_those_of_a_dictionary(
    texts: list[str], min_posts: int, sublinear: bool, sketch_bits: int, on_disk: bool, random: object
) -> None:
    """Also with a sketch so small that n-grams share counters: too high counts give columns that are dropped again."""
    texts = [*texts, " ".join(["pain"] * 40), texts[0]]  # a count above 31, and a text that stands twice
    posts = [Post(str(n), text) for n, text in enumerate(texts)]
    labels = [random.randrange(2) for _ in texts]  # type: ignore[attr-defined]
    costs = [random.choice([0.5, 1.0, 2.0]) for _ in texts]  # type: ignore[attr-defined]
    counted = [[Counter(), Counter()] for _ in texts]
    for half, grams in enumerate(SPACE.blocks(characters_of(posts, NORMALISATION))):
        for row, value in zip(grams.rows.tolist(), grams.hashes.tolist(), strict=True):
            counted[row][half][value] += 1
    n_posts = Counter(value for halves in counted for half in halves for value in half)
    store = RowStore(in_memory=0 if on_disk else 1 << 30)
    rows = rows_of(
        Texts(posts, SPACE, sublinear),
        _problem(labels, costs),
        min_posts=min_posts,
        store=store,
        sketch_bits=sketch_bits,
    )
    columns = rows.columns.hashes.tolist()
    assert set(columns) == {value for value, number in n_posts.items() if number >= max(min_posts, 2)}
    assert rows.columns.n_posts.tolist() == [n_posts[value] for value in columns]
    assert rows.columns.n_posts.tolist() == sorted(rows.columns.n_posts.tolist(), reverse=True)
    for value, masses, is_words in zip(columns, rows.columns.masses, rows.columns.is_words, strict=True):
        holding = [n for n, halves in enumerate(counted) if value in halves[0] or value in halves[1]]
        for label in (0, 1):
            assert masses[label] == pytest.approx(sum(costs[n] for n in holding if labels[n] == label))
        assert is_words == any(value in halves[0] for halves in counted)
    assert _halves(rows) == [
        {value: count for value, count in half.items() if n_posts[value] >= max(min_posts, 2)}
        for halves in counted
        for half in halves
    ]
    weigh = (lambda count: (1 + np.log(count)) ** 2) if sublinear else (lambda count: count**2)
    alone = [
        sum(weigh(count) for value, count in half.items() if n_posts[value] == 1 and min_posts == 1)
        for halves in counted
        for half in halves
    ]
    assert rows.hapaxes.tolist() == pytest.approx(alone)
    store.close()


def _halves(rows: linear_rows.Rows) -> list[dict[int, int]]:
    """The entries of each half as hash -> count."""
    found = []
    for block in rows.store.blocks:
        entries, start = rows.store.entries(block).tolist(), 0
        for end in block.ends.tolist():
            half, at = {}, start
            while at < end:
                column, count = entries[at] >> linear_kernel.COUNT_BITS, entries[at] % (1 << linear_kernel.COUNT_BITS)
                if count == 0:
                    at += 1
                    count = entries[at]
                half[int(rows.columns.hashes[column])] = count
                at += 1
            found.append(half)
            start = end
    return found


def test_a_text_of_many_ngrams_is_counted_by_sorting() -> None:
    text = " ".join(f"w{n % 5000}" for n in range(30_000))
    laid = linear_rows.code_points(model_texts([text], NORMALISATION))
    hashes, counts, ends = linear_kernel.distinct_ngrams(
        laid.points, laid.lengths, linear_rows.word_characters(), (1, 2, 0), (2, 3)
    )
    space = NgramSpace((1, 2), (2, 3))
    for half, grams in enumerate(space.blocks(characters_of([Post("1", text)], NORMALISATION))):
        part = slice(ends[0] if half else 0, ends[half])
        assert dict(zip(hashes[part].tolist(), counts[part].tolist(), strict=True)) == Counter(grams.hashes.tolist())


def test_more_ngrams_than_columns_keep_the_frequent_and_the_single_ones(train: tuple[LabelledPost, ...]) -> None:
    posts, labels = [item.post for item in train], [item.label for item in train]
    texts = Texts(posts, SPACE, True)
    whole = rows_of(texts, _problem(labels), min_posts=1, store=RowStore(1 << 30))
    most = len(whole.columns.hashes) // 3
    fewer = rows_of(texts, _problem(labels), min_posts=1, store=RowStore(1 << 30), most_columns=most)
    assert fewer.sketch.least > 2
    frequent = whole.columns.n_posts >= fewer.sketch.least
    assert np.array_equal(fewer.columns.hashes, whole.columns.hashes[frequent])
    assert (fewer.hapaxes <= whole.hapaxes + 1e-9).all()  # two that share a counter count as one of two posts
    assert fewer.hapaxes.sum() > 0.9 * whole.hapaxes.sum()


def test_on_disk_in_memory_and_twice_it_is_the_same_model(
    train: tuple[LabelledPost, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(linear_rows, "_BLOCK", 50_000)
    monkeypatch.setattr(linear_rows, "_BATCH_CHARACTERS", 5_000)
    stored = []
    for place, in_memory, ngrams in (("memory", 1 << 30, 1 << 30), ("disk", 100_000, 0), ("again", 1 << 30, 100_000)):
        monkeypatch.setattr(linear_rows, "IN_MEMORY", in_memory)
        monkeypatch.setattr(linear_rows, "NGRAMS_IN_MEMORY", ngrams)
        folder = tmp_path / place
        folder.mkdir()
        _fit(train, LinearSpec(), monkeypatch, worth=0).save(folder)
        stored.append((folder / "weights.safetensors").read_bytes() + (folder / "config.json").read_bytes())
    assert stored[0] == stored[1] == stored[2]


def test_ngrams_are_kept_for_the_next_pass_where_all_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = [Post(str(at), f"a post {at} " + "ha" * (at * 60 % 500)) for at in range(30)]  # counts below and above 255
    monkeypatch.setattr(linear_rows, "_BATCH_CHARACTERS", 2_000)
    passes = []
    for room in (1 << 20, 1_000, 0):
        monkeypatch.setattr(linear_rows, "NGRAMS_IN_MEMORY", room)
        texts = Texts(posts, SPACE, True)
        passes += [list(texts.ngrams()), list(texts.ngrams())]
        assert bool(texts._held) == (room > 1_000)
    assert max(int(counts.max()) for _, _, counts, _ in passes[0]) > 255
    for one in passes[1:]:
        assert [first for first, *_ in one] == [first for first, *_ in passes[0]]
        for (_, *mine), (_, *first_read) in zip(one, passes[0], strict=True):
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(mine, first_read, strict=True))


def test_the_largest_weights_are_kept() -> None:
    rng = np.random.default_rng(5)
    hashes = rng.permutation(10_000).astype(np.uint64)
    weights = rng.integers(-40, 40, 10_000).astype(np.float32)  # many are equal
    kept = Largest(900)
    for at in range(0, 10_000, 700):
        part = slice(at, at + 700)
        kept.add(hashes[part], np.ones(len(hashes[part]), bool), weights[part], weights[part])
    found = kept.weights(intercept=1.0)
    expected = sorted(zip(-np.abs(weights), hashes.tolist(), strict=True))[:900]
    assert sorted(found.hashes.tolist()) == sorted(value for _, value in expected)
    assert np.abs(found.weights).min() == -expected[-1][0] == kept.smallest


def test_a_capped_model_keeps_the_largest_weights_of_the_whole_one(
    train: tuple[LabelledPost, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _fit(train, LinearSpec(), monkeypatch, worth=0)
    fewer = _fit(train, LinearSpec(most_ngrams=2000), monkeypatch, worth=0)
    sizes = np.sort(np.abs(np.concatenate([whole.words.weights, whole.characters.weights])))[::-1]
    kept = np.abs(np.concatenate([fewer.words.weights, fewer.characters.weights]))
    assert len(kept) == 2000
    assert np.array_equal(np.sort(kept)[::-1], sizes[:2000])


def test_without_numba_scikit_learn_fits(
    train: tuple[LabelledPost, ...], test_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = _fit(train[:500], LinearSpec(), monkeypatch, worth=1 << 60)
    for name in ("polyvigil.learn.linear_dual", "polyvigil.learn.linear_rows", "polyvigil.learn.linear_kernel"):
        monkeypatch.setitem(sys.modules, name, None)
    without = _fit(train[:500], LinearSpec(), monkeypatch, worth=0)
    assert np.array_equal(exact.logits(test_texts), without.logits(test_texts))


LARGE = """
import sys
from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.learn import linear, linear_rows
from polyvigil.types import LabelledPost, Post
linear.WORTH_CHARACTERS = 0
linear_rows.IN_MEMORY = 0
linear_rows._BLOCK = 10_000
linear_rows._BATCH_CHARACTERS = 1_000
posts = [LabelledPost(Post(str(n), f"post {n} of {n % 97} with words {n * 7919 % 1009}"), n % 2) for n in range(20_000)]
def tell(what, done, of):
    print(what, flush=True)
linear.LinearLearner(LinearSpec(), BalanceSpec(), tell).fit(posts, (), seed=1)
"""


def test_a_kill_leaves_no_files(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", LARGE], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("fitting" in line for line in process.stdout)
        files = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        process.send_signal(signal.SIGKILL)
    assert any(str(tmp_path) in file for file in files)
    time.sleep(0.1)
    assert not [entry for entry in tmp_path.iterdir() if "numba" not in entry.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_names_the_folder_and_the_way_out(tmp_path: Path) -> None:
    small = LARGE.replace("range(20_000)", "range(200)")  # what is compiled is kept on disk, too: before the limit
    program = f"{small}\nimport resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n{LARGE}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert TrainingError.__name__ in last
    assert "the n-grams of the training posts cannot be kept on disk" in last
