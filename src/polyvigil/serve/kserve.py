"""The Open Inference Protocol (KServe v2) over HTTP, for clients and platforms that speak it.

One model, ``polyvigil``. Inputs: a tensor ``text`` of BYTES, shape [n] or [n, 1], and, if languages are known, one
``language`` of the same kind. Outputs: ``decision``, ``p``, ``p_calibrated`` of a bundle with a calibration,
``threshold``, ``language``, ``flags``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from polyvigil.serve.requests import PostError, RequestPost, Result, check_count
from polyvigil.serve.tei import refusal_of
from polyvigil.web.refusal import RefusalError

MODEL = "polyvigil"
INPUTS = ("text", "language")
OUTPUTS = {
    "decision": "INT32",
    "p": "FP64",
    "p_calibrated": "FP64",
    "threshold": "FP64",
    "language": "BYTES",
    "flags": "BYTES",
}
_TENSOR_KEYS = frozenset({"name", "shape", "datatype", "data", "parameters"})
_REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs"})


def server_metadata() -> dict[str, object]:
    """GET /v2."""
    return {"name": "polyvigil", "version": version("polyvigil"), "extensions": []}


def model_metadata(bundle: str, columns: Sequence[str]) -> dict[str, object]:
    """GET /v2/models/polyvigil. ``columns``: those that the bundle fills."""
    return {
        "name": MODEL,
        "versions": [bundle],
        "platform": "polyvigil",
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in INPUTS],
        "outputs": [
            {"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items() if name in columns
        ],
    }


def read_infer(document: Any, *, most: int) -> list[RequestPost]:
    """The posts of a request. Raises RefusalError."""
    if not isinstance(document, dict) or not document.keys() <= _REQUEST_KEYS:
        raise _usage("the body has inputs, and maybe id, parameters, outputs", where="body")
    if not isinstance(document.get("id", ""), str):
        raise _usage("a string is expected", where="id")
    _check_outputs(document.get("outputs", []))
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        raise _usage("a list of tensors is expected", where="inputs")
    tensors: dict[str, list[str]] = {}
    for index, tensor in enumerate(inputs):
        name, values = _tensor(tensor, where=f"inputs[{index}]")
        if name in tensors:
            raise _usage("the tensor stands twice", where=f"inputs[{index}].name")
        tensors[name] = values
    if "text" not in tensors:
        raise _usage("the tensor text is missing", where="inputs")
    check_count(len(tensors["text"]), most=most)
    languages = tensors.get("language", [""] * len(tensors["text"]))
    if len(languages) != len(tensors["text"]):
        raise _usage("text and language have different lengths", where="inputs")
    pairs = zip(tensors["text"], languages, strict=True)
    return [RequestPost(str(index), text, language) for index, (text, language) in enumerate(pairs)]


def _tensor(tensor: Any, *, where: str) -> tuple[str, list[str]]:
    if not isinstance(tensor, dict) or not tensor.keys() <= _TENSOR_KEYS:
        raise _usage("a tensor has name, shape, datatype and data", where=where)
    if tensor.get("name") not in INPUTS:
        raise _usage(f"the tensors are {' and '.join(INPUTS)}", where=f"{where}.name")
    if tensor.get("datatype") != "BYTES":
        raise _usage("BYTES is expected", where=f"{where}.datatype")
    data, shape = tensor.get("data"), tensor.get("shape")
    if isinstance(data, list) and data and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if not isinstance(data, list) or not all(isinstance(value, str) for value in data):
        raise _usage("a list of texts is expected", where=f"{where}.data")
    if shape not in ([len(data)], [len(data), 1]) or any(type(size) is not int for size in shape):
        raise _usage(f"[{len(data)}] or [{len(data)}, 1] is expected", where=f"{where}.shape")
    return tensor["name"], data


def _check_outputs(outputs: Any) -> None:
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and isinstance(output.get("name"), str) and output["name"] in OUTPUTS
        for output in outputs
    ):
        raise _usage(f"outputs are {', '.join(OUTPUTS)}", where="outputs")


def infer_response(document: Mapping[str, Any], results: Sequence[Result]) -> dict[str, object]:
    """The response to ``document``. Raises RefusalError for the first post without a decision, and for an output that
    this bundle does not fill."""
    for result in results:
        if isinstance(result, PostError):
            raise refusal_of(result)
    records = [json.loads(result) for result in results if isinstance(result, bytes)]
    filled = [name for name in OUTPUTS if name in records[0]]
    names = [output["name"] for output in document.get("outputs", [])] or filled
    if unfilled := [name for name in names if name not in filled]:
        raise _usage(f"this bundle has no {unfilled[0]}; its outputs are {', '.join(filled)}", where="outputs")
    outputs = [
        {
            "name": name,
            "datatype": OUTPUTS[name],
            "shape": [len(records)],
            "data": [record[name] for record in records],
        }
        for name in dict.fromkeys(names)
    ]
    identity = {"id": document["id"]} if "id" in document else {}
    return {"model_name": MODEL, "model_version": records[0]["bundle"], **identity, "outputs": outputs}


def _usage(message: str, *, where: str) -> RefusalError:
    return RefusalError("usage", message, hint="see /openapi.json", where=where)


def error_body(refusal: RefusalError) -> bytes:
    """The body of an error."""
    where = f"{refusal.where}: " if refusal.where else ""
    return json.dumps({"error": f"{where}{refusal.message}"}).encode()
