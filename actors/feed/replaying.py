"""Streams of inputs: ticks laid between sessions, the same inputs at later dates, and under other ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from actors.feed.panel import freeze
from actors.feed.session import date_to_day, days_to_dates
from actors.messages.market import (
    BarPanel,
    CorporateAction,
    NewsItem,
    QuotePanel,
    SessionClosed,
    SessionOpened,
    TradePanel,
    TradingStatus,
)
from actors.values.session import Session
from actors.values.time import DAY_NS
from actors.values.universe import Universe
from daemon.kernel.message import Market


def merge_sessions(frame: Iterator[Market], ticks: Iterator[Market]) -> Iterator[Market]:
    """Lay ticks between the openings, bars and closings of a calendar.

    Args:
        frame: session marks and bars in their order.
        ticks: quotes, trades and headlines in order of time.

    Yields:
        Both by time; at one instant ticks come behind the last opening of that instant, and first where none opens.
    """
    tick = next(ticks, None)
    mark = next(frame, None)
    while mark is not None and tick is not None:
        ts = mark.ts
        while tick is not None and tick.ts < ts:
            yield tick
            tick = next(ticks, None)
        if tick is None or tick.ts > ts:
            yield mark
            mark = next(frame, None)
            continue
        together = []
        while mark is not None and mark.ts == ts:
            together.append(mark)
            mark = next(frame, None)
        opened = max((i + 1 for i, one in enumerate(together) if type(one) is SessionOpened), default=0)
        yield from together[:opened]
        while tick is not None and tick.ts == ts:
            yield tick
            tick = next(ticks, None)
        yield from together[opened:]
    if mark is not None:
        yield mark
    if tick is not None:
        yield tick
    yield from frame
    yield from ticks


def shifted(inputs: Iterator[Market], turn: int, days: int, sessions: int) -> Iterator[Market]:
    """Move inputs to the ``turn``-th repetition of a recording.

    Args:
        inputs: of the recording.
        turn: 1 for the first repetition.
        days: days from one repetition to the next, a multiple of 7.
        sessions: how many sessions one pass has; session numbers go on counting.
    """
    by, ahead, numbers = turn * days * DAY_NS, turn * days, turn * sessions
    dates: dict[int, int] = {}

    def later(date: int) -> int:
        moved = dates.get(date)
        if moved is None:
            moved = dates[date] = int(days_to_dates(np.array([date_to_day(date) + ahead]))[0])
        return moved

    for message in inputs:
        changes: dict[str, Any] = {"ts": message.ts + by}
        if isinstance(message, BarPanel):
            changes |= {"start_ts": message.start_ts + by, "session": later(message.session)}
        elif isinstance(message, SessionOpened | SessionClosed):
            was = message.session
            changes["session"] = Session(later(was.date), was.open_ts + by, was.close_ts + by, was.number + numbers)
            if isinstance(message, SessionOpened):  # what only the first session of a run may know
                changes |= {"first_opens": (), "first_end": 0}
        elif isinstance(message, CorporateAction):
            pay_date = None if message.pay_date is None else later(message.pay_date)
            changes |= {"ex_date": later(message.ex_date), "pay_date": pay_date}
        elif isinstance(message, NewsItem):
            changes["news_id"] = f"{message.news_id}~{turn}"
        yield msgspec.structs.replace(message, **changes)


def remapped(inputs: Iterator[Market], old: Universe, new: Universe) -> Iterator[Market]:
    """Give panels the ids of another universe that has all their symbols, both in alphabetical order."""
    index = new.index()
    ids = np.array([index[symbol] for symbol in old.symbols], dtype=np.int32)
    same = old.symbols == new.symbols
    for message in inputs:
        if isinstance(message, TradingStatus) and message.symbol >= 0:
            yield msgspec.structs.replace(message, symbol=int(ids[message.symbol]))
        elif isinstance(message, CorporateAction):
            target = message.renamed_to
            moved_to = None if target is None else int(ids[target])
            yield msgspec.structs.replace(message, symbol=int(ids[message.symbol]), renamed_to=moved_to)
        elif same or not isinstance(message, BarPanel | QuotePanel | TradePanel):
            opened = isinstance(message, SessionOpened)
            yield msgspec.structs.replace(message, first_opens=(), first_end=0) if opened else message
        elif isinstance(message, BarPanel):
            moved = freeze(ids[message.ids])
            yield msgspec.structs.replace(message, ids=moved, dense=len(moved) == len(new))
        else:
            yield msgspec.structs.replace(message, ids=freeze(ids[message.ids]))
