"""Answers of chat models that were already paid for: a JSONL file that only grows, of hashes and numbers, no text.

Every line is written whole; several processes may write to one file. A line that cannot be read, such as one that a
kill tore, is passed over: its question is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path


def answers_path() -> Path:
    """Where answers are kept: ``polyvigil/answers.jsonl`` in $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polyvigil" / "answers.jsonl"


class Answers:
    """The answers of one model to one prompt."""

    def __init__(self, path: Path, *, model: str, prompt: str) -> None:
        """``prompt``: the hash of its text."""
        self._path = path
        self._identity = f"{model}\0{prompt}"
        self._known: dict[str, float] = {}
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            try:
                entry = json.loads(line)
                key, value = entry["key"], entry["ade"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if isinstance(key, str) and isinstance(value, int | float) and 0 <= value <= 1:
                self._known[key] = float(value)

    def get(self, masked_text: str) -> float | None:
        """The answer to a masked post, or None."""
        return self._known.get(self._key(masked_text))

    def add(self, masked_text: str, answer: float) -> None:
        """Keep an answer, on disk when it returns."""
        key = self._key(masked_text)
        self._known[key] = answer
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "ade": answer})
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"\n{line}\n".encode())  # the first break ends what a kill may have torn
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _key(self, masked_text: str) -> str:
        keyed = f"{self._identity}\0{masked_text}"
        return hashlib.blake2b(keyed.encode(errors="surrogatepass"), digest_size=16).hexdigest()
