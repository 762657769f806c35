"""What many tests share. Data are made here or authored in the program; nothing is fetched."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from polyvigil.bundle.store import Bundle, load
from polyvigil.config.recipe import LinearRecipe
from polyvigil.data.sample import sample_corpus
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.types import LabelledPost
from polyvigil.workflows import train as training

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # test processes share the cores: more threads only wait
    os.environ.setdefault(_threads, "1")
# Ray's workers wait for whoever else uses the processor, which here is another test process all the time.
os.environ.setdefault("RAY_worker_niceness", "0")

pytest_plugins = ["tests.measured"]

SLOW = tuple(
    line for line in Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"
)
"""Files and tests that ``make test-fast`` leaves out."""

OPEN_ADE = Path(__file__).parents[2] / "shared" / "data" / "open_ade" / "sentences.csv"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without slow tests, files that hold no others are not even imported."""
    path = collection_path.relative_to(Path(__file__).parents[1]).as_posix()
    return True if config.option.markexpr == "not slow" and path in SLOW else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what tests/slow.txt names: whole files, and single tests with all their parameters."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parents[1]).as_posix()
        if {path, f"{path}::{item.name.partition('[')[0]}"} & set(SLOW):
            item.add_marker("slow")


_FILE = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before each file, set aside what is in memory: libraries are a million objects, and to walk them again and again
    took the garbage collector a quarter of the time."""
    if item.session.stash.get(_FILE, None) != item.path:
        item.session.stash[_FILE] = item.path
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def corpus() -> tuple[LabelledPost, ...]:
    """The synthetic sample corpus."""
    return sample_corpus()


@pytest.fixture(scope="session")
def material(corpus: tuple[LabelledPost, ...]) -> training.TrainingData:
    """A training run's posts: the German, English and Japanese ones of the corpus."""
    chosen = [item for item in corpus if item.post.language in {"de", "de_cadec", "en", "ja"}]
    return training.TrainingData(
        train=tuple(item for item in chosen if item.post.split == "train"),
        dev=tuple(item for item in chosen if item.post.split == "dev"),
        data="synthetic",
        row_errors=(),
        notes=(),
    )


@pytest.fixture(scope="session")
def trained(material: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> training.Trained:
    """A bundle trained on ``material``; its folder is ``bundle_folder``."""
    return training.train(LinearRecipe(), material, output=tmp_path_factory.mktemp("trained") / "bundle")


@pytest.fixture(scope="session")
def bundle_folder(trained: training.Trained) -> Path:
    """The folder of ``trained``. Tests that change it copy it first."""
    return Path(trained.evaluation.bundle)


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    """The trained bundle, loaded from its folder."""
    return load(bundle_folder)


@pytest.fixture(scope="session")
def evaluation(trained: training.Trained) -> Evaluation:
    """The trained bundle's figures on its dev posts."""
    return trained.evaluation


@pytest.fixture(scope="session")
def open_ade() -> Path:
    """The openly licensed posts; tests that need them are marked ``open_ade``."""
    if not OPEN_ADE.is_file():
        pytest.skip("the openly licensed posts are not beside the checkout")
    return OPEN_ADE
