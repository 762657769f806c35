"""Windows of long posts: every token read, none too many; what a tokenizer frames; what it tells of characters."""
# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tiny import KINDS, TEXTS, japanese_folder, tiny_folder

from polyvigil.errors import RecipeError
from polyvigil.nn import encoder as encoder_file
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.windows import TRUNCATE, LongRule, Reader, pieces

BEFORE, AFTER = [1001, 1002], [1003]


def framed(size: int) -> list[int]:
    return [*BEFORE, *range(size), *AFTER]


@pytest.mark.parametrize("max_tokens", [4, 5, 8, 19])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("most", [1, 2, 5, 1000])
def test_windows_cover_a_post_evenly_up_to_the_capacity(max_tokens: int, overlap: float, most: int) -> None:
    reader = Reader(max_tokens, 2, 1, LongRule("windows", overlap, most))
    for size in [*range(60), 997]:
        found = reader.read(framed(size))
        if size + 3 <= max_tokens:
            assert found.tolist() == framed(size)
            continue
        rows = np.atleast_2d(found)
        assert rows.shape[1] == max_tokens
        assert len(rows) <= most
        assert (found.ndim == 2) == (len(rows) > 1)
        assert (rows[:, :2] == BEFORE).all()
        assert (rows[:, -1] == AFTER).all()
        own = rows[:, 2:-1]
        assert (own == own[:, :1] + np.arange(reader.room)).all()  # a run of the post's tokens
        assert own[:, 0].tolist() == reader.starts(size + 3).tolist()
        read = min(size, reader.capacity - 3)
        assert set(own.ravel().tolist()) == set(range(read))
        shared = reader.room - np.diff(own[:, 0])
        assert (shared >= int(overlap * reader.room)).all()
        assert len(shared) == 0 or shared.max() - shared.min() <= 1
        if len(rows) > 1:  # one window fewer would not do
            assert reader.room + (len(rows) - 2) * reader.stride < read
        assert size + 3 <= reader.capacity or len(rows) == most


@pytest.mark.parametrize("max_tokens", [4, 7, 12])
def test_truncation_and_head_tail_are_slices(max_tokens: int) -> None:
    for size in range(40):
        cut, ends = (Reader(max_tokens, 2, 1, LongRule(how)).read(framed(size)) for how in ("cut", "head-tail"))
        if size + 3 <= max_tokens:
            assert cut.tolist() == ends.tolist() == framed(size)
        else:
            room = max_tokens - 3
            own = list(range(size))
            assert cut.tolist() == [*BEFORE, *own[:room], *AFTER]
            assert ends.tolist() == [*BEFORE, *own[: -(-room // 2)], *own[size - room // 2 :], *AFTER]


def test_pieces_lay_posts_end_to_end() -> None:
    one, two = np.arange(3, dtype=np.int32), np.arange(8, dtype=np.int32).reshape(2, 4)
    found = pieces([one, two, one])
    assert [row.tolist() for row in found.rows] == [[0, 1, 2], [0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2]]
    assert found.starts.tolist() == [0, 1, 3, 4]
    assert pieces([]).starts.tolist() == [0]


def test_special_tokens_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="3 tokens hold 3 special ones and no post"):
        Reader(3, 2, 1)


# -- with real tokenizers ---------------------------------------------------------------------------------------------

LONG = " ".join(TEXTS * 4)
MIXED = [TEXTS[0], LONG, "", TEXTS[4], LONG[:300]]


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_framed_slices_of_the_tokens(tmp_path: Path, kind: str) -> None:
    folder = str(tiny_folder(tmp_path / "tiny", kind))
    readers = {
        how: load_encoder(folder, max_tokens=16, offline=True, long_posts=LongRule(how, 0.25, 99))
        for how in ("cut", "windows", "head-tail")
    }
    cut = readers["cut"].tokenise(MIXED)
    tokenizer = readers["cut"]._tokenizer
    counts = readers["cut"].token_counts(MIXED)
    for how, encoder in readers.items():
        for text, item, at_most, size in zip(MIXED, encoder.tokenise(MIXED), cut, counts, strict=True):
            assert at_most.tolist() == tokenizer(text, truncation=True, max_length=16)["input_ids"]
            if size <= 16 or how == "cut":
                assert item.tolist() == at_most.tolist()
            if size > 16 and how == "windows":
                own = tokenizer(text, add_special_tokens=False)["input_ids"]
                (tokens,) = encoder.window_tokens([text])
                assert len(item) == len(tokens) > 1
                for row, (start, end) in zip(item, tokens, strict=True):
                    assert row[1:-1].tolist() == own[start:end]
                    assert (row[0], row[-1]) == (at_most[0], at_most[-1])
                assert (tokens[0, 0], tokens[-1, 1]) == (0, len(own))


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "deberta-v2"])
def test_spans_are_the_characters_of_the_windows(tmp_path: Path, kind: str) -> None:
    folder = str(tiny_folder(tmp_path / "tiny", kind))
    encoder = load_encoder(folder, max_tokens=16, offline=True, long_posts=LongRule("windows", 0.25, 99))
    (tokens,), (stretches,) = encoder.window_tokens([LONG]), encoder.window_spans([LONG])
    tokenizer = encoder._tokenizer
    own = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    for (first, last), (start, end) in zip(tokens.tolist(), stretches.tolist(), strict=True):
        again = tokenizer(LONG[start:end].strip(), add_special_tokens=False)["input_ids"]
        assert set(own[first + 1 : last - 1]) <= set(again)  # a word at an end may be cut in two
        assert len(again) <= last - first + 2
    assert stretches[0, 0] == 0
    assert stretches[-1, 1] == len(LONG)


def test_a_tokenizer_without_offsets_gives_token_spans(tmp_path: Path) -> None:
    folder = japanese_folder(tmp_path / "ja", words="basic")
    encoder = load_encoder(str(folder), max_tokens=16, offline=True, long_posts=LongRule("windows", 0.25, 99))
    text = TEXTS[4] * 9
    assert encoder.window_spans([text]) is None
    (tokens,) = encoder.window_tokens([text])
    (item,) = encoder.tokenise([text])
    assert len(tokens) == len(item)
    own = encoder._tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [row[1:-1].tolist() for row in item] == [own[start:end] for start, end in tokens]


def test_an_unexpected_framing_is_refused(tmp_path: Path) -> None:
    class Odd:
        def __call__(self, _: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [1, 9, 2] if add_special_tokens else [5]}

    with pytest.raises(RecipeError) as caught:
        encoder_file._reader(Odd(), "odd", max_tokens=16, rule=TRUNCATE)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "odd: its tokenizer does not put special tokens around a text; choose a model that was made to classify texts"
    )
