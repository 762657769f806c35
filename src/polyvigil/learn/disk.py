"""How much disk a training takes at its fullest moment; knows no torch.

Members are trained one after the other. While one is trained its checkpoints stand on the disk beside the finished
members before it; a finished training keeps the weights of its best epoch alone; the bundle is made of the finished
members by links, which take no further disk (a copy on a file system without links).
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = 2
"""Checkpoints of a running training that stand on the disk; while a third is written there are three."""
PARAMETER_BYTES = 16
"""Of a trained parameter in a checkpoint: weight, two moments, weight of the best epoch; all float32."""
BEST_BYTES = 4
"""Of a trained parameter of a finished training."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Sizes in bytes. ``trained``: parameters that are trained; ``member``: of one finished member with its tokenizer.

    ``members``: how many are still to be made; ``trainings``: of each, one after the other (a stack: folds + 1).
    ``overhead``: bytes of one checkpoint beside its numbers, such as the names of tensors.
    """

    trained: int
    member: int = 0
    members: int = 1
    trainings: int = 1
    overhead: int = 0

    @property
    def checkpoints(self) -> int:
        """The most that checkpoints of one member take: those of the running training, and what finished ones leave."""
        running = (KEPT + 1) * (PARAMETER_BYTES * self.trained + self.overhead)
        return running + (self.trainings - 1) * self.best_weights

    @property
    def best_weights(self) -> int:
        """What one finished training keeps until its member is written."""
        return BEST_BYTES * self.trained + self.overhead

    @property
    def most(self) -> int:
        """At the fullest moment: while the last member is trained, or when it is written beside its best weights."""
        training = self.checkpoints + (self.members - 1) * self.member
        writing = self.trainings * self.best_weights + self.members * self.member
        return max(training, writing)
