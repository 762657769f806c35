# ruff: noqa: E402
"""The reader of pickled state dicts: equal to torch for good ones, an error for all others, and nothing is run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import time
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from hostile import Case, call, damaged, in_a_row, lying, named, running, state_dict, tensor, text, zipped
from safetensors import safe_open
from safetensors.torch import load_file

from polyvigil.errors import BundleError
from polyvigil.nn.pickled import state_dict as module
from polyvigil.nn.pickled.container import read_checkpoint
from polyvigil.nn.pickled.process import convert_file
from polyvigil.nn.pickled.write import write_safetensors

FORMATS = [(True, protocol) for protocol in (2, 3, 4, 5)] + [(False, protocol) for protocol in (2, 3, 4, 5)]
_seen: list[str] = []
_watching = [False]


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and event.startswith(("import", "exec", "compile", "os.", "subprocess.", "socket.", "pickle.")):
        _seen.append(f"{event} {arguments}")


sys.addaudithook(_look)


@contextmanager
def watched() -> Iterator[None]:
    """Inside, ``_seen`` notes what no reader of data should do."""
    _watching[0] = True
    try:
        yield
    finally:
        _watching[0] = False


def saved(path: Path, tensors: Any, *, zip_format: bool = True, protocol: int = 2) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(tensors, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zip_format)
    return path


def converted(path: Path) -> dict[str, Any]:
    output = path.with_suffix(".safetensors")
    output.unlink(missing_ok=True)
    write_safetensors(read_checkpoint(path), path, output, lambda _: None)
    return load_file(output)


def fault(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        converted(path)
    assert caught.value.where == str(path)
    assert caught.value.hint
    return caught.value.message


def every_dtype() -> OrderedDict[str, Any]:
    random = torch.Generator().manual_seed(3)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    floats = {str(kind): torch.randn(3, 5, generator=random).to(kind) for kind in kinds}
    whole = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    numbers = {str(kind): torch.arange(7).to(kind) for kind in whole}
    new = {str(kind): torch.arange(5).to(kind) for kind in (torch.uint16, torch.uint32, torch.uint64)}
    small = {str(kind): torch.randn(4, generator=random).to(kind) for kind in (torch.float8_e4m3fn, torch.float8_e5m2)}
    return OrderedDict({**floats, **numbers, **new, **small})


def shapes() -> dict[str, Any]:
    base = torch.arange(60, dtype=torch.float32)
    table = base.reshape(5, 12)
    return {
        "whole": base,
        "same": base,
        "transposed": table.T,
        "slice": table[1:4, 2:9:3],
        "offset": base[7:19],
        "expanded": torch.arange(4).expand(3, 4),
        "one": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "flat": table[2:3],
        "parameter": torch.nn.Parameter(table.clone()),
        "permuted": torch.arange(24, dtype=torch.int16).reshape(2, 3, 4).permute(2, 0, 1),
    }


@pytest.mark.parametrize(("zip_format", "protocol"), FORMATS)
def test_every_type_format_and_protocol_is_read_to_the_bit(tmp_path: Path, zip_format: bool, protocol: int) -> None:
    tensors = every_dtype()
    read = converted(saved(tmp_path / "model.bin", tensors, zip_format=zip_format, protocol=protocol))
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype
        assert read[name].contiguous().view(torch.uint8).equal(value.contiguous().view(torch.uint8)), name


@pytest.mark.parametrize(("zip_format", "protocol"), FORMATS)
def test_views_parameters_and_empty_tensors_equal_torch(tmp_path: Path, zip_format: bool, protocol: int) -> None:
    tensors = shapes()
    path = saved(tmp_path / "model.bin", tensors, zip_format=zip_format, protocol=protocol)
    read = converted(path)
    assert tensors.keys() - read.keys() == {"same"}
    assert all(read[name].equal(tensors[name].detach()) for name in read)
    with safe_open(path.with_suffix(".safetensors"), framework="pt") as file:
        assert file.metadata() == {"format": "pt", "same": "whole"}


def test_a_state_dict_with_metadata_of_its_modules(tmp_path: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    tensors = layers.state_dict()
    assert tensors._metadata
    read = converted(saved(tmp_path / "model.bin", tensors))
    assert all(read[name].equal(tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.ones(2), "epoch": 3}, "holds something under epoch that is no tensor"),
        ({"model": {"weight": torch.ones(2)}}, "holds something under model that is no tensor"),
        ({"a\x1b[2J": torch.ones(2)}, "has a tensor under the name a\\x1b[2J, which is none"),
        ({}, "holds no tensors"),
        ([torch.ones(2)], "holds no state dict (names and tensors)"),
        (torch.ones(2), "holds no state dict (names and tensors)"),
        (
            {"w": torch.ones(2), "path": Path("x")},
            f"names {type(Path()).__module__}.PosixPath, which a state dict never needs",
        ),
        ({"w": torch.ones(2), "array": np.ones(2)}, "names numpy"),
        (
            {"w": torch.ones(2, dtype=torch.complex64)},
            "names torch.ComplexFloatStorage, which a state dict never needs",
        ),
        ({"w": torch.ones(2).to_sparse()}, "names torch._utils._rebuild_sparse_tensor"),
    ],
)
@pytest.mark.parametrize("zip_format", [True, False])
def test_what_is_no_state_dict_is_refused_by_name(tmp_path: Path, content: Any, message: str, zip_format: bool) -> None:
    assert message in fault(saved(tmp_path / "model.bin", content, zip_format=zip_format))


def test_a_whole_model_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    assert "names torch.nn.modules.linear.Linear" in fault(saved(tmp_path / "model.bin", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("form", ["global", "stack", "inst", "obj", "newobj", "newobj_ex"])
def test_an_extra_global_is_refused_by_name(tmp_path: Path, form: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(zipped(state_dict(call("os.system", "true", form), "value", legacy=False), protocol=4))
    assert fault(path) == "names os.system, which a state dict never needs"


@pytest.mark.parametrize("form", ["ext1", "ext2", "ext4", "persid"])
def test_instructions_that_no_state_dict_needs_are_named(tmp_path: Path, form: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(in_a_row(state_dict(call("os.system", "true", form), "value", legacy=True)))
    assert fault(path) == f"uses the pickle instruction {form.upper()}, which a state dict never needs"


def test_hostile_files_are_built_from_valid_parts(tmp_path: Path) -> None:
    """So they are refused for what was put into them."""
    for name, data in (
        ("zip", zipped(state_dict(tensor(), "value", legacy=False))),
        ("row", in_a_row(state_dict(tensor(legacy=True), "value", legacy=True))),
        ("metadata", zipped(state_dict(named("collections.OrderedDict") + b")R", "metadata", legacy=False))),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert converted(path)["weight"].shape == (2, 3)


def test_the_payloads_are_live(tmp_path: Path) -> None:
    """Python's own unpickler runs them: what the next test refuses is not harmless anyway."""
    for name, form in [("builtins.exec", "global"), ("builtins.exec", "stack"), ("os.system", "inst")]:
        canary = tmp_path / f"{name}-{form}"
        command = f"touch {canary}" if "system" in name else f"open({str(canary)!r}, 'w')"
        path = tmp_path / "payload"
        path.write_bytes(b"\x80\x04" + call(name, command, form) + b".")
        code = f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert canary.exists()


def test_a_thousand_hostile_files_are_refused(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.bin"
    cases = [*running(canary), *lying(), *damaged(good_files(tmp_path), each=150)]
    assert len(cases) > 1000
    with watched():
        os.system("true")
    assert len(_seen) == 1, "the watch sees"
    _seen.clear()
    started = time.monotonic()
    refused = sum(_is_refused(case, path) for case in cases)
    spent = time.monotonic() - started
    assert not _seen
    assert not canary.exists()
    assert not (tmp_path.parent / "outside").exists()
    assert refused >= sum(case.runs for case in cases)
    assert spent < 60


def _is_refused(case: Case, path: Path) -> bool:
    path.write_bytes(case.data)
    output = path.with_suffix(".safetensors")
    output.unlink(missing_ok=True)
    message = ""
    try:
        with watched():
            write_safetensors(read_checkpoint(path), path, output, lambda _: None)
    except BundleError as error:
        message = error.message
    assert message.isprintable(), case.name
    assert len(message) < 200, case.name
    assert message or not case.runs, case.name
    return bool(message)


def good_files(folder: Path) -> dict[str, bytes]:
    tensors = {"weight": torch.arange(60.0).reshape(5, 12), "bias": torch.arange(5).half()}
    return {
        f"{'zip' if zip_format else 'row'} {protocol}": saved(
            folder / "good.bin", tensors, zip_format=zip_format, protocol=protocol
        ).read_bytes()
        for zip_format, protocol in ((True, 2), (True, 4), (False, 2), (False, 5))
    }


def test_hostile_files_are_refused_in_the_child_process(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.bin"
    cases = [*[*running(canary)][::40], *[*lying()][::3]]
    assert len(cases) > 30
    for number, case in enumerate(cases):
        path.write_bytes(case.data)
        with pytest.raises(BundleError) as caught:
            convert_file(path, tmp_path / f"{number}.safetensors", lambda _: None)
        assert caught.value.where == str(path)
        assert "could not be read" not in caught.value.message, (case.name, caught.value.message)
        assert "tried:" not in caught.value.message, (case.name, caught.value.message)
    assert not canary.exists()


def test_the_child_s_output_is_checked(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.bin", {"big": torch.zeros(5_000_000), "small": torch.ones(2).bfloat16()})
    shares: list[float] = []
    contents = convert_file(path, tmp_path / "model.safetensors", shares.append)
    assert [(one.name, one.dtype, one.shape) for one in contents.tensors] == [
        ("big", "F32", (5_000_000,)),
        ("small", "BF16", (2,)),
    ]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_sandbox_stops_other_actions(tmp_path: Path) -> None:
    """Were the interpreter ever tricked, the process would not let it import, open or start anything."""
    code = (
        "import sys; from polyvigil.nn.pickled.child import FencedError, _fence; _fence({sys.argv[1]})\n"
        "open(sys.argv[1]).close()\n"
        "import os\n"
        "def tries():\n"
        "    yield lambda: os.system('true')\n"
        "    yield lambda: open('/dev/null')\n"
        "    yield lambda: __import__('wave')\n"
        "    yield lambda: eval('1')\n"
        "    yield lambda: os.remove(sys.argv[1])\n"
        "for one in tries():\n"
        "    try: one()\n"
        "    except FencedError as error: print(error)\n"
    )
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], check=True, capture_output=True, text=True
    )
    assert done.stdout.split("\n") == [
        *("reading it tried: os.system", "reading it tried: open /dev/null", "reading it tried: import wave"),
        *("reading it tried: compile", "reading it tried: os.remove", ""),
    ]


def test_wrong_weights_fail_the_checksum(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.bin", {"weight": torch.full((1000,), 1.5)})
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(1.5).tobytes() * 4) + 1] ^= 1
    path.write_bytes(data)
    assert "its zip archive is damaged (Bad CRC-32" in fault(path)


def test_duplicate_records_are_refused(tmp_path: Path) -> None:
    path, stream = tmp_path / "model.bin", io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head = named("collections.OrderedDict") + b")R" + text("weight") + tensor() + b"s."
        for name, data in (("a/data.pkl", b"\x80\x02" + head), ("a/data/0", bytes(24)), ("a/data/0", bytes(24))):
            archive.writestr(name, data)
    path.write_bytes(stream.getvalue())
    assert "has a record a/data/0 twice" in fault(path)


def test_old_files_with_views_of_storages_are_read(tmp_path: Path) -> None:
    """As torch wrote them before 1.0: a storage that is a part of another."""
    view = b"(" + text("9") + b"K\x02K\x04t"
    part = tensor((4,), (1,), storage=_viewing(view))
    path = tmp_path / "model.bin"
    weights = np.arange(6, dtype=np.float32).tobytes()
    path.write_bytes(in_a_row(b"}" + text("part") + part + b"s", weights=weights))
    assert converted(path)["part"].tolist() == [2, 3, 4, 5]
    beyond = tensor((4,), (1,), storage=_viewing(b"(" + text("9") + b"K\x03K\x04t"))
    path.write_bytes(in_a_row(b"}" + text("part") + beyond + b"s", weights=weights))
    assert "has a view that reaches beyond its storage" in fault(path)


def _viewing(view: bytes) -> bytes:
    return b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + b"K\x06" + view


def test_the_reader_never_touches_python_s_unpickler() -> None:
    sources = [path.read_text() for path in Path(module.__file__).parent.glob("*.py")]
    assert not any(word in source for source in sources for word in ("import pickle\n", "Unpickler(", "import torch"))
    assert pickle.loads(b"\x80\x02N.") is None
