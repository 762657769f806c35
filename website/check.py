"""Looks at a built site: links and anchors lead somewhere, nothing comes from another place, Markdown became HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_NO_REQUEST = {"canonical", "prev", "next"}
_CSS_URL = re.compile(r"url\((?:'|\")?(https?:)?//|@import")
_LEFT_OVER = re.compile(r"^(\||- |\* |#+ |```)|\]\([^)]*\)|\*\*", re.MULTILINE)


@dataclass
class Page(HTMLParser):
    """What a page links to, loads, and calls its parts; and its prose."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    prose: list[str] = field(default_factory=list)
    _code: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (name := _LOADED.get(tag)) in given and not _NO_REQUEST & set(given.get("rel", "").split()):
            self.loads.append(given[name])
        self._code += tag in ("code", "pre", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.prose.append(data)


def problems(site: Path) -> Iterator[str]:
    """What is wrong in a site, a line each."""
    parsed: dict[Path, Page] = {}
    for path in sorted(site.rglob("*.html")):
        parsed[path] = Page()
        parsed[path].feed(path.read_text(encoding="utf-8"))
    for path, page in parsed.items():
        name = path.relative_to(site.parent)
        for link in page.loads:
            if urlsplit(link).scheme in ("http", "https") or link.startswith("//"):
                yield f"{name}: loads {link}"
            elif path.name != "404.html" and not (path.parent / unquote(urlsplit(link).path)).exists():
                yield f"{name}: {link} is not there"
        for link in page.links:
            if path.name != "404.html" and (what := _broken(path, link, parsed)):
                yield f"{name}: {what}"
        yield from (f"{name}: Markdown in the text: {left[0]!r}" for left in _LEFT_OVER.finditer("".join(page.prose)))
    for path in site.rglob("*.css"):
        if _CSS_URL.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site.parent)}: loads from another place"
    if not any(_has_entries(path) for path in site.rglob("search*.js*")):
        yield f"{site.name}: no index of the search"


def _broken(path: Path, link: str, parsed: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return f"link to {link}, which is not there"
    if parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].anchors | {"__skip"}:
        return f"link to {link}, where no such part is"
    return ""


def _has_entries(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        held = json.loads(text)
        return bool(held.get("docs") or held.get("items"))
    return "location" in text
