"""Two processes that train as one, each forked and joined as torchrun would start it. Prints one line of JSON.

crowd.py FOLDER    FOLDER holds train.csv, other.csv and dev.csv, and a tiny encoder in model/
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
import transformers.models.xlm_roberta.modeling_xlm_roberta  # noqa: F401 - once, before the forks
from small import SPEC, SmallEncoder, digest, facts, run, weights

from polyvigil.cli import main as program
from polyvigil.errors import PolyvigilError
from polyvigil.learn.launch import launched
from polyvigil.learn.loop import TrainingCallbacks
from polyvigil.learn.process_group import process_group

torch.set_num_threads(1)  # also: no threads, so that forking is safe
EACH = SPEC.model_copy(update={"checkpoint_minutes": 0.0})
ROOMY = SPEC.model_copy(update={"micro_tokens": 1000})


class Cramped(SmallEncoder):
    """Has memory for ``room`` tokens at once."""

    def __init__(self, room: float) -> None:
        super().__init__(dropout=0.0)
        self.room = room

    def logits(self, items: Sequence[np.ndarray]) -> torch.Tensor:
        logits = super().logits(items)
        if self.model.training and sum(map(len, items)) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits


def both(folder: Path, task: Callable[[int], object]) -> list[dict[str, object]]:
    """What ``task(rank)`` returns in each of two processes, or the error it ends with; what they wrote, together."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in (0, 1):
        child = os.fork()
        if not child:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(folder / f"{name}{rank}", os.O_WRONLY | os.O_CREAT), stream)
            status = 1
            try:
                (folder / f"told{rank}").write_text(json.dumps(task(rank)))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, "".join((folder / f"err{rank}").read_text() for rank in (0, 1))
    return [
        {name: (folder / f"{name}{rank}").read_text() for name in ("out", "err")}
        | {"told": json.loads((folder / f"told{rank}").read_text())}
        for rank in (0, 1)
    ]


def trained(encoder: SmallEncoder, **options: object) -> dict[str, object]:
    log = facts(run(encoder, **options))  # type: ignore[arg-type]
    values = {name: value.tolist() for name, value in weights(encoder).items()}
    dev = [epoch.dev_f1 for epoch in log.epochs]
    return {"weights": values, "digest": digest(encoder), "micro_tokens": log.micro_tokens, "dev": dev}


def as_one(task: Callable[[], dict[str, object]]) -> dict[str, object]:
    with process_group(launched()):
        try:
            return task()
        except PolyvigilError as error:
            return {"error": f"{type(error).__name__}: {error}"}


def stopping(rank: int) -> Callable[[], bool]:
    """Of the second process alone: True when asked for the third time."""
    asked: Iterator[int] = count(1)
    return lambda: next(asked) == 3 and rank == 1


def command(folder: Path, output: str, *, train: str = "train.csv", recipe: str = "quick", folds: int = 0) -> list[str]:
    line = ["train", recipe, "--train", str(folder / train)]
    line += ["--set", f"data.folds={folds}"] if folds else ["--dev", str(folder / "dev.csv")]
    line += ["-o", str(folder / output), "--device", "cpu", "--offline", "--json"]
    return (
        line if recipe == "linear" else [*line, "--set", f"model.name={folder}/model", "--set", "model.max_tokens=32"]
    )


def main(folder: Path) -> dict[str, object]:
    own = [folder / "of-0", folder / "of-1"]  # a disk of its own for each process

    def kept(rank: int, **options: object) -> dict[str, object]:
        return as_one(lambda: trained(SmallEncoder(), spec=EACH, work=own[rank], **options))

    return {
        "alone": trained(Cramped(float("inf")), spec=ROOMY),
        "memory": both(folder / "a", lambda rank: as_one(lambda: trained(Cramped((1e9, 12)[rank]), spec=ROOMY))),
        "no memory": both(folder / "b", lambda rank: as_one(lambda: trained(Cramped((1e9, 5)[rank]), spec=ROOMY))),
        "unbroken": both(folder / "c", lambda _: as_one(lambda: trained(SmallEncoder()))),
        "stopped": both(folder / "d", lambda rank: kept(rank, hooks=TrainingCallbacks(stop=stopping(rank)))),
        "resumed": both(folder / "e", kept),
        "disks": [path.is_dir() for path in own],
        "linear": both(folder / "f", lambda _: program.run(command(folder, "o", recipe="linear"))),
        "one": both(
            folder / "g", lambda rank: program.run(command(folder, "o", train=("train", "gone")[rank] + ".csv"))
        ),
        "unlike": both(
            folder / "h", lambda rank: program.run(command(folder, "o", train=("train", "other")[rank] + ".csv"))
        ),
        "folds": both(folder / "i", lambda _: program.run(command(folder, "folds", folds=2))),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
