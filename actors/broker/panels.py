"""Small questions to a bar panel, and a panel as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.messages.market import F64, BarPanel


def row_of(panel: BarPanel, symbol: int) -> int:
    """Return the symbol's row in the panel, -1 where it has none."""
    if panel.dense:
        return symbol
    row = int(panel.ids.searchsorted(symbol))
    return row if row < panel.ids.size and panel.ids.item(row) == symbol else -1


def trades(panel: BarPanel, row: int) -> bool:
    """Tell whether a bar can fill anything: zero volume is no trade, null volume is no knowledge of one."""
    return panel.volume is None or panel.volume.item(row) > 0  # false for NaN


def pack_panel(panel: BarPanel) -> list[Any]:
    """Return what a fill at the close needs of a panel, as plain values for a snapshot."""

    def raw(column: F64 | None) -> bytes | None:
        return None if column is None else column.tobytes()

    return [
        panel.ts,
        panel.start_ts,
        panel.session,
        panel.daily,
        panel.ids.tobytes(),
        panel.dense,
        panel.close.tobytes(),
        panel.close_fx.tobytes(),
        raw(panel.volume),
        raw(panel.bid_close),
        raw(panel.ask_close),
    ]


def unpack_panel(row: list[Any]) -> BarPanel:
    """Build a panel that knows only its close from what :func:`pack_panel` gave."""

    def column(data: bytes | None) -> F64 | None:
        return None if data is None else np.frombuffer(data, dtype=np.float64)

    close = np.frombuffer(row[6], dtype=np.float64)
    return BarPanel(
        ts=row[0],
        start_ts=row[1],
        session=row[2],
        daily=row[3],
        ids=np.frombuffer(row[4], dtype=np.int32),
        dense=row[5],
        open=close,
        high=close,
        low=close,
        close=close,
        close_fx=np.frombuffer(row[7], dtype=np.int64),
        volume=column(row[8]),
        close_only=True,
        bid_close=column(row[9]),
        ask_close=column(row[10]),
    )
