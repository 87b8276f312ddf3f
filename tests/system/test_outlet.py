"""What a commit releases, to whom, and that nobody who listens can hold the core up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.catalogue import codec
from actors.messages.control import Halt
from actors.messages.inference import InferenceRequested, ModelActivated, StrategyFailed
from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderPartiallyFilled,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import EquityMarked
from actors.messages.risk import BreakerTripped, LimitBreached, TradingState, TradingStateChanged
from daemon.journal.batch import OutboxRow
from daemon.kernel.actor import Frame
from daemon.kernel.message import CommandRejected, Envelope, Event
from daemon.system.core_ports import Pending
from daemon.system.outlet import Head, LiveOutlet


class Desk:
    """Subscribers, as far as the outlet looks."""

    def __init__(self) -> None:
        self.listening = False
        self.lines: list[Any] = []
        self.looked = 0

    def publish(self, lines: list[Any]) -> None:
        """Take lines."""
        self.lines += lines

    def look_for_flat(self) -> None:
        """Count."""
        self.looked += 1


class Inference:
    """Takes questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, request: InferenceRequested) -> None:
        """Take one."""
        self.asked.append(request.request_id)


class Deliveries:
    """Takes alerts."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []

    def add(self, rows: list[OutboxRow]) -> None:
        """Take some."""
        self.rows += rows


class Reporter:
    """Folds frames, or fails."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.fail = False

    def consume(self, envelope: Envelope, events: list[Event]) -> None:
        """Take a frame."""
        if self.fail:
            raise ZeroDivisionError("a fold of views")
        self.seen.append(envelope.seq)


class Log:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        """Keep one."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Keep one."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep one."""
        self.lines.append(("error", event, fields))

    def debug(self, event: str, **fields: object) -> None:
        """Keep one."""
        self.lines.append(("debug", event, fields))


class World:
    """An outlet and everybody around it."""

    def __init__(self) -> None:
        self.desk, self.inference, self.deliveries = Desk(), Inference(), Deliveries()
        self.reporter, self.log = Reporter(), Log()
        self.views: list[int] = []
        self.changed: list[str] = []
        self.rooms = 0
        self.debugging = False
        self.failures: list[str] = []
        self.outlet = LiveOutlet(
            desk=cast("Any", self.desk),
            inference=cast("Any", self.inference),
            deliveries=cast("Any", self.deliveries),
            reporter=cast("Any", self.reporter),
            lines=lambda frame: [{"seq": frame.envelope.seq}],
            symbols=("AAPL", "SPY"),
            notify_views=self.views.append,
            changed=lambda event: self.changed.append(str(event.new)),
            make_room=self.make_room,
            debug=lambda: self.debugging,
            log=self.log,
        )

    def make_room(self) -> None:
        """Count."""
        self.rooms += 1

    def commit(self, *frames: Frame, outbox: tuple[OutboxRow, ...] = ()) -> None:
        """Release a commit."""
        pending = Pending()
        pending.batch.frames += frames
        pending.batch.outbox += outbox
        self.outlet.durable(pending)
        core = SimpleNamespace(core=SimpleNamespace(predictor=SimpleNamespace(failures=self.failures)))
        self.outlet.committed(pending, cast("Any", core))


ALERT = AlertRaised("A-1", "k", 1, Severity.CRITICAL, "the sky fell", ())


def frame(seq: int, *events: Event) -> Frame:
    """Return a frame."""
    envelope = Envelope(seq, seq, seq * 10, "test", Halt("x", "me"))
    return Frame(envelope, list(events), [-1] * len(events), codec().encode_many(list(events)), bytes([seq] * 32))


@pytest.fixture
def world() -> World:
    """Return an outlet."""
    return World()


def test_a_commit_is_released_to_everybody_once(world: World) -> None:
    """Questions, alerts, views, the head, whoever waits for a flat book."""
    question = InferenceRequested("q1", "m", "s", 1, b"", b"", 9)
    alert = OutboxRow("A-1", 1, "critical", msgspec.json.encode(ALERT))
    world.commit(frame(1, question), frame(2), frame(3, ModelActivated("m", "", 0, 0)), outbox=(alert,))
    assert world.inference.asked == ["q1"]
    assert world.deliveries.rows == [alert]
    assert world.reporter.seen == [1, 3]
    assert world.views == [3]
    assert world.outlet.head == Head(3, 30, bytes([3] * 32).hex())
    assert world.outlet.seq == 3
    assert world.desk.looked == 1
    assert world.desk.lines == []
    assert world.outlet.dirty


def test_a_commit_without_frames_moves_no_head(world: World) -> None:
    """The state of alerts may be all there is; a restart begins behind what was committed before."""
    world.outlet.stand_at(Head(7, 70, "ab"))
    world.commit()
    assert world.outlet.head.seq == world.outlet.seq == 7
    assert world.views == []


def test_subscribers_get_lines_only_where_there_are_any(world: World) -> None:
    """Nobody builds lines for nobody."""
    world.commit(frame(1, ModelActivated("m", "", 0, 0)))
    world.desk.listening = True
    world.commit(frame(2, ModelActivated("m", "", 0, 0)))
    assert world.desk.lines == [{"seq": 2}]


def test_a_reporter_that_fails_holds_up_nobody(world: World) -> None:
    """The frame is durable; the failure is a line of the log, and everybody else is served."""
    world.reporter.fail = True
    alert = OutboxRow("A-1", 1, "critical", msgspec.json.encode(ALERT))
    world.commit(frame(1, ModelActivated("m", "", 0, 0)), outbox=(alert,))
    assert world.deliveries.rows == [alert]
    assert world.outlet.seq == 1
    assert world.log.lines[0] == ("warning", "outreach", {"seq": 1, "error": "ZeroDivisionError: a fold of views"})


def test_every_alert_is_told_to_the_log_once(world: World) -> None:
    """Whoever set up no channel still finds it; a delivery's row is no alert."""
    row = OutboxRow("A-1", 1, "critical", msgspec.json.encode(ALERT))
    world.commit(outbox=(row,))
    world.commit(outbox=(msgspec.structs.replace(row, state="delivered"),))
    told = {"title": "the sky fell", "severity": "critical", "alert_id": "A-1", "count": 1}
    assert world.log.lines == [("warning", "alert", told)]


def test_what_people_should_know_is_logged_with_order_and_reason(world: World) -> None:
    """A change of the trading state at level warning, and to the service manager; refusals at level info."""
    changed = TradingStateChanged(TradingState.ACTIVE, TradingState.HALTED, "why", "me", latched=False)
    rejected = CommandRejected("risk", "Resume", "WRONG_STATE", "no")
    world.commit(frame(4, changed, rejected))
    assert world.changed == ["halted"]
    assert world.log.lines[0] == (
        "warning",
        "trading state",
        {
            "seq": 4,
            "actor": "risk",
            "old": TradingState.ACTIVE,
            "new": TradingState.HALTED,
            "reason": "why",
            "by": "me",
        },
    )
    level, _, fields = world.log.lines[1]
    assert level == "info"
    assert fields["code"] == "WRONG_STATE"
    assert fields["event_type"] == "CommandRejected"


def test_a_strategy_that_fails_for_every_symbol_is_one_line_with_file_and_message(world: World) -> None:
    """Of the first symbol; another fault is another line, and one that nobody remembers is told without."""
    sentences = [f"my.py:7: strategy bad for {name} at T: raised E: my bug" for name in ("AAPL", "SPY")]
    world.failures += [*sentences, "my.py:9: strategy whole at T: answered nonsense: 3 scores"]
    fails = [StrategyFailed("bad", 1, n, "raised E") for n in (0, 1)]
    world.commit(frame(1, *fails, StrategyFailed("whole", 1, -1, "nonsense"), StrategyFailed("old", 1, 0, "raised E")))
    told = [(level, words, fields.get("detail"), fields["failed"]) for level, words, fields in world.log.lines]
    assert told == [
        ("warning", "strategy failed", f"{sentences[0]} (and 1 more of this decision)", 2),
        ("warning", "strategy failed", world.failures[-1], 1),
        ("warning", "strategy failed", None, 1),
    ]


def test_orders_fills_and_limits_have_a_line_each_in_words(world: World) -> None:
    """At level info what is everyday, at warning what a person has to look at; with the order's id."""
    order = SubmitOrder("mine", "main", 1, 1, 5 * 10**8, OrderType.LIMIT, limit_px=450 * 10**8)
    denied = SubmitOrder("no", "main", 1, 1, 5 * 10**8)
    world.commit(
        frame(
            1,
            OrderAccepted("O-1", order, 0),
            OrderDenied(denied, "C", "r"),
            fill(last_qty=2 * 10**8, leaves_qty=3 * 10**8, kind=OrderPartiallyFilled),
            fill(last_qty=3 * 10**8, leaves_qty=0, kind=OrderFilled),
            OrderCanceled("O-2", "yours", 0, "why"),
            LimitBreached("main", "daily_loss", 0.0191, 0.018, "warn"),
            BreakerTripped("main", "daily_loss", 0.051, 0.05, 1, 2, "halt", latched=True),
        )
    )
    told = [(level, words, fields.get("detail"), fields.get("order_id")) for level, words, fields in world.log.lines]
    assert told == [
        ("info", "order accepted", "buy 5 SPY limit 450", "mine"),
        ("info", "order denied", "buy 5 SPY market", "no"),
        ("info", "order partially filled", "buy 2 SPY at 449.5, 3 left", "mine"),
        ("info", "order filled", "buy 3 SPY at 449.5", "mine"),
        ("info", "order canceled", None, "yours"),
        ("warning", "limit breached", "daily_loss 1.91% of main, limit 1.80%: a warning", None),
        ("warning", "breaker tripped", "daily_loss 5.10% of main, limit 5.00%: trading halts", None),
    ]
    _, _, filled = world.log.lines[3]
    assert [filled[name] for name in ("symbol", "side", "qty", "price")] == ["SPY", "buy", "3", "449.5"]


def fill(*, last_qty: int, leaves_qty: int, kind: type[OrderFilled | OrderPartiallyFilled]) -> Event:
    """Return a fill of SPY at 449.50."""
    px = 44_950_000_000
    amounts = (last_qty, px, px, last_qty, leaves_qty, px, 0, 0, 0, 0, 0)
    return kind("O-1", "mine", "E-1", "main", 1, 1, *amounts, "open", "taker", "", "", "", None, exempt=False)


def test_everything_else_is_logged_where_somebody_debugs(world: World) -> None:
    """With its type."""
    marked = EquityMarked("main", 1, 1, 0, 0)
    world.commit(frame(1, marked))
    assert world.log.lines == []
    world.debugging = True
    world.commit(frame(2, marked))
    assert world.log.lines == [("debug", "event", {"seq": 2, "event_type": "EquityMarked", "portfolio": "main"})]


def test_trouble_is_logged_and_room_is_made(world: World) -> None:
    """Nothing was committed, and people hear of it all the same."""
    world.outlet.dirty = False
    world.outlet.trouble("ledger_full", "no room")
    world.outlet.room()
    assert world.log.lines == [("warning", "ledger_full", {"detail": "no room"})]
    assert world.outlet.dirty
    assert world.rooms == 1
