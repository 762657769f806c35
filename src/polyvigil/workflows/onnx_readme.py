"""What stands in ``README.md`` of an ONNX export: what the files are, and a program that uses them."""

from __future__ import annotations

from polyvigil.checks.export_gate import ExportComparison

PROGRAM = '''\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from polyvigil.nn.windows import LongRule, Reader, WindowScores, pieces
from polyvigil.text.normalise import model_text, no_text_reason
from transformers import AutoTokenizer

here = Path(".")  # this folder
policy = json.loads((here / "policy.json").read_text())


def open_member(folder):
    """Its tokenizer, how it reads long posts, how it pools their windows, and the model."""
    told = json.loads((folder / "reading.json").read_text())
    pooling, rule = told.pop("pooling"), LongRule(**told.pop("rule"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return AutoTokenizer.from_pretrained(folder), Reader(**told, rule=rule), pooling, session


members = [open_member(folder) for folder in sorted((here / "members").iterdir())]
weights = json.loads((here / "combination.json").read_text())["weights"] or [1.0] * len(members)


def flag(text, language):
    """P(ADE) of a post, and whether it is flagged."""
    clean = model_text(text)
    if no_text_reason(clean):
        return 0.0, False
    found = []
    for tokenizer, reader, pooling, session in members:
        windows = pieces([reader.read(tokenizer(clean, verbose=False)["input_ids"])])
        ids = np.stack(windows.rows).astype(np.int64)
        logits = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].astype(np.float64)
        scores = WindowScores(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), windows.starts)
        found.append(scores.pooled(pooling)[0])
    p = float(np.average(found, weights=weights))
    return p, p >= policy["thresholds"].get(language, policy["fallback"])["value"]


print(flag("these pills gave me such a headache", "en"))
'''


def onnx_readme(comparison: ExportComparison, *, normalisation: str) -> str:
    """Markdown."""
    rows = "\n".join(
        f"| {part.name} | {part.posts:,} | {part.shift:.1e} | {part.flips:,} | {part.lost:+.4f} |"
        for part in (*comparison.languages, comparison.pooled)
    )
    return f"""# ONNX export of bundle {comparison.source}

`members/*/model.onnx` takes `input_ids` and `attention_mask`, int64 (posts, tokens), both axes open, and gives
`logits`, float32 (posts, 2); the softmax's second number is P(ADE). The tokenizer of each stands beside it. P of
several members is their mean, by the weights in `combination.json`. `policy.json` has the thresholds. Texts must be
normalised as in training ({normalisation}): `pip install polyvigil onnxruntime transformers`; no torch is needed.

```python
{PROGRAM}```

Compared with the bundle on {comparison.data}, run by ONNX Runtime (`parity.json`):

| language | posts | largest move of P | decided otherwise | F1 lost |
|---|---|---|---|---|
{rows}
"""
