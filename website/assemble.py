"""The pages of the site, from the files of the repository and from the code.

In: ``docs/``, the help pages of the program, and what else SOURCES names. Out: a folder of Markdown with the pages of
``reference.py`` in it, which MkDocs and Zensical build alike.

A link in a Markdown file is right as a path of the repository, so that it works where the file is read there; here it
becomes the link to the page of the site. A link to a file that is no page (code, say) becomes its text. A link to what
is not there is an error, with the file and the line.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from website.reference import generated

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "docs"
SOURCES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
"""Pages that stand elsewhere than in ``docs/``."""
HELP = "src/polyvigil/help"
_LINK = re.compile(
    r"(?P<code>^\s*```.*?^\s*```$)|(?P<mark>!?)\[(?P<text>[^]]*)]\((?P<target>[^()\s]+)\)", re.MULTILINE | re.DOTALL
)
"""A piece of code between fences, which stays as it is, or a link."""
_ABSOLUTE = re.compile(r"[a-z]+:|//", re.IGNORECASE)


def pages(root: Path = ROOT) -> dict[str, str]:
    """Of each Markdown file of the repository that is a page: its path there, and its path on the site."""
    paths = {path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md")}
    found = {path: path.removeprefix("docs/") for path in sorted(paths)}
    found |= {f"{HELP}/{path.name}": f"reference/{path.name}" for path in sorted((root / HELP).glob("*.md"))}
    return found | {path: name for path, name in SOURCES.items() if (root / path).is_file()}


def assemble(target: Path = PAGES, root: Path = ROOT) -> list[str]:
    """Write all pages below ``target``, which is emptied first; their names. Raises ValueError for broken links."""
    shutil.rmtree(target, ignore_errors=True)
    known, broken = pages(root), list[str]()
    for path, name in known.items():
        text = linked(root, path, known, broken)
        _write(target / name, text)
    if broken:
        raise ValueError("broken links:\n  " + "\n  ".join(broken))
    decisions = {path: name for path, name in known.items() if path.startswith("docs/decisions/")}
    made = generated(root, decisions)
    for name, text in made.items():
        _write(target / name, text)
    for other in (root / "docs").rglob("*"):
        if other.is_file() and other.suffix != ".md":
            copy = target / other.relative_to(root / "docs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(other, copy)
    return [*known.values(), *made]


def linked(root: Path, path: str, known: dict[str, str], broken: list[str]) -> str:
    """The text of a page with its links as those of the site; what is broken is added to ``broken``."""
    text = (root / path).read_text(encoding="utf-8")

    def replaced(link: re.Match[str]) -> str:
        if link["code"]:
            return link[0]
        new = site_link(root, path, link["target"], known)
        if new is None:
            broken.append(f"{path}:{text.count(chr(10), 0, link.start()) + 1}: {link['target']}")
            return link[0]
        return f"{link['mark']}[{link['text']}]({new})" if new else link["text"]

    return _LINK.sub(replaced, text)


def site_link(root: Path, path: str, target: str, known: dict[str, str]) -> str | None:
    """A link of a file as a link of its page; empty where it leads to no page, None where it leads nowhere."""
    if target.startswith("#") or _ABSOLUTE.match(target):
        return target
    place, hash_sign, anchor = target.partition("#")
    repository_path = os.path.normpath((PurePosixPath(path).parent / place).as_posix())
    if repository_path.startswith("docs/reference/"):  # made by the code when the site is built
        name = repository_path.removeprefix("docs/")
    elif not (root / repository_path).exists():
        return None
    elif repository_path == "docs/decisions":
        name = "decisions/index.md"
    elif repository_path in known:
        name = known[repository_path]
    elif repository_path.startswith("docs/") and (root / repository_path).is_file():
        name = repository_path.removeprefix("docs/")
    else:
        return ""
    return os.path.relpath(name, PurePosixPath(known[path]).parent.as_posix()) + hash_sign + anchor


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
