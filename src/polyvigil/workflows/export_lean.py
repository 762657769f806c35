"""A bundle with its encoders in int8 or bfloat16, behind the parity gate. The old one stays.

What is measured is what is written: the new members are made in a folder of their own, loaded from it and scored, and
only then saved. Where the gate says no, nothing is.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import stored
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle
from polyvigil.data.atomic import scratch_folder
from polyvigil.data.fingerprint import post_keys
from polyvigil.data.read import Reading
from polyvigil.errors import BundleError
from polyvigil.evaluation.evaluate import Gold, gold_of, stored_gold
from polyvigil.workflows.assemble import BundleDraft, Decisions, assemble_bundle, decisions
from polyvigil.workflows.export_common import Exported, check_posts, decided, encoder_folders, judged, size_of
from polyvigil.workflows.tune import Log, kept_documents, recipe_of

if TYPE_CHECKING:
    from polyvigil.detect.transformer import EncoderDetector


def export_lean(
    source: Path,
    bundle: Bundle,
    reading: Reading,
    *,
    form: Literal["int8", "bf16"],
    output: Path,
    device: str = "cpu",
    replace: bool = False,
    log: Log = lambda _: None,
) -> Exported:
    """Write the ``bundle`` loaded from ``source`` onto ``device`` with its encoders in the arithmetic of ``form``.

    Their weights are kept in half precision.

    On the dev posts thresholds, calibration and stored scores are made again; on other posts they stay as they are.
    Raises RecipeError for a bundle without an encoder that can do it, DataError for posts of one class, SplitError for
    posts it was trained on.
    """
    check_output(output, BUNDLE, replace=replace)
    encoders = encoder_folders(source, bundle, every=False)
    check_posts(bundle, reading)
    with scratch_folder(output) as work:
        made = work / "bundle"
        shutil.copytree(source, made)
        for folder in encoders:
            _set_arithmetic(made / folder, form, where=str(source / folder))
        fresh = tuple(
            _load_encoder(made / entry.folder, device=device) if entry.folder in encoders else member
            for entry, member in zip(bundle.manifest.members, bundle.members, strict=True)
        )
        log(f"scoring {len(reading.posts):,} posts as they are and in {form}")
        exported, gold = _tuned(dataclasses.replace(bundle, members=fresh), reading)
        after = decided(exported, reading)
        tuned = exported.policy is not bundle.policy
        comparison = judged(form, bundle, decided(bundle, reading), after, reading, tuned=tuned)
        if not comparison.passed:
            return Exported(comparison, "", size_of(source), size_of(made))
        bundle_draft = BundleDraft(
            store.copied(made, exported),
            exported.combination,
            Decisions(exported.policy, exported.calibration),
            exported.dev,
            gold,
            data=Path(reading.name).name if tuned else "stored dev scores",
            seen=exported.seen,
            recipe=recipe_of(source),
            documents={**kept_documents(source, bundle), layout.PARITY: comparison.model_dump_json(indent=2) + "\n"},
        )
        saved = assemble_bundle(bundle_draft, output=output, replace=replace).bundle
    return Exported(comparison, saved.id, size_of(source), size_of(output))


def _load_encoder(folder: Path, *, device: str) -> EncoderDetector:
    from polyvigil.detect.transformer import load

    return load(folder, device=device)


def _set_arithmetic(folder: Path, form: Literal["int8", "bf16"], *, where: str) -> None:
    """Turn an encoder's folder into one of this arithmetic: named in its configuration, weights in float16."""
    from polyvigil.detect.transformer import CONFIG_FILE, EncoderConfig

    for file in sorted(folder.glob("*.safetensors")):
        weights = {name: _halved(array, name, where=where) for name, array in load_file(file).items()}
        save_file(weights, file, metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | {"dtype": "float16"}, indent=2) + "\n", encoding="utf-8")
    config = EncoderConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
    text = config.model_copy(update={"arithmetic": form}).model_dump_json(indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _halved(array: NDArray[np.generic], name: str, *, where: str) -> NDArray[np.generic]:
    if array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise BundleError(f"{name} holds numbers beyond half precision", where=where, hint="train it again")
    return half


def _tuned(bundle: Bundle, reading: Reading) -> tuple[Bundle, Gold]:
    """On its dev posts the bundle tuned again, on others as it is; and what is known of its dev posts."""
    if bundle.dev.indices_of(post_keys(reading.posts)) is None:
        return bundle, stored_gold(bundle.dev, fingerprint=bundle.policy.dev_fingerprint)
    gold = gold_of(reading.posts)
    dev = stored(bundle.member_probabilities([item.post for item in reading.posts]), reading.posts)
    fresh = decisions(dev.scores(bundle.combination.of_all), gold, bundle.policy.spec)
    policy = fresh.policy.with_thresholds({**bundle.policy.thresholds, **fresh.policy.thresholds})
    return dataclasses.replace(bundle, policy=policy, calibration=fresh.calibration, dev=dev), gold
