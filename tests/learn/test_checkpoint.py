"""Killed anywhere and started again, a run ends with the bits of the unbroken one; what is damaged is noticed."""
# ruff: noqa: E402

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from small import DEV, SPEC, TRAIN, SmallEncoder, digest, facts, run

from polyvigil.data import atomic
from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint import Progress, check_disk, fingerprint, keep_best_alone
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.losses import post_stepper

EACH = SPEC.model_copy(update={"checkpoint_minutes": 0.0})
FILES = ("model.safetensors", "moments.safetensors", "best.safetensors", "checkpoint.json")


class Killed(BaseException):
    """In the place of kill -9, where the instant matters."""


def killed_after(steps: int) -> TrainingCallbacks:
    left = iter(range(steps - 1))

    def progress(*_: float) -> None:
        if next(left, None) is None:
            raise Killed

    return TrainingCallbacks(progress=progress)


def interrupted(work: Path, *, steps: int, spec: object = EACH) -> None:
    with pytest.raises(Killed):
        run(SmallEncoder(), spec=spec, work=work, hooks=killed_after(steps))


@pytest.fixture(scope="module")
def unbroken() -> tuple[str, object]:
    encoder = SmallEncoder()
    log = run(encoder, spec=EACH)
    return digest(encoder), facts(log)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resuming_from_any_step_is_bit_identical(tmp_path: Path, precision: str) -> None:
    spec = EACH.model_copy(update={"precision": precision})
    whole = SmallEncoder()
    expected = facts(run(whole, spec=spec, work=tmp_path / "whole"))
    steps = expected.steps_per_epoch * spec.epochs
    for step in range(1, steps + 1):
        work = tmp_path / str(step)
        interrupted(work, steps=step, spec=spec)
        resumed = SmallEncoder(seed=99 if step > 1 else 0)  # all weights come from the checkpoint, once there is one
        assert facts(run(resumed, spec=spec, work=work)) == expected
        assert digest(resumed) == digest(whole)
        for name in ("model", "moments", "best"):
            mine, theirs = (_newest(w) / f"{name}.safetensors" for w in (work, tmp_path / "whole"))
            assert mine.read_bytes() == theirs.read_bytes()
        mine, theirs = (json.loads((_newest(w) / "checkpoint.json").read_text()) for w in (work, tmp_path / "whole"))
        for name in ("epoch", "step", "scale", "growth"):
            assert mine["progress"][name] == theirs["progress"][name]


def test_resuming_after_every_step_is_bit_identical(tmp_path: Path, unbroken: tuple[str, object]) -> None:
    sessions = 0
    while True:
        encoder = SmallEncoder()
        sessions += 1
        try:
            log = run(encoder, spec=EACH, work=tmp_path, hooks=killed_after(2))
        except Killed:
            continue
        break
    assert sessions > 10
    assert (digest(encoder), facts(log)) == unbroken


def test_a_completed_run_returns_its_result_without_training(tmp_path: Path, unbroken: tuple[str, object]) -> None:
    run(SmallEncoder(), spec=EACH, work=tmp_path)
    encoder = SmallEncoder()
    assert (facts(run(encoder, spec=EACH, work=tmp_path, hooks=killed_after(1))), digest(encoder)) == unbroken[::-1]


def test_a_completed_run_keeps_only_its_best_weights(tmp_path: Path, unbroken: tuple[str, object]) -> None:
    run(SmallEncoder(), spec=EACH, work=tmp_path)
    last = _newest(tmp_path)
    keep_best_alone(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [last.name]
    assert sorted(path.name for path in last.iterdir()) == ["best.safetensors", "checkpoint.json"]
    encoder = SmallEncoder(seed=99)
    assert (facts(run(encoder, spec=EACH, work=tmp_path, hooks=killed_after(1))), digest(encoder)) == unbroken[::-1]
    keep_best_alone(tmp_path)  # a second time changes nothing
    (last / "best.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match="all 1 checkpoints there are damaged"):
        run(SmallEncoder(), spec=EACH, work=tmp_path)


@pytest.mark.parametrize("at", ["link", "exchange", "remove"])
def test_killed_while_saving_best_weights_resumes(
    tmp_path: Path, unbroken: tuple[str, object], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    run(SmallEncoder(), spec=EACH, work=tmp_path)

    def killed(*_: object) -> None:
        raise Killed

    def stood_aside(_: Path, path: Path) -> None:
        aside = path.parent / f".{path.name}.x.old"
        aside.mkdir()
        path.rename(aside / path.name)
        raise Killed

    with monkeypatch.context() as patch:
        if at == "exchange":  # where names cannot be exchanged: the old folder stands aside, the new one not yet there
            patch.setattr(atomic, "_rename", lambda *_: False)
            patch.setattr(atomic, "_replace_in_two_steps", stood_aside)
        else:
            patch.setattr(checkpoint, f"_{at}", killed)
        with pytest.raises(Killed):
            keep_best_alone(tmp_path)
    encoder = SmallEncoder()
    assert (facts(run(encoder, spec=EACH, work=tmp_path)), digest(encoder)) == unbroken[::-1]


def test_real_kills_at_random_instants_change_no_bit(tmp_path: Path) -> None:
    kills = int(os.environ.get("POLYVIGIL_KILLS", "4"))
    result = worker("kills", str(tmp_path), str(kills), "1")
    assert result["kills"] >= kills
    assert result["runs"]
    assert all(one == result["unbroken"] for one in result["runs"])


def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    result = worker("ranks", str(tmp_path))
    one, first, second = (result[name] for name in ("0/1", "0/2", "1/2"))
    assert first["weights"] == second["weights"]
    single, double = (json.loads(part["weights"]) for part in (one, first))
    assert max(np.abs(np.array(single[name]) - np.array(double[name])).max() for name in single) < 1e-6
    logs = [json.loads(part["log"])["epochs"] for part in (one, first)]
    assert [e["dev_f1"] for e in logs[0]] == [e["dev_f1"] for e in logs[1]]
    assert [e["loss"] for e in logs[0]] == pytest.approx([e["loss"] for e in logs[1]], rel=1e-6)


def worker(*arguments: str) -> dict[str, dict[str, str]]:
    script = Path(__file__).parent / "worker.py"
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# -- what stands on the disk ------------------------------------------------------------------------------------------


def test_two_generations_are_kept_and_nothing_is_pickled(tmp_path: Path) -> None:
    run(SmallEncoder(), spec=EACH, work=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    steps = -(-len(TRAIN.pool) // 8)
    assert names == [f"checkpoint-0001-{steps:08d}", "checkpoint-0002-00000000"]
    for name in names:
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(FILES)


def test_without_elapsed_time_only_epochs_are_saved(tmp_path: Path) -> None:
    run(SmallEncoder(), spec=SPEC, work=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0001-00000000", "checkpoint-0002-00000000"]


def _newest(work: Path) -> Path:
    return max(work.glob("checkpoint-*"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_last(
    tmp_path: Path, unbroken: tuple[str, object], name: str, damage: str
) -> None:
    interrupted(tmp_path, steps=11)
    bad = _newest(tmp_path)
    file = bad / name
    raw = bytearray(file.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    elif damage == "cut":
        file.write_bytes(raw[: len(raw) // 2])
    else:
        file.unlink()
    lines: list[str] = []
    encoder = SmallEncoder()
    log = run(encoder, spec=EACH, work=tmp_path, hooks=TrainingCallbacks(log=lines.append))
    assert f"{bad.name} was damaged and is removed" in lines
    assert (digest(encoder), facts(log)) == unbroken


def test_all_checkpoints_damaged_is_an_error_and_removes_none(tmp_path: Path) -> None:
    interrupted(tmp_path, steps=11)
    for folder in tmp_path.glob("checkpoint-*"):
        (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match="all 2 checkpoints there are damaged; remove it to begin anew"):
        run(SmallEncoder(), spec=EACH, work=tmp_path)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_leftovers_of_a_killed_save_are_removed(tmp_path: Path, unbroken: tuple[str, object]) -> None:
    interrupted(tmp_path, steps=5)
    shutil.copytree(_newest(tmp_path), tmp_path / ".checkpoint-0000-00000009.x1.partial")
    shutil.copytree(_newest(tmp_path), tmp_path / ".checkpoint-0000-00000001.old")
    encoder = SmallEncoder()
    assert (facts(run(encoder, spec=EACH, work=tmp_path)), digest(encoder)) == unbroken[::-1]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"epochs": 3}, {"loss": "cross-entropy"}])
def test_checkpoints_of_other_settings_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    interrupted(tmp_path, steps=5)
    with pytest.raises(TrainingError) as caught:
        run(SmallEncoder(), spec=EACH.model_copy(update=change), work=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: the checkpoints there are those of another run: its settings, posts or seed differ; choose "
        "another work folder, or remove this one to begin anew"
    )


def test_checkpoints_of_other_posts_or_seeds_are_refused(tmp_path: Path) -> None:
    interrupted(tmp_path, steps=5)
    labels = TRAIN.labels.copy()
    labels[0] = 1 - labels[0]
    other = type(TRAIN)(TRAIN.tokens, labels, TRAIN.languages, TRAIN.weights, TRAIN.pool)
    for options in (
        {"train": other},
        {"seed": 4},
        {"dev": type(DEV)(DEV.tokens, DEV.labels, ["fr"] * 60, DEV.readable)},
    ):
        with pytest.raises(TrainingError, match="those of another run"):
            run(SmallEncoder(), spec=EACH, work=tmp_path, **options)


def test_execution_settings_may_differ_on_resuming(tmp_path: Path) -> None:
    interrupted(tmp_path, steps=5)
    lines: list[str] = []
    log = run(
        SmallEncoder(),
        spec=EACH.model_copy(update={"micro_tokens": 20, "checkpoint_minutes": 5.0}),
        work=tmp_path,
        hooks=TrainingCallbacks(log=lines.append),
    )
    assert "resuming after 0 epochs and 4 steps" in lines
    assert log.micro_tokens == 20


def test_another_torch_or_thread_count_gives_a_note(tmp_path: Path) -> None:
    interrupted(tmp_path, steps=5)
    lines: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        run(SmallEncoder(), spec=EACH, work=tmp_path, hooks=TrainingCallbacks(log=lines.append))
    finally:
        torch.set_num_threads(threads)
    assert any(f"written with threads {threads}, now it is {threads + 1}" in line for line in lines)


def test_too_little_disk_is_an_error_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 20_000_000_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    message = "checkpoints need 26.9 GB (560M parameters x 16 bytes x 3): 26.9 GB in all, the disk has 20.0 GB free"
    with pytest.raises(TrainingError, match=re.escape(message)):
        check_disk(tmp_path, use=DiskUse(560_000_000))
    assert check_disk(tmp_path, use=DiskUse(270_000_000)) == 270_000_000 * 48
    message = "(270M parameters x 16 bytes x 3), and members of 4.0 GB: 21.0 GB in all, the disk has 20.0 GB free"
    with pytest.raises(TrainingError, match=re.escape(message)):
        check_disk(tmp_path, use=DiskUse(270_000_000, member=4_000_000_000, members=3))


def test_the_disk_need_is_what_the_files_take(tmp_path: Path) -> None:
    """On a model of half a million weights, so that headers hardly count."""
    model = torch.nn.Linear(1000, 500)
    encoder = SmallEncoder()
    encoder.model = torch.nn.ModuleDict({"wide": model})
    stepper = post_stepper(encoder, spec=SPEC, ranks=_ranks())
    model(torch.ones(1, 1000)).sum().backward()
    stepper.optimiser.step()
    names = {name: p.detach() for name, p in encoder.model.named_parameters()}
    snapshot = checkpoint.Snapshot(Progress(micro_tokens=8), names, stepper.moments(), names)
    checkpoint.save(tmp_path, snapshot, fingerprint="x", environment={})
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert size == pytest.approx(16 * 500_500, rel=0.001)


def _ranks() -> object:
    from polyvigil.learn.ranks import this_rank

    return this_rank()


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: tuple[str, object]
) -> None:
    whole, calls = checkpoint.save_file, []

    def full(*arguments: object) -> None:
        calls.append(1)
        if len(calls) > 13:
            raise OSError(28, "No space left on device")
        whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(
            TrainingError, match=r"cannot be written \(.*No space left.*\); free some disk and run the s"
        ):
            run(SmallEncoder(), spec=EACH, work=tmp_path)
    assert not list(tmp_path.glob(".*"))
    encoder = SmallEncoder()
    assert (facts(run(encoder, spec=EACH, work=tmp_path)), digest(encoder)) == unbroken[::-1]


def test_progress_survives_json_bit_by_bit() -> None:
    random = np.random.default_rng(0)
    for value in [*random.lognormal(0, 20, size=2000), 5e-324, 1.7976931348623157e308]:
        progress = Progress(micro_tokens=8, loss=float(value))
        assert Progress.model_validate_json(progress.model_dump_json()).loss == value


def test_fingerprints_separate_their_parts() -> None:
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint([np.arange(3), "x"]) == fingerprint([np.arange(6)[:3], "x"])
