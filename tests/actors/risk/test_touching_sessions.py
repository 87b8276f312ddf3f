"""Markets that never close: a session begins at the instant at which the one before it ends."""

from __future__ import annotations

import msgspec

from actors.messages.market import SessionClosed, SessionOpened
from actors.messages.orders import BUY
from actors.values.session import Session
from tests.actors.risk.conftest import DAY


def test_where_a_session_begins_as_the_last_one_ends_prices_go_on_to_age(world, wide):
    """A market that never closes: at midnight one session ends and the next begins, and what is silent gets old."""
    w = world(msgspec.structs.replace(wide, stale_ns=5 * 10**9))
    midnight = w.session.close_ts
    w.bar([100.0, None, 100.0], at=midnight)
    w.close()
    assert not w.risk.prices.in_session
    w.process(SessionOpened(midnight, Session(20200103, midnight, midnight + DAY, 1)))
    assert w.risk.prices.in_session
    assert w.submit(BUY, 1) == "ok"
    w.clock.advance_to(midnight + 65 * 10**9)
    assert w.submit(BUY, 1) == "ok"
    w.clock.advance_to(midnight + 65 * 10**9 + 1)
    assert w.submit(BUY, 1) == "STALE_PRICE"
    w.clock.advance_to(midnight + DAY)
    w.process(SessionClosed(midnight + DAY, Session(20200103, midnight, midnight + DAY, 1)))
    assert not w.risk.prices.in_session
    w.process(SessionOpened(midnight + DAY, Session(20200104, midnight + DAY, midnight + 2 * DAY, 2)))
    assert w.submit(BUY, 1) == "STALE_PRICE"
