"""Tapes for tests: panels of a few symbols over a few sessions, and a writer for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from actors.messages.catalogue import MARKET
from actors.messages.market import BarPanel, NewsItem, SessionClosed, SessionOpened
from actors.values import Session
from daemon.journal.batch import TapeRow
from daemon.journal.market_codec import MarketCodec
from daemon.journal.tape import TapeWriter
from daemon.kernel.message import Market

CODEC = MarketCodec(MARKET)
SYMBOLS = ("AAA", "BBB", "CCC")
UNIVERSE: dict[str, Any] = {"symbols": list(SYMBOLS)}
DAY_NS = 86_400_000_000_000
FIRST_TS = 1_704_205_800_000_000_000  # 2024-01-02 14:30 UTC


def bar(day: int, ts: int, cents: int = 10_000) -> BarPanel:
    """Return a panel of every symbol; its prices depend on ``cents``."""
    close = (np.arange(len(SYMBOLS)) + cents) / 100
    ids = np.arange(len(SYMBOLS), dtype=np.int32)
    fixed = np.rint(close * 1e8).astype(np.int64)
    return BarPanel(ts, ts - 60, day, False, ids, True, close, close + 0.5, close - 0.5, close, fixed, None)


def session_rows(days: int, bars: int = 4, first_seq: int = 1) -> list[TapeRow]:
    """Return opening, bars and closing of each of some days in January 2024, and news that name no day."""
    rows: list[TapeRow] = []
    for n in range(days):
        day, opened = 20240102 + n, FIRST_TS + n * DAY_NS
        session = Session(day, opened, opened + 1000, n)
        bodies: list[Market] = [SessionOpened(opened, session)]
        bodies += [bar(day, opened + 10 * (i + 1), 10_000 + 100 * n + i) for i in range(bars)]
        bodies += [SessionClosed(opened + 1000, session), NewsItem(opened + 2000, f"n{n}", (0, 2), "headline")]
        rows += [TapeRow(first_seq + len(rows) + i, body.ts, body) for i, body in enumerate(bodies)]
    return rows


def writer(folder: Path) -> TapeWriter:
    """Return a writer for the folder."""
    return TapeWriter(folder, CODEC, UNIVERSE)


def equal(one: object, two: object) -> bool:
    """Whether two rows, messages or values are the same to the last bit; arrays in dtype, bytes and writability."""
    if isinstance(one, np.ndarray):
        return isinstance(two, np.ndarray) and one.dtype == two.dtype and one.tobytes() == two.tobytes()
    if type(one) is not type(two):
        return False
    fields = getattr(one, "__struct_fields__", None)
    if fields is not None:
        return all(equal(getattr(one, name), getattr(two, name)) for name in fields)
    return bool(one == two)


def equal_rows(one: list[TapeRow], two: list[TapeRow]) -> bool:
    """Whether two lists of rows are the same to the last bit."""
    return len(one) == len(two) and all(equal(a, b) for a, b in zip(one, two, strict=True))
