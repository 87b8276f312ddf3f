"""Bars that cannot be believed, of a whole history at once; the rule stands in :mod:`actors.feed.jumps`."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from actors.feed.bars import I64, Bool, RawBars
from actors.feed.jumps import JumpGuard, JumpRule, Prices, unexplained, wicks
from actors.feed.quality import KINDS, Codes
from actors.feed.session import day_text
from actors.values.time import format_ts

JUMP: Final = KINDS.index("jump")


class Frozen(msgspec.Struct, frozen=True):
    """A symbol whose prices cannot be valued from one of its rows on.

    Attributes:
        symbol: its name.
        row: of the raw bars.
        notice: what the operator should know.
    """

    symbol: str
    row: int
    notice: str


def hold_back(raw: RawBars, rows: I64, day: I64, rule: JumpRule, codes: Codes) -> tuple[Bool, list[Frozen]]:
    """Judge the good rows of a history.

    A bar is a jump if its open or its close is one. An intraday bar is held back as well where only its high or low is
    far from both: a single print, of which nobody may be stopped out.

    Args:
        raw: what was read.
        rows: [K] positions of the good rows, in order of time.
        day: [K] exchange dates, days since 1970-01-01.
        rule: what is a jump.
        codes: [R] of ``raw``, changed in place.

    Returns:
        [K] which of the good rows are held back, and the symbols that are frozen.
    """
    opened, high, low, close = (raw.cols[name][rows] for name in ("open", "high", "low", "close"))
    ids = raw.ids[rows]
    if raw.ts is None:
        held = np.zeros(len(rows), dtype=np.bool_)
        rule = msgspec.structs.replace(rule, at_once=True)
    else:
        held = wicks(opened, high, low, close, rule.max_jump)
    some = np.flatnonzero(~held)
    least, most = np.minimum(opened, close), np.maximum(opened, close)
    prices = Prices(slot=ids, low=least, high=most, last=close, day=day)
    if len(some) < len(rows):
        prices = Prices(slot=ids[some], low=least[some], high=most[some], last=close[some], day=day[some])
    guard = JumpGuard(rule)
    guard.slots(raw.symbols)
    verdict = guard.judge(prices)
    held[some[verdict.held]] = True
    frozen = []
    for slot, place, good in verdict.frozen:
        row = int(rows[some[place]])
        symbol = raw.symbols[slot]
        when = day_text(int(raw.day[row])) if raw.ts is None else format_ts(int(raw.ts[row]))
        later = (ids == slot) & (np.arange(len(rows)) >= int(some[place]))
        held |= later
        notice = unexplained(symbol, good, float(raw.cols["open"][row]), when, raw.where(row))
        frozen.append(Frozen(symbol, row, notice))
    codes[rows[held]] = JUMP
    return held, frozen
