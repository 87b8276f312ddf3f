"""The guard against prices that cannot be believed: a factor that no market moves by from one price to the next.

A price is a jump if it lies at ``1 - max_jump`` times the symbol's last good price or below, or at that price divided
by ``1 - max_jump`` or above (0.5: at half or less, at twice or more). A jump is held back until ``confirmations``
prices in a row, each a jump, agree with each other within the same bound: from the last of these on the move is
believed. So a crossed wire, a price in cents or a single print somewhere else moves nothing, and a real fall is seen a
little later.

Between two sessions of prices that have no corporate actions folded in, a move of that size is a split that nobody told
us of far more often than news. There the symbol is *frozen* instead of believed: what comes later of it is held back
for good, because no position in it could be valued. An action of that symbol between the two dates explains any move.

Everything is judged in blocks as arrays; a loop runs only where something jumped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.feed.bars import F64, I64, Bool

_NO_DAY: Final = np.iinfo(np.int64).min


class JumpRule(msgspec.Struct, frozen=True):
    """What counts as a jump, and what becomes of it.

    Attributes:
        max_jump: a fraction above 0 and below 1; see the module.
        confirmations: prices in a row, from 1 (which believes everything).
        freezes: whether a jump between two days freezes the symbol.
        at_once: it does so with its first price; without, as soon as it is confirmed.
        explained: symbol -> dates of its corporate actions, days since 1970-01-01, ascending.
    """

    max_jump: float
    confirmations: int = 3
    freezes: bool = False
    at_once: bool = False
    explained: Mapping[str, Sequence[int]] = {}


class Prices(msgspec.Struct, eq=False):
    """Rows in order of time; R rows.

    Attributes:
        slot: [R] whose; positions in the guard's ``names``.
        low, high: [R] the least and the largest price that counts.
        last: [R] the one that later prices are compared with.
        day: [R] days since 1970-01-01.
    """

    slot: npt.NDArray[np.integer]
    low: F64
    high: F64
    last: F64
    day: I64


class Verdict(msgspec.Struct, eq=False):
    """What became of a block of rows.

    Attributes:
        held: [R] rows that are held back.
        frozen: (slot, row, last good price before) of what was frozen, and the row with which it was.
    """

    held: Bool
    frozen: list[tuple[int, int, float]]


class JumpGuard:
    """Judges prices block by block; what it knows of a symbol goes on from one block to the next.

    Attributes:
        names: symbols by slot; may grow.
        frozen: slots that are held back for good.
    """

    def __init__(self, rule: JumpRule) -> None:
        """Begin with nothing known."""
        self._rule = rule
        self._keep = 1.0 - rule.max_jump
        self.names: list[str] = []
        self.frozen: set[int] = set()
        self._good: F64 = np.zeros(0)
        """Last good price, NaN where none is known."""
        self._day: I64 = np.zeros(0, dtype=np.int64)
        self._pending: dict[int, _Pending] = {}

    def slots(self, names: Sequence[str]) -> None:
        """Have a slot for each name behind those there are."""
        self.names += names
        self._good = np.concatenate([self._good, np.full(len(names), np.nan)])
        self._day = np.concatenate([self._day, np.full(len(names), _NO_DAY)])

    def forget(self, slots: Sequence[int]) -> None:
        """Know nothing of these any more, but that they are frozen."""
        for slot in slots:
            self._good[slot], self._day[slot] = np.nan, _NO_DAY
            self._pending.pop(slot, None)

    def judge(self, rows: Prices) -> Verdict:
        """Judge a block, which is behind all blocks before."""
        held = np.zeros(len(rows.slot), dtype=np.bool_)
        verdict = Verdict(held, [])
        if not len(held):
            return verdict
        few = len(self.names) <= np.iinfo(np.uint16).max  # small keys sort by radix
        order = np.argsort(rows.slot.astype(np.uint16) if few else rows.slot, kind="stable")
        slot, last = rows.slot[order], rows.last[order]
        low, high = rows.low[order], rows.high[order]
        head = np.ones(len(order), dtype=np.bool_)
        head[1:] = slot[1:] != slot[:-1]
        heads = np.flatnonzero(head)
        before = np.empty(len(order))
        before[1:] = last[:-1]
        before[heads] = self._good[slot[heads]]
        suspect = (low <= before * self._keep) | (high * self._keep >= before)
        unsettled = self.frozen or self._pending
        if unsettled:
            open_slots = np.array([*self.frozen, *self._pending], dtype=np.int64)
            suspect[heads] |= np.isin(slot[heads], open_slots)
        ends = np.append(heads[1:], len(order))
        if suspect.any():
            at = np.flatnonzero(suspect)
            groups = np.unique(np.searchsorted(heads, at, "right") - 1)
            block = _Block(low, high, last, rows.day[order])
            for group in groups.tolist():
                begin, end = int(heads[group]), int(ends[group])
                inside = at[np.searchsorted(at, begin) : np.searchsorted(at, end)].tolist()
                self._walk(int(slot[begin]), begin, end, inside, block, held, verdict.frozen)
            calm = np.ones(len(heads), dtype=np.bool_)
            calm[groups] = False
            heads, ends = heads[calm], ends[calm]
            # Positions so far are those in order of slots.
            verdict.frozen = [(frozen, int(order[row]), good) for frozen, row, good in verdict.frozen]
            back = np.empty(len(order), dtype=np.int64)
            back[order] = np.arange(len(order))
            verdict.held = held[back]
        tails = ends - 1
        self._good[slot[tails]] = last[tails]
        self._day[slot[tails]] = rows.day[order[tails]]
        return verdict

    def _walk(
        self,
        slot: int,
        begin: int,
        end: int,
        suspects: list[int],
        block: _Block,
        held: Bool,
        frozen: list[tuple[int, int, float]],
    ) -> None:
        """Judge one symbol's rows ``begin`` to ``end``, of which all but the ``suspects`` follow closely on another."""
        if slot in self.frozen:
            held[begin:end] = True
            return
        row = begin
        while row < end:
            at = bisect_left(suspects, row)
            following = suspects[at] if at < len(suspects) else end
            if following > row:
                self._good[slot], self._day[slot] = block.last[following - 1], block.day[following - 1]
            row = following
            while row < end:
                word = self._step(slot, row, block)
                if word == _FREEZE:
                    frozen.append((slot, row, float(self._good[slot])))
                    self.frozen.add(slot)
                    self._pending.pop(slot, None)
                    held[row:end] = True
                    return
                held[row] = word == _HOLD
                row += 1
                if word == _TAKE:
                    break

    def _step(self, slot: int, row: int, block: _Block) -> int:
        rule, keep = self._rule, self._keep
        good, day = self._good[slot], self._day[slot]
        low, high, today = block.low[row], block.high[row], block.day[row]
        jumps = low <= good * keep or high * keep >= good
        another_day = today != day
        if jumps and another_day and self._is_explained(slot, int(day), int(today)):
            jumps = False
        crossing = rule.freezes and another_day
        if jumps:
            pending = self._pending.get(slot)
            if pending is not None and max(pending.high, high) * keep < min(pending.low, low):
                pending.count += 1
                pending.low, pending.high = min(pending.low, low), max(pending.high, high)
            else:
                pending = self._pending[slot] = _Pending(1, low, high, crossing)
            if pending.crossing and (rule.at_once or pending.count >= rule.confirmations):
                return _FREEZE
            if pending.count < rule.confirmations:
                return _HOLD
        self._pending.pop(slot, None)
        self._good[slot], self._day[slot] = block.last[row], today
        return _TAKE

    def _is_explained(self, slot: int, day: int, today: int) -> bool:
        days = self._rule.explained.get(self.names[slot], ())
        at = bisect_left(days, day + 1)
        return at < len(days) and days[at] <= today


_TAKE, _HOLD, _FREEZE = 0, 1, 2


class _Pending(msgspec.Struct):
    """Jumps in a row that agree: how many, their range, and whether the first came with another day."""

    count: int
    low: float
    high: float
    crossing: bool


class _Block(msgspec.Struct, eq=False):
    """Rows in order of slots."""

    low: F64
    high: F64
    last: F64
    day: I64


def unexplained(symbol: str, good: float, price: float, when: str, where: str) -> str:
    """Say that a symbol is frozen, why, and what to do."""
    return (
        f"{symbol} moved from {good:g} to {price:g} between two sessions, at {when} ({where}), and no corporate action "
        "says why: it is halted from then on and its later prices are left out; tell what happened with --actions, say "
        "--adjustment split if the prices are adjusted, or set feed.max_jump = 0"
    )


def wicks(opened: F64, high: F64, low: F64, close: F64, max_jump: float) -> Bool:
    """Tell which intraday bars reach out to a price that neither their open nor their close is near."""
    keep = 1.0 - max_jump
    beyond: Bool = (low <= np.minimum(opened, close) * keep) | (high * keep >= np.maximum(opened, close))
    return beyond
