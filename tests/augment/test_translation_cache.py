"""A run that is ended at any moment goes on, and its output is the same to the byte."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polyvigil.augment.translate import Cache, Pair
from polyvigil.errors import DataError

PAIR = Pair("en", "fa", "model@1")


def test_stored_translations_are_found_by_key(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    cache = Cache(path)
    assert not path.exists()
    cache.add(PAIR, ["a", 'b\u2028\n"', "a"], ["1", "2\n\u2028", "3"])
    cache.add(PAIR, ["a"], ["other"])
    again = Cache(path)
    assert [again.get(PAIR, text) for text in ("a", 'b\u2028\n"', "c")] == ["1", "2\n\u2028", None]
    for pair in (Pair("ru", "fa", "model@1"), Pair("en", "de", "model@1"), Pair("en", "fa", "model@2")):
        assert again.get(pair, "a") is None
    assert len(path.read_text().splitlines()) == 2


def test_a_truncated_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    Cache(path).add(PAIR, ["first", "second"], ["یک", "دو"])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        cache = Cache(path)
        assert path.read_bytes() == whole[:first]
        assert (cache.get(PAIR, "first"), cache.get(PAIR, "second")) == ("یک", None)
    cache.add(PAIR, ["second"], ["دو"])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"key": "k"}', b'{"key": "k", "text": 1}', b"\xff"])
def test_a_damaged_earlier_line_is_an_error_with_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "cache.jsonl"
    Cache(path).add(PAIR, ["first"], ["یک"])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DataError, match=r"cache\.jsonl:2: no translation is kept in this line; remove the line"):
        Cache(path)


_RUN = """
import os, signal, sys
from polyvigil.augment.mapping import Mapping
from polyvigil.cli import main
plain, calls = Mapping.translate, []
def dying(self, texts, *, source, target):
    calls.append(texts)
    if len(calls) == 4:
        with open(sys.argv[1] + ".translations.jsonl", "ab") as stream:  # what a line looks like that is being written
            stream.write(b'{"key": "0123')
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, texts, source=source, target=target)
Mapping.translate = dying
sys.exit(main.run(["augment", "translate", sys.argv[2], "-o", sys.argv[1], "--to", "fa", "--mapping", "arabic",
                   "--batch-tokens", "300", "-q"]))
"""


def test_killed_command_resumes_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyvigil.augment.mapping import Mapping
    from polyvigil.cli import main

    source = tmp_path / "posts.csv"
    posts = [
        f"p{n},post number {'abcdefghij'[n % 10] * (n % 7 + 1)} of {chr(97 + n % 26)} it hurts,{n % 2},en"
        for n in range(60)
    ]
    source.write_text("id,text,label,language\n" + "\n".join(posts) + "\n")
    killed, clean = tmp_path / "killed.csv", tmp_path / "clean.csv"
    ended = subprocess.run([sys.executable, "-c", _RUN, str(killed), str(source)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not killed.exists()
    kept = Path(f"{killed}.translations.jsonl").read_bytes()
    assert kept.endswith(b'{"key": "0123')
    plain, asked = Mapping.translate, []

    def counting(self: Mapping, texts: list[str], *, source: str, target: str) -> list[str]:
        asked.append(len(texts))
        return plain(self, texts, source=source, target=target)

    monkeypatch.setattr(Mapping, "translate", counting)
    arguments = ["--to", "fa", "--mapping", "arabic", "--batch-tokens", "300", "-q"]
    counts = []
    for output in (killed, clean, clean):
        assert main.run(["augment", "translate", str(source), "-o", str(output), *arguments, "--replace"]) == 0
        counts.append(len(asked))
    assert killed.read_bytes() == clean.read_bytes()
    assert Path(f"{killed}.translations.jsonl").read_bytes() == Path(f"{clean}.translations.jsonl").read_bytes()
    assert counts[0] == counts[1] - counts[0] - 3, "the three batches that were kept were not translated again"
    assert counts[2] == counts[1], "with everything kept, nothing was translated"
