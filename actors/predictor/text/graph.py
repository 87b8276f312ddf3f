"""ONNX files written node by node: just enough of the format for an encoder, and nothing to install for it.

``wire`` reads what this writes; the numbers of the fields are those of ``onnx.proto``. The same calls give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Attribute = int | float | Sequence[int]

IR_VERSION: Final = 9
PRODUCER: Final = b"tradingd"
_TYPES: Final = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_FLOAT, _INT, _INTS = 1, 2, 7


class Graph:
    """Nodes and constants of a graph under construction; names count up."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._nodes: list[bytes] = []
        self._constants: dict[str, tuple[bytes, memoryview]] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """Add a node of one output; return the output's name."""
        return self.ops(kind, 1, *inputs, output=output, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, output: str = "", **attributes: Attribute) -> list[str]:
        """Add a node; return the names of its outputs."""
        number = len(self._nodes)
        names = [output or f"{kind.lower()}_{number}_{i}" for i in range(outputs)]
        parts = [_bytes(1, name.encode()) for name in inputs]
        parts += [_bytes(2, name.encode()) for name in names]
        parts += [_bytes(3, f"{kind}_{number}".encode()), _bytes(4, kind.encode())]
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(parts))
        return names

    def const(self, name: str, value: Array) -> str:
        """Hold a constant; return its name. Under one name stands one value."""
        if name not in self._constants:
            self._constants[name] = _tensor(name, value)
        return name

    def write(self, inputs: Iterable[str], output: str, columns: int, opset: int) -> bytes:
        """Return the file: ``int64 [n, tokens]`` inputs, one ``float32 [n, columns]`` output."""
        parts: list[bytes | memoryview] = [_bytes(1, node) for node in self._nodes]
        parts.append(_bytes(2, b"text"))
        for head, data in self._constants.values():
            parts += [_varint(5 << 3 | 2) + _varint(len(head) + len(data)) + head, data]
        parts += [_bytes(11, _value(name, "int64", ["n", "tokens"])) for name in inputs]
        parts.append(_bytes(12, _value(output, "float32", ["n", columns])))
        size = sum(len(part) for part in parts)
        begin = _number(1, IR_VERSION) + _bytes(2, PRODUCER) + _varint(7 << 3 | 2) + _varint(size)
        # Joined once: the weights of a large model are here, in the file's bytes, and nowhere in between.
        return b"".join([begin, *parts, _bytes(8, _bytes(1, b"") + _number(2, opset))])


def _varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: Attribute) -> bytes:
    told = _bytes(1, name.encode())
    if isinstance(value, int):
        return told + _number(3, value) + _number(20, _INT)
    if isinstance(value, float):
        return told + _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, _FLOAT)
    return told + b"".join(_number(8, number) for number in value) + _number(20, _INTS)


def _tensor(name: str, value: Array) -> tuple[bytes, memoryview]:
    """Return what stands before a tensor's numbers, and the numbers."""
    dims = b"".join(_number(1, size) for size in value.shape)
    data = np.ascontiguousarray(value).data.cast("B")
    head = dims + _number(2, _TYPES[value.dtype.name]) + _bytes(8, name.encode())
    return head + _varint(9 << 3 | 2) + _varint(len(data)), data


def _value(name: str, kind: str, sizes: Sequence[str | int]) -> bytes:
    shape = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size.encode())) for size in sizes
    )
    tensor = _number(1, _TYPES[kind]) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))
