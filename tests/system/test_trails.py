"""Where a trailing stop stands now: asked of a daemon's readers, and as the screen shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.ctl import calls, wire
from daemon.cli.ctl.picture import table
from daemon.cli.ctl.text import Paint
from daemon.control.methods import METHODS
from daemon.system.board import build_board
from daemon.system.board_facts import ShellFacts
from daemon.system.trails import with_trail
from daemon.system.views_readers import view_readers
from daemon.system.when import TimeReader
from system.told import Told, decoded
from system.wired import House, make_call

FACTS = ShellFacts(version="1", run_id="r", mode="playback", started_ns=0, commit_ns=0, seq=0)
PLAIN = Paint(on=False)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """A house at 100 with three purchases by trailing stop, 97 seen since: of 5, of 10 % and of 5 from 90 on."""
    found = Told(tmp_path)
    house = found.house
    house.bar(100, 200, 300)
    trailing = {"type": "trailing_stop", "tif": "gtc"}
    house.submit(id="amount", trail_amount=5, **trailing)
    house.submit(id="percent", trail_percent=10, **trailing)
    house.submit(id="waits", trail_amount=5, activation_px=90, **trailing)
    house.submit(id="plain", type="limit", limit_px=90, tif="gtc")
    house.bar(97, 200, 300)
    yield found
    found.journal.abandon()


def board_of(house: House) -> Any:
    """Return the board as it is."""
    return build_board(house.core, house.universe, FACTS, now_ns=0)


def asked(told: Told, method: str, **params: Any) -> Any:
    """Return what the daemon answers, as a client reads it."""
    views = told.views()
    try:
        readers = view_readers(views, TimeReader(None, "UTC"), lambda: board_of(told.house).trails)
        return decoded(readers[method](make_call(method, **params)).result)
    finally:
        views.close()
        told.journal.flush()


def test_orders_and_why_tell_where_a_trail_stands(told: Told) -> None:
    """97 is the best price of a purchase: 97 + 5 = 102, 97 x 1.1 = 106.7; what waits for 90 stands nowhere."""
    rows = {row["client_order_id"]: row for row in asked(told, "orders")["rows"]}
    follows = {"activated": True, "triggered": False}
    assert rows["amount"]["trail"] == {"stop_px": 102, "best_px": 97, **follows}
    assert rows["percent"]["trail"] == {"stop_px": Decimal("106.7"), "best_px": 97, **follows}
    assert rows["waits"]["trail"] == {"stop_px": None, "best_px": None, "activated": False, "triggered": False}
    assert "trail" not in rows["plain"]
    assert rows["amount"]["stop_px"] is None  # as in orders.csv: it says where the market met it
    assert asked(told, "why", order_id="amount")["order"]["trail"] == rows["amount"]["trail"]


def test_an_order_that_has_ended_stands_nowhere(told: Told) -> None:
    """The rise to 103 meets the stop at 102: orders of all times say so in their stop price."""
    told.house.bar(103, 200, 300)
    rows = {row["client_order_id"]: row for row in asked(told, "orders", all=True)["rows"]}
    assert (rows["amount"]["status"], rows["amount"]["stop_px"], "trail" in rows["amount"]) == ("filled", 102, False)


def test_a_trail_that_was_met_and_works_on_says_so() -> None:
    """Its price is that of the event; one that came in after the last board is not known yet."""
    row = {"client_order_id": "t", "type": "trailing_stop", "status": "new", "stop_px": Decimal(102)}
    met = {"stop_px": Decimal(102), "best_px": None, "activated": True, "triggered": True}
    assert with_trail(row, {})["trail"] == met
    unknown = {"stop_px": None, "best_px": None, "activated": None, "triggered": False}
    assert with_trail(row | {"stop_px": None}, {})["trail"] == unknown


def test_the_screen_shows_it_where_a_stop_stands(told: Told) -> None:
    """In the column of stops, and in words beside the distance; `top` and `why` show it as well."""
    answer = wire.loads(json.dumps(asked(told, "orders"), default=float))
    lines = calls.rendered(METHODS["orders"], answer, {}, PLAIN, None)
    by_terms = {line[line.index("trail ") :].split("  ")[0]: line for line in lines if "trail " in line}
    assert set(by_terms) == {"trail 5.00", "trail 10 %", "trail 5.00 from 90.00 on (waits)"}
    assert " 102.00 " in by_terms["trail 5.00"]
    assert " 106.70 " in by_terms["trail 10 %"]
    assert "activated" not in "".join(lines)
    assert any(" 102.00 " in line for line in table("orders", answer["rows"], PLAIN, 120, 20))
    story = wire.loads(json.dumps(asked(told, "why", order_id="amount"), default=float))
    assert (
        "trailing_stop stop 102.00 gtc (trail 5.00): new" in calls.rendered(METHODS["why"], story, {}, PLAIN, None)[0]
    )
    met = {"client_order_id": "t", "type": "trailing_stop", "stop_px": 102, "terms": {"trail_amount": 5}}
    met |= {"trail": {"stop_px": 102, "best_px": None, "activated": True, "triggered": True}}
    shown = calls.rendered(METHODS["orders"], wire.loads(json.dumps({"rows": [met]})), {}, PLAIN, None)
    assert "trail 5.00 (triggered)" in shown[1]
