"""metrics.jsonl: what a training measured, and that TensorBoard's and MLflow's own readers find it again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from polyvigil.bundle import layout
from polyvigil.bundle.run_metrics import RunMetric, append_metrics, as_lines, metrics_now
from polyvigil.bundle.verify import verify
from polyvigil.config.recipe import LinearRecipe
from polyvigil.errors import BundleError, DataError, RecipeError
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.learn import linear, linear_dual
from polyvigil.tracking import read_metrics, to_mlflow, to_tensorboard
from polyvigil.workflows import train as training


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Metrics of two members; a step was measured twice."""
    values = [
        ("seed 1", 1, "loss", 0.75, 100.25),
        ("seed 1", 2, "loss", 0.9, 101.0),
        ("seed 1", 2, "loss", 0.5, 103.0),
        ("seed 1, fold 2 of 3", 2, "dev_f1", 0.25, 104.0),
        ("", 0, "dev/f1", 0.5, 105.0),
    ]
    names = ("member", "step", "name", "value", "time")
    path = tmp_path / "run" / layout.METRICS
    append_metrics(path, [RunMetric.model_validate(dict(zip(names, row, strict=True))) for row in values])
    return path


SCALARS = {
    "seed 1/loss": [(1, 0.75, 100.25), (2, 0.5, 103.0)],
    "seed 1 fold 2 of 3/dev_f1": [(2, 0.25, 104.0)],
    "dev/f1": [(0, 0.5, 105.0)],
}


def test_a_bundle_holds_what_its_training_measured(bundle_folder: Path, evaluation: Evaluation) -> None:
    metrics = read_metrics(bundle_folder)
    values = {metric.name: metric.value for metric in metrics}
    assert {(metric.member, metric.step) for metric in metrics} == {("", 0)}  # of a fit that has no epochs to measure
    pooled = evaluation.pooled
    assert pooled.cross_fitted is not None
    assert values["dev/f1"] == pooled.cross_fitted.f1
    assert values["dev/average_precision"] == pooled.average_precision
    for part in evaluation.languages:
        assert part.cross_fitted is None or values[f"dev/{part.name}/recall"] == part.cross_fitted.recall
    assert layout.METRICS in verify(bundle_folder).files
    assert not layout.decides(layout.METRICS)


def test_a_compiled_linear_fit_measures_its_epochs(
    material: training.TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "WORTH_CHARACTERS", 0)
    recipe = LinearRecipe()
    values: list[tuple[int, dict[str, float]]] = []
    learner = linear.LinearLearner(
        recipe.model, recipe.balance, metrics=lambda step, measured: values.append((step, dict(measured)))
    )
    learner.fit(material.train[:300], (), seed=1)
    assert [step for step, _ in values] == [*range(1, len(values) + 1)]
    assert {name for _, measured in values for name in measured} == {"change"}
    assert values[-1][1]["change"] < linear_dual.STOP


def test_the_later_of_two_values_counts(log: Path) -> None:
    metrics = read_metrics(log.parent)
    assert metrics == read_metrics(log)
    assert [(metric.step, metric.value) for metric in metrics if metric.name == "loss"] == [(1, 0.75), (2, 0.5)]
    assert as_lines(metrics).count("\n") == 4
    assert [metric.name for metric in metrics_now("m", 1, {"a": 1.0, "b": math.nan, "c": math.inf})] == ["a"]


def test_a_torn_line_is_left_out_and_a_changed_one_named(log: Path) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.write('{"member": "seed 1", "st')
    assert len(read_metrics(log)) == 4
    with log.open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with pytest.raises(BundleError, match=rf"{layout.METRICS}:6: no value of a training; the file was changed"):
        read_metrics(log)
    with pytest.raises(BundleError, match="no metrics of a training; name a bundle that was trained, or its OUTPUT"):
        read_metrics(log.parent.parent)


def test_tensorboard_reads_it(log: Path, tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError)
    path = to_tensorboard(log.parent, tmp_path / "runs" / "a")
    assert path.parent == tmp_path / "runs" / "a"
    events = reading.EventAccumulator(str(path.parent))
    events.Reload()
    found = {
        tag: [(event.step, event.value, event.wall_time) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert found == SCALARS
    with pytest.raises(DataError, match="holds an event file already; choose another folder for this run"):
        to_tensorboard(log.parent, tmp_path / "runs" / "a")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_it(log: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    try:
        client = mlflow.MlflowClient()
        run = client.get_run(to_mlflow(log.parent, experiment="ade"))
        assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
        for tag, points in SCALARS.items():
            history = client.get_metric_history(run.info.run_id, tag)
            assert [(m.step, m.value, m.timestamp / 1000) for m in history] == points
        run = client.get_run(to_mlflow(bundle_folder, experiment="ade", run_name="linear"))
        manifest = json.loads((bundle_folder / layout.MANIFEST).read_bytes())
        assert run.data.tags["polyvigil.bundle"] == manifest["id"]
        assert (run.data.params["model.kind"], run.data.params["seed"]) == ("linear", "42")
        assert len(client.search_runs([run.info.experiment_id])) == 2
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize(("function", "library"), [(to_tensorboard, "tensorboard"), (to_mlflow, "mlflow")])
def test_a_library_that_is_not_installed_is_named(
    function: object, library: str, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, library, None)
    arguments = (log, tmp_path / "runs") if library == "tensorboard" else (log,)
    with pytest.raises(RecipeError, match=rf"needs {library}, .* pip install 'polyvigil\[{library}\]'"):
        function(*arguments)  # type: ignore[operator]
