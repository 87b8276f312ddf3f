"""ONNX files read field by field, before anything that could act on them does: a strict reader of its own.

A model file is a Protocol Buffers message. The reader here knows the fields of the standard and no others: what it does
not know, or finds in another form, it refuses, so that there is nothing in a file that onnxruntime would see and these
checks would not. It copies no weights: tensors are views of the file's bytes.

Why not the package ``onnx``: it parses a file wholly in C++ before anybody has looked at it, has had holes in doing so
(CVE-2025-51480, CVE-2026-27489, CVE-2026-34447), and weighs 20 MB in an installation that only ever reads. The numbers
below are those of ``onnx.proto``, which may never change once published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.predictor.text.plain import shown

FIELDS_MAX: Final = 2_000_000
"""Fields of a whole file: a graph of BERT size has some fifty thousand."""
NUMBERS_MAX: Final = 8_000_000
"""Numbers of a whole file that come in packed forms, which are read one by one: weights come raw, as bytes."""
RANK_MAX: Final = 8
_VARINT_BYTES: Final = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

FLOAT, INT64, STRING = 1, 7, 8
_ITEM: Final = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
"""Element types a text model may hold, and how ``raw_data`` lays them out. 16 (bfloat16) is looked at as integers."""
_BFLOAT16: Final = 16
TYPE_NAMES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip

_V, _B, _F = (_VARINT,), (_BYTES,), (_FIXED32,)
_VS, _FS, _DS = (_VARINT, _BYTES), (_FIXED32, _BYTES), (_FIXED64, _BYTES)
"""Forms of a field; repeated numbers may also come as one run of bytes."""

_Known = dict[int, tuple[int, ...]]
_MODEL: Final[_Known] = {1: _V, 5: _V, **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), _B)}
_OPSET: Final[_Known] = {1: _B, 2: _V}
_GRAPH: Final[_Known] = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), _B)
_NODE: Final[_Known] = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 9), _B)
_ATTRIBUTE: Final[_Known] = {
    **dict.fromkeys((1, 4, 5, 6, 9, 10, 11, 13, 14, 15, 21, 22, 23), _B),
    2: _F,
    3: _V,
    7: _FS,
    8: _VS,
    20: _V,
}
_TENSOR: Final[_Known] = {
    **dict.fromkeys((3, 6, 8, 9, 12, 13, 16), _B),
    1: _VS,
    2: _V,
    4: _FS,
    5: _VS,
    7: _VS,
    10: _DS,
    11: _VS,
    14: _V,
}
_VALUE: Final[_Known] = dict.fromkeys((1, 2, 3, 4), _B)
_TYPE: Final[_Known] = dict.fromkeys((1, 4, 5, 6, 7, 8, 9), _B)
_TENSOR_TYPE: Final[_Known] = {1: _V, 2: _B}
_SHAPE: Final[_Known] = {1: _B}
_DIMENSION: Final[_Known] = {1: _V, 2: _B, 3: _B}
_RUN: Final = -1
"""In the place of a number: the field came as bytes."""


class WireError(ValueError):
    """A file that is no ONNX model of the known form; the message says which field."""


class Tensor(NamedTuple):
    """A constant. ``data`` is the elements' bytes where they came raw, else empty and ``numbers`` holds them."""

    name: str
    dims: tuple[int, ...]
    type: int
    data: memoryview
    numbers: npt.NDArray[np.generic] | None
    external: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    def values(self) -> npt.NDArray[np.generic]:
        """Return the elements, flat; bfloat16 as float32."""
        if self.numbers is not None:
            return self.numbers
        if self.type == _BFLOAT16:
            return (np.frombuffer(self.data, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(self.data, _ITEM[self.type])


class Node(NamedTuple):
    """One operation of the graph; ``numbers`` and ``integers`` are those of all its attributes, ``told`` by name."""

    domain: str
    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    numbers: tuple[float, ...]
    integers: tuple[int, ...]
    told: Mapping[str, tuple[int, ...]]


class Value(NamedTuple):
    """An input or output: a size of ``dims`` is None where it is free; ``type`` is 0 where it is no tensor."""

    name: str
    type: int
    dims: tuple[int | None, ...]


class Graph(NamedTuple):
    """What a model file says."""

    ir_version: int
    opsets: tuple[tuple[str, int], ...]
    nodes: tuple[Node, ...]
    constants: tuple[Tensor, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    values: tuple[Value, ...]


class _Reader:
    """Walks messages of one file and counts what it meets."""

    def __init__(self) -> None:
        self._fields = 0
        self._numbers = 0

    def fields(self, data: memoryview, known: _Known, where: str) -> Iterator[tuple[int, int, memoryview]]:
        """Yield (field, number, bytes) of a message: a number for varints, bytes for all else."""
        at, end = 0, len(data)
        while at < end:
            self._fields += 1
            if self._fields > FIELDS_MAX:
                raise WireError(f"the file has more than {FIELDS_MAX:,} fields")
            key, at = _varint(data, at, where)
            field, wire = key >> 3, key & 7
            expected = known.get(field)
            if expected is None:
                raise WireError(f"{where} has the field {field}, which is not of the standard")
            if wire not in expected:
                raise WireError(f"{where} has the field {field} in the form {wire}, which is not of the standard")
            if wire == _VARINT:
                number, at = _varint(data, at, where)
                yield field, number, data[at:at]
                continue
            if wire == _BYTES:
                size, at = _varint(data, at, where)
            else:
                size = 8 if wire == _FIXED64 else 4
            if size > end - at:
                raise WireError(f"{where} ends in the middle of field {field}")
            yield field, _RUN, data[at : at + size]
            at += size

    def model(self, data: memoryview) -> Graph:
        """Read a ModelProto."""
        ir_version = 0
        opsets = []
        graph: memoryview | None = None
        for field, number, part in self.fields(data, _MODEL, "the model"):
            if field == 1:
                ir_version = number
            elif field == 8:
                opsets.append(self._opset(part))
            elif field == 7:
                if graph is not None:
                    raise WireError("the model has two graphs")
                graph = part
            elif field in {20, 25, 26}:
                what = {20: "training_info", 25: "functions", 26: "configuration"}[field]
                raise WireError(f"the model has {what}, which a model to be asked does not need")
        if graph is None:
            raise WireError("the model has no graph")
        return self._graph(graph, ir_version, tuple(opsets))

    def _opset(self, data: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for field, number, part in self.fields(data, _OPSET, "opset_import"):
            if field == 1:
                domain = _text(part, "opset_import")
            else:
                version = number
        return domain, version

    def _graph(self, data: memoryview, ir_version: int, opsets: tuple[tuple[str, int], ...]) -> Graph:
        nodes, constants = [], []
        values: dict[int, list[Value]] = {11: [], 12: [], 13: []}
        for field, _, part in self.fields(data, _GRAPH, "the graph"):
            if field == 1:
                nodes.append(self._node(part))
            elif field == 5:
                constants.append(self._tensor(part, "an initializer"))
            elif field in values:
                values[field].append(self._value(part))
            elif field == 15:
                raise WireError("the graph has sparse initializers")
        return Graph(ir_version, opsets, tuple(nodes), tuple(constants), *(tuple(values[f]) for f in (11, 12, 13)))

    def _node(self, data: memoryview) -> Node:
        texts = {3: "", 4: "", 7: ""}
        ends: dict[int, list[str]] = {1: [], 2: []}
        tensors: list[Tensor] = []
        numbers: list[float] = []
        told: dict[str, tuple[int, ...]] = {}
        for field, _, part in self.fields(data, _NODE, "a node"):
            if field in texts:
                texts[field] = _text(part, "a node")
            elif field in ends:
                ends[field].append(_text(part, "a node"))
            elif field == 5:
                name, integers = self._attribute(part, tensors, numbers)
                if name in told:
                    raise WireError(f"a node has the attribute {shown(name)} twice")
                told[name] = integers
        return Node(
            texts[7], texts[4], texts[3], tuple(ends[1]), tuple(ends[2]), tuple(tensors), tuple(numbers),
            tuple(number for integers in told.values() for number in integers), told,
        )  # fmt: skip

    def _attribute(self, data: memoryview, tensors: list[Tensor], numbers: list[float]) -> tuple[str, tuple[int, ...]]:
        """Return an attribute's name and integers; its tensors and other numbers go into the lists."""
        name, integers = "", []
        for field, number, part in self.fields(data, _ATTRIBUTE, "an attribute"):
            if field == 1:
                name = _text(part, "an attribute")
            elif field in {5, 10}:
                tensors.append(self._tensor(part, "an attribute"))
            elif field in {6, 11}:
                raise WireError("a node carries a graph of its own")
            elif field in {22, 23}:
                raise WireError("a node carries a sparse tensor")
            elif field in {2, 7}:
                self._count(len(part) // 4)
                numbers += np.frombuffer(_whole(part, 4, "an attribute"), "<f4").tolist()
            elif field in {3, 8}:
                integers += self._integers(number, part, "an attribute")
        return name, tuple(integers)

    def _integers(self, number: int, data: memoryview, where: str) -> list[int]:
        """Return the numbers of a field that came alone or as a run."""
        if number != _RUN:
            return [_signed(number)]
        self._count(len(data))
        numbers, at = [], 0
        while at < len(data):
            number, at = _varint(data, at, where)
            numbers.append(_signed(number))
        return numbers

    def _count(self, packed: int) -> None:
        """Count bytes of packed integers, and other numbers that are read one by one."""
        self._numbers += packed
        if self._numbers > NUMBERS_MAX:
            raise WireError(f"the file has more than {NUMBERS_MAX:,} bytes of packed numbers; weights come raw")

    def _tensor(self, data: memoryview, where: str) -> Tensor:
        name, kind, external = "", 0, False
        dims: list[int] = []
        raw: memoryview | None = None
        parts: dict[int, list[npt.NDArray[np.generic]]] = {}
        for field, number, part in self.fields(data, _TENSOR, where):
            if field == 1:
                dims += self._integers(number, part, where)
            elif field == 2:
                kind = number
            elif field == 8:
                name = _text(part, where)
            elif field == 9:
                if raw is not None:
                    raise WireError(f"{where} has raw_data twice")
                raw = part
            elif field == 13 or (field == 14 and number):
                external = True
            elif field in {4, 10}:
                form = "<f4" if field == 4 else "<f8"
                parts.setdefault(field, []).append(np.frombuffer(_whole(part, int(form[2]), where), form))
            elif field in {5, 7, 11}:
                parts.setdefault(field, []).append(np.array(self._integers(number, part, where), np.int64))
            elif field in {3, 6}:
                raise WireError(f"{where} {shown(name)} is a segment or holds strings")
        where = f"the tensor {shown(name)}" if name else where
        if external:
            return Tensor(name, tuple(dims), kind, memoryview(b""), None, external=True)
        return _checked(name, tuple(dims), kind, raw, parts, where)

    def _value(self, data: memoryview) -> Value:
        name, kind = "", 0
        dims: list[int | None] = []
        for field, _, part in self.fields(data, _VALUE, "a value"):
            if field == 1:
                name = _text(part, "a value")
            elif field == 2:
                kind, dims = self._type(part)
        return Value(name, kind, tuple(dims))

    def _type(self, data: memoryview) -> tuple[int, list[int | None]]:
        kind = 0
        dims: list[int | None] = []
        for field, _, part in self.fields(data, _TYPE, "a type"):
            if field != 1:
                continue
            for inner, number, shape in self.fields(part, _TENSOR_TYPE, "a tensor type"):
                if inner == 1:
                    kind = number
                else:
                    dims = [self._dimension(size) for _, _, size in self.fields(shape, _SHAPE, "a shape")]
        return kind, dims

    def _dimension(self, data: memoryview) -> int | None:
        size: int | None = None
        for field, number, _ in self.fields(data, _DIMENSION, "a dimension"):
            if field == 1:
                size = _signed(number)
        return size


def read_graph(data: bytes) -> Graph:
    """Return what a model file says.

    Raises:
        WireError: it is not ONNX, or says something that no text model needs.
    """
    return _Reader().model(memoryview(data))


def _checked(
    name: str,
    dims: tuple[int, ...],
    kind: int,
    raw: memoryview | None,
    parts: dict[int, list[npt.NDArray[np.generic]]],
    where: str,
) -> Tensor:
    """Return a tensor whose elements are as many as its sizes say."""
    if len(dims) > RANK_MAX or any(size < 0 for size in dims):
        raise WireError(f"{where} has the sizes {list(dims)[: RANK_MAX + 1]}")
    if kind not in _ITEM and kind != _BFLOAT16:
        raise WireError(f"{where} has elements of type {TYPE_NAMES.get(kind, kind)}")
    if (raw is not None and parts) or len(parts) > 1:
        raise WireError(f"{where} holds its elements twice")
    size = math.prod(dims)
    if raw is not None or not parts:
        data = memoryview(b"") if raw is None else raw
        item = 2 if kind == _BFLOAT16 else np.dtype(_ITEM[kind]).itemsize
        if len(data) != size * item:
            raise WireError(f"{where} says {list(dims)} of {TYPE_NAMES[kind]} but holds {len(data):,} bytes")
        return Tensor(name, dims, kind, data, None, external=False)
    numbers = np.concatenate(next(iter(parts.values())))
    if len(numbers) != size:
        raise WireError(f"{where} says {list(dims)} but holds {len(numbers):,} elements")
    return Tensor(name, dims, kind, memoryview(b""), _typed(numbers, kind), external=False)


def _typed(numbers: npt.NDArray[np.generic], kind: int) -> npt.NDArray[np.generic]:
    """Return numbers as what they stand for: sixteen-bit floats come as integers."""
    if kind == 10:
        return numbers.astype(np.uint16).view(np.float16)
    if kind == _BFLOAT16:
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    value = shift = 0
    for i in range(at, min(at + _VARINT_BYTES, len(data))):
        byte = data[i]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, i + 1
        shift += 7
    raise WireError(f"{where} ends in the middle of a number")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _whole(data: memoryview, item: int, where: str) -> memoryview:
    if len(data) % item:
        raise WireError(f"{where} holds {len(data)} bytes of numbers of {item} bytes")
    return data


def _text(data: memoryview, where: str) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise WireError(f"{where} has a name that is no UTF-8") from None
