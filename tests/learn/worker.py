"""Processes for the tests that need real ones: imports torch once, then forks. Prints one line of JSON.

worker.py kills FOLDER KILLS SEED    train, SIGKILL at random instants, resume; digests beside the unbroken run's
worker.py ranks FOLDER               the same training in one process and in two
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from small import SPEC, TRAIN, SmallEncoder, dev_of, digest, facts, posts, run, weights, windowed
from torch import distributed

torch.set_num_threads(1)  # also: no threads, so that forking is safe
MANY = posts(400, seed=4)
EACH = SPEC.model_copy(update={"checkpoint_minutes": 0.0})
Result = dict[str, str]


def trained(work: Path) -> Result:
    encoder = SmallEncoder()
    log = run(encoder, spec=EACH, train=MANY, work=work)
    last = max(work.glob("checkpoint-*"))
    files = {name: sha256((last / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("model", "moments")}
    return {"weights": digest(encoder), "log": facts(log).model_dump_json(), "checkpoint": last.name, **files}


def forked(task: Callable[[], Result], answer: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        partial = answer.with_suffix(".partial")
        partial.write_text(json.dumps(task()))
        partial.rename(answer)
        status = 0
    finally:
        os._exit(status)


def kills(folder: Path, count: int, seed: int) -> dict[str, object]:
    draw = random.Random(seed)
    answer, work = folder / "answer.json", folder / "work"
    begun = time.monotonic()
    unbroken = finished(forked(lambda: trained(folder / "unbroken"), answer), answer)
    seconds = time.monotonic() - begun
    killed, runs = 0, []
    while killed < count:
        child = forked(lambda: trained(work), answer)
        time.sleep(draw.uniform(0, seconds / 3))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if answer.exists():  # it had finished: the next one begins anew
            runs.append(json.loads(answer.read_text()))
            answer.unlink()
            shutil.rmtree(work)
    runs.append(finished(forked(lambda: trained(work), answer), answer))
    return {"unbroken": unbroken, "runs": runs, "kills": killed, "seconds": seconds}


def finished(child: int, answer: Path) -> Result:
    os.waitpid(child, 0)
    result: Result = json.loads(answer.read_text())
    answer.unlink()
    return result


def rank(folder: Path, number: int, size: int) -> Result:
    if size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=size)
    encoder = SmallEncoder(dropout=0.0)
    each, train = SPEC.model_copy(update={"checkpoint_minutes": 0.0}), windowed(TRAIN)
    log = run(encoder, spec=each, work=folder / f"work{size}", train=train, dev=dev_of(train))
    torch_weights = {name: value.tolist() for name, value in weights(encoder).items()}
    if size > 1:
        distributed.destroy_process_group()
    return {"weights": json.dumps(torch_weights), "log": facts(log).model_dump_json()}


def ranks(folder: Path) -> dict[str, object]:
    jobs = [(0, 1), (0, 2), (1, 2)]
    children = [forked(lambda job=job: rank(folder, *job), folder / f"rank{job[0]}of{job[1]}") for job in jobs]
    for child in children:
        os.waitpid(child, 0)
    return {f"{number}/{size}": json.loads((folder / f"rank{number}of{size}").read_text()) for number, size in jobs}


if __name__ == "__main__":
    task, where, *rest = sys.argv[1:]
    result = kills(Path(where), int(rest[0]), int(rest[1])) if task == "kills" else ranks(Path(where))
    sys.stdout.write(json.dumps(result) + "\n")
