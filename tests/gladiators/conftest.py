"""Tiny models and few posts for reproductions that take seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for a second thread; and resumed runs need as many as the first had."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def every_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from polyvigil_gladiators.tiny import tiny_models

    return tiny_models(tmp_path_factory.mktemp("every") / "models")


@pytest.fixture
def shelf(every_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder with some of the models."""

    def make(*names: str) -> Path:
        folder = tmp_path / "shelf"
        folder.mkdir()
        for name in names:
            (folder / name).symlink_to(every_model / name)
        return folder

    return make


@pytest.fixture(scope="package")
def few(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some English, Russian and Japanese posts of the sample corpus: a folder with train.csv and dev.csv."""
    folder = tmp_path_factory.mktemp("few")
    for split in ("train", "dev"):
        chosen = []
        for language in ("en", "ja", "ru"):
            mine = [item for item in corpus if (item.post.language, item.post.split) == (language, split)]
            for label, number in ((1, 8), (0, 32)):
                chosen += [item for item in mine if item.label == label][:number]
        write_posts(folder / f"{split}.csv", chosen)
    return folder
