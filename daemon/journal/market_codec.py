"""Market messages as bytes, exactly: what numpy columns hold, to the last bit, in a fraction of their size.

Rows are encoded many at a time. Each message becomes a *twin*: a struct of the same fields in which a column is only a
number that says where its values are; the values of one field of all rows stand together as one stream. Prices and
volumes are mostly decimals of few digits, so a stream of float64 is kept as whole numbers where that gives back every
bit, and as differences from the stream before it (high - open, low - high, ...) where that is narrower.
"""

from __future__ import annotations

import operator
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.kernel.message import Market, Message

Array = npt.NDArray[Any]
I64 = npt.NDArray[np.int64]
Key = tuple[int, int]
"""Tag of a message type and position of a field in it."""

_HERE, _COUNT_UP, _SAME = 0, 1, 2
"""Where a column's values are: in the stream, counting up from 0 (dense ids), in an earlier column of the message."""

_RAW, _WHOLE, _DECIMAL, _DIFFERENCE, _FIXED = 0, 1, 2, 3, 4
"""How a stream is kept: as it is; as narrower whole numbers; floats as the digits of decimals, or as what these add to
the digits of the stream before; whole numbers that are the floats of the stream before in units of 1e-8: not at all."""

_DIGITS: Final = (2, 4, 0)
"""Digits behind the point that are tried, the likeliest first."""
_FIXED_SCALE: Final = 1e8
_FIXED_MAX: Final = 9e10  # times the scale it still fits 64 bits
_EXACT_MAX: Final = 2.0**53
_WIDTHS: Final = (np.dtype("<i1"), np.dtype("<i2"), np.dtype("<i4"))
_LOOK: Final = 8
"""Values that are tried before a whole stream is."""
_COUNT_MAX: Final = 1 << 20
"""Entries of a column that only counts up: it takes no bytes, so damaged ones could ask for gigabytes."""
_COUNTS_MAX: Final = 256
_DAMAGED: Final = "these bytes are no market data"


class _Stream(msgspec.Struct, array_like=True):
    """One field of all rows: ``kind`` as above, ``digits`` behind the point, ``dtype`` of the numbers in ``data``."""

    tag: int
    field: int
    kind: int
    digits: int
    dtype: str
    data: bytes


class _Plan:
    """How one message type is taken apart and put together.

    Attributes:
        type, tag: of the message.
        twin: its stand-in.
        columns: position of each column among the fields, with its dtype.
        values: gives the fields of a message or twin as a tuple.
    """

    def __init__(self, message_type: type[Message]) -> None:
        config = message_type.__struct_config__
        if not issubclass(message_type, Market) or not isinstance(config.tag, int):
            reason = f"{message_type.__name__} is no market message with a number as its tag"
            raise TypeError(reason)
        self.type = message_type
        self.tag = config.tag
        names = message_type.__struct_fields__
        hints = typing.get_type_hints(message_type)
        dtypes = {i: _column_dtype(hints[name]) for i, name in enumerate(names)}
        self.columns = {i: dtype for i, dtype in dtypes.items() if dtype is not None}
        fields: list[Any] = []
        for i, field in enumerate(msgspec.structs.fields(message_type)):
            hint = int | None if i in self.columns else hints[field.name]
            if field.required:
                fields.append((field.name, hint))
            else:
                fields.append((field.name, hint, field.default))
        self.twin = msgspec.defstruct(f"{message_type.__name__}Twin", fields, tag=self.tag, array_like=True, gc=False)
        get: Callable[[Any], Any] = operator.attrgetter(*names)
        self.values: Callable[[Any], tuple[Any, ...]] = get if len(names) > 1 else lambda message: (get(message),)


def _column_dtype(hint: Any) -> np.dtype[Any] | None:
    """Return the little-endian dtype of a numpy column (or of one that may be None), or None for any other field."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        choices = [choice for choice in typing.get_args(hint) if choice is not NoneType]
        hint = choices[0] if len(choices) == 1 else None
    if typing.get_origin(hint) is not np.ndarray:
        return None
    scalar = typing.get_args(typing.get_args(hint)[1])[0]
    dtype: np.dtype[Any] = np.dtype(scalar).newbyteorder("<")
    return dtype


class MarketCodec:
    """Encodes and decodes rows of a fixed catalogue of market messages."""

    def __init__(self, catalogue: Iterable[type[Message]]) -> None:
        """Build for message types, each tagged with a number of its own.

        Raises:
            TypeError: a type that is no market message, or has no number as its tag.
            ValueError: two types share a tag.
        """
        self._plans: dict[type[Any], _Plan] = {}
        self._dtypes: dict[Key, np.dtype[Any]] = {}
        tags: dict[int, type[Message]] = {}
        twins = []
        for message_type in catalogue:
            plan = _Plan(message_type)
            other = tags.setdefault(plan.tag, message_type)
            if other is not message_type:
                reason = f"{message_type.__name__} and {other.__name__} share the tag {plan.tag}"
                raise ValueError(reason)
            self._plans[message_type] = self._plans[plan.twin] = plan
            self._dtypes.update({(plan.tag, i): dtype for i, dtype in plan.columns.items()})
            twins.append(plan.twin)
        union: Any = typing.Union[tuple(twins)]  # noqa: UP007 - built at run time from a tuple
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(tuple[list[tuple[int, int, union]], list[_Stream]])
        self._counts: dict[tuple[int, str], Array] = {}

    def encode(self, message: Market) -> bytes:
        """Encode one message; many at once are much smaller, see :meth:`encode_rows`."""
        return self.encode_rows([(0, message.ts, message)])

    def decode(self, data: bytes) -> Market:
        """Decode what :meth:`encode` gave; raises as :meth:`decode_rows`."""
        rows = self.decode_rows(data)
        if len(rows) != 1:
            reason = f"{_DAMAGED}: {len(rows)} messages where one is wanted"
            raise ValueError(reason)
        return rows[0][2]

    def encode_rows(self, rows: Sequence[tuple[int, int, Market]]) -> bytes:
        """Encode (seq, ts, message) in order.

        Raises:
            ValueError: a message of another catalogue, or a column that is not what its field declares.
        """
        parts: dict[Key, list[Array]] = {}
        twins = [(seq, ts, self._apart(message, parts)) for seq, ts, message in rows]
        return self._encoder.encode((twins, _pack(parts)))

    def decode_rows(self, data: bytes) -> list[tuple[int, int, Market]]:
        """Decode what :meth:`encode_rows` gave; columns are read-only.

        Raises:
            ValueError: these are not such bytes.
        """
        try:
            twins, streams = self._decoder.decode(data)
        except msgspec.MsgspecError as error:
            reason = f"{_DAMAGED}: {error}"
            raise ValueError(reason) from error
        values = self._unpack(streams)
        offsets = dict.fromkeys(values, 0)
        rows = [(seq, ts, self._together(twin, values, offsets)) for seq, ts, twin in twins]
        if any(offset != len(values[key]) for key, offset in offsets.items()):
            reason = f"{_DAMAGED}: a column is longer than its messages"
            raise ValueError(reason)
        return rows

    # -- messages ------------------------------------------------------------------------------------------------------

    def _apart(self, message: Market, parts: dict[Key, list[Array]]) -> Any:
        """Return the twin; the columns' values go to ``parts``."""
        plan = self._plans.get(type(message))
        if plan is None:
            reason = f"{type(message).__name__} is not in the catalogue of this tape"
            raise ValueError(reason)
        values: list[Any] = list(plan.values(message))
        seen: dict[int, int] = {}
        for i, dtype in plan.columns.items():
            column = values[i]
            if column is None:
                continue
            first = seen.setdefault(id(column), i)  # an address only tells one column of this message from another
            if first != i:
                values[i] = 4 * first + _SAME
                continue
            if not isinstance(column, np.ndarray) or column.dtype != dtype or column.ndim != 1:
                found = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
                where = f"{plan.type.__name__}.{plan.type.__struct_fields__[i]}"
                reason = f"{where} holds {found} where a column of {dtype} is declared"
                raise ValueError(reason)
            n = len(column)
            if n and self._counts_up(column, dtype):
                values[i] = 4 * n + _COUNT_UP
                continue
            values[i] = 4 * n + _HERE
            if n:
                parts.setdefault((plan.tag, i), []).append(column)
        return plan.twin(*values)

    def _together(self, twin: Any, streams: dict[Key, Array], offsets: dict[Key, int]) -> Market:
        """Return the message of a twin, taking its columns from the streams."""
        plan = self._plans[type(twin)]
        values: list[Any] = list(plan.values(twin))
        for i, dtype in plan.columns.items():
            mark = values[i]
            if mark is None:
                continue
            n, place = divmod(mark, 4)
            if place == _HERE and n > 0:
                key = (plan.tag, i)
                at = offsets.get(key, 0)
                stream = streams.get(key)
                if stream is None or at + n > len(stream):
                    reason = f"{_DAMAGED}: a column of {plan.type.__name__} is missing"
                    raise ValueError(reason)
                values[i] = stream[at : at + n]
                offsets[key] = at + n
            elif place == _SAME and 0 <= n < i and n in plan.columns and getattr(values[n], "dtype", None) == dtype:
                values[i] = values[n]  # a column that is not there (None) is no place either
            elif place in {_HERE, _COUNT_UP} and 0 <= n <= _COUNT_MAX:
                values[i] = self._count(n, dtype)
            else:
                reason = f"{_DAMAGED}: a column of {plan.type.__name__} is nowhere"
                raise ValueError(reason)
        message: Market = plan.type(*values)
        return message

    def _counts_up(self, column: Array, dtype: np.dtype[Any]) -> bool:
        """Whether the column is 0, 1, 2, ...: ids of a whole universe."""
        n = len(column)
        if dtype.kind != "i" or n > _COUNT_MAX or column[0] != 0 or column[-1] != n - 1:
            return False
        return bool((column == self._count(n, dtype)).all())

    def _count(self, n: int, dtype: np.dtype[Any]) -> Array:
        """Return the read-only column 0 .. n-1, shared by all who ask for it."""
        key = (n, dtype.str)
        column = self._counts.get(key)
        if column is None:
            if len(self._counts) >= _COUNTS_MAX:
                self._counts.clear()
            column = self._counts[key] = _freeze(np.arange(n, dtype=dtype))
        return column

    # -- streams -------------------------------------------------------------------------------------------------------

    def _unpack(self, streams: list[_Stream]) -> dict[Key, Array]:
        values: dict[Key, Array] = {}
        before: I64 | None = None
        floats: Array | None = None
        for stream in streams:
            key = (stream.tag, stream.field)
            dtype = self._dtypes.get(key)
            if dtype is None or key in values:
                reason = f"{_DAMAGED}: a column nobody has"
                raise ValueError(reason)
            column, whole = _unpack_stream(stream, dtype, before, floats)
            values[key] = _freeze(column)
            if dtype.kind == "f":
                before, floats = whole, column
        return values


def _freeze(array: Array) -> Array:
    """Return a view of the array that cannot be made writable."""
    return np.asarray(array.data.toreadonly()) if array.size else np.frombuffer(b"", dtype=array.dtype)


def _pack(parts: dict[Key, list[Array]]) -> list[_Stream]:
    streams = []
    before: tuple[int, I64] | None = None
    floats: Array | None = None
    for (tag, field), columns in sorted(parts.items()):
        values = np.ascontiguousarray(columns[0]) if len(columns) == 1 else np.concatenate(columns)
        if values.dtype.kind == "f":
            kind, digits, numbers, before = _pack_floats(values, before)
            floats = values
        else:
            kind, digits, numbers = _pack_whole(values, floats)
        streams.append(_Stream(tag, field, kind, digits, numbers.dtype.str, _shuffled(numbers)))
    return streams


def _pack_floats(values: Array, before: tuple[int, I64] | None) -> tuple[int, int, Array, tuple[int, I64] | None]:
    """Return kind, digits and numbers to keep, and what the next stream may be a difference from."""
    for digits in _DIGITS:
        whole = _decimal(values, digits)
        if whole is None:
            continue
        plain = _narrow(whole)
        if before is not None and before[0] == digits and len(before[1]) == len(whole):
            difference = _narrow(whole - before[1])
            if difference.itemsize < plain.itemsize:
                return _DIFFERENCE, digits, difference, (digits, whole)
        return _DECIMAL, digits, plain, (digits, whole)
    return _RAW, -1, values, None


def _pack_whole(values: Array, floats: Array | None) -> tuple[int, int, Array]:
    """Return kind, digits and numbers to keep."""
    if values.dtype.kind != "i":
        return _RAW, -1, values
    alike = floats is not None and len(floats) == len(values) and (np.abs(floats) < _FIXED_MAX).all()
    if alike and np.array_equal(_fixed(floats), values):
        return _FIXED, -1, values[:0]
    return _WHOLE, -1, _narrow(values)


def _unpack_stream(
    stream: _Stream, dtype: np.dtype[Any], before: I64 | None, floats: Array | None
) -> tuple[Array, I64 | None]:
    """Return the column, and its digits where it was kept as such.

    Raises:
        ValueError: the stream does not hold what it says.
    """
    kind, digits = stream.kind, stream.digits
    if kind == _FIXED and floats is not None and dtype.kind == "i":
        return _fixed(floats).astype(dtype), None
    allowed = (dtype,) if kind == _RAW else (*_WIDTHS, np.dtype("<i8"))
    kept = next((d for d in allowed if d.str == stream.dtype), None)
    if kept is None:
        reason = f"{_DAMAGED}: a column of {stream.dtype!r}"
        raise ValueError(reason)
    numbers = _unshuffled(stream.data, kept)
    if kind == _RAW:
        return numbers, None
    if kind == _WHOLE and dtype.kind == "i":
        return numbers.astype(dtype), None
    whole = numbers.astype("<i8")
    if kind == _DIFFERENCE and before is not None and len(before) == len(whole):
        whole = whole + before
    elif kind != _DECIMAL:
        reason = f"{_DAMAGED}: a column without the one before it"
        raise ValueError(reason)
    if dtype.kind != "f" or digits not in _DIGITS:
        reason = f"{_DAMAGED}: {digits} digits of {dtype}"
        raise ValueError(reason)
    return (whole / 10.0**digits).astype(dtype), whole


def _decimal(values: Array, digits: int) -> I64 | None:
    """Return the values times ``10**digits`` as whole numbers where that gives back every bit, or None."""
    if values.itemsize != 8:
        return None
    scale = 10.0**digits
    if len(values) > _LOOK and _decimal(values[:_LOOK], digits) is None:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(values * scale)
        if not (np.abs(scaled) < _EXACT_MAX).all():  # also where one is not finite
            return None
    whole: I64 = scaled.astype("<i8")
    back = whole / scale
    return whole if np.array_equal(back.view("<i8"), values.view("<i8")) else None  # bits: -0.0 is not 0.0


def _fixed(floats: Any) -> I64:
    """Return what the floats are in units of 1e-8."""
    with np.errstate(invalid="ignore", over="ignore"):  # damaged bytes may say so of any floats
        fixed: I64 = np.rint(floats * _FIXED_SCALE).astype("<i8")
    return fixed


def _narrow(whole: Array) -> Array:
    """Return whole numbers in the narrowest type that holds them all."""
    low, high = int(whole.min()), int(whole.max())
    for dtype in _WIDTHS:
        half = 1 << (8 * dtype.itemsize - 1)
        if -half <= low and high < half:
            return whole.astype(dtype)
    return whole


def _shuffled(numbers: Array) -> bytes:
    """Return first bytes, then second bytes, ...: high bytes of neighbours are alike, which compresses well."""
    if numbers.itemsize == 1 or not numbers.size:
        return numbers.tobytes()
    return numbers.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _unshuffled(data: bytes, dtype: np.dtype[Any]) -> Array:
    if len(data) % dtype.itemsize:
        reason = f"{_DAMAGED}: half a number"
        raise ValueError(reason)
    planes = np.frombuffer(data, dtype=np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)
