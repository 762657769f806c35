"""How delimited text is written: delimiter, quoting, lines before the header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polyvigil.config.data import Quoting

_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "": "none (a line is one cell)"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How delimited text is taken apart."""

    delimiter: str
    """One character; empty where a line is one cell."""
    quoting: Quoting
    """``minimal``: RFC 4180; ``backslash``: quotes inside quoted cells are written ``\\"``; ``none``: a quote is a
    character."""
    skip: int = 0
    """Lines before the header (titles, comments, ``sep=;``)."""
    header: bool = True
    row_names: bool = False
    """Rows begin with a name that the header does not count, as R writes them."""
    line_ends: str = "\n"
    """``\\r`` where the file has no other."""

    def differences(self, *, usual: str) -> dict[str, str]:
        """What is not as the name of the file promises: words for it, and the option that overrules it.

        ``usual``: the delimiter that the name promises.
        """
        described = {}
        if self.delimiter != usual:
            described[f"delimiter {_NAMES.get(self.delimiter, self.delimiter)}"] = "--delimiter"
        if self.quoting != ("none" if self.delimiter in ("\t", "") else "minimal"):
            described[f"quoting {self.quoting}"] = "--quoting"
        if self.skip:
            described[f"{self.skip} {'line' if self.skip == 1 else 'lines'} before the header left out"] = ""
        if self.row_names:
            described["a column of row names without a header"] = ""
        return described


def csv_reader(lines: Iterator[str], delimiter: str, quoting: Quoting) -> Any:
    """The standard library's reader of quoted text, strict."""
    escape = "\\" if quoting == "backslash" else None
    return csv.reader(lines, delimiter=delimiter, escapechar=escape, strict=True)
