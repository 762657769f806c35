"""What the tests of the documentation share: the pieces of code in it, and a folder with the files that it names."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.golden.support import BUNDLES, POSTS

from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost

ROOT = Path(__file__).parents[2]
ALONE = ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
_BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A piece of code between fences: its language, its text, and where it stands."""

    language: str
    text: str
    where: str


def documents() -> list[Path]:
    """Every Markdown file that people read."""
    pages = [*(ROOT / path for path in (*ALONE, "README.md")), *(ROOT / "docs").rglob("*.md")]
    return sorted([*pages, *(ROOT / "src" / "polyvigil" / "help").glob("*.md")])


def name(path: Path) -> str:
    """A file's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[Block]:
    """The pieces of code of a document, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE), f"{name(path)}:{number}")
        for match in _BLOCK.finditer(text)
        for number in [text.count("\n", 0, match.start()) + 1]
    ]


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory, corpus: tuple[LabelledPost, ...]) -> Path:
    """The files that the documentation names. train.csv, dev.csv, test.csv; without labels posts.csv, posts.jsonl.gz,
    farsi.csv; and bundle."""
    folder = tmp_path_factory.mktemp("sample")
    for split in ("train", "dev", "test"):
        shutil.copyfile(POSTS / f"{split}.csv", folder / f"{split}.csv")
    with (POSTS / "test.csv").open(encoding="utf-8", newline="") as stream:
        rows = [{key: row[key] for key in ("id", "text", "language")} for row in csv.DictReader(stream)]
    with (folder / "posts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ("id", "text", "language"))
        writer.writeheader()
        writer.writerows(rows)
    with gzip.open(folder / "posts.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    farsi = [item for item in corpus if item.post.language == "fa"]
    write_posts(folder / "farsi.csv", farsi[:60])
    shutil.copytree(BUNDLES / "linear", folder / "bundle")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    return folder
