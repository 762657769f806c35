"""`polyvigil export`: a bundle's encoders as int8, bfloat16 or ONNX, written if they decide as before.

In: a bundle, labelled posts for the gate, and a form. Out: a new bundle (int8, bf16: export_lean) or a folder of ONNX
files (export_onnx); nothing where the gate says no. The old bundle stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from polyvigil.bundle.store import load
from polyvigil.checks.export_gate import Form
from polyvigil.data.read import Reading
from polyvigil.errors import RecipeError
from polyvigil.workflows.export_common import Exported
from polyvigil.workflows.export_lean import export_lean
from polyvigil.workflows.export_onnx import export_onnx
from polyvigil.workflows.learners import Log


def check_form(form: Form, *, device: str, replace: bool) -> None:
    """Raise RecipeError for a device that the form is not made on, or a ``replace`` of what is no bundle."""
    if replace and form == "onnx":
        raise RecipeError("only a bundle is replaced", where="--replace", hint="choose another folder")
    if form != "bf16" and device not in {"auto", "cpu"}:
        raise RecipeError(f"{form} is made and judged on the CPU", where="--device", hint="leave it out")


def export(
    source: Path,
    reading: Reading,
    *,
    form: Form,
    output: Path,
    device: str = "auto",
    replace: bool = False,
    log: Log = lambda _: None,
) -> Exported:
    """Write the bundle at ``source`` to ``output`` in ``form``, unless the gate says no on the posts of ``reading``.

    Raises as ``check_form`` and export_lean.
    """
    check_form(form, device=device, replace=replace)
    device = device if form == "bf16" else "cpu"  # int8 and ONNX Runtime are judged where they will run
    bundle = load(source, device=device)
    if form == "onnx":
        return export_onnx(source, bundle, reading, output=output, log=log)
    return export_lean(source, bundle, reading, form=form, output=output, device=device, replace=replace, log=log)
