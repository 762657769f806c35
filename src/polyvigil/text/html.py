"""Whether a post still holds HTML: entities (``&amp;``, ``&#39;``) or tags (``<br>``), left by an export."""

from __future__ import annotations

import regex

_ENTITY = (
    r"&(?:amp|lt|gt|quot|apos|nbsp|hellip|[mn]dash|[lr][sd]quo|bull|deg|euro|copy|reg|trade|szlig"
    r"|[aeiouync](?:acute|grave|circ|uml|tilde|cedil)"
)
_PATTERN = regex.compile(
    _ENTITY + r"|#\d{2,7}|#x[0-9a-f]{2,6});"
    r"|</?(?:a|b|blockquote|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|span|strong|su[bp]|table|td|tr|u|ul)"
    r"(?:\s[^<>]{0,2000})?\s?/?>",
    regex.IGNORECASE,
)


def holds_html(text: str) -> bool:
    """Whether an entity or a tag of HTML stands in the text; ``x < 3 and y > 2`` and ``<user>`` are none."""
    return ("&" in text or "<" in text) and _PATTERN.search(text) is not None
