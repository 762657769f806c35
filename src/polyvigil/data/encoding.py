"""Which encoding a file of text is in, judged by its bytes.

In: the first 64 kB of a file, and where they are ASCII alone, what stands around its first other byte. Out: a codec of
the standard library. UTF-8 and UTF-16 are recognised exactly; of other encodings the most plausible one is taken (by
charset-normalizer), which a user can overrule with ``data.encoding``.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from polyvigil.errors import DataError

UTF8 = "utf-8"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp866", "cp1254", "cp1256", "mac_roman"),
    *("gb18030", "big5", "cp949"),
)
"""Without the Japanese ones, which are known by their kana: half-width kana is what KOI8-R looks like in cp932."""
_FEWEST_NULS = 0.2  # share of NUL bytes at even or odd offsets that only UTF-16 has
_FEWEST_KANA = 0.2  # share of the characters of a Japanese text that are not ASCII
_MOST_INVALID = 0.2  # invalid bytes to a non-ASCII character of UTF-8, up to which a file is damaged UTF-8


@dataclass(frozen=True, slots=True)
class DetectedEncoding:
    """A codec of the standard library, and whether it was guessed rather than recognised."""

    codec: str
    guessed: bool = False


def detect_encoding(head: bytes, *, whole: bool, guess: bool = True) -> DetectedEncoding:
    """The encoding of a file that begins with ``head``. ``whole``: there is nothing after it. ``guess``: it may be
    another than UTF-8 and UTF-16, as JSON may not.

    Where nothing fits, UTF-8: the cells that cannot be decoded are then told row by row.
    """
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return DetectedEncoding(codec)
    if wide := _wide_without_mark(head):
        return DetectedEncoding(wide)
    if _is_utf8(head, whole=whole):
        escapes = any(mark in head for mark in (b"\x1b$B", b"\x1b$@", b"\x1b(J"))
        return DetectedEncoding("iso2022_jp", guessed=True) if escapes else DetectedEncoding(UTF8)
    return _guess(head) if guess else DetectedEncoding(UTF8)


def check_encoding(encoding: str) -> str:
    """The codec of a name that a user gives. Raises DataError for an unknown one."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise DataError(
            f"unknown encoding {encoding!r}",
            where="data.encoding",
            hint="for example utf-8, utf-16, cp1252, shift_jis, gb18030, big5, koi8-r, cp1251",
        ) from error
    if not codec._is_text_encoding:  # rot13, base64: Python lists them beside the encodings
        raise DataError(f"{encoding!r} is no encoding of text", where="data.encoding", hint="for example cp1252")
    return "cp932" if codec.name == "shift_jis" else codec.name  # what files called Shift-JIS hold


def _is_utf8(head: bytes, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide_without_mark(head: bytes) -> str:
    """utf-16-le or utf-16-be for text without a byte order mark, by the NUL bytes of its ASCII; else nothing."""
    sample = head[: len(head) // 2 * 2]
    if not sample:
        return ""
    low, high = sample[0::2].count(0) * 2 / len(sample), sample[1::2].count(0) * 2 / len(sample)
    codec = "utf-16-le" if high > low else "utf-16-be"
    if max(low, high) < _FEWEST_NULS or min(low, high) > max(low, high) / 4:
        return ""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return ""
    return codec if "\0" not in text else ""


def _guess(head: bytes) -> DetectedEncoding:
    lenient = head.decode("utf-8", "surrogateescape")
    invalid = sum(1 for character in lenient if "\udc80" <= character <= "\udcff")
    valid = sum(1 for character in lenient if character > "\x7f") - invalid
    if invalid <= valid * _MOST_INVALID:
        return DetectedEncoding(UTF8)
    if japanese := _japanese(head):
        return DetectedEncoding(japanese, guessed=True)
    from charset_normalizer import from_bytes

    best = from_bytes(_telling(head), cp_isolation=list(_CANDIDATES), enable_fallback=False).best()
    return DetectedEncoding(_usual(best.encoding, head), guessed=True) if best else DetectedEncoding(UTF8)


def _japanese(head: bytes) -> str:
    """cp932 or euc_jp where one of them makes kana of a good part of the bytes: no other text looks so by accident."""
    for codec in ("cp932", "euc_jp"):
        try:
            text = codecs.getincrementaldecoder(codec)().decode(head)
        except UnicodeDecodeError:
            continue
        other = [character for character in text if character > "\x7f"]
        if sum("\u3041" <= character <= "\u30fc" for character in other) > _FEWEST_KANA * len(other):
            return codec
    return ""


def _usual(codec: str, head: bytes) -> str:
    """The most usual encoding that reads the head as ``codec`` does: many differ in letters that it does not hold."""
    text = head.decode(codec, "surrogateescape")
    same = (other for other in _CANDIDATES if head.decode(other, "surrogateescape") == text)
    return next(same, codec)


def _telling(head: bytes) -> bytes:
    """The lines that hold other bytes than ASCII: the others say nothing, and would outvote them."""
    lines = head.splitlines(keepends=True)
    if len(lines) > 1:
        lines.pop()  # it may be cut in the middle of a character
    telling = [line for line in lines if not line.isascii()]
    return b"".join(telling) or head
