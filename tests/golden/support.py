"""What the golden tests and their regeneration share. All imports of the program under test stand here.

Layout of this folder::

    posts/{train,dev,test,twelve}.csv   synthetic posts of the sample corpus
    models/{encoder,nllb}/              tiny random models that documents of `train`, `adapt`, ... start from
    bundles/<kind>/                     one small stored bundle of each kind; onnx/ is an ONNX export
    bundles/expected.json               of each bundle: its id, its files, and what it says about the twelve posts
    documents/<case>.json               of each command line: exit code, `--json` document, files written
    documents/options.json              of each command: the names of its options

Nothing here asks for the network, a GPU or a fixed place of the checkout: commands run in a copy of the folders above,
with relative paths, and what they write goes to `out/` beside them.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.monitor.made import made_monitor
from tests.review.made import many_rows, reviewed_worklist, write_rows

import polyvigil
from polyvigil.cli import main as program

GOLDEN = Path(__file__).parent
BUNDLES, DOCUMENTS, MODELS, POSTS = (GOLDEN / name for name in ("bundles", "documents", "models", "posts"))
EXPECTED = BUNDLES / "expected.json"
OPTIONS = DOCUMENTS / "options.json"
KINDS = (
    "linear",
    "words",
    "encoder",
    "nli",
    "ner",
    "stacked",
    "averaged",
    "weighted",
    "cascade",
    "judged",
    "judged-chat",
    "int8",
    "bf16",
)
"""The stored bundles; ``onnx`` is no bundle and is looked at by itself."""
LEAN = ("int8", "bf16")
TOLERANCE, LEAN_TOLERANCE = 1e-6, 1e-2
"""Of a probability on another kind of CPU or with other versions; lean: kernels of other CPUs round otherwise."""
EXACT, LOOSE = 1e-9, 1e-5
"""Relative, of a float in a document: without and with an encoder."""

_LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "gliner2",
)


# ---- the program ----------------------------------------------------------------------------------------------------


def run_program(arguments: list[str]) -> tuple[int, str, str]:
    """Run one command line in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = program.run(arguments)
    return code, out.getvalue(), err.getvalue()


def command_names() -> tuple[str, ...]:
    """All commands, those in groups as ``audit data``, as the program's own help lists them."""
    names: list[str] = []
    for name in _listed([]):
        inner = _listed([name])
        names += [f"{name} {each}" for each in inner] or [name]
    return tuple(names)


def _listed(of: list[str]) -> list[str]:
    _, shown, _ = run_program([*of, "--help"])
    _, found, listed = shown.partition("\nCommands:\n")
    return re.findall(r"(?m)^  ([a-z][a-z-]*)\b", listed) if found else []


def option_names(command: str) -> list[str]:
    """The options that the command's help lists."""
    _, shown, _ = run_program([*command.split(), "--help"])
    listed = shown.partition("\nOptions:\n")[2]
    return sorted(set(re.findall(r"(?m)^  (?:-\w, )?(--[a-z][a-z0-9-]*)", listed)))


def bundle_answers(folder: Path) -> dict[str, Any]:
    """What a stored bundle is and says about the twelve posts, to the last digit, which records do not hold."""
    bundle = polyvigil.load_bundle(folder, device="cpu")
    rows = table(POSTS / "twelve.csv")
    posts = [polyvigil.Post(row["id"], row["text"], language=row["language"]) for row in rows]
    languages = [post.language for post in posts]
    p = bundle.probabilities(posts)
    decisions = polyvigil.score_posts(bundle, posts)
    return {
        "id": bundle.id,
        "p": p.tolist(),
        "p_calibrated": bundle.calibration.calibrated(p, languages).tolist(),
        "threshold": bundle.policy.post_thresholds(languages).tolist(),
        "decision": [decision.decision for decision in decisions],
        "flags": [";".join(decision.flags) for decision in decisions],
    }


def onnx_answers(folder: Path) -> dict[str, Any]:
    """What the graph of an ONNX export gives for fixed token ids: logits, as nested lists."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    [graph] = sorted(folder.rglob("*.onnx"))
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    ids = np.array([[0, 5, 9, 17, 40, 2], [0, 8, 30, 2, 1, 1]], dtype=np.int64)
    feed = {"input_ids": ids, "attention_mask": (ids != 1).astype(np.int64)}
    names = [each.name for each in session.get_inputs()]
    outputs = session.run(None, {name: feed[name] for name in names})
    return {
        "inputs": names,
        "outputs": [each.name for each in session.get_outputs()],
        "values": [each.tolist() for each in outputs],
    }


# ---- this machine ---------------------------------------------------------------------------------------------------


def fingerprint() -> dict[str, str]:
    """What the last bit of a result hangs on: the kind of CPU and the versions of the numeric libraries."""
    model, flags = platform.processor(), ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
        model = facts.get("model name", model)
        flags = " ".join(
            sorted(flag for flag in facts.get("flags", "").split() if re.match(r"avx|fma|amx|sse4|f16c", flag))
        )
    return {
        "cpu": hashlib.sha256(f"{platform.machine()}\n{model}\n{flags}".encode()).hexdigest()[:16],
        "system": platform.system(),
        **{name: _version(name) for name in _LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def one_thread() -> None:
    """Models this small only wait for a second thread, and sums hang on how many there are."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)


# ---- documents ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One command line, split at spaces, that is run in a workplace with ``--json``."""

    name: str
    line: str
    uses: str = ""
    """``encoder``, ``ner``, ``onnx``: what must be installed, and the wider tolerance of floats; else nothing."""
    makes: bool = False
    """A bundle is made: its id hashes floats to the last bit, so ids are those of the same machine alone."""
    hidden: tuple[str, ...] = ()
    """Further keys whose values are masked."""


def workplace(folder: Path) -> Path:
    """Copy posts, models and bundles to ``folder``, where commands run; return it."""
    for source in (POSTS, MODELS, BUNDLES):
        shutil.copytree(source, folder / source.name)
    (folder / "posts" / "official.csv").write_text(_official(), encoding="utf-8")
    (folder / "posts" / "drugs.csv").write_text("term,code\nibuprofen,D1\nmetformin,D2\n", encoding="utf-8")
    (folder / "out").mkdir()
    return folder


def pickle_model(folder: Path) -> None:
    """Beside the tiny encoder put the same model with PyTorch weights, as ``convert`` takes it."""
    import torch
    from safetensors.torch import load_file

    pickled = folder / "models" / "pickled"
    shutil.copytree(MODELS / "encoder", pickled)
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()


def _official() -> str:
    """A file of predictions for the official score: every third post is said to be positive."""
    rows = table(POSTS / "test.csv")
    return "id,predicted_label\n" + "".join(f"{row['id']},{int(n % 3 == 0)}\n" for n, row in enumerate(rows))


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Relative paths are of ``folder``; caches of the user are left alone; the terminal is wide."""
    kept, before = Path.cwd(), dict(os.environ)
    os.environ.update(XDG_CACHE_HOME=str(folder / "cache"), COLUMNS="200", HF_HUB_OFFLINE="1")
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(kept)
        os.environ.clear()
        os.environ.update(before)


def document(case: Case, folder: Path) -> dict[str, Any]:
    """Run the case in its workplace: its exit code, its answer, and what it wrote, volatile values masked."""
    with inside(folder):
        if "models/pickled" in case.line:
            pickle_model(folder)
        if "reviewed.csv" in case.line:
            reviewed_worklist(Path("posts"), many_rows(900), budget=300, audit=150)
        if "monitor" in case.line:
            write_rows(Path("posts/monday.csv"), [row | {"source": "forum"} for row in many_rows(60, bundle="b1")])
            streams = {("en", "forum"): 400, ("de", "forum"): 60, ("de", "tweet"): 40, ("ja", "tweet"): 5}
            made_monitor(Path("posts/monitor.jsonl"), 11, streams=streams, change=_more_in_spring)
        before = set(Path().rglob("*"))
        code, out, _ = run_program([*case.line.split(), "--json"])
        new = sorted(path for path in set(Path().rglob("*")) - before if path.is_file() and path.parts[0] != "cache")
        answer = json.loads(out)
        written = {path.as_posix(): _content(path) for path in new}
    result = {"line": case.line, "exit_code": code, "answer": answer, "written": written}
    return masked(result, str(folder), MASKED_KEYS.union(case.hidden))


def _more_in_spring(week: int, language: str, _source: str) -> dict[str, float]:
    """A change for tests.monitor.made: more ADEs in English."""
    return {"prevalence": 0.3} if week > 9 and language == "en" else {}


def _content(path: Path) -> Any:
    """Of a table or a zip all of it; of other files that they are there."""
    if "members" in path.parts or "reproduction" in path.parts or path.suffix == ".safetensors":
        return None
    if path.name == "metrics.jsonl":  # times and sizes of memory
        return None
    if path.suffix == ".csv":
        return read_cells(path.read_text(encoding="utf-8"))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(path)
        return {"schema": {field.name: str(field.type) for field in read.schema}, "rows": read.to_pylist()}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    if path.name.endswith(".manifest.json") or path.name in {"bundle.json", "policy.json", "combination.json"}:
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def read_cells(text: str) -> list[list[str]]:
    """Header and rows of a CSV."""
    return list(csv.reader(io.StringIO(text)))


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


MASK = "(masked)"
MASKED_KEYS = frozenset(
    {
        *("created", "seconds", "posts_per_second", "job"),  # times; a job's id hashes its inputs' times
        *("libraries", "memory", "peak_memory", "device_memory"),  # this machine and installation
        *("bytes", "bytes_before", "bytes_after", "sha256", "output_sha256"),  # of files that hold any of those
    }
)
"""Keys whose values are not compared, wherever they stand; that they are there is."""
_RECIPES = re.compile(r"\S*/recipes/")
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?")


def masked(value: Any, folder: str, keys: frozenset[str]) -> Any:
    """``value`` without what differs from run to run, and with plain names for places of this machine."""
    if isinstance(value, dict):
        return {key: MASK if key in keys else masked(each, folder, keys) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each, folder, keys) for each in value]
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates
        return _TIMES.sub("(time)", _RECIPES.sub("RECIPES/", value.replace(folder, "WORK")))
    return value


_ID = re.compile(r"\b[0-9a-f]{10}(?:[0-9a-f]{6})?\b")


def differences(
    golden: Any, now: Any, *, relative: float, absolute: float = 1e-12, ids: bool, where: str = ""
) -> list[str]:
    """Where two documents differ: in keys, in order, in values; floats by more than both ``relative`` and ``absolute``
    allow; ``ids``: those too."""
    if isinstance(golden, dict) and isinstance(now, dict):
        if list(golden) != list(now):
            return [f"{where}: keys {sorted(set(golden) ^ set(now)) or 'in another order'}"]
        return [
            line
            for key in golden
            for line in differences(
                golden[key], now[key], relative=relative, absolute=absolute, ids=ids, where=f"{where}/{key}"
            )
        ]
    if isinstance(golden, list) and isinstance(now, list):
        if len(golden) != len(now):
            return [f"{where}: {len(golden)} items, now {len(now)}"]
        pairs = enumerate(zip(golden, now, strict=True))
        return [
            line
            for n, (old, new) in pairs
            for line in differences(old, new, relative=relative, absolute=absolute, ids=ids, where=f"{where}/{n}")
        ]
    return [] if _same(golden, now, relative, absolute, ids=ids) else [f"{where}: {golden!r}, now {now!r}"]


def _same(golden: Any, now: Any, relative: float, absolute: float, *, ids: bool) -> bool:
    if type(golden) is not type(now):
        return False
    if isinstance(golden, float):
        return golden == now or abs(golden - now) <= relative * max(abs(golden), abs(now)) + absolute
    if isinstance(golden, str) and golden != now:
        if not ids and _ID.sub("", golden) == _ID.sub("", now):
            return True
        with contextlib.suppress(ValueError):  # a cell of a table
            return "." in golden and _same(float(golden), float(now), max(relative, 1e-6), absolute, ids=ids)
        return False
    return bool(golden == now)


def dumped(value: Any) -> str:
    """JSON as it is stored: indented, but a list of plain values on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    flat = re.compile(r"\[\s*((?:(?:\"(?:[^\"\\\n]|\\.)*\"|[-\w.+]+),\s*)*(?:\"(?:[^\"\\\n]|\\.)*\"|[-\w.+]+))\s*\]")
    return flat.sub(lambda found: "[" + re.sub(r"\n\s*", " ", found[1]) + "]", text) + "\n"
