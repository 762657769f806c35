"""The posts of a reproduction: read from folders or files, compared with the paper's, known by a digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyvigil.config.recipe import LinearRecipe
from polyvigil.data.fingerprint import post_keys
from polyvigil.data.formats import FORMATS
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError
from polyvigil.text.language import is_cadec
from polyvigil.types import LabelledPost
from polyvigil.workflows.train import TrainingData, gather
from polyvigil_gladiators import paper

_COMPRESSED = ("", ".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Files:
    """Where posts are read from: ``data`` are folders, or files with a split column; the others files of one part."""

    data: tuple[Path, ...] = ()
    train: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()

    @property
    def resolved(self) -> Files:
        """The same without ``data``: a file in a folder plays the part that its name begins with, and a file with a
        split column gives its train and its dev rows.

        Raises DataError for what is not there, plays no part, or stands twice.
        """
        parts: dict[str, list[Path]] = {"train": [*self.train], "dev": [*self.dev], "test": [*self.test]}
        for path in self.data:
            for part, files in (_in_folder(path) if path.is_dir() else _by_split(path)).items():
                parts[part] += files
        for part, files in parts.items():
            for path in files:
                if not path.is_file():
                    raise DataError("no such file", where=str(path), hint=f"give a file of {part} posts: --{part} FILE")
            if len({path.resolve() for path in files}) < len(files):
                raise DataError(f"a file of {part} posts is given twice", where=f"--{part}", hint="give each file once")
        return Files((), *(tuple(parts[part]) for part in ("train", "dev", "test")))


def read(files: Files) -> TrainingData:
    """Train and dev posts of resolved files. Raises DataError where a part is missing, SplitError where both are the
    same posts."""
    for part, paths in (("train", files.train), ("dev", files.dev)):
        if not paths:
            raise DataError(
                f"there are no {part} posts",
                where="--data",
                hint=f"give a folder with {part}.csv, a file with rows of split {part!r}, or --{part} FILE",
            )
    return gather(LinearRecipe(), train=[str(path) for path in files.train], dev=[str(path) for path in files.dev])


def of_language(data: TrainingData, language: str) -> TrainingData:
    """The posts of one language alone; all of them for an empty one."""
    if not language:
        return data
    train, dev = (tuple(item for item in part if item.post.language == language) for part in (data.train, data.dev))
    return TrainingData(train, dev, f"{data.data} ({language})", (), ())


def digest(items: Sequence[LabelledPost]) -> str:
    """16 hexadecimal digits of all that training sees of posts, their order included."""
    whole = hashlib.sha256(post_keys(items).tobytes())
    for item in items:
        whole.update(f"{item.post.type}\0{item.post.group}\n".encode(errors="surrogatepass"))
    return whole.hexdigest()[:16]


def differences(data: TrainingData) -> tuple[str, ...]:
    """How the posts differ in number from the paper's; empty where they do not."""
    train, dev, positives = (
        Counter(item.post.language for item in part)
        for part in (data.train, data.dev, [item for item in data.dev if item.label])
    )
    result = []
    for posts in paper.POSTS:
        counts = (train[posts.language], dev[posts.language], positives[posts.language])
        theirs = (posts.train, posts.dev, posts.dev_positives)
        if counts != theirs:
            result.append(f"{posts.language}: {_counts(counts)}, the paper's {_counts(theirs)}")
    cadec = sum(number for language, number in train.items() if is_cadec(language))
    if cadec != paper.CADEC_TRAIN:
        result.append(f"CADEC: {cadec:,} train posts, the paper's {paper.CADEC_TRAIN:,}")
    known = {posts.language for posts in paper.POSTS}
    other_languages = {name for name in (*train, *dev) if name not in known and not is_cadec(name)}
    result += [
        f"{name}: {train[name]:,} train and {dev[name]:,} dev posts, the paper's none"
        for name in sorted(other_languages)
    ]
    return tuple(result)


def _counts(counts: tuple[int, int, int]) -> str:
    return f"{counts[0]:,} train and {counts[1]:,} dev posts ({counts[2]:,} positive)"


def _in_folder(folder: Path) -> dict[str, list[Path]]:
    """The files of posts in a folder, in the order of their names, by the part that these begin with."""
    endings = tuple(ending + packed for ending in FORMATS for packed in _COMPRESSED)
    named = [path for path in sorted(folder.iterdir()) if path.name.endswith(endings) and path.is_file()]
    parts = {part: [path for path in named if _begins_with(path.name, part)] for part in ("train", "dev", "test")}
    for part in ("train", "dev"):
        if not parts[part]:
            raise DataError(
                f"has no {part} posts",
                where=str(folder),
                hint=f"call it {part}.csv or {part}_*.csv ({', '.join(FORMATS)}, .gz, .zst), or give --{part} FILE",
            )
        stems = [path.name.partition(".")[0] for path in parts[part]]
        if doubled := [stem for stem in dict.fromkeys(stems) if stems.count(stem) > 1]:
            raise DataError(
                f"has {doubled[0]} in several formats: "
                + ", ".join(path.name for path in parts[part] if path.name.partition(".")[0] == doubled[0]),
                where=str(folder),
                hint="leave one there",
            )
    return parts


def _begins_with(name: str, part: str) -> bool:
    """Whether a file is of this part: train.csv, train_data_x.csv; not trainer.csv."""
    return name.startswith(part) and not name[len(part)].isalnum()


def _by_split(path: Path) -> dict[str, list[Path]]:
    if not path.is_file():
        raise DataError("no such folder or file", where=str(path), hint="give a folder with train.csv and dev.csv")
    splits = {item.post.split for item in read_labelled(path).posts}
    if not {"train", "dev"} & splits:
        names = ", ".join(repr(name) for name in sorted(splits)) if any(splits) else "nothing"
        raise DataError(
            f"its split column says {names}; rows of split 'train' and of split 'dev' are needed",
            where=str(path),
            hint="or give a folder with train.csv and dev.csv, or --train FILE --dev FILE",
        )
    return {part: [path] for part in ("train", "dev") if part in splits}
