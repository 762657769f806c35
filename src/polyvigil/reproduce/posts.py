"""The posts of a reproduction: read from a folder or a file, compared with the paper's, known by a digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from polyvigil.data.fingerprint import post_keys
from polyvigil.data.formats import FORMATS
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError
from polyvigil.recipe.run import Material, gather
from polyvigil.records import LabelledPost
from polyvigil.reproduce import paper
from polyvigil.specs import Recipe
from polyvigil.text.language import is_cadec

_COMPRESSED = ("", ".gz", ".zst")


def read(path: Path) -> Material:
    """Train and dev posts from ``train.*`` and ``dev.*`` in a folder, or from one file with a split column.

    Raises DataError where a part is missing or there twice, SplitError where both are the same posts.
    """
    recipe = Recipe()
    if path.is_dir():
        train, dev = _file(path, "train"), _file(path, "dev")
        return gather(recipe, train=[str(train)], dev=[str(dev)])
    if not path.is_file():
        raise DataError("no such folder or file", where=str(path), hint="give a folder with train.csv and dev.csv")
    splits = sorted({item.post.split for item in read_labelled(path).posts})
    if not {"train", "dev"} <= set(splits):
        told = ", ".join(repr(name) for name in splits) if any(splits) else "nothing"
        raise DataError(
            f"its split column says {told}; rows of split 'train' and of split 'dev' are needed",
            where=str(path),
            hint="or give a folder with train.csv and dev.csv",
        )
    return gather(recipe, train=[str(path)], dev=[str(path)])


def of_language(material: Material, language: str) -> Material:
    """The posts of one language alone; all of them for an empty one."""
    if not language:
        return material
    train, dev = (
        tuple(item for item in part if item.post.language == language) for part in (material.train, material.dev)
    )
    return Material(train, dev, f"{material.data} ({language})", (), ())


def digest(items: Sequence[LabelledPost]) -> str:
    """16 hexadecimal digits of all that training sees of posts, their order included."""
    whole = hashlib.sha256(post_keys(items).tobytes())
    for item in items:
        whole.update(f"{item.post.type}\0{item.post.group}\n".encode(errors="surrogatepass"))
    return whole.hexdigest()[:16]


def differences(material: Material) -> tuple[str, ...]:
    """How the posts differ in number from the paper's; empty where they do not."""
    train, dev, positives = (
        Counter(item.post.language for item in part)
        for part in (material.train, material.dev, [item for item in material.dev if item.label])
    )
    told = []
    for posts in paper.POSTS:
        found = (train[posts.language], dev[posts.language], positives[posts.language])
        theirs = (posts.train, posts.dev, posts.dev_positives)
        if found != theirs:
            told.append(f"{posts.language}: {_counts(found)}, the paper's {_counts(theirs)}")
    cadec = sum(number for language, number in train.items() if is_cadec(language))
    if cadec != paper.CADEC_TRAIN:
        told.append(f"CADEC: {cadec:,} train posts, the paper's {paper.CADEC_TRAIN:,}")
    known = {posts.language for posts in paper.POSTS}
    others = {name for name in (*train, *dev) if name not in known and not is_cadec(name)}
    told += [f"{name}: {train[name]:,} train and {dev[name]:,} dev posts, the paper's none" for name in sorted(others)]
    return tuple(told)


def _counts(found: tuple[int, int, int]) -> str:
    return f"{found[0]:,} train and {found[1]:,} dev posts ({found[2]:,} positive)"


def _file(folder: Path, part: str) -> Path:
    there = [
        folder / f"{part}{ending}{packed}"
        for ending in FORMATS
        for packed in _COMPRESSED
        if (folder / f"{part}{ending}{packed}").is_file()
    ]
    if not there:
        raise DataError(
            f"has no {part} posts",
            where=str(folder),
            hint=f"name the file {part}.csv ({', '.join(FORMATS)}, .gz, .zst)",
        )
    if len(there) > 1:
        raise DataError(
            f"has several files of {part} posts: {', '.join(path.name for path in there)}",
            where=str(folder),
            hint="leave one there",
        )
    return there[0]
