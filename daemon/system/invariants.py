"""What must hold between the rooms of a core between two inputs: the same money, seen three times, is the same money.

Broker, portfolio and risk each fold cash, positions and working orders from the events of the others, for reasons of
their own. Where they differ, something was lost, doubled or tampered with, and nothing may be traded on it: a start is
refused, a running daemon halts (control C22). Nothing here repairs anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.broker.account import Account
from actors.portfolio.accounts import CASH, DIVIDENDS_RECEIVABLE, REALIZED, SECURITIES, cash_identity
from actors.portfolio.state import PortfolioState
from actors.risk.holdings import Book, Holding
from actors.values.fixed import fmt

if TYPE_CHECKING:
    from daemon.system.composition import Core

ROOMS = ("broker", "portfolio", "risk")


def check_core(core: Core) -> list[str]:
    """Return a sentence for each thing that does not agree, naming what and where; empty where all is well.

    Call between two inputs. Costs some microseconds a position and a working order.
    """
    found = []
    names = dict.fromkeys(
        (*core.broker.funded, *(pf.name for pf in core.portfolio.portfolios), *core.risk.exposure.books)
    )
    states = {pf.name: pf for pf in core.portfolio.portfolios}
    funded = core.broker.funded
    for name in names:
        account = core.broker.account(name) if name in funded else Account()
        state, book = states.get(name), core.risk.exposure.books.get(name)
        if state is None or book is None:
            found.append(f"the portfolio {name} is known to the broker and not to {'risk' if state else 'portfolio'}")
            continue
        found += _money(name, account, state, book)
        found += _positions(core, name, account, state, book)
        found += _books(name, state)
        found += _exposure(core, name, book)
    found += _orders(core)
    return found


def _differ(what: str, *values: int | str | None) -> Iterator[str]:
    """Compare what the rooms have, in the order of :data:`ROOMS`; None where a room has nothing to say."""
    told = [(room, value) for room, value in zip(ROOMS, values, strict=True) if value is not None]
    if any(value != told[0][1] for _, value in told):
        parts = ", ".join(f"{room} {value if isinstance(value, str) else fmt(value)}" for room, value in told)
        yield f"{what}: {parts}"


def _is(what: str, value: int, expected: int, why: str) -> Iterator[str]:
    if value != expected:
        yield f"{what} is {fmt(value)}, and {why} {fmt(expected)}"


def _money(name: str, account: Account, state: PortfolioState, book: Book) -> Iterator[str]:
    yield from _differ(f"cash of {name}", account.cash, state.cash, book.cash)
    if book.pending or book.pending_cash:
        yield f"risk waits for bookings of {', '.join(book.pending) or 'nothing'} in {name} that never came"


def _positions(core: Core, name: str, account: Account, state: PortfolioState, book: Book) -> Iterator[str]:
    symbols = core.portfolio.universe.symbols
    for symbol in sorted({**account.positions, **state.positions, **book.holdings}):
        where = f"{symbols[symbol]} in {name}"
        position = state.position(symbol)
        yield from _differ(
            f"position of {where}",
            account.positions.get(symbol, 0),
            position.qty,
            book.holdings.get(symbol, Holding()).qty,
        )
        theirs = {lot_id: lot.qty for lot_id, lot in account.lots.get(symbol, {}).items()}
        mine = {lot.lot_id: lot.qty for lot in position.lots.values()}
        if list(theirs.items()) != list(mine.items()):
            yield f"lots of {where}: broker {_lots(theirs)}, portfolio {_lots(mine)}"
        yield from _is(f"the sum of the lots of {where}", sum(mine.values()), position.qty, "the position is")
        # Both ways of counting cost agree on what was spent and earned in all.
        by_lots = sum(lot.cost for lot in position.lots.values()) - position.realized_fifo
        yield from _is(
            f"cost less profit by lots of {where}", by_lots, position.cost - position.realized, "by average cost it is"
        )
    held = [symbol for symbol, position in sorted(state.positions.items()) if position.qty]
    if state.held() != held or state.n_held != len(held):
        yield f"portfolio {name} marks {state.n_held} symbols as held, and its positions are {len(held)}"
    lots = sum(len(position.lots) for position in state.positions.values())
    if state.n_lots != lots:
        yield f"portfolio {name} counts {state.n_lots} lots and has {lots}"


def _lots(lots: dict[str, int]) -> str:
    return " + ".join(f"{fmt(qty)} ({lot_id})" for lot_id, qty in lots.items()) or "none"


def _books(name: str, state: PortfolioState) -> Iterator[str]:
    balances = state.balances
    positions = state.positions.values()
    yield from _is(f"the sum of all postings of {name}", sum(balances.values()), 0, "it must be")
    yield from _is(f"the cash account of {name}", balances[CASH], state.cash, "its cash is")
    cost = sum(position.cost for position in positions)
    yield from _is(f"the securities account of {name}", balances[SECURITIES], cost, "its positions cost")
    realized = sum(position.realized for position in positions)
    yield from _is(f"the realised profit of {name}", -balances[REALIZED], realized, "its positions realised")
    due = state.dividends.total
    yield from _is(f"the dividends receivable of {name}", balances[DIVIDENDS_RECEIVABLE], due, "those due are")
    identity = cash_identity(balances)
    yield from _is(f"what {name} has less what it came from", identity, 0, "it must be")


def _exposure(core: Core, name: str, book: Book) -> Iterator[str]:
    """Compare what the gate counts with what it would count from its working orders."""
    symbols = core.portfolio.universe.symbols
    working = [w for w in core.risk.exposure.working.values() if w.order.portfolio == name]
    yield from _is(f"cash reserved in {name}", book.reserved, sum(w.reserved for w in working), "its orders reserve")
    yield from _is(
        f"proceeds expected in {name}", book.proceeds, sum(w.expected for w in working), "its orders promise"
    )
    counted = {symbol: Holding() for symbol in book.holdings}
    for w in working:
        should = counted.setdefault(w.order.symbol, Holding())
        if w.is_exit:
            should.exits += w.leaves
        if w.order.reduce_only:
            should.cuts += w.leaves if w.is_exit else 0
        elif w.order.side > 0:
            should.buys += w.leaves
        else:
            should.sells += w.leaves
    for symbol, should in sorted(counted.items()):
        holding = book.holdings.get(symbol, Holding())
        for what in ("buys", "sells", "exits", "cuts"):
            where = f"risk's open {what} of {symbols[symbol]} in {name}"
            yield from _is(where, getattr(holding, what), getattr(should, what), "its orders make")
    names = sum(holding.counted for holding in book.holdings.values())
    if book.names != names:
        yield f"risk counts {book.names} names in {name} and marks {names}"


def _orders(core: Core) -> Iterator[str]:
    theirs = {w.order.client_order_id: w for w in core.broker.working}
    mine = core.portfolio.orders
    gates = core.risk.exposure.working
    for order_id in dict.fromkeys((*theirs, *mine, *gates)):
        at_broker, found, at_risk = theirs.get(order_id), mine.get(order_id), gates.get(order_id)
        if at_broker is None or found is None or at_risk is None:
            works = [r for r, w in zip(ROOMS, (at_broker, found, at_risk), strict=True) if w is not None]
            yield f"the order {order_id} works for {' and '.join(works)} only"
            continue
        state, own = found
        order, what = at_risk.order, f"the order {order_id}"
        names = (at_broker.portfolio, state.name, order.portfolio)
        yield from _differ(f"portfolio of {what}", *names)
        yield from _differ(f"symbol of {what}", *map(str, (at_broker.symbol, own.symbol, order.symbol)))
        yield from _differ(f"side of {what}", *map(str, (at_broker.side, own.side, order.side)))
        yield from _differ(f"quantity of {what}", at_broker.qty, own.qty, at_risk.qty)
        yield from _differ(f"filled quantity of {what}", at_broker.cum_qty, own.cum, at_risk.cum)
        yield from _differ(f"open quantity of {what}", at_broker.leaves, own.leaves, at_risk.leaves)
        yield from _differ(
            f"cash first reserved for {what}", at_broker.reserved, own.base_reserved, at_risk.base_reserved
        )
        yield from _differ(f"cash reserved for {what}", None, own.reserved, at_risk.reserved)
        yield from _differ(f"limit of {what}", at_broker.limit_px or 0, None, at_risk.limit_px or 0)
        yield from _differ(f"stop of {what}", at_broker.stop_px or 0, None, at_risk.stop_px or 0)
