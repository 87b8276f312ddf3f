"""Walks the bars of one instant past the working orders, in the order in which fills happen.

First everything that meets an open: sales, then purchases, older orders first. Then the paths, all bars at the same
pace: every order that waits has one next meeting; what a meeting leads to (a condition met, an exit that comes to life)
may meet the rest of the same path. Last the closing auction, where the bar ends its session.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from actors.broker import meeting, trailing
from actors.broker.acceptance import NO_AUCTIONS, POST_ONLY_WOULD_TAKE
from actors.broker.costs import half_spread
from actors.broker.execution import Execution
from actors.broker.matching import INTRABAR, OPEN, Bar, Match, match_limit, match_market, match_stop
from actors.broker.order_state import Auction, Mode, WorkingOrder
from actors.broker.path import Path
from actors.broker.resting import RestingOrders
from actors.messages.market import BarPanel
from actors.values.fixed import SCALE

AtOpen = tuple[int, int, int, WorkingOrder, Match]
"""(side, order number, row of the panel, order, match): sales sort first, then the older."""

Step = tuple[float, int, int, int, int, WorkingOrder, Match, Path]
"""(time, age of the oldest order it hangs together with, 0 taker or 1 maker, age, row, order, match, path)."""


class Waiting(msgspec.Struct, gc=False):
    """An order that did not meet the open: live from ``px`` on ``leg``; ``match`` where it is known already."""

    row: int
    bar: Bar
    order: WorkingOrder
    match: Match | None = None
    px: int = 0


class BarRules(msgspec.Struct, frozen=True, gc=False):
    """What holds for a whole panel.

    Attributes:
        on_touch: a limit fills where a bar only touches it.
        opening: symbols with an order for the opening whose first bar of the session under way this is.
        session_close: when it closes, 0 where none is under way.
    """

    on_touch: bool
    opening: frozenset[int] = frozenset()
    session_close: int = 0


def quoted(panel: BarPanel, row: int, source: str) -> int | None:
    """Return half the quoted spread where a bar was traded at: its last known quote before, or None."""
    bid, ask = (panel.bid_open, panel.ask_open) if source in (OPEN, INTRABAR) else (panel.bid_close, panel.ask_close)
    if bid is None or ask is None:
        return None
    return half_spread(bid.item(row), ask.item(row))


def arrival(panel: BarPanel, row: int) -> int:
    """Return the market's price when a bar begins: the mid of its first quotes where known, else its open."""
    if panel.bid_open is not None and panel.ask_open is not None:
        bid = panel.bid_open.item(row)
        half = half_spread(bid, panel.ask_open.item(row))
        if half is not None:
            return round(bid * SCALE) + half
    return round(panel.open.item(row) * SCALE)


def bar_of(panel: BarPanel, row: int) -> Bar:
    """Return one row of a panel."""
    opened, high, low = (round(column.item(row) * SCALE) for column in (panel.open, panel.high, panel.low))
    return Bar(opened, high, low, panel.close_fx.item(row), panel.close_only)


def offer(panel: BarPanel, row: int, symbol: int, execution: Execution, used: int = 0) -> None:
    """Give the symbol's orders their share of the bar's volume, where volume is known."""
    if panel.volume is not None:
        execution.offer_volume(symbol, panel.volume.item(row), used)


class BarWalk:
    """One panel's walk past the working orders."""

    __slots__ = ("_closing", "_execution", "_has_quotes", "_opens", "_panel", "_resting", "_rules", "_waiting")

    def __init__(self, panel: BarPanel, resting: RestingOrders, execution: Execution, rules: BarRules) -> None:
        """Begin a walk.

        Args:
            panel: the instant.
            resting: the working orders.
            execution: takes the fills.
            rules: of the instant.
        """
        self._panel = panel
        self._resting = resting
        self._execution = execution
        self._rules = rules
        self._has_quotes = panel.bid_open is not None or panel.bid_close is not None
        self._opens: list[AtOpen] = []
        self._waiting: list[Waiting] = []
        self._closing: list[AtOpen] = []

    def run(self, rows: list[int]) -> None:
        """Fill what the bars of ``rows`` (ascending; they may touch an order) fill."""
        panel = self._panel
        volume = panel.volume
        offers = self._execution.shares_volume
        choice = False
        for row in rows:
            symbol = row if panel.dense else panel.ids.item(row)
            if volume is not None:
                traded = volume.item(row)
                if not traded > 0:  # also true for NaN
                    continue
                if offers:
                    self._execution.offer_volume(symbol, traded)
            choice |= self._meet_open(row, self._resting.of(symbol))
        self._opens.sort()  # an order's number is unique, so nothing behind it is compared
        if choice:
            _worse_leg_first(self._opens)
        self._fill_opens()
        if self._waiting:
            self._walk()
        for _, _, row, order, match in sorted(self._closing):
            now = self._execution.now_of(order)
            if now is not None:
                self._fill(row, now, match)

    # -- the open --------------------------------------------------------------------------------------------------

    def _fill_opens(self) -> None:
        """Fill what meets an open, in order."""
        execution, quotes = self._execution, self._has_quotes
        ended, present = execution.ended, execution.present
        for _, n, row, order, match in self._opens:
            if n in ended:
                continue
            if present:
                order = present.get(n, order)  # noqa: PLW2901 - the same order, as it is by now
            if order.market and not (quotes or order.linked or order.arrival_px) and match.source == OPEN:
                execution.fill(order, match, None, match.ref)  # what most are, without the calls that others need
            else:
                self._meet(row, order, match)

    def _meet_open(self, row: int, orders: Iterable[WorkingOrder]) -> bool:
        """Sort one symbol's orders into those that meet the open and others; tell whether a resting exit meets it."""
        choice = False
        panel, rules = self._panel, self._rules
        start_ts, on_touch = panel.start_ts, rules.on_touch
        open_px = round(panel.open.item(row) * SCALE)
        bar: Bar | None = None
        for order in orders:
            if order.auction and not self._in_auction(row, order):
                continue
            if order.live_from > start_ts:
                continue
            match: Match | None
            if order.market:
                match = match_market(open_px, close_only=panel.close_only)
                self._opens.append((order.side, order.n, row, order, match))
                continue
            mode = order.mode
            if bar is None:
                high, low = round(panel.high.item(row) * SCALE), round(panel.low.item(row) * SCALE)
                bar = Bar(open_px, high, low, panel.close_fx.item(row), panel.close_only)
            if mode is Mode.LIMIT:
                assert order.limit_px is not None  # noqa: S101 - acceptance checked it; mypy cannot know
                match = match_limit(order.side, order.limit_px, bar, on_touch=on_touch, taking=order.taking)
                if match is not None and not match.maker and order.terms is not None and order.terms.post_only:
                    self._execution.cancel(order, POST_ONLY_WOULD_TAKE)  # no price was known when it came in
                    continue
            elif mode is Mode.STOP:
                assert order.stop_px is not None  # noqa: S101
                match = match_stop(order.side, order.stop_px, bar)
            else:
                match = self._meet_condition(row, bar, order)
            if match is None:
                continue
            if match.source == INTRABAR:
                if not (order.immediate or order.auction):  # those had their one chance at the open
                    self._waiting.append(Waiting(row, bar, order, match))
                continue
            choice |= match.maker and bool(order.order.lot_id or order.linked)
            self._opens.append((order.side, order.n, row, order, match))
        return choice

    def _meet_condition(self, row: int, bar: Bar, order: WorkingOrder) -> Match | None:
        """Return what an order with a condition does at the open; otherwise it waits, if the bar may meet it."""
        if order.mode is Mode.TRAIL and trailing.out_of_reach(order, bar.high, bar.low):
            return None
        match = meeting.at(order, bar, bar.open, on_touch=self._rules.on_touch)
        if match is None:
            self._waiting.append(Waiting(row, bar, order, px=bar.open))
        return match

    def _in_auction(self, row: int, order: WorkingOrder) -> bool:
        """Tell whether an auction order is for this bar's open; one for the close waits until the bar is over."""
        panel, rules = self._panel, self._rules
        if panel.close_only:
            self._execution.cancel(order, NO_AUCTIONS)
            return False
        if order.auction is Auction.OPEN:
            return order.symbol in rules.opening
        # The bars may be told behind the close: what came in since is for the next one.
        if panel.ts == rules.session_close and order.live_from <= panel.ts:
            match = meeting.in_close(order, panel.close_fx.item(row), on_touch=rules.on_touch)
            if match is not None:
                self._closing.append((order.side, order.n, row, order, match))
        return False

    # -- meetings --------------------------------------------------------------------------------------------------

    def _fill(self, row: int, order: WorkingOrder, match: Match) -> None:
        half = quoted(self._panel, row, match.source) if self._has_quotes else None
        if order.arrival_px:
            at = 0
        elif match.source == OPEN and not self._has_quotes:
            at = match.ref  # the open itself
        else:
            at = arrival(self._panel, row)
        self._execution.fill(order, match, half, at)

    def _meet(self, row: int, order: WorkingOrder, match: Match) -> None:
        """Fill an order at the open, or let it work as a limit where that is what its condition leads to."""
        execution = self._execution
        if match.triggers and order.limit_px is not None:
            changed = execution.trigger(order, match.ref)
            if changed is None:
                return
            bar = bar_of(self._panel, row)
            limit = meeting.at(changed, bar, match.ref, on_touch=self._rules.on_touch)
            if limit is None:
                self._waiting.append(Waiting(row, bar, changed, px=match.ref))
                return
            order, match = changed, limit
        self._fill(row, order, match)
        for born in execution.born:
            self._waiting.append(Waiting(row, bar_of(self._panel, row), born.order, px=match.ref))
        execution.born.clear()

    # -- the paths -------------------------------------------------------------------------------------------------

    def _walk(self) -> None:
        """Let the paths meet what waits, in the order in which they do; positions are those behind the open."""
        execution = self._execution
        steps: list[Step] = []
        for waiting in self._waiting:
            order = execution.now_of(waiting.order)
            if order is None:
                continue
            # Whoever is flat is hurt by the side that is worse for what the order would open.
            held = execution.held(order.portfolio, order.symbol) or order.side
            path = Path(waiting.bar, held)
            match = waiting.match
            if match is None:
                match = meeting.along(order, path, 1, waiting.px, on_touch=self._rules.on_touch)
            else:
                match = meeting.placed(order, match, path)
            if match is not None:
                steps.append(self._entry(waiting.row, order, match, path))
        heapq.heapify(steps)
        while steps:
            _, _, _, _, row, order, match, path = heapq.heappop(steps)
            now = execution.now_of(order)
            if now is None:
                continue
            self._step(steps, row, now, match, path)

    def _step(self, steps: list[Step], row: int, order: WorkingOrder, match: Match, path: Path) -> None:
        """Do what the next meeting leads to, and add the meetings that follow from it."""
        execution, on_touch = self._execution, self._rules.on_touch
        leg = abs(match.leg)
        if match.triggers and order.limit_px is not None:
            changed = execution.trigger(order, match.ref)
            follow = [] if changed is None else [changed]
        else:
            self._fill(row, order, match)
            follow = [born.order for born in execution.born]
            execution.born.clear()
        for changed in follow:
            found = meeting.along(changed, path, leg, match.ref, on_touch=on_touch)
            if found is not None:
                heapq.heappush(steps, self._entry(row, changed, found, path))

    def _entry(self, row: int, order: WorkingOrder, match: Match, path: Path) -> Step:
        time = path.time(abs(match.leg), match.ref)
        return time, self._execution.kin(order), int(match.maker), order.n, row, order, match, path


def _worse_leg_first(opens: list[AtOpen]) -> None:
    """Put in order the exits that meet the same open and of which one ends the other: first the one that pays.

    No path decides between them, so the account gets the worse; other orders keep their places. Inside a bar the path
    always decides: a stop lies on the one side of the open, a target on the other.
    """
    places: dict[str, list[int]] = {}
    for place, (_, _, _, order, _) in enumerate(opens):
        kin = order.order.lot_id or meeting.family(order)
        if kin:
            places.setdefault(kin, []).append(place)
    for taken in places.values():
        legs = sorted((opens[place] for place in taken), key=lambda leg: leg[4].maker)
        for place, leg in zip(taken, legs, strict=True):
            opens[place] = leg


def closing_match(order: WorkingOrder, *, on_touch: bool) -> Match | None:
    """Return where an order for the close trades at a session's end whose last bar came earlier, None where not."""
    return meeting.in_close(order, order.last_px, on_touch=on_touch) if order.last_px else None
