"""Quotes and trades that cannot be believed, file by file; the rule stands in :mod:`actors.feed.jumps`.

Files are judged once, when they are looked through; what is held back is remembered by file and line, so that playing
can begin anywhere. What is known of a symbol goes on from one file to the next where that one begins later.

The two sides of a quote are prices of their own. Quotes never freeze a symbol: before an opening they may stand
anywhere.
"""

from __future__ import annotations

import copy
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.feed.bars import F64, I64, Bool
from actors.feed.jumps import JumpGuard, JumpRule, Prices, unexplained
from actors.feed.ticks import TickRows
from actors.values.time import format_ts

SIDES: Final = {"quotes": ("bid_px", "ask_px"), "trades": ("price",)}
_SMALLEST_PRICE: Final = 0.5e-8  # what still rounds to 1e-8
_LONG_AGO: Final = np.iinfo(np.int64).min
_NEVER: Final = np.iinfo(np.int64).max


class TickGuard:
    """Judges the rows of all files of one kind.

    Attributes:
        frozen: symbol -> nanoseconds UTC from which on it is held back.
        notices: what the operator should know.
    """

    def __init__(self, kind: str, rule: JumpRule) -> None:
        """Begin with nothing known of ``quotes`` or ``trades``."""
        self._sides = SIDES[kind]
        if kind == "quotes":
            rule = msgspec.structs.replace(rule, freezes=False)
        self._guards = [JumpGuard(rule) for _ in self._sides]
        self._slot: dict[str, int] = {}
        self._last: I64 = np.zeros(0, dtype=np.int64)
        """[slots] time of the newest row."""
        self.frozen: dict[str, int] = {}
        self.notices: list[str] = []
        self._held: dict[int, list[I64]] = {}
        self._lookup: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._unit = self._path = ""
        self._number = 0

    def begin(self, path: str, unit: str, number: int) -> TickGuard:
        """Turn to a file; return the guard as it was before, for a file that has to be looked through again."""
        before = copy.deepcopy(self)
        self._path, self._unit, self._number = path, unit, number
        self._lookup = np.zeros(0, dtype=np.int32)
        return before

    def look(self, rows: TickRows, names: dict[str, int], judged: Bool) -> Bool:
        """Return which rows of a block are held back.

        Args:
            rows: in order of time, with the ids of ``names``.
            names: symbol -> id in this file; may have grown.
            judged: [R] rows that count.
        """
        self._meet(list(names)[len(self._lookup) :], int(rows.ts[0]))
        slot = self._lookup[rows.ids]
        held = np.zeros(len(rows), dtype=np.bool_)
        if self.frozen:
            since = self._since()[slot]
            judged = judged & ~((since != _NEVER) & (rows.ts < since))  # of a file that was named out of order
        for guard, side in zip(self._guards, self._sides, strict=True):
            price = rows.cols[side]
            with np.errstate(invalid="ignore"):
                some = np.flatnonzero(judged & (price > _SMALLEST_PRICE))
            px: F64 = price[some]
            verdict = guard.judge(Prices(slot=slot[some], low=px, high=px, last=px, day=rows.day[some]))
            held[some[verdict.held]] = True
            for frozen, place, good in verdict.frozen:
                self._freeze(rows, int(some[place]), frozen, good)
        self._last[slot] = rows.ts  # of rows of one symbol the last stays
        lines = rows.line[held & (rows.ts < self._since()[slot])]  # what is behind, time tells
        if len(lines):
            self._held.setdefault(self._number, []).append(lines)
        return held

    def _meet(self, new: list[str], ts: int) -> None:
        """Give symbols of a file their slots; forget what is known of those of which it has earlier rows."""
        unknown = [name for name in new if name not in self._slot]
        self._slot.update({name: len(self._slot) + i for i, name in enumerate(unknown)})
        self._last = np.concatenate([self._last, np.full(len(unknown), _LONG_AGO)])
        slots = np.array([self._slot[name] for name in new], dtype=np.int32)
        self._lookup = np.concatenate([self._lookup, slots])
        again = [slot for slot in slots.tolist() if self._last[slot] > ts]
        for guard in self._guards:
            guard.slots(unknown)
            guard.forget(again)

    def _freeze(self, rows: TickRows, row: int, slot: int, good: float) -> None:
        symbol, ts = self._guards[0].names[slot], int(rows.ts[row])
        self.frozen[symbol] = ts
        where = f"{self._path} {self._unit} {int(rows.line[row])}"
        price = float(rows.cols[self._sides[0]][row])
        self.notices.append(unexplained(symbol, good, price, format_ts(ts), where))

    def _since(self) -> I64:
        """Return by slot from when on it is frozen."""
        since = np.full(len(self._slot), _NEVER)
        for name, at in self.frozen.items():
            since[self._slot[name]] = at
        return since

    def drops(self, rows: TickRows) -> Bool:
        """Return which rows, of any of the files, are held back by file and line."""
        dropped = np.zeros(len(rows), dtype=np.bool_)
        for number, parts in self._held.items():
            of = rows.file == number
            if of.any():
                dropped |= of & np.isin(rows.line, np.concatenate(parts))
        return dropped

    @property
    def holds(self) -> bool:
        """Whether anything is held back by file and line."""
        return bool(self._held)
