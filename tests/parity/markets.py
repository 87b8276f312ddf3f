"""Random markets: bars with gaps and latecomers, quotes and prints, halts, bands, and corporate actions."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
import numpy as np

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
from daemon.kernel.message import Market

MINUTE: Final = 60 * 10**9
DAY: Final = 24 * 60 * MINUTE
SHARE: Final = 10**8
SYMBOLS: Final = ("AA", "BB", "CC", "DD")
STARTS: Final = (100.0, 20.0, 55.0, 7.0)
BARS: Final = 12
"""Minutes of bars in a session."""
RATIOS: Final = ((4, 1), (3, 2), (1, 10), (7, 3))


class World(msgspec.Struct, frozen=True):
    """What happens in a market.

    Attributes:
        ticks: share of the sessions in which some symbols have quotes, prints or both.
        statuses: symbols are halted, paused, banded and restricted.
        actions: symbols are split, pay dividends, are renamed and delisted.
        quoted: bars carry the quotes at their ends.
        close_only: bars have closes only.
        close: length of a session, nanoseconds.
    """

    ticks: float = 0.0
    statuses: bool = False
    actions: bool = False
    quoted: bool = False
    close_only: bool = False
    close: int = 390 * MINUTE


class Maker:
    """Writes one market; prices are in ``prices``, symbols that are gone in ``gone``."""

    def __init__(self, rng: random.Random, world: World, *, daily: bool) -> None:
        """Begin; all that is random comes from ``rng``."""
        self.rng, self.world, self.daily = rng, world, daily
        self.prices = np.array(STARTS)
        self.gone: list[int] = []
        self.found: list[Market] = []
        self.released: list[tuple[int, int]] = []

    def write(self, sessions: int) -> list[Market]:
        """Return a market of so many sessions."""
        rng, world = self.rng, self.world
        start = 1_577_975_400_000_000_000  # 2020-01-02 09:30 in New York
        for number in range(sessions):
            opened = start + number * DAY
            session = Session(20200102 + number, opened, opened + world.close, number)
            told = rng.random() < 0.95
            if world.actions:
                self.act(session)
            if told:
                self.found.append(SessionOpened(opened, session))
            ticking = [s for s in range(len(SYMBOLS)) if rng.random() < 0.6] if rng.random() < world.ticks else []
            kinds = {s: rng.choice(("quotes", "prints", "both")) for s in ticking}
            for bar in range(1 if self.daily else BARS):
                length = world.close if self.daily else MINUTE
                self.bar(session, opened + bar * length, length, kinds)
            if told and rng.random() < 0.95:
                self.found.append(SessionClosed(session.close_ts, session))
        return self.found

    def bar(self, session: Session, begin: int, length: int, kinds: dict[int, str]) -> None:
        """Write one bar of every symbol that has one, with the ticks and statuses inside it."""
        rng = self.rng
        alive = [s for s in range(len(SYMBOLS)) if s not in self.gone]
        inside: list[Market] = []
        if self.world.statuses:
            inside += self.status(begin, length)
        if kinds and rng.random() < 0.9:
            inside += self.ticks(begin, length, {s: k for s, k in kinds.items() if s in alive})
        self.found += sorted(inside, key=lambda body: body.ts)  # stable: what is written first of one instant stays so
        ids = [s for s in alive if rng.random() < 0.85] or alive[:1]
        if rng.random() < 0.6:
            ids = alive
        self.found.append(self.panel(ids, begin, begin + length, session.date))
        if rng.random() < 0.05:
            self.found.append(msgspec.structs.replace(self.found[-1], revision=1))
        if rng.random() < 0.05:
            self.found.append(NewsItem(begin + length, "n1", (0,), "nothing happened"))

    def panel(self, ids: list[int], start: int, end: int, date: int) -> BarPanel:
        """Return bars that go on from the last prices."""
        rng, prices, world = self.rng, self.prices, self.world
        opens = np.round(prices[ids] * np.array([1 + rng.gauss(0, 0.004) for _ in ids]), 2)
        closes = np.round(opens * np.array([1 + rng.gauss(0, 0.008) for _ in ids]), 2)
        prices[ids] = closes
        reach = np.array([abs(rng.gauss(0, 0.004)) for _ in ids])
        high = np.round(np.maximum(opens, closes) * (1 + reach), 2)
        low = np.round(np.minimum(opens, closes) * (1 - reach), 2)
        volume = np.array([rng.choice((float("nan"), 0.0, 300.0, 5e3, 1e6, 1e6)) for _ in ids])
        if world.close_only:
            opens = high = low = closes
        quotes: dict[str, Any] = {}
        if world.quoted:
            half = np.array([rng.choice((0.01, 0.05, float("nan"))) for _ in ids])
            quotes = {
                "bid_open": opens - half,
                "ask_open": opens + half,
                "bid_close": closes - half,
                "ask_close": closes + half,
            }
        return BarPanel(
            end,
            start,
            date,
            self.daily,
            np.array(ids, dtype=np.int32),
            len(ids) == len(SYMBOLS),
            opens,
            high,
            low,
            closes,
            np.rint(closes * SHARE).astype(np.int64),
            None if rng.random() < 0.1 else volume,
            close_only=world.close_only,
            **quotes,
        )

    def ticks(self, begin: int, length: int, kinds: dict[int, str]) -> list[Market]:
        """Return quotes and prints of a bar's time, of which the bar knows nothing."""
        rng = self.rng
        found: list[Market] = []
        mids = {s: float(self.prices[s]) for s in kinds}
        for at in sorted(rng.randrange(1, length + 1) for _ in range(rng.randrange(1, 5))):
            mids = {s: max(0.5, mid * (1 + rng.gauss(0, 0.002))) for s, mid in mids.items()}
            quoting = [s for s, kind in kinds.items() if kind != "prints" and rng.random() < 0.7]
            printing = [s for s, kind in kinds.items() if kind != "quotes" and rng.random() < 0.7]
            if quoting:
                half = [rng.choice((0.0, 0.01, 0.02, 0.05)) for _ in quoting]
                bid = np.array([round(mids[s], 2) - h for s, h in zip(quoting, half, strict=True)])
                ask = np.array([round(mids[s], 2) + h for s, h in zip(quoting, half, strict=True)])
                ids = np.array(quoting, dtype=np.int32)
                found.append(QuotePanel(begin + at, ids, bid, self.sizes(quoting), ask, self.sizes(quoting)))
            if printing:
                rows = sorted([*printing, rng.choice(printing)])
                px = np.array([round(mids[s] + rng.choice((-0.02, -0.01, 0.0, 0.01, 0.02)), 2) for s in rows])
                found.append(TradePanel(begin + at, np.array(rows, dtype=np.int32), px, self.sizes(rows)))
        for s, mid in mids.items():
            self.prices[s] = mid
        return found

    def sizes(self, rows: list[int]) -> Any:
        """Return a size for every row."""
        return np.array([self.rng.choice((1.0, 7.0, 100.0, 400.0, 5e3)) for _ in rows])

    def status(self, begin: int, length: int) -> list[Market]:
        """Return what is halted, banded or restricted from within a bar's time on, and what is over by then."""
        rng = self.rng
        found: list[Market] = []
        for due, symbol in [r for r in self.released if r[0] <= begin + length]:
            self.released.remove((due, symbol))
            found.append(TradingStatus(max(due, begin), symbol, "trading"))
        if rng.random() < (0.3 if self.daily else 0.08):
            at = begin + rng.randrange(length)
            symbol = rng.randrange(-1, len(SYMBOLS))
            state = rng.choice(("halted", "luld", "luld", "ssr", "odd"))
            bands: tuple[int | None, int | None] = (None, None)
            if state == "luld" and symbol >= 0 and rng.random() < 0.8:
                px = round(self.prices[symbol] * 100) * SHARE // 100
                bands = px - px // rng.choice((50, 200)), px + px // rng.choice((50, 200))
            found.append(TradingStatus(at, symbol, state, *bands, reason="told"))
            self.released.append((at + length * rng.randrange(1, 4), symbol))
        return found

    def act(self, session: Session) -> None:
        """Write what takes effect before a session's open; prices follow a split and go on otherwise."""
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1, 2))):
            alive = [s for s in range(len(SYMBOLS)) if s not in self.gone]
            symbol = rng.choice(alive)
            kind = rng.choice(("split", "split", "dividend", "dividend", "rename", "delist"))
            ts, date = session.open_ts, session.date
            if kind == "split":
                new, old = rng.choice(RATIOS)
                self.prices[symbol] = max(0.5, self.prices[symbol] * old / new)
                self.found.append(
                    CorporateAction(ts, date, symbol, kind, new * SHARE // old, numerator=new, denominator=old)
                )
            elif kind == "dividend":
                paid = rng.choice((None, date, date + 1, date + 100))
                self.found.append(CorporateAction(ts, date, symbol, kind, rng.choice((1, SHARE // 30, SHARE)), paid))
            elif len(self.gone) < 2:
                self.gone.append(symbol)
                others = [s for s in alive if s != symbol]
                to = rng.choice(others) if kind == "rename" else None
                value = rng.choice((-1, 3 * SHARE)) if kind == "delist" else 0
                self.found.append(CorporateAction(ts, date, symbol, kind, value, renamed_to=to))
