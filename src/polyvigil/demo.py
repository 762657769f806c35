"""The main job on the synthetic sample corpus, from files on disk to a report, as a user would do it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.config.load import load
from polyvigil.data.atomic import write_whole
from polyvigil.data.read import read_labelled
from polyvigil.data.sample import SAMPLE_NOTE, sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.measure import cross_fitted_dev, measured
from polyvigil.report.render import HTML_FILE, report_files
from polyvigil.report.report import report_of
from polyvigil.scoring.batch import score_file
from polyvigil.types import Frozen
from polyvigil.workflows import train as training

_MARK = ".polyvigil-demo"
DEMO = OutputKind("demo", lambda folder: (folder / _MARK).is_file(), folder=True)


class Demo(Frozen):
    """What a demo made."""

    note: str
    bundle: str
    report: str
    scored: str
    seconds: float
    evaluation: Evaluation
    next_steps: tuple[str, ...]


def run_demo(
    folder: Path,
    *,
    seed: int = 42,
    program: str = "polyvigil",
    command: str = "",
    replace: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Write data/, bundle/, report.html, its JSON twins and scored.csv into ``folder``. ``program`` is how the
    next steps call the program, ``command`` the command line that makes the same again, which the report names.

    With ``replace`` the files of an earlier demo are written again, and what else lies there stays. Raises DataError
    when ``folder`` holds anything else.
    """
    check_output(folder, DEMO, replace=replace)
    started = time.perf_counter()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    corpus = sample_corpus(seed=seed)
    log(f"wrote {len(corpus):,} synthetic posts to {data}")
    files = {split: data / f"{split}.csv" for split in ("train", "dev", "test")}
    for split, path in files.items():
        write_posts(path, [item for item in corpus if item.post.split == split], replace=True)
    recipe = load("linear", settings=[f"seed={seed}"])
    training_data = training.gather(recipe, train=[str(files["train"])], dev=[str(files["dev"])])
    trained = training.train(recipe, training_data, output=folder / "bundle", replace=True, log=log)
    log("evaluating on the test posts")
    dev = cross_fitted_dev(trained.bundle, folder / "bundle")
    result = measured(trained.bundle, read_labelled(files["test"]), dev=dev)
    made = report_of(result, trained.bundle, title="polyvigil demo", note=SAMPLE_NOTE, command=command)
    for name, text in report_files(made).items():
        write_whole(folder / name, text, replace=True)
    report = folder / HTML_FILE
    log("scoring the test posts")
    scored = folder / "scored.csv"
    score_file(trained.bundle, str(files["test"]), str(scored), replace=True)
    return Demo(
        note=SAMPLE_NOTE,
        bundle=str(folder / "bundle"),
        report=str(report),
        scored=str(scored),
        seconds=round(time.perf_counter() - started, 1),
        evaluation=result.evaluation,
        next_steps=(
            f"{program} check {files['train']} {files['dev']} {files['test']}",
            f"{program} inspect {folder / 'bundle'}",
            f"{program} score {folder / 'bundle'} {files['test']} -o {folder / 'again.csv'}",
        ),
    )
