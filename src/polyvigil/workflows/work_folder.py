"""``OUTPUT.work``: the folder in which a training keeps what it has finished until its output stands.

::

    seed-42/checkpoint-0001-00000000/     train: a member under way (learn.checkpoint); of a stack, one folder deeper
    seed-42/finished/                     a finished member (workflows.members)
    metrics.jsonl                         what was measured so far (bundle.run_metrics)
    seed-42/fold-0/finished/              of members that are trained on folds
    teacher-0123456789abcdef.safetensors  what a teacher made of posts (workflows.distil)
    checkpoint-0001-00000000/             adapt

Once the output stands it is removed with all that is in it, so a run does not begin where it holds anything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from polyvigil.bundle.layout import METRICS
from polyvigil.errors import TrainingError

_KNOWN = re.compile(r"\.?(checkpoint-\d+-\d+|finished)(\..*)?")
_TEACHER = re.compile(r"\.?teacher-[0-9a-f]{16}\.safetensors(\..*)?")


def work_folder(output: Path) -> Path:
    """Where checkpoints stand until ``output`` does."""
    return output.with_name(output.name + ".work")


def member_folder(work: Path, seed: int, fold: int | None) -> Path:
    """Where the checkpoints of a member stand, and the member once it is finished."""
    return work / f"seed-{seed}" if fold is None else work / f"seed-{seed}" / f"fold-{fold}"


def check_work_folder(work: Path, *, seeds: Sequence[int] | None, folds: int | None = None) -> None:
    """Raise TrainingError where a work folder holds a file that no run has put there which makes these members.

    ``seeds``: of the members whose checkpoints are kept, no one of those that are made in seconds; None for ``adapt``.
    ``folds``: how many members there are of each seed, each in a folder of its own; 0: one alone; None: a stack, which
    has folders of its own.
    """
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        raise _foreign(work, "is no folder, and checkpoints are to be kept there")
    folders = {f"seed-{seed}" for seed in seeds or ()}
    for path in sorted(work.rglob("*")):
        parts = path.relative_to(work).parts
        if (path.is_dir() and not path.is_symlink()) or (len(parts) == 1 and _of_all_members(parts[0])):
            continue
        inside = parts[:1] if seeds is None else parts[1:-1] if parts[0] in folders else ()
        if len(parts) == 1 or _has_other_folds(inside, folds) or not any(map(_KNOWN.fullmatch, inside)):
            raise _foreign(work, f"holds {'/'.join(parts)}, which no earlier run of this recipe has put there")


def _of_all_members(name: str) -> bool:
    return _TEACHER.fullmatch(name) is not None or name == METRICS


def _has_other_folds(inside: Sequence[str], folds: int | None) -> bool:
    """Whether a file that stands ``inside`` a seed's folder is of a run with other folds."""
    if folds is None or not inside:
        return False
    names = {f"fold-{fold}" for fold in range(folds)}
    return inside[0] not in names if folds else inside[0].startswith("fold-")


def _foreign(work: Path, message: str) -> TrainingError:
    hint = "move it away, or choose another output; if it is of an earlier run that is not wanted, remove it"
    return TrainingError(message, where=str(work), hint=hint)
