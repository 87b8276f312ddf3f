"""F05 to F09 of the catalogue of faults: a lost answer, and fills that race cancels and replaces."""

from __future__ import annotations

from pathlib import Path

from actors.messages.orders import (
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    RouteReplace,
)
from tests.actors.broker.desk import fills, fx, kinds, with_params
from tests.actors.broker.tape import MS, Tape
from tests.faults.killing import settings
from tests.faults.meddling import rows_of
from tests.live_support import daemon, until

BUY = 1
SLOW = with_params(latency_ns=5 * MS)
TIGHT = (50.00, 300, 50.02, 200)


def test_f05_an_order_whose_answer_was_lost_exists_once(tmp_path: Path) -> None:
    """The connection breaks before the answer. Asked by its id there is one order; asked again, the same answer."""
    order = {"id": "mine", "symbol": "S0", "side": "buy", "qty": 2, "type": "limit", "limit_px": 1, "tif": "gtc"}
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        lost = d.client()
        lost.send("order.submit", request_id="once", **order)
        lost.close()
        with d.client() as client:

            def known() -> list[dict[str, object]]:
                return [row for row in rows_of(client, "orders", all=True) if row["client_order_id"] == "mine"]

            [row] = until(20, known, "the order")
            again = client.call("order.submit", request_id="once", **order)
            assert (again["order_id"], again["client_order_id"]) == (row["order_id"], "mine")
            # Another request for the same order id is another order, and refused as such.
            other = client.call("order.submit", request_id="twice", **order)
            assert other["status"] in ("denied", "rejected")
            assert [row["order_id"] for row in known() if row["status"] == "new"] == [row["order_id"]]
        assert d.stop() == 0
        assert [e.order.client_order_id for e in d.events(OrderAccepted)].count("mine") == 1


def racing(qty: float = 100) -> Tape:
    """A purchase at 50.01 that rests at a venue five milliseconds away."""
    tape = Tape(SLOW)
    tape.quote(0, *TIGHT)
    tape.send(1, BUY, qty, "limit", limit_px=50.01)
    assert tape.quote(7, *TIGHT) == []
    return tape


def test_f06_a_fill_that_races_a_cancel_is_kept() -> None:
    """A part is filled while the cancel travels: it stays, the rest is cancelled, and nothing comes back."""
    tape = racing()
    tape.put(CancelOrder("c1", "asked"), tape.at(8))
    assert [e.last_qty for e in fills(tape.quote(10, 49.99, 300, 50.01, 60))] == [fx(60)]
    [ended] = tape.quote(13, 49.99, 300, 50.00, 500)
    assert (type(ended), ended.cum_qty) == (OrderCanceled, fx(60))
    assert tape.quote(14, 49.99, 300, 50.00, 500) == []
    assert tape.broker.account("main").positions == {0: fx(60)}


def test_f07_a_partial_fill_that_races_a_replace_never_overfills() -> None:
    """80 of 100 are filled while terms for 90 travel: 10 are left, whatever is offered; for 70 they are refused."""
    for qty, left in ((90, 10), (70, 20)):
        tape = racing()
        tape.put(RouteReplace("c1", fx(qty), fx(50.01), None, 0), tape.at(8))
        assert [e.last_qty for e in fills(tape.quote(10, 49.99, 300, 50.01, 80))] == [fx(80)]
        events = tape.quote(13, 49.99, 300, 50.00, 500)
        assert kinds(events) == ["OrderReplaced" if qty == 90 else "OrderCancelRejected", "OrderFilled"]
        assert [e.last_qty for e in fills(events)] == [fx(left)]
        assert tape.broker.account("main").positions == {0: fx(80 + left)}


def test_f08_an_order_that_filled_is_not_filled_again() -> None:
    """The same quotes and prints come again and again, and after a recovery: one fill, one execution id."""
    tape = racing()
    seen = []
    for ms in range(10, 30):
        if ms == 20:
            tape.split()
        seen += fills(tape.quote(ms, 49.99, 300, 50.00, 500))
        seen += fills(tape.trade(ms, (49.98, 1000)))
    assert [(type(e), e.exec_id, e.cum_qty) for e in seen] == [(OrderFilled, "O-1-1", fx(100))]


def test_f09_a_partial_fill_and_then_a_cancel_end_the_order() -> None:
    """Nothing is left pending: the order is gone, a second cancel hears that it has ended."""
    tape = racing()
    assert len(fills(tape.quote(10, 49.99, 300, 50.01, 60))) == 1
    tape.put(CancelOrder("c1", "asked"), tape.at(11))
    assert kinds(tape.quote(16, *TIGHT)) == ["OrderCanceled"]
    assert tape.broker.working == ()
    [refused] = tape.put(CancelOrder("c1", "asked"), tape.at(17))
    assert (type(refused), refused.code) == (OrderCancelRejected, "TERMINAL_ORDER")
    assert tape.quote(30, 49.99, 300, 50.00, 500) == []
