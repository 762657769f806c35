"""What comes next is read and tokenised in a thread: the same rows, the same errors, and nothing beyond its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import Bundle
from polyvigil.config.score import ScoreSpec
from polyvigil.data.write import csv_text
from polyvigil.detect.base import FitRecord, TrainingLog
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
from polyvigil.errors import DataError
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.stream import prefetch


def test_one_item_is_prefetched_in_order() -> None:
    drawn: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            drawn.append(number)
            if number == 1:
                second.set()
            yield number

    found = []
    for item, prepared in prefetch(items(), lambda number: number * number):
        assert second.wait(10), "the second is drawn while the first is in use"
        assert len(drawn) <= item + 2
        found.append((item, prepared))
    assert found == [(number, number * number) for number in range(5)]
    assert list(prefetch(iter([]), str)) == []


def test_errors_are_raised_in_order() -> None:
    def items() -> Iterator[int]:
        yield from range(2)
        raise DataError("damaged")

    found = []
    with pytest.raises(DataError, match="damaged"):
        list(map(found.append, prefetch(items(), str)))
    assert found == [(0, "0"), (1, "1")]
    with pytest.raises(ZeroDivisionError):
        list(prefetch(iter([1, 0]), lambda number: 1 // number))


def test_closing_stops_reading() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    with closing(prefetch(items(), str)) as found:
        next(found)
    held = len(drawn)
    assert held <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.fixture
def reader(bundle: Bundle, tmp_path: Path) -> Bundle:
    """The bundle with a tiny encoder, which cuts, in place of its member."""
    encoder = load_encoder(str(tiny_folder(tmp_path / "model", "xlm-roberta", max_tokens=16)), max_tokens=16)
    record = FitRecord(seed=0, posts=0, positives=0, languages=("en",), train_fingerprint="")
    log = TrainingLog(epochs=(), steps_per_epoch=0, posts_per_epoch=0, parameters=0, micro_tokens=0, device="cpu")
    member = EncoderDetector(encoder, EncoderConfig(max_tokens=16, packing=True, fit_record=record), log)
    return replace(bundle, members=(member,))


def test_posts_are_tokenised_in_advance(
    reader: Bundle, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what comes without it; all posts are tokenised in the thread, and cut ones once more outside."""
    monkeypatch.setattr("polyvigil.scoring.stream.CHUNK_POSTS", 50)
    texts = [f"headache {'from the new tablets ' * (place % 9)}{place}" for place in range(400)]
    source = tmp_path / "posts.csv"
    source.write_text(csv_text([("text", "language"), *((text, "en") for text in texts), ("", "en"), ("x", "not one")]))
    who: list[tuple[str, bool, int]] = []
    asked = Encoder._encode

    def noted(self: Encoder, texts: list[str], *, truncate: bool) -> list[list[int]]:
        who.append((threading.current_thread().name, truncate, len(texts)))
        return asked(self, texts, truncate=truncate)

    monkeypatch.setattr(Encoder, "_encode", noted)
    told = score_file(reader, str(source), str(tmp_path / "ahead.csv"), spec=ScoreSpec(part_posts=120))
    assert (told.posts, told.set_aside, told.parts) == (401, 1, 4)
    assert {name.startswith("ahead") for name, cut, size in who if not cut and size} == {True}
    assert {name.startswith("ahead") for name, cut, size in who if cut} == {False}
    monkeypatch.setattr(type(reader), "tokenises", False)
    score_file(reader, str(source), str(tmp_path / "after.csv"), spec=ScoreSpec(part_posts=120))
    assert (tmp_path / "ahead.csv").read_bytes() == (tmp_path / "after.csv").read_bytes()
    assert not bundle.pretokenise([])


def test_a_prefetched_bad_row_is_reported_in_order(
    reader: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyvigil.scoring.stream.CHUNK_POSTS", 2)
    source = tmp_path / "posts.csv"
    source.write_text('text,language\n"a, b",en\nb,en\nc,en\n"open,en\n')
    with pytest.raises(DataError, match="does not close") as raised:
        score_file(reader, str(source), str(tmp_path / "out.csv"), spec=ScoreSpec(on_error="fail"))
    assert raised.value.where == f"{source}:5"
    assert not (tmp_path / "out.csv").exists()
