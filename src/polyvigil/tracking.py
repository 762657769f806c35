"""The metrics of a training in TensorBoard and MLflow, read from its ``metrics.jsonl`` (docs/howto/tracking.md).

In: a bundle's folder, the ``OUTPUT.work`` of a training under way, or the file itself. Out: an event file, or a run of
an MLflow server or store. Neither library is needed to train; nothing is sent but what the file and recipe.toml hold.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

from polyvigil.bundle import layout
from polyvigil.bundle.run_metrics import RunMetric, read_metrics
from polyvigil.errors import DataError, require

__all__ = ["RunMetric", "read_metrics", "to_mlflow", "to_tensorboard"]

_BATCH = 1000  # metrics that an MLflow server takes at once
_LONGEST = 500  # characters of a parameter that every version of MLflow takes


def to_tensorboard(folder: str | Path, log_folder: str | Path) -> Path:
    """Write the metrics as an event file into ``log_folder``, which is made, and give its path.

    Each value is a scalar called ``MEMBER/NAME`` at its step and time. ``tensorboard --logdir`` shows folders of such
    files. Raises DataError where ``log_folder`` holds an event file already, BundleError as ``read_metrics``, and
    RecipeError where tensorboard is not installed (the extra ``tensorboard``).
    """
    require("tensorboard", extra="tensorboard", needed_by="an event file")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    metrics = read_metrics(folder)
    log_folder = Path(log_folder)
    if [*log_folder.glob("*tfevents*")]:
        raise DataError("holds an event file already", where=str(log_folder), hint="choose another folder for this run")
    writer = EventFileWriter(str(log_folder))
    for metric in metrics:
        summary = Summary(value=[Summary.Value(tag=_tag(metric), simple_value=metric.value)])
        writer.add_event(Event(wall_time=metric.time, step=metric.step, summary=summary))
    writer.close()
    return next(log_folder.glob("*tfevents*"))


def to_mlflow(folder: str | Path, *, experiment: str = "polyvigil", run_name: str = "") -> str:
    """Log the metrics as a finished run of ``experiment`` and give the run's id.

    Server or store are MLflow's (MLFLOW_TRACKING_URI, mlflow.set_tracking_uri). Of a bundle the settings of its recipe
    are logged as parameters and its id as the tag ``polyvigil.bundle``. ``run_name``: else the folder's name. Raises
    BundleError as ``read_metrics``, and RecipeError where mlflow is not installed (the extra ``mlflow``); MLflow's own
    errors pass.
    """
    require("mlflow", extra="mlflow", needed_by="a run in MLflow")
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    metrics = read_metrics(folder)
    client = MlflowClient()
    known = client.get_experiment_by_name(experiment)
    experiment_id = known.experiment_id if known else client.create_experiment(experiment)
    start = min((metric.time for metric in metrics), default=0.0)
    run = client.create_run(experiment_id, start_time=int(1000 * start), run_name=run_name or Path(folder).name)
    run_id = str(run.info.run_id)
    values = [
        Metric(key=_tag(metric), value=metric.value, timestamp=int(1000 * metric.time), step=metric.step)
        for metric in metrics
    ]
    for first in range(0, len(values), _BATCH):
        client.log_batch(run_id, metrics=values[first : first + _BATCH])
    parameters = [Param(name, value[:_LONGEST]) for name, value in _settings(Path(folder))]
    for first in range(0, len(parameters), 100):
        client.log_batch(run_id, params=parameters[first : first + 100])
    client.log_batch(run_id, tags=[RunTag("polyvigil.bundle", name) for name in _bundle_id(Path(folder))])
    client.set_terminated(run_id)
    return run_id


def _tag(metric: RunMetric) -> str:
    """``seed 42/loss``, in the characters that both take."""
    member = metric.member.replace(",", "")
    return f"{member}/{metric.name}" if member else metric.name


def _settings(folder: Path) -> Iterator[tuple[str, str]]:
    """The settings of a bundle's recipe by their path; none where ``folder`` is no bundle."""
    recipe = folder / layout.RECIPE
    if recipe.is_file():
        yield from _flat(tomllib.loads(recipe.read_text(encoding="utf-8")), "")


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, default=str)


def _bundle_id(folder: Path) -> list[str]:
    manifest = folder / layout.MANIFEST
    return [json.loads(manifest.read_bytes())["id"]] if manifest.is_file() else []
