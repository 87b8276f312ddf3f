"""One order's story, checked against the events it is made of; and the lines that subscribers get."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.broker.params import BrokerParams
from actors.messages.alerts import AlertAcknowledged
from actors.messages.catalogue import codec
from actors.messages.columns import unpack_f64
from actors.messages.orders import OrderFilled
from actors.messages.portfolio import PositionChanged, TargetsProposed
from actors.risk.params import RiskLimits
from actors.values import Universe
from actors.values.fixed import fmt
from daemon.journal.sqlite import open_readonly, read_frames
from daemon.kernel.errors import OperatorError
from daemon.system.event_lines import EventLines, PastEvents
from daemon.system.replay import ReplayResult
from daemon.system.views import Projector
from daemon.system.views_rows import Filter, Views
from daemon.system.views_why import why
from system.told import Told, decoded


class Asked(Told):
    """A house that knows its own events."""

    def events(self, kind: type[Any]) -> list[Any]:
        """Return all events of a type so far."""
        return [event for frame in self.house.frames for event in frame.events if isinstance(event, kind)]


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """A house with the defaults."""
    found = Asked(tmp_path)
    yield found
    found.journal.abandon()


def test_an_operators_order_from_the_gate_to_what_it_earned(told: Asked) -> None:
    """Acceptance with its reservation, the fill with its costs, position and cash afterwards, profit at the exit."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="in", qty=10)
    house.bar(100, 200, 300)
    house.submit(id="out", side="sell", qty=10)
    house.bar(110, 200, 300)
    story = told.why("in")
    fill = told.events(OrderFilled)[0]
    booked = told.events(PositionChanged)[0]
    assert (story["order"]["status"], story["order"]["purpose"]) == ("filled", "operator")
    assert (story["decision"], story["targets"], story["entry"]) == (None, None, None)
    assert [(c["by"], c["verdict"]) for c in story["checks"]] == [("risk", "passed"), ("broker", "accepted")]
    assert story["checks"][0]["reserved"] > 1000
    assert [step["event"] for step in story["life"]] == ["accepted", "filled"]
    (row,) = story["fills"]
    assert (row["price"], row["ref_px"], row["px_source"]) == (
        Decimal(fmt(fill.last_px)),
        Decimal(fmt(fill.ref_px)),
        fill.px_source,
    )
    costs = ("commission", "regulatory", "spread", "slippage", "impact")
    assert story["costs"] == {
        **{name: Decimal(fmt(getattr(fill, name))) for name in costs},
        "total": Decimal(fmt(sum(getattr(fill, name) for name in costs))),
    }
    assert (story["position_after"], story["cash_after"]) == (10, Decimal(fmt(booked.cash)))
    (trade,) = story["trades_opened"]
    assert (trade["exit_reason"], story["exit_reason"]) == ("operator", "operator")
    exit_story = told.why("O-2")
    assert exit_story["order"]["client_order_id"] == "out"
    assert exit_story["trades_closed"] == [trade]
    assert exit_story["realized_pnl"] == Decimal(fmt(told.events(PositionChanged)[1].realized)) > 0
    assert (exit_story["position_after"], exit_story["trades_opened"]) == (0, [])


def test_a_denied_order_tells_value_and_limit(told: Asked) -> None:
    """The one check that spoke, with its numbers."""
    told.house.bar(100, 200, 300)
    told.house.submit(id="big", qty=10_000)
    story = told.why("big")
    (check,) = story["checks"]
    assert (check["by"], check["verdict"], check["code"]) == ("risk", "denied", "MAX_NOTIONAL")
    assert (check["value"], check["limit"]) == ("1000000", "50000")
    assert (story["order"]["status"], story["fills"], story["position_after"]) == ("denied", [], None)
    assert [step["event"] for step in story["life"]] == ["denied"]


def test_new_terms_refused_requests_and_the_end_stand_in_the_life_of_an_order(told: Asked) -> None:
    """In order, with what changed; a resend under the same id is told as one."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="x", type="limit", limit_px=95, qty=10, tif="gtc")
    house.call("order.replace", id="x", qty=5, limit_px=Decimal("94.5"))
    assert house.call("order.replace", id="x", qty=-1).code == "BAD_QTY"
    assert house.submit(id="x")["code"] == "DUPLICATE"
    house.call("order.cancel", id="x", reason="enough")
    story = told.why("x")
    assert [step["event"] for step in story["life"]] == ["accepted", "replaced", "request_refused", "canceled"]
    assert (story["life"][1]["qty"], story["life"][1]["limit_px"]) == (5, Decimal("94.5"))
    assert (story["order"]["status"], story["order"]["reason"]) == ("canceled", "enough")
    assert [c.get("code") for c in story["checks"]] == [None, None, "BAD_QTY", "DUPLICATE"]
    assert story["checks"][3]["resend"] is True


def test_a_flip_tells_its_other_half(tmp_path: Path) -> None:
    """Parent and child know each other."""
    told = Asked(tmp_path, limits=RiskLimits(replay=False, allow_short=True), broker=BrokerParams(allow_short=True))
    house = told.house
    house.bar(100, 200, 300)
    house.submit(qty=10)
    house.bar(100, 200, 300)
    house.submit(id="flip", side="sell", qty=25)
    house.bar(100, 200, 300)
    story = told.why("flip")
    assert [(c["client_order_id"], c["parent_id"]) for c in story["children"]] == [("flip-open", "flip")]
    assert (story["order"]["qty"], story["position_after"]) == (10, 0)
    assert told.why("flip-open")["position_after"] == -15
    told.journal.abandon()


def test_an_order_nobody_knows_is_an_operators_error(told: Asked) -> None:
    """One sentence, and where to look."""
    with pytest.raises(OperatorError, match="no order is called 'nobody'; see tradingctl orders --all"):
        told.why("nobody")


def test_a_strategys_order_begins_with_the_signal_behind_it(tmp_path: Path, year_run: ReplayResult) -> None:
    """Signal, weight and outcome of the very decision; an automatic exit leads back to the entry."""
    shutil.copy(year_run.folder / "ledger.db", tmp_path)
    projector = Projector(tmp_path)
    projector.catch_up()
    projector.stop()
    views = Views(tmp_path / "views.db")
    orders = decoded(views.orders(Filter(everything=True, limit=10**9))["rows"])
    by_name = {row["client_order_id"]: row for row in orders}
    told = []
    for row in orders:
        story = decoded(why(views, row["client_order_id"]))
        assert story["order"]["order_id"] == row["order_id"]
        assert sum(fill["qty"] for fill in story["fills"]) == row["cum_qty"]
        if story["entry"] is not None:
            entry = by_name[story["entry"]["client_order_id"]]
            assert (entry["symbol"], entry["side"]) == (row["symbol"], "buy")
            assert story["order"]["purpose"] in ("stop_loss", "take_profit")
        elif row["strategy"]:
            told.append(story)
    assert len(told) > 20
    frames = read_frames(open_readonly(tmp_path / "ledger.db"), codec())
    proposed = [event for stored in frames for event in stored.events if isinstance(event, TargetsProposed)]
    smaller = {(e.strategy, e.decision): unpack_f64(e.cut_correlation).tolist() for e in proposed if e.cut_ids}
    for story in told:
        decision, order = story["decision"], story["order"]
        cut = float(story["targets"]["cut_correlation"])
        assert cut == 0 or cut in smaller[order["strategy"], decision["decision"]]
        assert story["targets"]["cut_heat"] == 0
        assert story["targets"]["names"] >= 0
        assert story["targets"]["ts"] == order["ts"]
        if decision is not None:
            assert (decision["symbol"], decision["strategy"]) == (order["symbol"], order["strategy"])
            assert decision["ts"] == order["ts"]
    assert any(float(story["targets"]["cut_correlation"]) for story in told)
    entries = [s for s in told if s["order"]["side"] == "buy" and s["decision"] is not None]
    assert any(s["decision"]["model"].startswith("price_5d@") for s in entries)
    assert any(s["decision"]["realized"] is not None for s in entries)
    closed = [s for s in entries if s["trades_opened"]]
    assert {s["exit_reason"] for s in closed} > {"stop_loss"}
    views.close()


# -- subscribers -------------------------------------------------------------------------------------------------------


def test_lines_are_those_of_events_jsonl(year_run: ReplayResult) -> None:
    """The same names and numbers as in the run folder, live and from the ledger."""
    manifest = json.loads((year_run.folder / "run.json").read_text())
    lines_of = EventLines(Universe(tuple(manifest["universe"]["symbols"])))
    db = open_readonly(year_run.folder / "ledger.db")
    lines = [line for frame in read_frames(db, codec()) for line in lines_of(frame)]
    db.close()
    expected = (year_run.folder / "events.jsonl").read_bytes().splitlines()
    assert [msgspec.json.encode(line) for line in lines] == expected


def test_a_kernels_frame_and_the_stored_one_give_the_same_lines(told: Asked) -> None:
    """Whoever subscribes late sees what everyone saw; a fact from the edge stands in front."""
    house = told.house
    house.bar(100, 200, 300)
    house.submit(id="x", qty=10)
    house.bar(100, 200, 300)
    house.call("alert.ack", alert_id="A-1")
    lines_of = EventLines(house.universe)
    live = [line for frame in house.frames for line in lines_of(frame)]
    past, last = PastEvents(told.folder / "ledger.db", house.universe).since(0)
    assert decoded(past) == decoded(live)
    assert last == house.frames[-1].envelope.seq
    assert (live[-1]["type"], live[-1]["n"]) == (AlertAcknowledged.__name__, -1)
    accepted = next(line for line in decoded(live) if line["type"] == "OrderAccepted")
    assert accepted["order"]["symbol"] == "AAPL"
    assert accepted["reserved"] == 1021  # 10 x 100 x 1.02 and fees, a number and no text


def test_the_past_is_given_as_a_whole_or_not_at_all(told: Asked) -> None:
    """From any frame on that is not too far back; a ledger that is not there is one sentence."""
    house = told.house
    for _ in range(5):
        house.bar(100, 200, 300)
    past = PastEvents(told.folder / "ledger.db", house.universe)
    every, end = past.since(0)
    frames = [frame.envelope.seq for frame in house.frames]
    rest, last = past.since(frames[1])
    assert decoded(rest) == [line for line in decoded(every) if line["seq"] > frames[1]]
    assert last == end == frames[-1]
    assert past.since(end) == ([], end)
    assert past.since(0, limit=len(frames)) == (every, end)
    with pytest.raises(OperatorError, match=f"more than {len(frames) - 1} inputs with events lie behind 0") as refused:
        past.since(0, limit=len(frames) - 1)
    assert refused.value.code == "TOO_FAR_BACK"
    assert past.since(end + 1_000) == ([], end)  # the number of another ledger: here it is not reached for long
    with pytest.raises(OperatorError, match="there is no ledger"):
        PastEvents(told.folder / "none.db", house.universe).since(0)
