"""One training step against the paper's loop on the same posts: parity first, then speed on one thread.

    python benchmarks/training.py [--layers 6] [--width 384] [--json FILE]

A BERT with random weights takes a step of 32 posts of random tokens with the natural mix of lengths (see packing.py).
Ours: micro-batches by token budget, packed, fused AdamW. The paper's loop, restated: 4 micro-batches of 8 posts as they
come, each post padded to 256, the plain AdamW. Dropout is off in both, so that they can be compared; both use the focal
loss.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path

import numpy as np
import torch

from packing import LONGEST, posts, write_model
from polyvigil.learn.losses import focal
from polyvigil.learn.ranks import this_rank
from polyvigil.learn.schedule import parameter_groups
from polyvigil.learn.step import Batch, Stepper
from polyvigil.nn.encoder import Encoder, TokenIds, load_encoder
from polyvigil.specs import TrainingSpec
from side_by_side import compare, report

POSTS, MICRO, RATE = 32, 8, 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384, help="a multiple of 64")
    parser.add_argument("--steps", type=int, default=2, help="steps of a round, each of other posts")
    parser.add_argument("--json", help="write the figures here too")
    arguments = parser.parse_args()
    draw = np.random.default_rng(1)
    batches = []
    for _ in range(arguments.steps):
        labels = (draw.random(POSTS) < 0.19).astype(np.int8)
        batches.append(Batch(posts(draw, POSTS), labels, np.ones(POSTS)))
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), layers=arguments.layers, width=arguments.width)
        ours, theirs = (load_encoder(folder, max_tokens=LONGEST, packing=packing) for packing in (True, False))
    for encoder in (ours, theirs):
        for module in encoder.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        encoder.model.train()
    torch.set_num_threads(1)
    spec = TrainingSpec()
    stepper = Stepper(ours, spec=spec, ranks=this_rank())
    plain = torch.optim.AdamW(parameter_groups(theirs.model, weight_decay=spec.weight_decay), lr=RATE)

    def our_steps() -> float:
        run = (stepper.step(b, rate=RATE, seed=0, micro_tokens=spec.micro_tokens, where="") for b in batches)
        return sum(result.loss for result in run)

    def their_steps() -> float:
        return sum(paper_step(theirs, plain, batch, spec) for batch in batches)

    begun = copy.deepcopy(ours.model.state_dict())
    losses = our_steps(), their_steps()
    moved = max((ours.model.state_dict()[name] - value).abs().max().item() for name, value in begun.items())
    apart = abs(losses[0] - losses[1]) / losses[1]
    if apart > 1e-4 or moved == 0:
        raise SystemExit(f"the arms disagree: summed losses {losses}")
    lengths = np.concatenate([[len(item) for item in batch.tokens] for batch in batches])
    notes: dict[str, object] = {
        "torch": torch.__version__,
        "model": f"BERT, {arguments.layers} layers of {arguments.width}",
        "posts": f"{len(lengths)} of random tokens, mean {lengths.mean():.1f}, median {np.median(lengths):.0f}",
        "relative difference of the summed losses": f"{apart:.1e}",
    }
    report([compare("training step against the paper's loop", our_steps, their_steps)], notes, arguments.json)


def paper_step(encoder: Encoder, optimiser: torch.optim.Optimizer, batch: Batch, spec: TrainingSpec) -> float:
    """A step the paper's way; the sum of the posts' losses."""
    total = 0.0
    for start in range(0, POSTS, MICRO):
        ids, mask = padded(batch.tokens[start : start + MICRO])
        labels = torch.from_numpy(batch.labels[start : start + MICRO].astype(np.int64))
        logits = encoder.model(input_ids=ids, attention_mask=mask).logits
        loss = focal(logits, labels, alpha=spec.alpha, gamma=spec.gamma)
        torch.autograd.backward(loss.mean() / (POSTS // MICRO))
        total += float(loss.detach().sum())
    torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), spec.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return total


def padded(items: list[TokenIds]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, each (n_items, 256)."""
    ids = torch.zeros(len(items), LONGEST, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(items):
        ids[row, : len(item)] = torch.from_numpy(item)
        mask[row, : len(item)] = 1
    return ids, mask


if __name__ == "__main__":
    main()
