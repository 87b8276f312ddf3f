"""The prediction ledger: every signal is remembered until its horizon is over, then scored by what really happened.

``Nd`` matures at the close N sessions later, ``Nm`` at the first panel at or after N minutes. The realized return
runs from the price that stood beside the decision to the last known close at maturity, provided that the symbol
traded since; else it is NaN. The tradable return runs from the first price an order of the decision could have had:
the open of the symbol's next bar, on close-only data that bar's close. It is NaN where the horizon was over before
there was such a price (a one-day horizon on closes: the order fills at the very close that ends it).

Memory is bounded: at most ``limit`` predictions wait; what comes on top is counted in ``unremembered`` and not scored.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.messages.columns import SCORE_DIGITS, pack_i32, pack_i64, unpack_f64, unpack_i32, unpack_i64
from actors.messages.inference import PredictionsScored
from actors.messages.market import BarPanel
from actors.messages.portfolio import SignalsReady
from actors.predictor.binding import horizon_of
from actors.values.corporate import split_px
from actors.values.fixed import SCALE

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

LIMIT: Final = 20_000
SEARCH_PANELS_MAX: Final = 32
"""Panels after a decision in which its first tradable price is looked for; later bars are no fair entry any more."""

_INT64: Final = np.dtype("<i8")
_SCORE_SCALE: Final = 10.0**SCORE_DIGITS

Key = tuple[str, str]


class Entry:
    """The first tradable prices after one instant, shared by all decisions of that instant."""

    __slots__ = ("close_only", "first", "first_n", "missing", "n")

    def __init__(self, n: int) -> None:
        self.n = n
        """Number of the last panel before it."""
        self.first: F64 | None = None
        self.first_n: I64 | int = 0
        """Number of the panel that gave the price, per symbol or for all."""
        self.missing: I32 | None = None
        """Symbols still without a price; None: all."""
        self.close_only = False


class Pending:
    """One decision's predictions of one horizon."""

    __slots__ = ("at", "decision", "due", "entry", "horizon", "ids", "model", "price", "strategy")

    def __init__(self, event: SignalsReady, due: int, entry: Entry) -> None:
        self.strategy = event.strategy
        self.model = event.model or event.strategy
        self.decision = event.decision
        self.horizon = event.horizon
        self.due = due
        self.ids = self.at = event.ids
        """Symbols as they were predicted, and as they are called now."""
        self.price = event.price
        self.entry = entry


class PredictionLedger:
    """Waiting predictions and the prices they are measured by."""

    __slots__ = (
        "_dense_n",
        "_entry",
        "_last_n",
        "_n",
        "_owned",
        "_searching",
        "_session_queues",
        "_size",
        "_time_queues",
        "last",
        "last_fx",
        "limit",
        "n_symbols",
        "unremembered",
    )

    def __init__(self, n_symbols: int, limit: int = LIMIT) -> None:
        self.n_symbols = n_symbols
        self.limit = limit
        self.last: F64 = np.full(n_symbols, np.nan)
        """Last known close per symbol."""
        self.last_fx: I64 = np.zeros(n_symbols, dtype=np.int64)
        """The same in units of 1e-8; 0 before the first bar."""
        self.unremembered = 0
        self._owned = True
        self._n = 0
        self._dense_n = 0
        self._last_n: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._entry: Entry | None = None
        self._searching: deque[Entry] = deque()
        self._time_queues: dict[Key, deque[Pending]] = {}
        self._session_queues: dict[Key, deque[Pending]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of waiting predictions (decisions x horizons)."""
        return self._size

    # -- market ----------------------------------------------------------------------------------------------------

    def observe(self, panel: BarPanel) -> None:
        """Fold a panel: last prices, and first tradable prices of earlier decisions."""
        n = self._n = self._n + 1
        self._entry = None
        if panel.dense:
            # Panels are read-only and never change: the reference is enough.
            self.last = panel.close
            self.last_fx = panel.close_fx
            self._owned = False
            self._dense_n = n
        else:
            if not self._owned:
                self.last = self.last.copy()
                self.last_fx = self.last_fx.copy()
                self._owned = True
            ids = panel.ids
            self.last[ids] = panel.close
            self.last_fx[ids] = panel.close_fx
            self._last_n[ids] = n
        if self._searching:
            self._search(panel, n)

    def _search(self, panel: BarPanel, n: int) -> None:
        column = panel.close if panel.close_only else panel.open
        full: F64 | None = column if panel.dense else None
        present: npt.NDArray[np.bool_] | None = None
        still: deque[Entry] = deque()
        for entry in self._searching:
            entry.close_only |= panel.close_only
            if panel.dense and entry.missing is None:
                entry.first, entry.first_n = column, n
                continue
            if present is None:
                present = np.zeros(self.n_symbols, dtype=np.bool_)
                present[panel.ids] = True
                if full is None:
                    full = np.full(self.n_symbols, np.nan)
                    full[panel.ids] = column
            if entry.missing is None:
                entry.missing = np.arange(self.n_symbols, dtype=np.int32)
                entry.first = np.full(self.n_symbols, np.nan)
                entry.first_n = np.zeros(self.n_symbols, dtype=np.int64)
            assert entry.first is not None  # noqa: S101 - set with ``missing``
            assert full is not None  # noqa: S101 - set with ``present``
            hit = present[entry.missing]
            found = entry.missing[hit]
            entry.first[found] = full[found]
            if not isinstance(entry.first_n, int):  # an array as soon as ``missing`` is one
                entry.first_n[found] = n
            entry.missing = entry.missing[~hit]
            if len(entry.missing) and n - entry.n < SEARCH_PANELS_MAX:
                still.append(entry)
        self._searching = still

    # -- predictions -----------------------------------------------------------------------------------------------

    def add(self, event: SignalsReady, ts: int, session: int) -> None:
        """Remember a decision made on the panel of ``ts`` in the session numbered ``session``."""
        if self._size >= self.limit:
            self.unremembered += 1
            return
        entry = self._entry
        if entry is None:
            entry = self._entry = Entry(self._n)
            self._searching.append(entry)
        horizon = horizon_of(event.horizon)
        assert horizon is not None  # noqa: S101 - checked before it went into the event
        key = (event.strategy, event.horizon)
        if horizon.is_daily:
            queues, due = self._session_queues, session + horizon.sessions
        else:
            queues, due = self._time_queues, ts + horizon.ns
        queue = queues.get(key)
        if queue is None:
            queue = queues[key] = deque()
        queue.append(Pending(event, due, entry))
        self._size += 1

    def due_at(self, ts: int) -> list[PredictionsScored]:
        """Return the scores of what is over by the panel of ``ts``; nothing changes until they are folded."""
        queues = self._time_queues
        return self._due(queues, ts) if queues else []

    def due_in(self, session: int) -> list[PredictionsScored]:
        """Return the scores of what is over with the close of the session numbered ``session``."""
        queues = self._session_queues
        return self._due(queues, session) if queues else []

    def _due(self, queues: dict[Key, deque[Pending]], now: int) -> list[PredictionsScored]:
        scored: list[PredictionsScored] = []
        for queue in queues.values():
            for pending in queue:
                if pending.due > now:
                    break
                scored.append(self._score(pending))
        return scored

    def _score(self, pending: Pending) -> PredictionsScored:
        """Compute both returns in one block; rounded as ``pack_f64`` would."""
        entry = pending.entry
        whole = len(pending.ids) == 4 * self.n_symbols and pending.at is pending.ids
        ids: Any = slice(None) if whole else unpack_i32(pending.at)
        close = self.last if whole else self.last[ids]
        block = np.empty((2, len(close)), dtype="<f8")
        price = np.frombuffer(pending.price, dtype=_INT64) / SCALE
        np.divide(close, price, out=block[0])
        if entry.first is None:
            block[1] = np.nan
        else:
            np.divide(close, entry.first if whole else entry.first[ids], out=block[1])
        np.subtract(block, 1.0, out=block)
        np.multiply(block, _SCORE_SCALE, out=block)
        np.rint(block, out=block)
        np.divide(block, _SCORE_SCALE, out=block)
        np.add(block, 0.0, out=block)  # no negative zero
        if entry.n >= self._dense_n:
            block[0][self._last_n[ids] <= entry.n] = np.nan
        if entry.close_only and entry.first is not None:
            first_n = entry.first_n
            if isinstance(first_n, int):
                if first_n == self._n:
                    block[1] = np.nan
            else:
                block[1][first_n[ids] == self._n] = np.nan
        return PredictionsScored(
            pending.model,
            pending.decision,
            pending.horizon,
            pending.ids,
            block[0].tobytes(),
            block[1].tobytes(),
            pending.strategy,
        )

    def drop(self, event: PredictionsScored) -> None:
        """Forget what has been scored."""
        key = (event.strategy, event.horizon)
        for queues in (self._time_queues, self._session_queues):
            queue = queues.get(key)
            if queue and queue[0].decision == event.decision:
                queue.popleft()
                self._size -= 1
                if not queue:
                    del queues[key]
                return

    # -- corporate actions -----------------------------------------------------------------------------------------

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Say last prices, decision prices and first tradable ones in the units behind a split."""
        self._own()
        self.last[symbol] *= denominator / numerator
        self.last_fx[symbol] = split_px(int(self.last_fx[symbol]), numerator, denominator)
        for entry in self._entries():
            if entry.first is not None:
                entry.first = entry.first.copy()
                entry.first[symbol] *= denominator / numerator
        for pending in self._pendings():
            found = np.flatnonzero(unpack_i32(pending.at) == symbol)
            if len(found):
                price = unpack_i64(pending.price).copy()
                for row in found.tolist():
                    price[row] = split_px(int(price[row]), numerator, denominator)
                pending.price = pack_i64(price)

    def move(self, symbol: int, new: int) -> None:
        """Let another symbol go on where this one ends; what was predicted of it is scored by the new one's prices."""
        self._own()
        if self.last_fx[symbol]:
            self.last[new], self.last_fx[new] = self.last[symbol], self.last_fx[symbol]
            self._last_n[new] = max(self._last_n.item(new), self._last_n.item(symbol))
        self.last[symbol], self.last_fx[symbol] = np.nan, 0
        for entry in self._entries():
            if entry.first is not None and np.isnan(entry.first[new]):
                entry.first = entry.first.copy()
                entry.first[new] = entry.first[symbol]
                if not isinstance(entry.first_n, int):
                    entry.first_n[new] = entry.first_n[symbol]
        for pending in self._pendings():
            at = unpack_i32(pending.at)
            if (at == symbol).any():
                pending.at = pack_i32(np.where(at == symbol, new, at))

    def _own(self) -> None:
        if not self._owned:
            self.last = self.last.copy()
            self.last_fx = self.last_fx.copy()
            self._owned = True

    def _pendings(self) -> list[Pending]:
        queues = (*self._time_queues.values(), *self._session_queues.values())
        return [pending for queue in queues for pending in queue]

    def _entries(self) -> list[Entry]:
        """Return every first-price record that is still in use, each once."""
        found = {entry.n: entry for entry in self._searching}
        found |= {pending.entry.n: pending.entry for pending in self._pendings()}
        if self._entry is not None:
            found[self._entry.n] = self._entry
        return list(found.values())

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        rows: dict[int, Entry] = {}

        def number(entry: Entry) -> int:
            # There is but one entry per panel, so the panel's number names it.
            rows[entry.n] = entry
            return entry.n

        def queue_rows(queues: dict[Key, deque[Pending]]) -> list[Any]:
            return [
                [
                    *key,
                    [
                        [p.model, p.decision, p.due, p.ids, p.price, number(p.entry), None if p.at is p.ids else p.at]
                        for p in queue
                    ],
                ]
                for key, queue in queues.items()
            ]

        state = {
            "n": self._n,
            "dense_n": self._dense_n,
            "last": self.last.astype("<f8").tobytes(),
            "last_fx": self.last_fx.astype("<i8").tobytes(),
            "last_n": self._last_n.astype("<i8").tobytes(),
            "unremembered": self.unremembered,
            "time": queue_rows(self._time_queues),
            "sessions": queue_rows(self._session_queues),
            "entry": None if self._entry is None else number(self._entry),
            "searching": [number(entry) for entry in self._searching],
        }
        state["entries"] = [
            [
                entry.n,
                None if entry.first is None else entry.first.astype("<f8").tobytes(),
                entry.first_n if isinstance(entry.first_n, int) else entry.first_n.astype("<i8").tobytes(),
                None if entry.missing is None else entry.missing.astype("<i4").tobytes(),
                entry.close_only,
            ]
            for entry in rows.values()
        ]
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._n = state["n"]
        self._dense_n = state["dense_n"]
        self.last = unpack_f64(state["last"])
        self.last_fx = unpack_i64(state["last_fx"])
        self._owned = False
        self._last_n = unpack_i64(state["last_n"]).copy()
        self.unremembered = state["unremembered"]
        entries: dict[int, Entry] = {}
        for n, first, first_n, missing, close_only in state["entries"]:
            entry = Entry(n)
            entry.first = None if first is None else unpack_f64(first).copy()
            entry.first_n = first_n if isinstance(first_n, int) else unpack_i64(first_n).copy()
            entry.missing = None if missing is None else unpack_i32(missing)
            entry.close_only = close_only
            entries[n] = entry
        self._entry = None if state["entry"] is None else entries[state["entry"]]
        self._searching = deque(entries[i] for i in state["searching"])
        self._size = 0
        for name, queues in (("time", self._time_queues), ("sessions", self._session_queues)):
            queues.clear()
            for strategy, horizon, rows in state[name]:
                queues[strategy, horizon] = deque(self._pending(strategy, horizon, row, entries) for row in rows)
                self._size += len(rows)

    @staticmethod
    def _pending(strategy: str, horizon: str, row: list[Any], entries: dict[int, Entry]) -> Pending:
        model, decision, due, ids, price, entry, *later = row
        event = SignalsReady(
            strategy=strategy,
            decision=decision,
            horizon=horizon,
            ids=ids,
            score=b"",
            confidence=b"",
            p_up=b"",
            price=price,
            model=model,
        )
        pending = Pending(event, due, entries[entry])
        if later and later[0] is not None:  # a row of an older version ends before it
            pending.at = later[0]
        return pending
