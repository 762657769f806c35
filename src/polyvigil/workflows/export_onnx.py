"""A bundle's encoders as ONNX files with all that is needed to decide by them, behind the parity gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from polyvigil.bundle import layout
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle, member_probabilities
from polyvigil.checks.export_gate import Decided, ExportComparison
from polyvigil.data.atomic import scratch_folder, whole_folder
from polyvigil.data.read import Reading
from polyvigil.nn.windows import WindowScores, pieces
from polyvigil.text.normalise import model_texts
from polyvigil.types import Post, Probabilities
from polyvigil.workflows.export_common import (
    Exported,
    check_posts,
    decided,
    encoder_folders,
    encoder_of,
    judged,
    size_of,
)
from polyvigil.workflows.tune import Log

if TYPE_CHECKING:
    from polyvigil.detect.transformer import EncoderDetector
    from polyvigil.nn.onnx import OnnxEncoder


PROGRAM = '''\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from polyvigil.nn.windows import LongRule, Reader, WindowScores, pieces
from polyvigil.text.normalise import model_text, no_text_reason
from transformers import AutoTokenizer

NORMALISATION = "{normalisation}"
here = Path(".")  # this folder
policy = json.loads((here / "policy.json").read_text())


def open_member(folder):
    """Its tokenizer, how it reads long posts, how it pools their windows, and the model."""
    reading = json.loads((folder / "reading.json").read_text())
    pooling, rule = reading.pop("pooling"), LongRule(**reading.pop("rule"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return AutoTokenizer.from_pretrained(folder), Reader(**reading, rule=rule), pooling, session


members = [open_member(folder) for folder in sorted((here / "members").iterdir())]
weights = json.loads((here / "combination.json").read_text())["weights"] or [1.0] * len(members)


def flag(text, language):
    """P(ADE) of a post, and whether it is flagged."""
    clean = model_text(text, NORMALISATION)
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
{PROGRAM.replace("{normalisation}", normalisation)}```

Compared with the bundle on {comparison.data}, run by ONNX Runtime (`parity.json`):

| language | posts | largest move of P | decided otherwise | F1 lost |
|---|---|---|---|---|
{rows}
"""


ONNX_FILE, READING_FILE = "model.onnx", "reading.json"


def export_onnx(source: Path, bundle: Bundle, reading: Reading, *, output: Path, log: Log = lambda _: None) -> Exported:
    """Write every encoder of ``bundle`` as ``model.onnx`` with its tokenizer, thresholds and how to use them.

    A cascade is left out: all members are scored. Raises as ``export_lean``, and RecipeError for a member that is no
    encoder, an architecture that cannot be exported, or without the extra ``onnx``.
    """
    from polyvigil.nn.onnx import OnnxEncoder, check_installed, write_onnx

    check_output(output, BUNDLE, replace=False)
    folders = encoder_folders(source, bundle, every=True)
    check_installed()
    check_posts(bundle, reading)
    left_out = ("the cascade is left out: all members are asked",) if bundle.combination.cascade else ()
    bundle = replace(bundle, combination=bundle.combination.of_all)
    posts = [item.post for item in reading.posts]
    runners: list[_OnnxMember] = []
    with scratch_folder(output) as made:
        for folder, member in zip(folders, bundle.members, strict=True):
            log(f"exporting {folder}")
            detector = encoder_of(member)
            (made / folder).mkdir(parents=True)
            write_onnx(detector.encoder, made / folder / ONNX_FILE, where=str(source / folder))
            detector.encoder.save_tokenizer(made / folder)
            reading_settings = asdict(detector.encoder.reader) | {"pooling": detector.config.pooling}
            (made / folder / READING_FILE).write_text(json.dumps(reading_settings, indent=2) + "\n", encoding="utf-8")
            runners.append(_OnnxMember(detector, OnnxEncoder(made / folder / ONNX_FILE)))
        log(f"scoring {len(posts):,} posts as they are and by ONNX Runtime")
        p = bundle.combination.mean(member_probabilities(runners, posts, normalisation=bundle.normalisation))
        after = Decided(bundle.policy.flags(p, [post.language for post in posts]), p)
        comparison = judged("onnx", bundle, decided(bundle, reading), after, reading)
        for name, document in (
            (layout.POLICY, bundle.policy),
            (layout.COMBINATION, bundle.combination_record),
            (layout.PARITY, comparison),
        ):
            (made / name).write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
        text = onnx_readme(comparison, normalisation=bundle.normalisation)
        (made / layout.CARD).write_text(text, encoding="utf-8")
        if comparison.passed:
            with whole_folder(output) as partial:
                shutil.copytree(made, partial, dirs_exist_ok=True)
        return Exported(comparison, "", size_of(source), size_of(made), left_out)


@dataclass(frozen=True, slots=True)
class _OnnxMember:
    """A member whose encoder ONNX Runtime runs."""

    detector: EncoderDetector
    runner: OnnxEncoder

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        encoder = self.detector.encoder
        texts = model_texts([post.text for post in posts], self.detector.normalisation)
        windows = pieces(encoder.tokenise(texts))
        p = self.runner.probabilities(windows.rows, padding=encoder.padding)
        return WindowScores(p, windows.starts).pooled(self.detector.config.pooling)
