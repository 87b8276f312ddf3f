"""Where an order meets quotes and prints (``semantics.md`` section 2): pure functions of one order and one tick.

* A quote trades with whoever takes: at the opposite touch, for what is displayed there and was not taken before. The
  reference is the middle, what lies between it and the touch is spread. A quote that is crossed or has one side only
  trades with nobody and triggers nothing.
* A print trades with limits that rest: those beyond whose price it lies, and those at its price once what was ahead of
  them there has traded. All orders together get at most the print's size times the participation.
* Where a symbol is not quoted, prints stand for the market: what takes liquidity takes the next print.
* A condition is met by the last print, in a session without prints by the bid (sales) or the ask (purchases).
* The queue ahead of a limit is what is displayed at its price when it comes to rest there, or when the market comes to
  its price later; prints at the price use it up, and it is never more than what is still displayed. Behind a better
  price nothing is known of the queue, where a worse price is the best there is none.

Prices and quantities are ``int`` in units of 1e-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from actors.broker import trailing
from actors.broker.book import QUOTE, TRADE, Book, Touch
from actors.broker.fees import RegulatoryRates
from actors.broker.matching import Match
from actors.broker.order_state import Mode, WorkingOrder
from actors.messages.orders import BUY, OrderPartiallyFilled
from actors.values.fixed import SCALE, mul


class Print(msgspec.Struct, gc=False):
    """One print of an instant.

    Attributes:
        px: its price.
        size: what it traded.
        left: what of it is left for our orders.
        given: what of it our orders got.
    """

    px: int
    size: int
    left: int
    given: int = 0


def prints_of(rows: Iterable[tuple[float, float]], participation: int) -> list[Print]:
    """Return a symbol's prints, each with what it offers.

    Args:
        rows: price and size of each, in order.
        participation: share of a print's size that may be had, units of 1e-8; 0: all of it.
    """
    prints = []
    for px, shares in rows:
        size = round(shares * SCALE)
        prints.append(Print(round(px * SCALE), size, size * participation // SCALE if participation else size))
    return prints


def waits(order: WorkingOrder) -> bool:
    """Tell whether an order waits for a condition."""
    return order.mode > Mode.LIMIT


def queues(order: WorkingOrder) -> bool:
    """Tell whether an order rests in the book, or would if it did not take."""
    return order.mode is Mode.LIMIT and not order.auction


def meets(order: WorkingOrder, px: int) -> bool:
    """Tell whether the market at ``px`` meets the condition of an order that waits."""
    side, mode = order.side, order.mode
    if mode is Mode.TRAIL:
        stop = trailing.stop_of(order, order.best)
        return stop is not None and side * (px - stop) >= 0
    assert order.stop_px is not None  # noqa: S101 - acceptance checked it; mypy cannot know
    gap = side * (px - order.stop_px)
    return gap >= 0 if mode is Mode.STOP else gap <= 0


def first_met(order: WorkingOrder, prices: Iterable[int]) -> int:
    """Return the first of ``prices`` that meets an order's condition, 0 for none; a trail follows them until then."""
    for px in prices:
        if meets(order, px):
            return px
        if order.mode is Mode.TRAIL:
            order.best = trailing.ratcheted(order, order.best, px)
    return 0


def quote_price(touch: Touch, side: int) -> int:
    """Return what a quote says to an order that waits: the bid to a sale, the ask to a purchase; 0 where it cannot."""
    return touch.opposite(side) if touch.whole else 0


def crosses(order: WorkingOrder, touch: Touch) -> bool:
    """Tell whether a limit would trade with the opposite touch."""
    px = touch.opposite(order.side)
    return order.limit_px is not None and px > 0 and order.side * (order.limit_px - px) >= 0


def quote_match(order: WorkingOrder, touch: Touch) -> Match | None:
    """Return at what an order meets a quote that can be believed, None where its limit keeps it away."""
    if order.mode is Mode.LIMIT and not crosses(order, touch):
        return None
    return Match(touch.mid, QUOTE, maker=order.mode is Mode.LIMIT and not order.taking)


def queue_ahead(order: WorkingOrder, book: Book) -> int | None:
    """Return what is ahead of a limit at its price as the book stands, None where that is not known."""
    symbol, side = order.symbol, order.side
    best = book.touch(symbol).own(side)
    if not best or order.limit_px is None:
        return order.queue
    gap = side * (best - order.limit_px)
    if gap < 0:
        return 0
    if gap > 0:
        return order.queue
    shown = book.displayed(symbol, side)
    if shown is None or order.queue is None:
        return shown
    return min(order.queue, shown)


def queue_behind(order: WorkingOrder, queue: int | None, prints: Iterable[Print]) -> int | None:
    """Return what is left of the queue ahead of a limit behind prints, None where it is not known."""
    if queue is None:
        return None
    traded = sum(one.size for one in prints if one.px == order.limit_px)
    return max(0, queue - traded)


def reached(order: WorkingOrder, prints: Iterable[Print]) -> bool:
    """Tell whether something printed at a limit or through it."""
    limit, side = order.limit_px, order.side
    return limit is not None and any(side * (limit - one.px) >= 0 for one in prints)


def resting_shares(order: WorkingOrder, queue: int | None, prints: Sequence[Print], lot: int) -> list[int]:
    """Return what a limit that rests gets of each print.

    Args:
        order: the limit.
        queue: what was ahead of it before these prints; None: nothing at its price can be had.
        prints: of its symbol.
        lot: smallest step of a quantity.
    """
    limit, side = order.limit_px, order.side
    assert limit is not None  # noqa: S101 - only limits rest; mypy cannot know
    leaves, slice_left = order.leaves, order.shown or order.leaves
    shares = []
    for one in prints:
        share = 0
        gap = side * (limit - one.px)
        if gap > 0:
            share = min(one.left, leaves)
        elif gap == 0 and queue is not None:
            ahead = min(queue, one.size)
            queue -= ahead
            share = max(0, min(one.left, one.size - ahead - one.given, leaves, slice_left))
            slice_left -= share
        leaves -= share
        shares.append(share)
    spare = sum(shares) % lot if leaves else 0
    for at in range(len(shares) - 1, -1, -1):
        back = min(spare, shares[at])
        shares[at] -= back
        spare -= back
    return shares


def rests_against(order: WorkingOrder, touch: Touch, *, quoted: bool) -> bool:
    """Tell whether prints may fill a limit: one that takes waits for a quote where the symbol is quoted."""
    if quoted:
        return not order.taking and not order.immediate and not (touch.whole and crosses(order, touch))
    return not order.taking and not order.immediate


def next_slice(order: WorkingOrder, qty: int) -> bool:
    """Count a fill of ``qty`` against the slice an iceberg shows; tell whether a new slice has to queue anew."""
    terms = order.terms
    assert terms is not None  # noqa: S101 - what shows a slice says so in its terms; mypy cannot know
    assert terms.display_qty is not None  # noqa: S101
    display = terms.display_qty
    left = order.shown - qty
    anew = left <= 0
    if anew:
        left = display - -left % display  # a fill may have gone through many slices
    order.shown = min(left, order.leaves)
    return anew


def filled_copy(order: WorkingOrder, fill: OrderPartiallyFilled, rates: RegulatoryRates | None) -> WorkingOrder:
    """Return an order as a fill leaves it, for what else the instant brings; ``rates`` of the fees on sales, if any."""
    other = order.copy()
    value = mul(fill.last_qty, fill.last_px)
    other.fills += 1
    other.cum_qty = fill.cum_qty
    other.leaves = fill.leaves_qty
    other.cum_value += value
    other.commission += fill.commission
    if rates is not None and fill.side != BUY:
        other.section_31_raw += value * rates.section_31
        other.taf_raw += fill.last_qty * rates.taf
        other.regulatory += fill.regulatory
    return other


def give(prints: Sequence[Print], shares: Sequence[int], filled: int) -> None:
    """Count what a limit got of each print: at most its shares, ``filled`` in all."""
    for one, share in zip(prints, shares, strict=True):
        taken = min(share, filled)
        one.left -= taken
        one.given += taken
        filled -= taken


def auction_match(order: WorkingOrder, px: int, ref: int, source: str, *, on_touch: bool) -> Match | None:
    """Return at what an order trades in an auction, None where its limit forbids it.

    Args:
        order: for the opening or the closing auction.
        px: what it would pay or get there.
        ref: reference price.
        source: of the price.
        on_touch: whether a print at the limit is enough, as a bar that touches it is.
    """
    if order.limit_px is not None:
        gap = order.side * (order.limit_px - px)
        if gap < 0 or (gap == 0 and source == TRADE and not on_touch):
            return None  # who stands right at the price of a print is not the only one there
    return Match(ref, source, maker=False)
