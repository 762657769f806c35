"""Translations that are already made: a JSONL file that only grows, so that a run goes on where it was ended.

Every line is written whole and synced; ``kill -9`` can tear the last one alone, and a torn last line is dropped.
The file holds translated text. It is the user's, like the output it stands beside.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyvigil.errors import DataError


@dataclass(frozen=True, slots=True)
class Pair:
    """A source language and a target language, and the ``identity`` of what translates between them."""

    source: str
    target: str
    identity: str


class Cache:
    """The translations in a file, which is made with the first one."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where a line before the last one is no translation."""
        self.path = path
        self._known: dict[str, str] = {}
        if path.exists():
            self._read(path.read_bytes())

    def get(self, pair: Pair, text: str) -> str | None:
        """The translation of a text, or None."""
        return self._known.get(_key(pair, text))

    def add(self, pair: Pair, texts: Sequence[str], translations: Sequence[str]) -> None:
        """Keep translations, on disk when it returns; of a text that is known the first one stays."""
        fresh: dict[str, str] = {}
        for text, translation in zip(texts, translations, strict=True):
            if (key := _key(pair, text)) not in self._known:
                fresh.setdefault(key, translation)
        if not fresh:
            return
        lines = "".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in fresh.items())
        with self.path.open("ab") as stream:
            stream.write(lines.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self._known.update(fresh)

    def _read(self, held: bytes) -> None:
        whole = held[: held.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                key, text = entry["key"], entry["text"]
                if not isinstance(key, str) or not isinstance(text, str):
                    raise TypeError
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    "no translation is kept in this line",
                    where=f"{self.path}:{number}",
                    hint="remove the line, and it is made again; or the file, and all are",
                ) from error
            self._known.setdefault(key, text)
        if len(whole) < len(held):
            os.truncate(self.path, len(whole))


def _key(pair: Pair, text: str) -> str:
    payload = "\0".join((pair.source, pair.target, pair.identity, text))
    return hashlib.blake2b(payload.encode(errors="surrogatepass"), digest_size=16).hexdigest()
