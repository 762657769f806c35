"""Packed posts are the posts: every walk, slice and choice gives what a list gives, and reading uses them."""

from __future__ import annotations

import random
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from polyvigil.data.fingerprint import fingerprint, post_hashes, post_keys
from polyvigil.data.kept_rows import KeptRows, column_cells, column_names, lines_of
from polyvigil.data.packed_posts import (
    NormalisedTexts,
    PackedLabelledPosts,
    PackedPosts,
    PostColumns,
    concatenated,
    field_array,
    field_of,
    labels_of,
    posts_of,
    taken,
)
from polyvigil.data.packed_strings import CHUNK
from polyvigil.data.read import read_labelled, read_unlabelled, read_with_labels_if_any
from polyvigil.text.normalise import NORMALISATION, model_text, model_texts
from polyvigil.types import LabelledPost, Post

N = CHUNK + 137


def made(n: int = N, *, seed: int = 0) -> list[Post]:
    generator = random.Random(seed)
    texts = ["my head 🙂 hurts", "http://t.co/x @me  ok", "頭が痛い", "", "&amp; so\ud83d", "plain words"]
    return [
        Post(
            f"{seed}-{number}",
            f"{generator.choice(texts)} {number}",
            generator.choice(["en", "ja", "de_cadec"]),
            generator.choice(["tweet", ""]),
            f"origin {number}" if seed else "synthetic",
            generator.choice(["train", "test"]),
            "" if number % 3 else f"thread {number}",
        )
        for number in range(n)
    ]


def packed_in_chunks(posts: list[Post], *, size: int = 500) -> PackedPosts:
    columns = PostColumns()
    for start in range(0, len(posts), size):
        columns.add_chunk(posts[start : start + size])
    return PackedPosts(columns)


@pytest.mark.parametrize("size", [3, 500, CHUNK, N])
def test_packed_posts_equal_the_list(size: int) -> None:
    posts = made()
    packed = packed_in_chunks(posts, size=size)
    assert packed == posts
    assert packed == PackedPosts(PostColumns(posts))
    assert tuple(posts) == packed
    assert list(packed) == posts
    assert packed[-1] == posts[-1]
    assert list(packed[37:1200][5:]) == posts[42:1200]
    assert list(packed[::-7]) == posts[::-7]
    assert packed != posts[1:]
    assert packed != [*posts[:-1], posts[0]]
    with pytest.raises(IndexError):
        packed[len(posts)]


def test_the_first_posts_are_shown() -> None:
    posts = made(5)
    assert repr(packed_in_chunks(posts)[:2]) == repr(posts[:2])
    assert repr(packed_in_chunks(posts)) == repr(posts[:3])[:-1] + ", ... 5 in all]"


def test_a_choice_of_posts_is_in_its_order() -> None:
    posts = made()
    generator = random.Random(4)
    for indices in ([], [5], sorted(generator.sample(range(N), 900)), generator.sample(range(N), 50), [3, 3, 1]):
        expected = [posts[index] for index in indices]
        for source in (posts, packed_in_chunks(posts)):
            chosen = taken(source, indices)
            assert list(chosen) == expected
            assert list(field_of(chosen, "language")) == [post.language for post in expected]
        assert list(taken(taken(packed_in_chunks(posts), indices), range(len(indices)))) == expected


def test_fields_labels_and_texts() -> None:
    posts = made()
    labels = np.array([number % 5 == 0 for number in range(N)], dtype=np.int8)
    items = [LabelledPost(post, int(label)) for post, label in zip(posts, labels, strict=True)]
    packed = PackedLabelledPosts(packed_in_chunks(posts), labels)
    assert packed == items
    assert list(packed[10:20]) == items[10:20]
    assert packed[-3] == items[-3]
    assert posts_of(packed) is packed.posts
    assert posts_of(items) == posts
    assert (labels_of(packed) == labels_of(items)).all()
    assert labels_of(items).dtype == labels_of(packed).dtype == np.int8
    for name in ("id", "text", "language", "type", "origin", "split", "group"):
        assert list(field_of(packed.posts, name)) == [getattr(post, name) for post in posts]
    assert (field_array(packed.posts, "type") == [post.type for post in posts]).all()
    texts = NormalisedTexts(packed.posts, NORMALISATION)
    assert list(texts) == model_texts([post.text for post in posts], NORMALISATION)
    assert list(texts[7:90]) == [model_text(post.text, NORMALISATION) for post in posts[7:90]]
    assert texts[11] == model_text(posts[11].text, NORMALISATION)


def test_parts_are_concatenated_in_order() -> None:
    first, second, third = made(30), made(N, seed=1), made(7, seed=2)
    together = concatenated([packed_in_chunks(first), second, packed_in_chunks(third)[2:5]])
    assert together == [*first, *second, *third[2:5]]


def test_fingerprints_are_those_of_objects() -> None:
    """Also where ids come twice, which are then in the order of their texts, or hold NUL."""
    posts = made(5000)
    twice = [Post(f"id {number % 9}", post.text, post.language) for number, post in enumerate(posts)]
    nul = [Post(f"a\0{number}" if number % 2 else f"a{number}", post.text) for number, post in enumerate(posts)]
    for some in (posts, twice, nul):
        packed = packed_in_chunks(some)
        assert fingerprint(packed) == fingerprint(some) == _naive_fingerprint(some)
        assert fingerprint(packed[::-1]) == fingerprint(packed)
        assert (post_hashes(packed) == post_hashes(some)).all()
        items = [LabelledPost(post, 1) for post in some]
        keys = post_keys(PackedLabelledPosts(packed, np.ones(len(some), dtype=np.int8)))
        assert (keys == post_keys(items)).all()
        assert (keys[:3] == np.concatenate([post_keys(items[index : index + 1]) for index in range(3)])).all()


def _naive_fingerprint(posts: list[Post]) -> str:
    import hashlib

    lines = sorted(f"{post.id}\0{model_text(post.text)}" for post in posts)
    return hashlib.sha256(b"".join(line.encode(errors="surrogatepass") + b"\n" for line in lines)).hexdigest()[:32]


@pytest.mark.parametrize("keep_cells", [True, False])
def test_a_file_is_read_the_same_with_and_without_bad_rows(tmp_path: Path, keep_cells: bool) -> None:
    """Rows beside a bad one are read one by one, and packed like those of whole blocks."""
    rows = [
        f'{number},"text, {number}",{number % 2},{"en" if number % 3 else "de"},x{number}' for number in range(6000)
    ]
    bad = dict.fromkeys((10, 2500, 5999), "b,,1,en,x")
    whole, mixed = tmp_path / "whole.csv", tmp_path / "mixed.csv"
    header = "id,text,label,language,note\n"
    whole.write_text(header + "\n".join(row for number, row in enumerate(rows) if number not in bad) + "\n")
    mixed.write_text(header + "\n".join(bad.get(number, row) for number, row in enumerate(rows)) + "\n")
    first, second = (read_labelled(path, keep_cells=keep_cells) for path in (whole, mixed))
    assert first.posts == second.posts
    assert len(second.row_errors) == 3
    assert lines_of(second.rows) != lines_of(first.rows)
    assert list(lines_of(second.rows)) == [row.line for row in second.rows]
    assert (labels_of(first.posts) == [item.label for item in first.posts]).all()
    if not keep_cells:
        assert column_names(first.rows) == ()
        return
    assert isinstance(second.rows, KeptRows)
    assert [row.cells for row in first.rows] == [row.cells for row in second.rows]
    assert column_names(first.rows) == column_names(second.rows) == ("id", "text", "label", "language", "note")
    for name in (*column_names(first.rows), "missing"):
        cells = [row.cell(name) for row in second.rows]
        assert list(column_cells(second.rows, name)) == list(column_cells(tuple(second.rows), name)) == cells
    some = second.rows[40:80:3]
    assert [row.line for row in some] == list(lines_of(some))
    assert column_names(some) == column_names(second.rows)


def test_rows_with_columns_of_their_own(tmp_path: Path) -> None:
    """JSON rows may differ in their columns; cells may be nested, numbers or lists of one."""
    file = tmp_path / "posts.jsonl"
    lines = [
        '{"text": "one pill", "label": 1, "meta": {"source": "a"}, "score": 0.5}',
        '{"text": "two pills", "label": 0, "note": ["only"], "meta": {"source": "b"}}',
        '{"text": "three", "label": "0", "extra": null}',
    ]
    file.write_text("\n".join(lines) + "\n")
    reading = read_labelled(file)
    assert column_names(reading.rows) == ("text", "label", "meta", "score", "note", "extra")
    for name in ("score", "note", "meta.source", "extra", "label"):
        assert list(column_cells(reading.rows, name)) == [row.cell(name) for row in reading.rows]
    assert list(column_cells(reading.rows, "note")) == [None, "only", None]
    assert list(column_cells(reading.rows, "meta.source")) == ["a", "b", None]


def test_a_split_is_a_choice_of_the_columns(tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    cells = (f"{number},words {number},{number % 2},{'test' if number % 4 == 1 else 'train'}" for number in range(5000))
    file.write_text("id,text,label,split\n" + "\n".join(cells) + "\n")
    reading = read_labelled(file, split="test")
    assert [item.post.id for item in reading.posts] == [str(number) for number in range(1, 5000, 4)]
    assert {item.label for item in reading.posts} == {1}
    assert [row.cells["text"] for row in reading.rows[:2]] == ["words 1", "words 5"]
    unlabelled = read_unlabelled(file)
    assert [post.id for post in unlabelled.posts] == [str(number) for number in range(5000)]
    assert list(unlabelled.lines) == list(range(2, 5002))
    assert read_with_labels_if_any(file, split="test").posts == reading.posts


def test_a_post_takes_its_bytes_and_little_more(tmp_path: Path) -> None:
    """An emoji, of which Python would make four bytes of each character of its post, counts four."""
    file, text = tmp_path / "posts.csv", "🙂 " + "my head hurts so much since I take these pills " * 6
    n_posts, columns = 8000, "id,text,label,language,type,split"
    rows = (f"{number},{text}{number},{number % 2},en,tweet,test" for number in range(n_posts))
    file.write_text(columns + "\n" + "\n".join(rows) + "\n")
    per_post = file.stat().st_size / n_posts
    read_labelled(file)  # what is made once
    for read, further in ((partial(read_labelled, keep_cells=False), 60), (read_unlabelled, 60), (read_labelled, 110)):
        tracemalloc.start(1)
        reading = read(file)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(reading.posts) == n_posts
        assert held / n_posts < per_post + further
