"""A pickled state dict as descriptions of its tensors, by an interpreter that can make nothing else.

In: the bytes of a pickle, as ``torch.save`` writes it. Out: names and ``Tensor`` descriptions, without weights.
Python's unpickler is not used. Each instruction is one branch below, on a stack that holds numbers, text, lists,
tuples, dicts and the inert values of this module; a global is looked up in a table of names and never imported; REDUCE
knows five functions, all of this module, and calls nothing of the pickle's. Whatever else a pickle can say is refused
by its name. Work and memory are bounded by the length of the pickle and by ``_MOST_STEPS``.

Source: CPython's Lib/pickletools.py (the instructions); torch/_utils.py and torch/serialization.py (the functions).
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from typing import Any

from polyvigil.errors import BundleError

DISTRUST = "do not use this file; it is no plain state dict: get the model from another source, or as safetensors"
DAMAGED = "the file is damaged: copy or fetch it again"

_MOST_STEPS = 10_000_000  # instructions, and items copied by them: NLLB-200's 54B model takes under a million
_MOST_DIMENSIONS = 16
_LARGEST = 2**48  # of a size, stride, offset or number of elements
_LONGEST_NAME = 512  # of a tensor


@dataclass(frozen=True, slots=True)
class Dtype:
    """A type of numbers: its name in safetensors, and bytes of one. ``""``: a storage of bytes without a type."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes in the file: ``count`` elements under ``key``, of which a view begins at element ``start`` and has
    ``length``."""

    key: str
    dtype: Dtype
    count: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """Elements of a storage: ``offset`` from the storage's first one, ``shape`` and ``strides`` in elements."""

    storage: Storage
    dtype: Dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes, laid out without gaps."""
        return self.count * self.dtype.size

    @property
    def extent(self) -> int:
        """Elements of the storage from the first that is used to the last."""
        if not self.count:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in the file as they will be written."""
        step = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return self.count == 0
            step *= size
        return True


@dataclass(frozen=True, slots=True)
class _Function:
    """What REDUCE may be given: the name of a branch of ``_reduce``."""

    name: str


_BYTES = Dtype("", 1)
_DTYPES = {
    "Double": Dtype("F64", 8),
    "Float": Dtype("F32", 4),
    "Half": Dtype("F16", 2),
    "BFloat16": Dtype("BF16", 2),
    "Long": Dtype("I64", 8),
    "Int": Dtype("I32", 4),
    "Short": Dtype("I16", 2),
    "Char": Dtype("I8", 1),
    "Byte": Dtype("U8", 1),
    "Bool": Dtype("BOOL", 1),
}
_NEW_DTYPES = {
    "uint16": Dtype("U16", 2),
    "uint32": Dtype("U32", 4),
    "uint64": Dtype("U64", 8),
    "float8_e4m3fn": Dtype("F8_E4M3", 1),
    "float8_e5m2": Dtype("F8_E5M2", 1),
}
_GLOBALS: dict[str, Dtype | _Function] = {
    **{f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()},
    **{f"torch.{name}": dtype for name, dtype in _NEW_DTYPES.items()},
    "torch.storage.UntypedStorage": _BYTES,
    "torch.Size": _Function("size"),
    "collections.OrderedDict": _Function("dict"),
    "torch._utils._rebuild_tensor": _Function("tensor"),
    "torch._utils._rebuild_tensor_v2": _Function("tensor"),
    "torch._utils._rebuild_tensor_v3": _Function("tensor of a new type"),
    "torch._utils._rebuild_parameter": _Function("parameter"),
}
"""Every global that a state dict may name, and what stands for it. Nothing of these names is imported."""

_MARK = object()


def read_state_dict(stream: BytesIO, *, where: str) -> dict[str, Tensor]:
    """The tensors of a pickled state dict by their names, in its order; ``stream`` is left behind the pickle.

    Raises BundleError for whatever is no plain state dict, naming it, and for tensors that reach beyond their storage.
    """
    value = read_value(stream, where=where)
    if not isinstance(value, dict):
        raise _refusal("holds no state dict (names and tensors)", where)
    if not value:
        raise _refusal("holds no tensors", where)
    for name, tensor in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise _refusal(f"has a tensor under the name {shown(name)}, which is none", where)
        if not isinstance(tensor, Tensor) or name == "__metadata__":
            raise _refusal(f"holds something under {shown(name)} that is no tensor", where)
    return value


def read_value(stream: BytesIO, *, where: str) -> Any:
    """Whatever the next pickle of ``stream`` makes: numbers, text, lists, tuples, dicts, ``Tensor``, ``Storage``.

    Raises BundleError for an instruction or global that no state dict needs, and for a pickle that makes no sense.
    """
    interpreter = _Interpreter(where)
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name == "STOP":
                return interpreter.result()
            interpreter.step(instruction.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, EOFError, OverflowError, struct.error) as error:
        raise BundleError(f"its pickle makes no sense ({type(error).__name__})", where=where, hint=DAMAGED) from error
    raise BundleError("its pickle has no end", where=where, hint=DAMAGED)


def shown(value: object) -> str:
    """Text from a pickle as it may be printed: ASCII, cut, no control characters."""
    if not isinstance(value, str):
        return f"(a {type(value).__name__})"
    return ascii(value[:80])[1:-1] + ("..." if len(value) > 80 else "")


class _Interpreter:
    """The stack, the memo, and a branch for each instruction that a state dict needs."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0
        self._branches: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **dict.fromkeys(_LITERALS, self._stack.append),
            **{name: self._constant(value) for name, value in _CONSTANTS.items()},
            **dict.fromkeys(("EMPTY_LIST",), lambda _: self._stack.append([])),
            **dict.fromkeys(("EMPTY_DICT",), lambda _: self._stack.append({})),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._memoise),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda index: self._stack.append(self._memo[index])),
            "MEMOIZE": lambda _: self._memoise(len(self._memo)),
            "TUPLE": lambda _: self._stack.append(tuple(self._marked())),
            "TUPLE1": lambda _: self._stack.append(self._pop(1)),
            "TUPLE2": lambda _: self._stack.append(self._pop(2)),
            "TUPLE3": lambda _: self._stack.append(self._pop(3)),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._update(self._pop(2)),
            "SETITEMS": lambda _: self._update(self._marked()),
            "GLOBAL": lambda names: self._global(*names.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._global(*self._pop(2)),
            "BINPERSID": lambda _: self._stack.append(self._persistent(*self._pop(1))),
            "REDUCE": lambda _: self._stack.append(self._reduce(*self._pop(2))),
            "BUILD": lambda _: self._build(*self._pop(1)),
        }

    def step(self, name: str, argument: Any) -> None:
        """Do one instruction. Raises BundleError for one that no state dict needs."""
        self._spend(1)
        if name == "INST":  # names a class and calls it: known by what it names
            self._global(*str(argument).split(" ", 1))
        branch = self._branches.get(name)
        if branch is None:
            raise _refusal(f"uses the pickle instruction {name}, which a state dict never needs", self._where)
        branch(argument)

    def result(self) -> Any:
        """What stands on the stack at the end, alone."""
        (value,) = self._stack
        if value is _MARK:
            raise ValueError("a mark is no value")
        return value

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise _refusal(f"takes more than {_MOST_STEPS:,} steps to read, which no state dict does", self._where)

    def _constant(self, value: Any) -> Callable[[Any], None]:
        return lambda _: self._stack.append(value)

    def _memoise(self, index: int) -> None:
        if self._stack[-1] is _MARK:
            raise ValueError("a mark is no value")
        self._memo[index] = self._stack[-1]

    def _pop(self, count: int) -> tuple[Any, ...]:
        values = tuple(self._stack[-count:])
        if len(values) < count or any(value is _MARK for value in values):
            raise IndexError("the stack is too short")
        del self._stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        """What stands above the last mark; both are taken off."""
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _extend(self, values: Sequence[Any]) -> None:
        items = self._stack[-1]
        if type(items) is not list:
            raise TypeError("only a list is appended to")
        items.extend(values)

    def _update(self, values: Sequence[Any]) -> None:
        items = self._stack[-1]
        if type(items) is not dict or len(values) % 2:
            raise TypeError("only a dict has items")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) is not str:  # others could take long to hash
                raise TypeError("a key is text")
            items[key] = value

    def _global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise _refusal("names a global by something that is no text", self._where)
        whole = f"{module}.{name}"
        if whole not in _GLOBALS:
            raise _refusal(f"names {shown(whole)}, which a state dict never needs", self._where)
        self._stack.append(_GLOBALS[whole])

    def _build(self, state: Any) -> None:
        """The attributes of an OrderedDict: a state dict's ``_metadata``, versions of modules. Left out."""
        if type(self._stack[-1]) is not dict or type(state) is not dict or any(key != "_metadata" for key in state):
            raise _refusal("sets attributes, which a state dict never needs", self._where)

    def _persistent(self, value: Any) -> Storage:
        """A reference to weights in the file: ("storage", type, key, device, elements) and, in older files, a view."""
        if type(value) is not tuple or not value or value[0] != "storage" or len(value) not in {5, 6}:
            raise _refusal("refers to something that is no storage of a tensor", self._where)
        _, dtype, key, _, count, *view = value
        if type(dtype) is not Dtype or dtype.name in _NEW_NAMES:
            raise _refusal("has a storage of no known type", self._where)
        if type(key) is not str or not key.isascii() or not key.isdigit() or len(key) > 32:
            raise _refusal(f"has a storage under the key {shown(key)}, which is none", self._where)
        whole = Storage(key, dtype, _whole(count), 0, _whole(count))
        if not view or view[0] is None:
            return whole
        _, start, length = view[0]
        if _whole(start) + _whole(length) > whole.count:
            raise _refusal("has a view that reaches beyond its storage", self._where)
        return replace(whole, start=start, length=length)

    def _reduce(self, function: Any, arguments: Any) -> Any:
        if type(function) is not _Function or type(arguments) is not tuple:
            raise _refusal("calls something that a state dict never calls", self._where)
        self._spend(len(arguments))
        if function.name == "dict":
            return self._ordered(*arguments)
        if function.name == "size":
            (sizes,) = arguments
            self._spend(len(sizes))
            return tuple(map(_whole, sizes))
        if function.name == "parameter":
            tensor, _, backward_hooks = arguments
            if type(tensor) is not Tensor or backward_hooks:
                raise _refusal("has a parameter that is more than a tensor", self._where)
            return tensor
        return self._tensor(function, arguments)

    def _ordered(self, pairs: Sequence[Any] = ()) -> dict[Any, Any]:
        self._spend(len(pairs))
        items: dict[Any, Any] = {}
        self._stack.append(items)
        for key, value in pairs:
            self._update((key, value))
        self._stack.pop()
        return items

    def _tensor(self, function: _Function, arguments: tuple[Any, ...]) -> Tensor:
        """(storage, offset, shape, strides[, requires_grad, backward_hooks][, dtype][, metadata]), checked."""
        storage, offset, shape, strides, *rest = arguments
        rest = [*rest, *[None] * (2 - len(rest))]
        _, backward_hooks, *rest = rest
        if type(storage) is not Storage:
            raise _refusal("has a tensor without a storage", self._where)
        dtype = storage.dtype
        if function.name == "tensor of a new type":
            dtype, *rest = rest
        if type(dtype) is not Dtype or not dtype.name or (storage.dtype.name and storage.dtype != dtype):
            raise _refusal("has a tensor of no known type", self._where)
        if backward_hooks or any(rest):  # metadata: a tensor that stands for the negative of its storage, say
            raise _refusal("has a tensor with hooks or metadata, which are not converted", self._where)
        if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
            raise _refusal("has a tensor whose shape and strides do not go together", self._where)
        if len(shape) > _MOST_DIMENSIONS:
            raise _refusal(f"has a tensor of {len(shape):,} dimensions", self._where)
        tensor = Tensor(storage, dtype, _whole(offset), tuple(map(_whole, shape)), tuple(map(_whole, strides)))
        if prod(max(1, size) for size in shape) > _LARGEST:
            raise _refusal("has a tensor of an impossible shape", self._where)
        room = storage.length * storage.dtype.size
        if tensor.count and (tensor.offset + tensor.extent) * dtype.size > room:
            raise _refusal("has a tensor that reaches beyond its storage", self._where)
        return tensor


_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_NEW_NAMES = {dtype.name for dtype in _NEW_DTYPES.values()}


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError("no size, stride or offset")
    return value


def _refusal(message: str, where: str) -> BundleError:
    return BundleError(message, where=where, hint=DISTRUST)
