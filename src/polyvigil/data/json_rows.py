"""JSON to rows: an object a line (JSONL), an array of objects, or objects and arrays one after another.

In: decoded text. Out: rows and row errors, numbered by the line they begin on. A page of an interface
(``{"data": [...], "meta": ...}``) and a line that holds an array give a row for each object in them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from polyvigil.data.delimited import MAX_CELL, undecoded_cell, undecoded_reason
from polyvigil.data.streams import Lines
from polyvigil.data.table import Row, RowError
from polyvigil.errors import DataError

_CHUNK = 64 * 1024
_ENVELOPE_KEYS = ("data", "items", "results", "records", "rows", "tweets", "posts")
"""Keys of an object under which interfaces put the objects of a page."""
_WRAPPERS = ("tweet",)
"""Keys of an object that holds nothing else but the post (Twitter's archive)."""
_SCRIPT_START = "window.YTD."
Texts = Iterator[tuple[int, str]]


def json_texts(name: str, lines: Lines, *, before: int = 0) -> Texts:
    """The number and the text of each line that is not blank. ``before``: lines before the first."""
    line = before
    while text := lines.readline(2 * MAX_CELL):
        line += 1
        if len(text) == 2 * MAX_CELL and not text.endswith("\n"):
            raise DataError(
                f"a line of over {2 * MAX_CELL:,} characters",
                where=f"{name}:{line}",
                hint="leave it out; is it one JSON array? --set data.format=json",
            )
        if text.strip():
            yield line, text


def jsonl_rows(texts: Texts, *, codec: str = "utf-8", pages: bool = True) -> Iterator[Row | RowError]:
    """The rows of JSONL: of each line one or, with ``pages``, those of the page or array that it holds."""
    for line, text in texts:
        raw = {"line": text.rstrip("\r\n")}
        if undecoded := undecoded_cell(line, "line", raw, codec):
            yield undecoded
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield RowError(line, "", f"not JSON ({_reason(error)})", raw)
            continue
        yield from _rows_in(line, value, raw) if pages else [_row(line, value, raw)]


def json_document_rows(name: str, stream: io.TextIOBase, *, codec: str = "utf-8") -> Iterator[Row | RowError]:
    """The rows of one JSON document: an array, a page, or values one after another. It is never held whole.

    ``codec``: that the text was decoded by, for messages. Raises DataError, with the line, where the text is not JSON;
    what stands before is given.
    """
    document = _Document(name, stream)
    in_array = document.next_character() == "["
    if in_array:
        document.skip(1)
    while character := document.next_character():
        if character == ",":
            document.skip(1)
        elif in_array and character == "]":
            return
        else:
            line, (value, text) = document.line, document.value()
            raw = {"line": text}
            undecoded = undecoded_cell(line, "line", raw, codec)
            yield from [undecoded] if undecoded else _rows_in(line, value, {})
    if in_array:
        raise DataError("the JSON array does not end", where=f"{name}:{document.line}", hint="copy the file again")


def starts_as_document(head: str) -> bool:
    """Whether a file that begins so is one JSON document rather than an object a line."""
    text = _without_script(head.lstrip())
    if text.startswith("["):
        return True
    first = text.partition("\n")[0]
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return text.startswith("{") and "\n" in text and not first.rstrip().endswith("}")
    return False


def starts_as_json(head: str) -> bool:
    """Whether a file that begins so holds JSON objects."""
    text = _without_script(head.lstrip())
    return text.startswith("{") or (text.startswith("[") and text[1:].lstrip()[:1] in ("{", "]"))


def _without_script(head: str) -> str:
    """Twitter's archive begins with ``window.YTD.tweets.part0 =``."""
    return head.partition("=")[2].lstrip() if head.startswith(_SCRIPT_START) else head


def _rows_in(line: int, value: Any, raw: dict[str, str]) -> Iterator[Row | RowError]:
    if isinstance(value, dict):
        value = next((value[key] for key in _ENVELOPE_KEYS if _is_page(value, key)), [value])
    for cells in value if isinstance(value, list) else [value]:
        yield _row(line, cells, raw)


def _row(line: int, value: Any, raw: dict[str, str]) -> Row | RowError:
    if isinstance(value, dict) and len(value) == 1:
        key, inner = next(iter(value.items()))
        value = inner if key in _WRAPPERS and isinstance(inner, dict) else value
    if isinstance(value, dict) and value:
        if not all(key.isascii() or not undecoded_reason(key) for key in value):
            return RowError(line, "", "a key that is no Unicode text", raw)
        return Row(line, value)
    return RowError(line, "", "not a JSON object with columns", raw)


def _is_page(value: dict[str, Any], key: str) -> bool:
    """Whether an object is a page of objects under ``key``: it has no text of its own beside them."""
    inner = value.get(key)
    if not isinstance(inner, list) or not inner or not all(isinstance(item, dict) for item in inner):
        return False
    return not any(isinstance(other, str) for name, other in value.items() if name != key)


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


class _Document:
    """A JSON text that is taken apart value by value."""

    def __init__(self, name: str, stream: io.TextIOBase) -> None:
        self._name = name
        self._stream = stream
        self._text = _without_script(stream.read(_CHUNK).lstrip("\ufeff \t\r\n"))
        self._at = 0
        self._decoder = json.JSONDecoder()
        self.line = 1
        """The line of the next character; of a text that a script's assignment opens, about that line."""

    def next_character(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n\x1e;":
                self._advance(self._at + 1)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, number: int) -> None:
        """Go past ``number`` characters."""
        self._advance(self._at + number)

    def value(self) -> tuple[Any, str]:
        """The value that begins here, and its text."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self._not_json("nested too deeply") from error
            except ValueError as error:
                if len(self._text) - self._at > 2 * MAX_CELL:
                    raise self._not_json(f"{_reason(error)}, or a value of over {2 * MAX_CELL:,} characters") from error
                if not self._more():
                    raise self._not_json(_reason(error)) from error
                continue
            if end == len(self._text) and not isinstance(value, dict | list) and self._more():
                continue  # a number may go on
            text = self._text[self._at : end]
            self._advance(end)
            return value, text

    def _advance(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        piece = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _not_json(self, reason: str) -> DataError:
        return DataError(f"not JSON ({reason})", where=f"{self._name}:{self.line}", hint="export it again")
