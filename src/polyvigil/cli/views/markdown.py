"""Markdown as plain text for a terminal of 80 columns: headings, paragraphs, lists, tables and code.

In comes a page of ``polyvigil/help``. Out go lines without markup: links are their text, an entry (heading of level 3)
stands at the margin and what is said of it is indented. Only what those pages use is known.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from polyvigil.glossary import meanings, plain

WIDTH = 79
_INDENT = 4
_FENCE = "```"
_BLOCK = re.compile(r"(#+ |- |\||```|<!--)")


def plain_lines(markdown: str) -> list[str]:
    """The page as lines of at most 79 columns, code apart, which stays as it is."""
    lines: list[str] = []
    indent, previous = 0, ""
    for block in _blocks(markdown):
        first = block[0]
        if first.startswith("<!--"):
            continue
        follows = previous.startswith("- ") and first.startswith("- ")
        if lines and not follows and (first.startswith("#") or not _is_entry(lines, indent)):
            lines.append("")
        previous = first
        if first.startswith("#"):
            level, _, title = first.partition(" ")
            indent = _INDENT if len(level) > 2 else 0
            lines += [plain(title)] if indent else [plain(title), "─" * cell_len(plain(title))]
        elif first.startswith(_FENCE):
            lines += [" " * (indent + _INDENT) + line for line in block[1:-1]]
        elif first.startswith("|"):
            lines += _table(block, indent)
        elif first.startswith("- "):
            lines += _wrapped(plain(" ".join(block)[2:]), indent, "- ")
        else:
            lines += _wrapped(plain(" ".join(block)), indent)
    return [line.rstrip() for line in lines]


def word_lines(*words: str) -> list[str]:
    """What these words mean (glossary), each wrapped under itself."""
    return [line for text in meanings(*words) for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]


def entries(markdown: str) -> dict[str, str]:
    """Each heading of the third level, without its quotes, with the Markdown that stands below it."""
    matched: dict[str, str] = {}
    for part in re.split(r"^(?=#+ )", markdown, flags=re.MULTILINE):
        if part.startswith("### "):
            matched[plain(part.partition("\n")[0][4:])] = part
    return matched


def _is_entry(lines: Sequence[str], indent: int) -> bool:
    """Whether the last line is the name of an entry, below which no empty line stands."""
    return bool(indent) and bool(lines[-1]) and not lines[-1].startswith(" ")


def _blocks(markdown: str) -> Iterator[list[str]]:
    """The lines of each heading, paragraph, item of a list, table and piece of code."""
    block: list[str] = []
    in_code = False
    for line in markdown.split("\n"):
        if in_code:
            block.append(line)
            if line.startswith(_FENCE):
                yield block
                block, in_code = [], False
            continue
        starts = _BLOCK.match(line)
        in_table = line.startswith("|") and bool(block) and block[0].startswith("|")
        if block and (not line.strip() or (starts and not in_table) or block[0].startswith("#")):
            yield block
            block = []
        if line.strip():
            block.append(line.strip())
        in_code = line.startswith(_FENCE)
    if block:
        yield block


def _wrapped(text: str, indent: int, marker: str = "") -> list[str]:
    first, rest = " " * indent + marker, " " * (indent + len(marker))
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _table(block: Sequence[str], indent: int) -> list[str]:
    """An aligned table where it fits, else the first cell of each row at the margin and the others below it."""
    header, *rows = [_cells(line) for index, line in enumerate(block) if index != 1]
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    margin = " " * indent
    if indent + sum(widths) + 2 * (len(widths) - 1) <= WIDTH:
        grid = [header, ["─" * width for width in widths], *rows]
        return [margin + "  ".join(map(_padded, row, widths)) for row in grid]
    lines: list[str] = []
    for row in rows:
        first = next((index for index, cell in enumerate(row) if cell), 0)
        lines += _wrapped(row[first], indent)
        for name, cell in list(zip(header, row, strict=True))[first + 1 :]:
            if cell:
                label = f"{name}: " if name and len(header) > 2 else ""
                lines += _wrapped(f"{label}{cell}", indent + _INDENT)
    return lines


def _cells(line: str) -> list[str]:
    return [plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
