"""A training step as others take it: the paper's loop and Hugging Face's Trainer, on posts given as token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from polyvigil.config.training import TrainingSpec
from polyvigil.learn.losses import Batch, focal
from polyvigil.learn.schedule import parameter_groups
from synthetic import padded

MICRO, RATE = 8, 1e-5


def paper(model: torch.nn.Module, batches: Sequence[Batch], spec: TrainingSpec) -> Callable[[], float]:
    """The paper's loop: micro-batches of 8 posts as they come, each padded to 256, torch's plain AdamW.

    The result takes a step for each of ``batches`` and gives the sum of the posts' losses.
    """
    optimiser = torch.optim.AdamW(parameter_groups(model, weight_decay=spec.weight_decay), lr=RATE)

    def steps() -> float:
        total = 0.0
        for batch in batches:
            count = len(batch.tokens)
            for start in range(0, count, MICRO):
                ids, mask = padded(list(batch.tokens[start : start + MICRO]))
                labels = torch.from_numpy(batch.labels[start : start + MICRO].astype(np.int64))
                logits = model(input_ids=ids, attention_mask=mask).logits
                loss = focal(logits, labels, alpha=spec.alpha, gamma=spec.gamma)
                torch.autograd.backward(loss.mean() / (count // MICRO))
                total += float(loss.detach().sum())
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return total

    return steps


def trainer(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    batches: Sequence[Batch],
    spec: TrainingSpec,
    *,
    folder: str,
) -> Callable[[], float]:
    """Hugging Face's Trainer as one sets it up: micro-batches of 8 padded to their longest, its default AdamW.

    Nothing is saved, scored or logged. The result trains for a step for each of ``batches``, whose order it keeps, and
    gives the sum of the posts' losses; starting and ending ``train`` is in its time.
    """
    count = len(batches[0].tokens)

    def loss(outputs: SequenceClassifierOutput, labels: torch.Tensor, **_: object) -> torch.Tensor:
        return focal(outputs.logits, labels, alpha=spec.alpha, gamma=spec.gamma).sum() / count

    rows = [
        {"input_ids": item.tolist(), "labels": int(label)}
        for batch in batches
        for item, label in zip(batch.tokens, batch.labels, strict=True)
    ]
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=count // MICRO,
        max_steps=len(batches),
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.clip,
        train_sampling_strategy="sequential",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    loop = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), rows, compute_loss_func=loss)
    loop.remove_callback(PrinterCallback)
    return lambda: loop.train().training_loss * count * len(batches)
