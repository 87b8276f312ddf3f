"""Walks the bars of one instant past the working orders, in the order in which fills happen."""

from __future__ import annotations

from collections.abc import Iterable

from actors.broker.costs import half_spread
from actors.broker.execution import Execution
from actors.broker.matching import INTRABAR, OPEN, Bar, Match, match_limit, match_market, match_stop, path_time
from actors.broker.order_state import WorkingOrder
from actors.broker.resting import RestingOrders
from actors.messages.market import BarPanel
from actors.messages.orders import OrderType
from actors.values.fixed import SCALE

AtOpen = tuple[int, int, int, WorkingOrder, Match]
"""(side, order number, row of the panel, order, match): sales sort first, then the older."""

Inside = tuple[int, Bar, WorkingOrder, Match]
"""(row of the panel, bar, order, match)"""


def quoted(panel: BarPanel, row: int, source: str) -> int | None:
    """Return half the quoted spread where a bar was traded at: its last known quote before, or None."""
    bid, ask = (panel.bid_open, panel.ask_open) if source in (OPEN, INTRABAR) else (panel.bid_close, panel.ask_close)
    if bid is None or ask is None:
        return None
    return half_spread(bid.item(row), ask.item(row))


def offer(panel: BarPanel, row: int, symbol: int, execution: Execution, used: int = 0) -> None:
    """Give the symbol's orders their share of the bar's volume, where volume is known."""
    if panel.volume is not None:
        execution.offer_volume(symbol, panel.volume.item(row), used)


def match_bars(
    panel: BarPanel, rows: list[int], resting: RestingOrders, execution: Execution, *, on_touch: bool
) -> None:
    """Fill what the bars of ``rows`` fill: sales at the open, purchases at the open, then along the paths.

    Args:
        panel: the instant.
        rows: its rows that may touch an order, ascending.
        resting: the working orders.
        execution: takes the fills.
        on_touch: whether a limit fills where a bar only touches it.
    """
    opens: list[AtOpen] = []
    inside: list[Inside] = []
    volume = panel.volume
    choice = False
    for row in rows:
        symbol = row if panel.dense else panel.ids.item(row)
        if volume is not None:
            traded = volume.item(row)
            if not traded > 0:  # also true for NaN
                continue
            execution.offer_volume(symbol, traded)
        choice |= _meet_all(panel, row, resting.of(symbol), opens, inside, on_touch=on_touch)
    opens.sort()  # an order's number is unique, so nothing behind it is compared
    if choice:
        _worse_leg_first(opens)
    has_quotes = panel.bid_open is not None or panel.bid_close is not None
    for _, _, row, order, match in opens:
        execution.fill(order, match, quoted(panel, row, match.source) if has_quotes else None)
    if inside:
        _fill_inside(panel, inside, execution)


def _meet_all(
    panel: BarPanel,
    row: int,
    orders: Iterable[WorkingOrder],
    opens: list[AtOpen],
    inside: list[Inside],
    *,
    on_touch: bool,
) -> bool:
    """Add what one symbol's bar meets to ``opens`` and ``inside``; tell whether an exit that rests meets its open."""
    choice = False
    start_ts = panel.start_ts
    open_px = round(panel.open.item(row) * SCALE)
    bar: Bar | None = None
    for order in orders:
        if order.live_from > start_ts:
            continue
        match: Match | None
        if order.market:
            match = match_market(open_px, close_only=panel.close_only)
        else:
            if bar is None:
                high, low = round(panel.high.item(row) * SCALE), round(panel.low.item(row) * SCALE)
                bar = Bar(open_px, high, low, panel.close_fx.item(row), panel.close_only)
            if order.limit_px is not None:
                match = match_limit(order.side, order.limit_px, bar, on_touch=on_touch, taking=order.taking)
            else:
                assert order.stop_px is not None  # noqa: S101 - acceptance takes no fourth type; mypy cannot know
                match = match_stop(order.side, order.stop_px, bar)
            if match is None:
                continue
            if match.source == INTRABAR:
                inside.append((row, bar, order, match))
                continue
            choice |= match.maker and order.order.lot_id != ""
        opens.append((order.side, order.n, row, order, match))
    return choice


def _worse_leg_first(opens: list[AtOpen]) -> None:
    """Put in order the exits of one lot that meet the same open: the one that pays for liquidity, then the other.

    No path decides between them, so the account gets the worse; other orders keep their places. Inside a bar the path
    always decides: a stop lies on the one side of the open, a target on the other.
    """
    places: dict[str, list[int]] = {}
    for place, (_, _, _, order, _) in enumerate(opens):
        if order.order.lot_id:
            places.setdefault(order.order.lot_id, []).append(place)
    for taken in places.values():
        legs = sorted((opens[place] for place in taken), key=lambda leg: leg[4].maker)
        for place, leg in zip(taken, legs, strict=True):
            opens[place] = leg


def _fill_inside(panel: BarPanel, inside: list[Inside], execution: Execution) -> None:
    """Fill what the paths meet, in the order in which they do; positions are those after the open."""
    timed: list[tuple[float, int, int, WorkingOrder, Match]] = []
    for row, bar, order, match in inside:
        # Whoever is flat is hurt by the side that is worse for what the order would open.
        held = execution.held(order.portfolio, order.symbol) or order.side
        rising = (order.side < 0) == (order.order.type is OrderType.LIMIT)
        when = path_time(match.ref, bar, rising=rising, position=held)
        timed.append((when, order.n, row, order, match))
    timed.sort()
    for _, _, row, order, match in timed:
        execution.fill(order, match, quoted(panel, row, match.source))
