"""How much memory a training run took, and whether an error says that there is no more."""

from __future__ import annotations

import sys

import torch

_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch raised ``error`` for want of memory, on a GPU (OutOfMemoryError) or a CPU (a RuntimeError)."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(saying in text for saying in _SAYINGS)


def forget_peak(device: torch.device) -> None:
    """Begin to measure the peak again; a CPU's cannot be."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most held by tensors on a GPU since ``forget_peak``; elsewhere the most this process ever took."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release(device: torch.device) -> None:
    """Give cached memory of a GPU back."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
