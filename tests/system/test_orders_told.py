"""What is told of orders that have terms: answers, stories and lists, of a real core and its views."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.broker.params import BrokerParams
from actors.messages.market import CorporateAction, QuotePanel
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE
from daemon.system.log_lines import is_told, log_line
from daemon.system.views_rows import Filter
from system.told import Told, decoded
from system.wired import SYMBOLS

ALL = Filter(everything=True, limit=1_000)


class Asked(Told):
    """A house without a bound on positions, which is sent quotes as well."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, limits=RiskLimits(replay=False, max_position=0.0), **options)

    def orders(self) -> dict[str, Any]:
        """Return all orders by client order id."""
        views = self.views()
        try:
            return {row["client_order_id"]: row for row in decoded(views.orders(ALL)["rows"])}
        finally:
            views.close()

    def quote(self, bid: float, ask: float, *, wait_ms: int = 1) -> list[Any]:
        """Let milliseconds pass and a quote of AAPL in."""
        house = self.house
        house.now += wait_ms * 1_000_000
        house.clock.advance_to(house.now)
        one = np.array([0], dtype=np.int32)
        sizes = np.array([1_000.0])
        return house.put(QuotePanel(house.now, one, np.array([bid]), sizes, np.array([ask]), sizes))


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Asked]:
    """A house with the defaults."""
    found = Asked(tmp_path)
    yield found
    found.journal.abandon()


def test_the_exits_of_a_bracket_know_their_entry_and_each_other(told: Asked) -> None:
    """The entry tells its children, an exit its parent and sibling; no gate judged an exit."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in", bracket={"take_profit_px": 110, "trail_percent": 5})
    house.bar(100, 200, 300)
    entry, target, stop = told.why("in"), told.why("in-tp"), told.why("in-sl")
    assert entry["order"]["terms"] == {"bracket": {"take_profit_px": 110, "trail_percent": 5}}
    assert [child["client_order_id"] for child in entry["children"]] == ["in-tp", "in-sl"]
    assert (target["parent"]["client_order_id"], stop["parent"]["status"]) == ("in", "filled")
    assert [row["client_order_id"] for row in target["siblings"]] == ["in-sl"]
    assert [row["client_order_id"] for row in stop["siblings"]] == ["in-tp"]
    assert stop["order"]["terms"]["bracket_of"] == "in"
    assert [(check["by"], check["verdict"]) for check in stop["checks"]] == [("broker", "accepted")]
    assert [(check["by"], check["verdict"]) for check in entry["checks"]] == [
        ("risk", "passed"),
        ("broker", "accepted"),
    ]
    assert (entry["parent"], entry["siblings"]) == (None, [])


def test_a_trail_tells_where_it_was_triggered_and_the_target_why_it_ended(told: Asked) -> None:
    """A bar from 96 down to 93 with the best price at 100: the stop of 5 % triggers at 95, the target goes with it."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in", bracket={"take_profit_px": 110, "trail_percent": 5})
    house.bar(100, 200, 300)
    house.bar(96, 200, 300, spread=3)
    stop, target = told.why("in-sl"), told.why("in-tp")
    assert [step["event"] for step in stop["life"]] == ["accepted", "triggered", "filled"]
    assert stop["life"][1]["level"] == 95
    assert (target["order"]["status"], target["order"]["reason"]) == ("canceled", "OCO")
    assert told.orders()["in-sl"]["stop_px"] == 95


def test_orders_of_a_group_are_siblings(told: Asked) -> None:
    """Whatever they are named; an order without a group has none."""
    house = told.house
    house.bar(100, 200, 300)
    for name, group in (("a", "g"), ("b", "g"), ("c", "h"), ("d", None)):
        house.submit(id=name, type="limit", limit_px=90, oco_group=group)
    assert [row["client_order_id"] for row in told.why("a")["siblings"]] == ["b"]
    assert (told.why("c")["siblings"], told.why("d")["siblings"]) == ([], [])
    rows = told.orders()
    assert rows["a"]["terms"] == {"oco_group": "g"}
    assert "terms" not in rows["d"]


def test_a_request_that_is_on_its_way_is_answered_as_that(tmp_path: Path) -> None:
    """100 ms to the venue: until then the order works; its story tells when the request took effect."""
    told = Asked(tmp_path, broker=BrokerParams(latency_ns=100_000_000))
    house = told.house
    house.bar(100, 200, 300)
    told.quote(99, 101)
    house.submit(id="a", type="limit", limit_px=90)
    told.quote(99, 101, wait_ms=200)
    asked = decoded(house.call("order.replace", id="a", qty=5).result)
    assert (asked["order_id"], asked["status"], asked["pending"]) == ("O-1", "new", "replace")
    refused = house.call("order.replace", id="a", qty=4)
    assert refused.code == "PENDING_REPLACE"
    told.quote(99, 101, wait_ms=200)
    asked = decoded(house.call("order.cancel", id="a", reason="enough").result)
    assert (asked["order_id"], asked["status"], asked["pending"], asked["cum_qty"]) == ("O-1", "new", "cancel", 0)
    told.quote(99, 101, wait_ms=200)
    story = told.why("a")
    assert [step["event"] for step in story["life"]] == [
        "accepted",
        "replace_requested",
        "request_refused",
        "replaced",
        "cancel_requested",
        "canceled",
    ]
    assert (story["life"][1]["qty"], story["life"][1]["effective_at"] > story["life"][1]["ts"]) == (5, True)
    assert (story["order"]["status"], story["order"]["reason"]) == ("canceled", "enough")
    told.journal.abandon()


def test_a_split_restates_orders_and_positions_in_every_list(told: Asked) -> None:
    """Four for one: 10 shares are 40, an order for 5 at 90 is one for 20 at 22.5, the average is a quarter."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in")
    house.bar(100, 200, 300)
    house.submit(id="rest", type="limit", limit_px=90, qty=5, tif="gtc", display_qty=2)
    house.close()
    house.put(CorporateAction(house.now, 20200103, 0, "split", 4 * SCALE, numerator=4, denominator=1))
    row, before = told.orders()["rest"], told.orders()["in"]
    assert (row["qty"], row["limit_px"], row["terms"]) == (20, Decimal("22.5"), {"display_qty": 8})
    assert (before["qty"], before["status"]) == (10, "filled")  # what is over stays in the shares of its day
    story = told.why("rest")
    assert [step["event"] for step in story["life"]] == ["accepted", "restated"]
    assert (story["life"][1]["qty"], story["life"][1]["reason"]) == (20, "split")
    views = told.views()
    with views.reading() as (db, _):
        position = db.execute("SELECT qty, cost, last_px FROM positions WHERE symbol = 'AAPL'").fetchone()
        fill = db.execute("SELECT qty, price, position FROM fills").fetchone()
    views.close()
    assert (position["qty"], fill["qty"], fill["position"]) == (40 * SCALE, 10 * SCALE, 10 * SCALE)
    assert position["last_px"] * 4 == pytest.approx(fill["price"], abs=4)
    assert position["cost"] == fill["price"] * 10


def test_a_new_name_takes_position_order_and_profit_along(told: Asked) -> None:
    """AAPL is MSFT from now on: 6 of 10 shares are left, what the sale of 4 realised stands under the new name."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in")
    house.bar(100, 200, 300)
    house.submit(id="out", side="sell", qty=4)
    house.bar(110, 200, 300)
    house.submit(id="rest", type="limit", limit_px=100, qty=5, tif="gtc")
    views = told.views()
    with views.reading() as (db, _):
        before = tuple(db.execute("SELECT symbol, qty, cost, realized FROM positions").fetchone())
    views.close()
    assert (before[:2], before[3] > 0) == (("AAPL", 6 * SCALE), True)
    house.close()
    house.put(CorporateAction(house.now, 20200103, 0, "rename", 0, renamed_to=1))
    views = told.views()
    with views.reading() as (db, _):
        after = [tuple(row) for row in db.execute("SELECT symbol, qty, cost, realized FROM positions").fetchall()]
    views.close()
    assert after == [("MSFT", *before[1:])]
    assert told.orders()["rest"]["symbol"] == "MSFT"


def test_a_delisting_closes_position_and_order_and_says_why(told: Asked) -> None:
    """Paid out at 7: nothing is held, the order ended, the cash of it stands in the postings."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in")
    house.bar(100, 200, 300)
    house.submit(id="rest", type="limit", limit_px=90, qty=5, tif="gtc")
    house.close()
    house.put(CorporateAction(house.now, 20200103, 0, "delist", 7 * SCALE))
    assert told.orders()["rest"]["status"] == "canceled"
    views = told.views()
    with views.reading() as (db, _):
        position = db.execute("SELECT qty, cost FROM positions WHERE symbol = 'AAPL'").fetchone()
        (total,) = db.execute("SELECT sum(amount) FROM postings").fetchone()
        (cash,) = db.execute("SELECT sum(amount) FROM postings WHERE account = 'cash'").fetchone()
    views.close()
    assert (position["qty"], position["cost"], total) == (0, 0, 0)
    assert cash == house.core.portfolio.portfolios[0].cash


def test_the_log_has_a_line_for_what_corporate_actions_and_triggers_did(told: Asked) -> None:
    """In two words and a sentence, with amounts as decimals."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in", bracket={"stop_px": 95})
    house.bar(100, 200, 300)
    split = CorporateAction(house.now, 20200103, 0, "split", 2 * SCALE, numerator=2, denominator=1)
    events = [*house.put(split), *house.bar(50, 200, 300, spread=5)]
    lines = {type(event).__name__: log_line(event, SYMBOLS) for event in events if is_told(event)}
    assert lines["OrderRestated"].words == "order restated"
    assert lines["OrderRestated"].fields["detail"] == "symbol AAPL, qty 20, stop_px 47.5"
    assert lines["PositionAdjusted"].fields["detail"] == "kind split, symbol AAPL, new_symbol AAPL, qty 20, paid 0"
    assert (lines["OrderTriggered"].words, lines["OrderTriggered"].fields["order_id"]) == ("order triggered", "in-sl")
    assert lines["OrderTriggered"].fields["detail"] == "level 47.5"
