"""Checkpoints that are not what they seem: pickles that would run code, files that are damaged or lie about sizes.

Written by hand, instruction by instruction: nothing here is ever loaded by Python's own unpickler but in the test that
proves the payloads to be live.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

NAMES = (
    *("os.system", "posix.system", "nt.system", "builtins.eval", "builtins.exec", "__builtin__.eval"),
    *("subprocess.Popen", "subprocess.call", "builtins.getattr", "builtins.__import__", "importlib.import_module"),
    *("runpy.run_path", "shutil.rmtree", "pty.spawn", "webbrowser.open", "operator.attrgetter", "functools.partial"),
    *("types.FunctionType", "pickle.loads", "torch.load", "torch.hub.load", "torch.jit.load", "numpy.load"),
    *("torch.storage._load_from_bytes", "torch._utils._rebuild_from_type_v2", "copyreg._reconstructor"),
    *("torch.nn.Linear", "torch._dynamo.guards.GuardBuilder.get", "collections.OrderedDict.fromkeys", "_io.open"),
)
FORMS = ("global", "stack", "inst", "obj", "newobj", "newobj_ex", "build", "ext1", "ext2", "ext4", "persid", "nested")
POSITIONS = ("root", "value", "key", "argument", "metadata", "hooks", "persistent", "behind")
MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


@dataclass(frozen=True)
class Case:
    """A file's bytes; ``runs``: whether Python's unpickler would run what it says, so that it must be refused."""

    name: str
    data: bytes
    runs: bool


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def named(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(name: str, argument: str, form: str) -> bytes:
    """Instructions that call ``name`` with a text, in one of the ways that a pickle has."""
    module, _, attribute = name.rpartition(".")
    one = text(argument) + b"\x85"
    return {
        "global": named(name) + one + b"R",
        "stack": text(module) + text(attribute) + b"\x93" + one + b"R",
        "inst": b"(" + text(argument) + f"i{module}\n{attribute}\n".encode(),
        "obj": b"(" + named(name) + text(argument) + b"o",
        "newobj": named(name) + one + b"\x81",
        "newobj_ex": named(name) + one + b"}\x92",
        "build": named("collections.OrderedDict") + b")R" + b"}" + text("__setstate__") + named(name) + b"sb",
        "ext1": b"\x82\x01" + one + b"R",
        "ext2": b"\x83\x01\x01" + one + b"R",
        "ext4": b"\x84\x01\x01\x00\x00" + one + b"R",
        "persid": b"P" + argument.encode() + b"\n",
        "nested": named("collections.OrderedDict") + b"(" + named(name) + one + b"R" + b"tR",
    }[form]


def persistent(
    *, kind: bytes = text("storage"), dtype: str = "torch.FloatStorage", key: str = "0", count: int
) -> bytes:
    return b"(" + kind + named(dtype) + text(key) + text("cpu") + number(count)


def tensor(
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    *,
    offset: int = 0,
    count: int = 6,
    storage: bytes = b"",
    extra: bytes = b"",
    hooks: bytes = named("collections.OrderedDict") + b")R",
    legacy: bool = False,
) -> bytes:
    storage = storage or persistent(count=count)
    sizes, steps = (b"(" + b"".join(map(number, row)) + b"t" for row in (shape, strides))
    view = b"N" if legacy else b""
    arguments = storage + view + b"tQ" + number(offset) + sizes + steps + b"\x89" + hooks + extra
    return named("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"tR"


def state_dict(payload: bytes, position: str, *, legacy: bool) -> bytes:
    """A good state dict with ``payload`` in one of POSITIONS."""
    good = text("weight") + tensor(legacy=legacy) + b"s"
    head = named("collections.OrderedDict") + b")R"
    if position == "root":
        return payload
    if position == "value":
        return head + good + text("bias") + payload + b"s"
    if position == "key":
        return head + good + payload + b"Ns"
    if position == "argument":
        return head + text("weight") + tensor(extra=payload, legacy=legacy) + b"s"
    if position == "metadata":
        return head + good + b"}" + text("_metadata") + payload + b"sb"
    if position == "hooks":
        return head + text("weight") + tensor(hooks=payload, legacy=legacy) + b"s"
    if position == "persistent":
        return head + text("weight") + tensor(storage=persistent(kind=payload, count=6), legacy=legacy) + b"s"
    return head + good + payload + b"0"


def zipped(pickled: bytes, *, protocol: int = 2, weights: bytes = bytes(24), **changes: object) -> bytes:
    start = bytes([0x80, protocol]) if protocol >= 2 else b""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression=int(str(changes.get("packed", 0)))) as archive:
        for name, data in (
            ("archive/data.pkl", start + pickled + b"."),
            ("archive/byteorder", changes.get("order", b"little")),
            (str(changes.get("record", "archive/data/0")), weights),
            ("archive/version", b"3\n"),
        ):
            archive.writestr(name, data)  # type: ignore[arg-type]
        for name in changes.get("more", ()):  # type: ignore[attr-defined]
            archive.writestr(name, b"more")
    return stream.getvalue()


def in_a_row(pickled: bytes, *, protocol: int = 2, count: int = 6, weights: bytes = bytes(24), **parts: bytes) -> bytes:
    start = bytes([0x80, protocol]) if protocol >= 2 else b""
    pickles = (
        parts.get("magic", MAGIC),
        parts.get("version", b"M\xe9\x03"),
        parts.get("system", b"}" + text("little_endian") + b"\x88s"),
        pickled,
        parts.get("keys", b"]" + text("0") + b"a"),
    )
    head = b"".join(
        (b"\x80\x02" if position != 3 else start or b"\x80\x02") + one + b"." for position, one in enumerate(pickles)
    )
    return head + struct.pack("<q", count) + weights


def running(canary: Path) -> Iterator[Case]:
    """Pickles that would run something: every name in every form, each in a position, a container and a protocol."""
    argument = f"open({str(canary)!r}, 'w')"
    for number_, (name, form) in enumerate(product(NAMES, FORMS)):
        for further in range(2):
            position = POSITIONS[(number_ + 3 * further) % len(POSITIONS)]
            legacy = (number_ // len(POSITIONS) + further) % 2 == 1
            protocol = (number_ + further) % 6
            command = f"touch {canary}" if "system" in name or "subprocess" in name else argument
            pickled = state_dict(call(name, command, form), position, legacy=legacy)
            data = in_a_row(pickled, protocol=protocol) if legacy else zipped(pickled, protocol=protocol)
            yield Case(f"{name} {form} {position} {'row' if legacy else 'zip'} {protocol}", data, runs=True)
    for part in ("magic", "version", "system", "keys"):
        parts = {part: call("builtins.exec", argument, "global")}
        yield Case(f"{part} runs", in_a_row(state_dict(b"", "value", legacy=True), **parts), runs=True)


def lying() -> Iterator[Case]:
    """Tensors, storages and archives that say what is not so."""
    head = named("collections.OrderedDict") + b")R" + text("weight")
    tensors = {
        "offset behind": tensor(offset=1),
        "offset negative": tensor(offset=-1),
        "offset huge": tensor(offset=2**62),
        "stride behind": tensor(strides=(4, 1)),
        "stride negative": tensor(strides=(-3, 1)),
        "size behind": tensor(shape=(3, 3)),
        "size negative": tensor(shape=(-2, 3)),
        "size huge": tensor(shape=(2**40, 2**40)),
        "size huge and 0": tensor(shape=(2**40, 2**40, 0), strides=(0, 0, 0)),
        "size huge by a stride of 0": tensor(shape=(2**40,), strides=(0,)),
        "many dimensions": tensor(shape=(1,) * 5000, strides=(1,) * 5000),
        "shape and strides": tensor(shape=(2, 3), strides=(1,)),
        "storage of other length": tensor(count=7),
        "storage negative": tensor(count=-6),
        "storage huge": tensor(count=2**47),
        "storage elsewhere": tensor(storage=persistent(key="../../etc/passwd", count=6)),
        "storage missing": tensor(storage=persistent(key="1", count=6)),
        "storage of no type": tensor(storage=persistent(dtype="collections.OrderedDict", count=6)),
        "storage complex": tensor(storage=persistent(dtype="torch.ComplexFloatStorage", count=3)),
        "module in position of storage": tensor(storage=persistent(kind=text("module"), count=6)),
        "metadata": tensor(extra=b"}" + text("neg") + b"\x88s"),
        "number": number(3),
        "long number": b"\x8b" + struct.pack("<i", 2**20) + bytes(2**20),
        "nested tuples": b")" + b"\x85" * 200_000,
        "doubled tuples": b")" + b"q\x00h\x00\x86" * 100_000,
        "copied lists": b"](" + b"N" * 50_000 + b"eq\x00" + (named("torch.Size") + b"h\x00\x85R0") * 20_000,
        "text that ends nowhere": b"X\xff\xff\xff\xff",
        "longest text": b"\x8d" + struct.pack("<Q", 2**63 - 1),
        "memo of 4 billion": b"Nr\xff\xff\xff\xff",
        "memo missing": b"h\x07",
        "empty stack": b"R",
    }
    for name, value in tensors.items():
        yield Case(name, zipped(head + value + b"s"), runs=True)
    good = head + tensor() + b"s"
    yield Case("record outside", zipped(good, more=("../../outside",)), runs=True)
    yield Case("record at the root", zipped(good, more=("/etc/outside",)), runs=True)
    yield Case("record for Windows", zipped(good, more=("..\\outside",)), runs=True)
    yield Case("a zip bomb", zipped(good, packed=8, weights=bytes(50_000_000)), runs=True)
    yield Case("packed records", zipped(good, packed=8), runs=True)
    yield Case("big-endian", zipped(good, order=b"big"), runs=True)
    yield Case("TorchScript", zipped(good, more=("archive/constants.pkl",)), runs=True)
    yield Case("no weights", zipped(good, record="archive/other/0"), runs=True)
    yield Case("short weights", zipped(good, weights=bytes(20)), runs=True)
    row = named("collections.OrderedDict") + b")R" + text("weight") + tensor(legacy=True) + b"s"
    yield Case("row: count", in_a_row(row, count=7), runs=True)
    yield Case("row: negative count", in_a_row(row, count=-6), runs=True)
    yield Case("row: huge count", in_a_row(row, count=2**62), runs=True)
    yield Case("row: short weights", in_a_row(row, weights=bytes(20)), runs=True)
    yield Case("row: other keys", in_a_row(row, keys=b"]" + text("1") + b"a"), runs=True)
    yield Case("row: keys twice", in_a_row(row, keys=b"](" + text("0") * 2 + b"e"), runs=True)
    yield Case("row: no keys", in_a_row(row, keys=b"K\x00"), runs=True)
    yield Case("row: big-endian", in_a_row(row, system=b"}" + text("little_endian") + b"\x89s"), runs=True)
    yield Case("row: other magic", in_a_row(row, magic=b"K\x01"), runs=True)
    yield Case("empty", b"", runs=True)
    yield Case("Git LFS", b"version https://git-lfs.github.com/spec/v1\n", runs=True)
    yield Case("a page", b"<!DOCTYPE html>", runs=True)
    yield Case("tar", bytes(257) + b"ustar" + bytes(250), runs=True)


def damaged(good: dict[str, bytes], *, each: int) -> Iterator[Case]:
    """Real files, cut short or with one bit turned: an error, or (where the bit is in no checked part) a result."""
    for name, data in good.items():
        choose = random.Random(name)
        for _ in range(each):
            yield Case(f"{name} cut", data[: choose.randrange(len(data))], runs=True)
            position, bit = choose.randrange(len(data)), choose.randrange(8)
            turned = bytearray(data)
            turned[position] ^= 1 << bit
            yield Case(f"{name} bit {bit} of byte {position}", bytes(turned), runs=False)
