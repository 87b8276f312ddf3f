"""``events.jsonl``: every event as a line of JSON, columns decoded, ids as symbols, money as plain decimals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from actors.messages.columns import unpack_f64, unpack_i32, unpack_i64
from actors.values.fixed import fmt
from actors.values.time import format_ts
from actors.values.universe import Universe
from daemon.journal.journal import StoredFrame
from daemon.kernel.message import Message

# Whole-number fields that are amounts in units of 1e-8, in any message.
FIXED_FIELDS: Final = frozenset(
    (
        "qty",
        "limit_px",
        "stop_px",
        "stop_distance",
        "reserved",
        "last_qty",
        "last_px",
        "ref_px",
        "cum_qty",
        "leaves_qty",
        "avg_px",
        "commission",
        "regulatory",
        "spread",
        "slippage",
        "impact",
        "level",
        "cost",
        "realized",
        "realized_fifo",
        "cash",
        "entry_px",
        "exit_px",
        "fees",
        "pnl",
        "amount",
        "equity",
        "gross",
        "net",
        "flows",
        "peak",
        "baseline",
        "px",
        "opened_fees",
        "accrued",
        "paid",
        "per_share",
        "base",
        "rate",
        "arrival_px",
        "expected_cost",
        "old_px",
        "new_px",
        "requirement",
        "excess",
        "trail_amount",
        "trail_percent",
        "activation_px",
        "display_qty",
        "take_profit_px",
        # of limits
        "min_order_value",
        "max_order_value",
        "max_gross_value",
        "book_max_gross_value",
        "max_order_qty",
        "cash_reserve",
        "lot_size",
    )
)
SYMBOL_COLUMNS: Final = frozenset({"ids", "abstained", "cut_ids"})
STAMP_FIELDS: Final = frozenset(
    {
        "entry_ts",
        "exit_ts",
        "due_ts",
        "next_ts",
        "deadline",
        "effective_ts",
        "expire_ts",
        "start_ts",
        "since",
        "until_ts",
    }
)
_PAIRS: Final = frozenset({"postings", "closed", "opened"})


def _plain(value: int) -> msgspec.Raw:
    return msgspec.Raw(fmt(value).encode())


def _floats(data: bytes) -> list[float | None]:
    values = unpack_f64(data)
    if np.isfinite(values).all():
        out: list[float | None] = values.tolist()
        return out
    return [v if np.isfinite(v) else None for v in values.tolist()]


def _other(value: Any) -> Any:
    return _floats(value) if isinstance(value, bytes) else value


class EventWriter:
    """Turns messages into plain values; one converter per type, built when first met."""

    def __init__(self, universe: Universe) -> None:
        """Build for a universe."""
        self._symbols = universe.symbols
        self._encoder = msgspec.json.Encoder()
        self._fields: dict[type[msgspec.Struct], list[tuple[str, Callable[[Any], Any] | None]]] = {}

    def line(self, frame: StoredFrame, event: Message, number: int) -> bytes:
        """Return one event as a line of JSON without its end."""
        head = {"seq": frame.seq, "n": number, "ts": format_ts(frame.ts), "type": type(event).__name__}
        return self._encoder.encode(head | self.values(event))

    def values(self, message: msgspec.Struct) -> dict[str, Any]:
        """Return the fields of a message as plain values."""
        fields = self._fields.get(type(message))
        if fields is None:
            fields = [(name, self._converter(name)) for name in message.__struct_fields__]
            self._fields[type(message)] = fields
        out = {}
        for name, convert in fields:
            value = getattr(message, name)
            out[name] = convert(value) if convert is not None and value is not None else value
        return out

    def _converter(self, name: str) -> Callable[[Any], Any] | None:
        special: dict[str, Callable[[Any], Any]] = {
            "symbol": lambda v: self._symbols[v] if v >= 0 else None,
            "new_symbol": lambda v: self._symbols[v] if v >= 0 else None,
            "order": self.values,
            "terms": self._nested,
            "bracket": self._nested,
            "lots": self._lots,
            "old": self._nested,
            "new": self._nested,
            "ts": format_ts,
            "until_ts": lambda v: format_ts(v) if v else None,
            "symbols": self._tables,
            "portfolios": self._tables,
            "breakers": self._tables,
            "price": self._amounts,
        }
        if name in special:
            return special[name]
        if name in SYMBOL_COLUMNS:
            return lambda v: [self._symbols[i] for i in unpack_i32(v).tolist()]
        if name in STAMP_FIELDS:
            return format_ts
        if name in _PAIRS:
            return self._pairs
        if name in FIXED_FIELDS:
            return self._amount
        return _other

    def _nested(self, value: Any) -> Any:
        """Limits are a record of their own; a trading state is not."""
        return self.values(value) if isinstance(value, msgspec.Struct) else value

    def _tables(self, value: Any) -> Any:
        """Limits by name are records, too; symbols of headlines are ids, of several headlines so many times."""
        if isinstance(value, tuple):
            return [self._symbols[item] if isinstance(item, int) else self._tables(item) for item in value]
        return {name: self._nested(item) for name, item in value.items()} if isinstance(value, dict) else value

    @staticmethod
    def _amount(value: Any) -> Any:
        if isinstance(value, int):
            return _plain(value)
        return _other(value)  # PredictionsScored.realized is a float64 column under the name of an amount

    @staticmethod
    def _amounts(value: bytes) -> list[msgspec.Raw]:
        return [_plain(v) for v in unpack_i64(value).tolist()]

    @staticmethod
    def _lots(value: Any) -> Any:
        return [[lot_id, *map(_plain, amounts)] for lot_id, *amounts in value]

    @staticmethod
    def _pairs(value: Any) -> Any:
        if value and isinstance(value[0], str):
            return [value[0], _plain(value[1])]
        return [[name, _plain(amount)] for name, amount in value]


def write_events(frames: Iterable[StoredFrame], universe: Universe, path: Path) -> int:
    """Write every event of every frame to ``path``; return how many lines."""
    writer = EventWriter(universe)
    count = 0
    with path.open("wb") as handle:
        for frame in frames:
            for number, event in enumerate(frame.events):
                handle.write(writer.line(frame, event, number) + b"\n")
                count += 1
    return count
