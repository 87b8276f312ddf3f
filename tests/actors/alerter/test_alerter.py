"""The alerter's policy: what is said, how loud, how often, in which words."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.alerter.actor import DAEMON_KEEPS, UNRESOLVED_NS, AlerterActor
from actors.alerter.params import AlertParams
from actors.alerter.rendering import alert_rows, line, money, percent, title
from actors.messages.alerts import AlertAcknowledged, AlertRaised, AlertTested, Severity
from actors.messages.control import Halt
from actors.messages.inference import StrategyDisabled
from actors.messages.limits import RiskLimits, SymbolLimits
from actors.messages.market import BarPanel, CorporateAction, SessionOpened
from actors.messages.orders import OrderRestated, SymbolFrozen, SymbolReleased
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    EquityMarked,
    FlattenEnded,
    PositionAdjusted,
    PositionChanged,
    TradeClosed,
)
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    LimitsChanged,
    RestrictionChanged,
    TradingState,
    TradingStateChanged,
)
from actors.messages.runtime import MachineTrouble
from actors.values.fixed import SCALE, to_fixed
from actors.values.session import Session
from actors.values.universe import Universe
from daemon.kernel.actor import Health
from daemon.kernel.message import Envelope, InputQuarantined

UNIVERSE = Universe(("AAPL", "MSFT", "KO"))
TS = 1_577_975_400_000_000_000


class Feeder:
    """An alerter with the inputs it gets."""

    def __init__(self, *, daemon=True, **params):
        self.alerter = AlerterActor(UNIVERSE, AlertParams(**params), daemon=daemon)
        self.ts = TS
        self.day = 20200102
        self.seq = 0

    def events(self, *events):
        """Commit a frame."""
        self.seq += 1
        return self.alerter.consume(Envelope(self.seq, self.ts, self.ts, "test", Halt("", "")), list(events))

    def open(self):
        """Open the next session."""
        self.day += 1
        self.ts += 10**12
        return self.alerter.observe(SessionOpened(self.ts, Session(self.day, self.ts, self.ts + 10**11, self.day)))

    def bar(self, *closes):
        """Observe closes; None leaves a symbol out."""
        self.ts += 60 * 10**9
        ids = np.array([i for i, c in enumerate(closes) if c is not None], dtype=np.int32)
        px = np.array([c for c in closes if c is not None])
        fx = np.array([round(c * SCALE) for c in px], dtype=np.int64)
        fx.flags.writeable = False
        dense = len(ids) == len(UNIVERSE)
        start = self.ts - 60 * 10**9
        return self.alerter.observe(BarPanel(self.ts, start, self.day, False, ids, dense, px, px, px, px, fx, None))

    def hold(self, symbol, qty, portfolio="main"):
        """Come to hold."""
        return self.events(PositionChanged(portfolio, f"x{self.seq}", symbol, to_fixed(qty), 0, 0, 0, 0, None, (), ()))

    def equity(self, amount, portfolio="main"):
        """Mark equity."""
        return self.events(EquityMarked(portfolio, to_fixed(amount), 0, 0, 0))

    def flow(self, amount, equity=0, portfolio="main"):
        """Put cash in; ``equity`` is what was there before."""
        return self.events(CashFlowed(portfolio, to_fixed(amount), "test", 0, (), to_fixed(equity)))


def stop(symbol=0, *, reason="stop_loss", ret=-0.031, pnl=-312.5):
    """Return a closed round trip."""
    return TradeClosed(
        portfolio="main",
        lot_id="l",
        symbol=symbol,
        side=1,
        qty=to_fixed(100),
        entry_px=to_fixed(100),
        entry_ts=1,
        exit_ts=2,
        exit_px=to_fixed(96.9),
        fees=0,
        pnl=to_fixed(pnl),
        ret=ret,
        mae=0.0,
        mfe=0.0,
        entry_confidence=None,
        exit_reason=reason,
        strategy="momentum",
    )


SLIPPAGE_ARMED = "Breaker slippage of main (AAPL) armed again, by breaker"
TRIPPED = BreakerTripped("main", "drawdown", 0.204, 0.2, to_fixed(79_600), to_fixed(100_000), "halt", latched=True)
HALTED = TradingStateChanged(TradingState.ACTIVE, TradingState.HALTED, "drawdown", "breaker", latched=True)


@pytest.mark.parametrize(
    ("event", "severity", "words"),
    [
        (LimitBreached("main", "daily_loss", 0.019, 0.018, "warn"), "warning", "-1.9% day loss in main: limit 1.8%"),
        (
            LimitBreached("main", "daily_loss", 0.024, 0.02, "block_entries"),
            "warning",
            "-2.4% day loss in main: entries blocked",
        ),
        (TRIPPED, "critical", "-20.4% drawdown in main: trading halted"),
        (
            BreakerTripped("main", "weekly_loss", 0.1, 0.1, to_fixed(9), to_fixed(10), "deleverage", latched=False),
            "critical",
            "-10% week's loss in main: positions are cut",
        ),
        (
            BreakerTripped("", "reject_rate", 0.6, 0.5, 0, 0, "warn", latched=False, cause="60% refused"),
            "warning",
            "60% of orders refused: a warning",
        ),
        (
            BreakerTripped("main", "slippage", 0.02, 0.01, 0, 0, "block", latched=False, cause="dear", subject="AAPL"),
            "warning",
            "2% slippage (AAPL) in main: entries blocked",
        ),
        (
            BreakerTripped("", "loss_streak", 5.0, 5.0, 0, 0, "block", latched=True, cause="5 trades lost"),
            "critical",
            "5 trades lost in a row: entries blocked",
        ),
        (
            BreakerTripped("", "stale_data", 75.4321, 60.0, 0, 0, "reduce", latched=False, cause="silence"),
            "warning",
            "75.43 s without a price: trading reduces",
        ),
        (
            BreakerTripped("", "fill_sanity", 0.0, 0.2, 0, 0, "halt", latched=True, cause="of nothing", subject="A"),
            "critical",
            "a fill that cannot be true (A): trading halted",
        ),
        (LimitBreached("main", "max_positions", 9.0, 10.0, "warn"), "info", "90% of max_positions used in main"),
        (BreakerReset("main", "slippage", "over", "breaker", "AAPL"), "info", SLIPPAGE_ARMED),
        (
            EntriesLocked("main", 0, "cooldown", "AAPL was closed at a loss", until_ts=1),
            "info",
            "Entries locked in AAPL of main: cooldown",
        ),
        (
            EntriesLocked("main", -1, "stop_guard", "3 stops", until_session=3),
            "warning",
            "Entries locked in main: stop_guard",
        ),
        (RestrictionChanged(0, True, "earnings", "anna"), "info", "AAPL is restricted, by anna"),
        (RestrictionChanged(0, False, "published", "anna"), "info", "AAPL is no longer restricted, by anna"),
        (ConnectionChanged("live", lost=True, since=1, reason="cut"), "warning", "The feed live is lost"),
        (ConnectionChanged("live", lost=False, since=1), "info", "The feed live is back"),
        (stop(), "warning", "-3.1% at stop-loss of AAPL, -$312.50"),
        (HALTED, "critical", "Trading halted, by breaker"),
        (
            TradingStateChanged(TradingState.ACTIVE, TradingState.HALTED, "lunch", "anna", latched=False),
            "warning",
            "Trading halted, by anna",
        ),
        (
            TradingStateChanged(TradingState.HALTED, TradingState.KILLED, "smoke", "anna", latched=True),
            "critical",
            "Trading killed, by anna",
        ),
        (
            TradingStateChanged(TradingState.HALTED, TradingState.ACTIVE, "", "replay rule", latched=False),
            "info",
            "Trading active again, by replay rule",
        ),
        (
            StrategyDisabled("momentum", "3 errors", "predictor"),
            "warning",
            "Strategy momentum switched off by predictor",
        ),
        (
            InputQuarantined("predictor", "BarPanel", "ZeroDivisionError"),
            "critical",
            "1 input set aside: BarPanel failed in predictor",
        ),
    ],
)
def test_each_rule_speaks_with_its_severity_and_words(event, severity, words):
    """One fact, one alert, number first, under ten words, with facts and what was done."""
    (alert,) = Feeder().events(event)
    assert (alert.severity, alert.title, alert.ts, alert.count) == (severity, words, TS, 1)
    assert len(alert.title.split()) < 10
    assert alert.facts
    assert alert.action_taken


def test_facts_are_plain_decimals_and_titles_are_for_people():
    """The numbers of a title can be found exactly in the facts."""
    (alert,) = Feeder().events(TRIPPED)
    assert dict(alert.facts) == {
        "loss": "0.204",
        "limit": "0.2",
        "equity": "79600",
        "baseline": "100000",
        "portfolio": "main",
    }
    assert alert.next_command == "tradingctl breaker reset --portfolio main --breaker drawdown"


SKEWED = BreakerTripped("", "clock_skew", 6.0, 5.0, 0, 0, "halt", latched=True, cause="it jumped")


@pytest.mark.parametrize("latched", [True, False])
def test_what_waits_for_an_operator_says_what_to_type(latched):
    """A breaker of all portfolios names none; one that cools asks for nothing. What is not known is no fact."""
    (alert,) = Feeder().events(msgspec.structs.replace(SKEWED, latched=latched))
    assert alert.next_command == ("tradingctl breaker reset --breaker clock_skew" if latched else "")
    assert dict(alert.facts) == {"cause": "it jumped", "value": "6", "limit": "5"}


def test_a_days_reset_by_rule_is_told_by_the_state_alone():
    """As it always was."""
    assert Feeder().events(BreakerReset("main", "daily_loss", "a new session began", "replay rule")) == []


def test_an_armed_breaker_settles_its_own_alert_and_no_other():
    """What cooled down keeps no daemon from trading; what a rule lifted was not looked at by anybody."""
    feeder = Feeder()
    feeder.events(TRIPPED)
    feeder.events(SKEWED)
    lifted = TradingStateChanged(TradingState.HALTED, TradingState.ACTIVE, "over", "breaker", latched=False)
    feeder.events(BreakerReset("", "clock_skew", "over", "breaker"), lifted)
    assert [text for text in feeder.alerter.unresolved(TS + 1) if "clock_skew" in text] == []
    assert [text for text in feeder.alerter.unresolved(TS + 1) if "drawdown" in text] != []


def test_a_breakers_halt_is_told_once_by_the_breaker():
    """The change of state in the same frame would only repeat it."""
    feeder = Feeder()
    assert [a.key for a in feeder.events(TRIPPED, HALTED)] == ["breaker:main:drawdown"]
    assert [a.key for a in feeder.events(HALTED)] == ["trading_state:halted"]


def test_other_facts_are_no_alerts():
    """A take-profit is a trade like any other."""
    assert Feeder().events(stop(reason="take_profit"), stop(reason="signal")) == []
    assert Feeder(stop_losses=False).events(stop()) == []
    assert Feeder(trading_state=False).events(HALTED) == []


def test_the_same_condition_in_one_session_is_one_alert_that_counts():
    """Same id, newest facts, higher count; the next session begins anew."""
    feeder = Feeder()
    (first,) = feeder.events(stop())
    feeder.ts += 1
    (second, third) = feeder.events(stop(ret=-0.05), stop(symbol=1))
    assert (second.alert_id, second.count, second.ts) == (first.alert_id, 2, TS + 1)
    assert second.title.startswith("-5%")
    assert third.alert_id != first.alert_id
    assert feeder.alerter.raised == [second, third]
    feeder.open()
    (fourth,) = feeder.events(stop())
    assert fourth.count == 1
    assert fourth.alert_id not in {first.alert_id, third.alert_id}


def test_a_session_that_opens_with_events_starts_its_own_window():
    """The frame of the opening itself belongs to the new session."""
    feeder = Feeder()
    feeder.open()
    (first,) = feeder.events(stop())
    session = Session(feeder.day + 1, feeder.ts, feeder.ts, 0)
    envelope = Envelope(9, feeder.ts, feeder.ts + 1, "feed", SessionOpened(feeder.ts, session))
    (second,) = feeder.alerter.consume(envelope, [stop()])
    assert second.alert_id != first.alert_id


@pytest.mark.parametrize(
    ("close", "said"),
    [
        (104.99, None),
        (105.0, "+5% move of AAPL, 120 shares held"),
        (106.2, "+6.2% move of AAPL, 120 shares held"),
        (95.01, None),
        (95.0, "-5% move of AAPL, 120 shares held"),
    ],
)
def test_a_large_move_of_a_held_symbol_at_under_and_over(close, said):
    """Against the last session's close."""
    feeder = Feeder()
    feeder.bar(100.0, 100.0, 100.0)
    feeder.hold(0, 100)
    feeder.hold(0, 20, "other")
    feeder.open()
    assert [a.title for a in feeder.bar(close, 100.0, 100.0)] == ([said] if said else [])


def test_a_large_move_needs_a_position_and_a_previous_close():
    """What is not held may jump; a first session has nothing to compare with."""
    feeder = Feeder()
    feeder.hold(0, 100)
    assert feeder.bar(100.0, 100.0, 100.0) == []
    assert feeder.bar(200.0, 100.0, 100.0) == []
    feeder.open()
    assert feeder.bar(None, 200.0, 200.0) == []
    feeder.hold(0, 0)
    assert feeder.bar(400.0, 200.0, 200.0) == []
    assert Feeder(large_move=0.0).bar(1.0, 1.0, 1.0) == []


def test_a_large_move_speaks_again_only_at_the_next_multiple():
    """One alert a session that counts steps, not bars."""
    feeder = Feeder()
    feeder.bar(100.0, 100.0, None)
    feeder.hold(0, 10)
    feeder.open()
    said = [
        [a.count for a in feeder.bar(c, 100.0, 5.0)] for c in (105.0, 106.0, 104.0, 105.5, 110.0, 112.0, 94.0, 85.0)
    ]
    assert said == [[1], [], [], [], [2], [], [], [3]]
    feeder.open()
    assert [a.title for a in feeder.bar(90.0, None, None)] == ["+5.88% move of AAPL, 10 shares held"]


def test_milestones_at_each_step_over_deposits():
    """Each is told once, and only on the way up."""
    feeder = Feeder()
    feeder.flow(100_000)
    said = [[a.title for a in feeder.equity(e)] for e in (109_999.99, 110_000, 115_000, 105_000, 110_000, 131_000)]
    assert said == [
        [],
        ["+10% over deposits: main at $110,000.00"],
        [],
        [],
        [],
        ["+30% over deposits: main at $131,000.00"],
    ]
    assert all(a.severity is Severity.INFO for a in feeder.alerter.raised)
    assert feeder.equity(1_000, "unknown") == []


def test_deposits_and_withdrawals_are_no_milestones():
    """Growth is measured net of flows, in proportion."""
    feeder = Feeder()
    feeder.flow(100_000)
    feeder.equity(120_000)
    feeder.flow(-60_000, equity=120_000)
    assert feeder.equity(60_000) == []
    assert feeder.equity(64_999) == []
    (alert,) = feeder.equity(65_000)
    assert alert.title == "+30% over deposits: main at $65,000.00"
    feeder.flow(1_000_000, equity=65_000)
    assert feeder.equity(1_065_000) == []
    empty = Feeder(milestone_step=0.0)
    empty.flow(100)
    assert empty.equity(10**6) == []


def test_two_runs_say_the_same():
    """Ids depend on the condition and its first instant alone."""

    def story():
        feeder = Feeder()
        feeder.flow(1_000)
        feeder.events(TRIPPED, HALTED, stop(), stop())
        feeder.equity(2_000)
        return feeder.alerter.raised

    assert story() == story()
    assert len({a.alert_id for a in story()}) == 3


def test_rows_for_the_durable_list():
    """One row an alert, in its newest form."""
    feeder = Feeder()
    feeder.events(stop(), stop())
    (row,) = alert_rows(feeder.alerter.raised)
    ts, alert_id, severity, key, words, facts, action, count = row
    assert (ts, severity, key, count) == ("2020-01-02T14:30:00.000Z", "warning", "stop_loss:main:AAPL", 2)
    assert re.fullmatch(r"A-[0-9a-f]{12}", alert_id)
    assert words == "-3.1% at stop-loss of AAPL, -$312.50"
    assert facts.startswith("return=-0.031; pnl=-312.5; qty=100; entry_px=100; exit_px=96.9; symbol=AAPL")
    assert action == "the lot was closed"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.1, "+10%"),
        (-0.05333, "-5.33%"),
        (0.0, "+0%"),
        (-0.000001, "+0%"),
        (0.018, "+1.8%"),
        (1.0, "+100%"),
        (-1.0, "-100%"),
    ],
)
def test_percentages(ratio, text):
    """Two digits at most, no trailing zeros, always a sign."""
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("amount", "text"), [("110240", "$110,240.00"), ("-312.5", "-$312.50"), ("0.005", "$0.00"), ("0.015", "$0.02")]
)
def test_money(amount, text):
    """Cents, thousands separators, the sign before the dollar."""
    assert money(to_fixed(float(amount))) == text


@given(st.text(alphabet=st.sampled_from("ab \t"), max_size=80))
def test_no_title_ever_has_ten_words(text):
    """Whatever a portfolio is called."""
    assert len(title(text).split()) < 10


def test_a_line_of_text_says_when_how_loud_what_and_what_next():
    """For consoles and logs."""
    feeder = Feeder()
    feeder.events(TRIPPED)
    (alert,) = feeder.events(TRIPPED)
    assert isinstance(alert, AlertRaised)
    assert line(alert) == (
        "2020-01-02T14:30:00.000Z CRITICAL -20.4% drawdown in main: trading halted (x2) | trading halted; working "
        "orders that add risk were cancelled, exits stay | "
        "next: tradingctl breaker reset --portfolio main --breaker drawdown"
    )


def test_no_command_is_suggested_where_no_daemon_could_take_it():
    """A replay's alerts name no tradingctl verb."""
    feeder = Feeder(daemon=False)
    [alert] = feeder.events(
        BreakerTripped("main", "drawdown", 0.21, 0.2, 79 * SCALE, 100 * SCALE, "halt", latched=True)
    )
    assert alert.next_command == ""


def test_a_strategy_whose_model_has_seen_these_dates_is_no_incident():
    """The training window is known beforehand."""
    feeder = Feeder()
    [alert] = feeder.events(StrategyDisabled("m", "seen", "training-window"))
    assert alert.severity is Severity.INFO


def test_a_daemon_keeps_its_newest_alerts_and_a_replay_all_of_them():
    """Months of running must not grow a snapshot; a report lists every alert."""
    kept = {}
    for daemon in (True, False):
        feeder = Feeder(daemon=daemon)
        for n in range(DAEMON_KEEPS + 5):
            feeder.events(InputQuarantined("risk", f"M{n}", "KeyError"))
        again = feeder.events(InputQuarantined("risk", "M204", "KeyError"))
        kept[daemon] = feeder.alerter.raised
        assert kept[daemon][-1] == again[0]
        assert again[0].count == 2
    assert len(kept[True]) == DAEMON_KEEPS
    assert len(kept[False]) == DAEMON_KEEPS + 5
    assert [a.key for a in kept[True]] == [a.key for a in kept[False][5:]]


def test_a_position_that_was_flat_already_stays_flat():
    """A booking of nothing left is no holding less than none."""
    feeder = Feeder()
    feeder.hold(0, 0)
    feeder.bar(100, 100, 100)
    feeder.open()
    assert feeder.bar(200, 100, 100) == []


def test_an_alerter_says_how_it_is():
    """Counted anew in each session."""
    feeder = Feeder()
    feeder.events(StrategyDisabled("a", "", "ann"))
    assert feeder.alerter.health() == Health(detail="1 condition told in this session")
    feeder.open()
    feeder.events(InputQuarantined("risk", "M", "KeyError"), StrategyDisabled("a", "", "ann"))
    detail = "2 conditions told in this session; 1 critical not dealt with"
    assert feeder.alerter.health() == Health(ok=False, detail=detail)


def outside(feeder, event):
    """Let a fact from the edge come in as an input of its own."""
    feeder.seq += 1
    return feeder.alerter.consume(Envelope(feeder.seq, feeder.ts, feeder.ts, "control", event), [])


def test_a_critical_alert_stands_until_a_person_has_dealt_with_it():
    """After a restart within twelve hours the daemon waits for that person (C27)."""
    feeder = Feeder()
    (broken,) = feeder.events(InputQuarantined("risk", "M", "KeyError"))
    (killed,) = feeder.events(
        TradingStateChanged(TradingState.ACTIVE, TradingState.KILLED, "smoke", "anna", latched=True)
    )
    names = [f"{alert.alert_id} ({alert.title})" for alert in (broken, killed)]
    assert feeder.alerter.unresolved(feeder.ts) == names
    outside(feeder, AlertAcknowledged(broken.alert_id, "anna"))
    outside(feeder, AlertAcknowledged("A-unknown", "anna"))
    assert feeder.alerter.unresolved(feeder.ts) == names[1:]
    feeder.events(TradingStateChanged(TradingState.REDUCING, TradingState.ACTIVE, "", "recovery", latched=False))
    assert feeder.alerter.unresolved(feeder.ts) == names[1:]
    again = Feeder().alerter
    again.restore(feeder.alerter.snapshot())
    assert again.unresolved(feeder.ts) == names[1:]
    feeder.events(TradingStateChanged(TradingState.HALTED, TradingState.ACTIVE, "", "anna", latched=False))
    assert feeder.alerter.unresolved(feeder.ts) == []


def test_what_is_twelve_hours_old_keeps_nobody_waiting():
    """Neither in the answer nor in memory."""
    feeder = Feeder()
    feeder.events(InputQuarantined("risk", "M", "KeyError"))
    assert feeder.alerter.unresolved(feeder.ts + UNRESOLVED_NS)
    assert feeder.alerter.unresolved(feeder.ts + UNRESOLVED_NS + 1) == []
    feeder.ts += UNRESOLVED_NS + 1
    feeder.events(InputQuarantined("risk", "N", "KeyError"))
    assert len(feeder.alerter.snapshot()["open"]) == 1
    for n in range(DAEMON_KEEPS + 3):
        feeder.events(InputQuarantined("risk", f"X{n}", "KeyError"))
    assert len(feeder.alerter.snapshot()["open"]) == DAEMON_KEEPS


def test_a_test_alert_reaches_every_channel_and_waits_for_nobody():
    """It is as loud as can be and stands for no condition."""
    feeder = Feeder()
    (alert,) = outside(feeder, AlertTested("anna", "before the weekend"))
    assert (alert.severity, alert.title) == (Severity.CRITICAL, "Test alert, asked for by anna")
    assert feeder.alerter.unresolved(feeder.ts) == []


def test_trouble_of_the_machine_is_told_as_loud_as_the_shell_says():
    """The sentence is the shell's."""
    feeder = Feeder()
    (mild,) = outside(feeder, MachineTrouble("disk_low", "the disk has 1 GB left"))
    (grave,) = outside(feeder, MachineTrouble("ledger", "the ledger cannot be written", critical=True))
    assert (mild.severity, mild.title) == (Severity.WARNING, "the disk has 1 GB left")
    assert grave.severity is Severity.CRITICAL
    assert len(feeder.alerter.unresolved(feeder.ts)) == 1
    (host,) = outside(feeder, MachineTrouble("inference_host", "no inference host at /run/x"))
    assert (mild.next_command, host.next_command) == ("tradingctl health", "tradingctl model")


def test_a_flatten_that_cannot_end_wakes_someone_and_one_that_did_does_not():
    """The names of what is left are told."""
    feeder = Feeder()
    (flat,) = feeder.events(FlattenEnded("main", flat=True))
    (left,) = feeder.events(FlattenEnded("main", flat=False, left=(0, 2)))
    assert (flat.severity, flat.title) == (Severity.INFO, "0 positions left in main: it is flat")
    assert (left.severity, left.title) == (Severity.CRITICAL, "2 positions in main could not be closed")
    assert dict(left.facts)["left"] == "AAPL, KO"


def test_a_change_of_limits_is_told_with_what_changed():
    """Who, and from what to what."""
    feeder = Feeder()
    old = RiskLimits()
    new = msgspec.structs.replace(old, max_positions=5)
    (alert,) = feeder.events(LimitsChanged(old, new, "anna", "d" * 64))
    assert alert.title == "1 risk limit changed by anna"
    assert alert.facts == (("max_positions", "10 -> 5"), ("by", "anna"), ("config", "d" * 64))


def test_limits_set_by_hand_are_told_as_they_were_said():
    """Each time anew, as no two of them are one condition; nested ones of a configuration by their own names."""
    feeder = Feeder()
    old = RiskLimits()
    new = msgspec.structs.replace(old, max_order_qty=10 * 10**8)
    said = (("risk.max_order_qty", "0", "10"),)
    (alert,) = feeder.events(LimitsChanged(old, new, "anna", "", "thin", said))
    assert alert.title == "1 risk limit changed by anna"
    assert alert.facts == (("risk.max_order_qty", "0 -> 10"), ("by", "anna"), ("reason", "thin"))
    (alert,) = feeder.events(LimitsChanged(new, old, "anna", "", "back", (("risk.max_order_qty", "10", "0"),)))
    assert alert.facts[0] == ("risk.max_order_qty", "10 -> 0")
    named = msgspec.structs.replace(old, symbols={"AAPL": SymbolLimits(max_position=0.1)})
    (alert,) = feeder.events(LimitsChanged(old, named, "daemon", "d" * 64))
    assert ("symbols.AAPL.max_position", "None -> 0.1") in alert.facts


def adjusted(kind, qty, *, new_symbol=0, numerator=1, denominator=1):
    """Return what a corporate action left of a position in AAPL."""
    return PositionAdjusted(
        "main", 0, kind, new_symbol, to_fixed(qty), 0, 0, 0, 0, (), (), numerator=numerator, denominator=denominator
    )


def accrued(amount):
    """Return a dividend of 0.5 on AAPL."""
    return DividendAccrued("main", 0, to_fixed(2 * amount), to_fixed(0.5), to_fixed(amount), 20240304, 20240308, ())


def restated(reason):
    """Return an order in AAPL as an action left it."""
    return OrderRestated("O-1", "a", 0, to_fixed(4), 0, None, None, None, reason)


@pytest.mark.parametrize(
    ("held", "event", "severity", "words"),
    [
        (5, accrued(2.5), "info", "AAPL pays 0.5 a share: main is due 2.5"),
        (-5, accrued(-2.5), "info", "AAPL pays 0.5 a share: main owes 2.5"),
        (0, restated("split"), "info", "Orders in AAPL were restated: split"),
        (0, SymbolFrozen(0, "halted", "T1"), "info", "AAPL is frozen: halted"),
        (5, SymbolFrozen(0, "halted", "T1"), "warning", "AAPL is frozen: halted"),
        (0, SymbolFrozen(0, "halted", "jump"), "warning", "AAPL is frozen: prices that cannot be believed"),
        (0, SymbolFrozen(-1, "halted", "MWC1"), "warning", "the whole market is frozen: halted"),
        (0, SymbolReleased(0), "info", "AAPL trades again"),
        (5, SymbolReleased(0), "warning", "AAPL trades again"),
        (0, SymbolReleased(-1), "warning", "the whole market trades again"),
        (5, adjusted("split", 20, numerator=4), "info", "AAPL split 4 for 1: main holds 20 AAPL"),
        (5, adjusted("rename", 5, new_symbol=1), "info", "AAPL is called MSFT now: main holds 5 MSFT"),
        (5, adjusted("delist", 0), "warning", "AAPL was delisted: main holds 0 AAPL"),
    ],
)
def test_freezes_and_corporate_actions_are_told(held, event, severity, words):
    """A freeze of what nobody holds is news; of what is held, of everything, or for want of belief a warning."""
    feeder = Feeder()
    if held:
        feeder.hold(0, held)
    (alert,) = feeder.events(event)
    assert (alert.severity, alert.title) == (severity, words)


def test_orders_in_what_is_held_follow_without_a_word_of_their_own():
    """The position's own alert says what happened."""
    feeder = Feeder()
    feeder.hold(0, 5)
    (alert,) = feeder.events(restated("split"), adjusted("split", 20, numerator=4))
    assert alert.title == "AAPL split 4 for 1: main holds 20 AAPL"
    (alert,) = feeder.events(restated("dividend"), accrued(10))
    assert alert.title == "AAPL pays 0.5 a share: main is due 10"


def test_a_split_a_dividend_and_a_new_name_are_no_large_moves():
    """400 before a 4:1 split is 100 after it, less 8 of dividend 92; the new name begins where the old one ended.

    AAPL: 400 -> 400 x 1/4 - 8 = 92; at 96 it moved by 4/92 = 4.3 %, below the 5 % limit; at 97 by 5.43 %.
    """
    feeder = Feeder(large_move=0.05)
    feeder.bar(400, 100, 50)
    feeder.hold(0, 5)
    feeder.alerter.observe(CorporateAction(feeder.ts, 20200104, 0, "split", 4 * SCALE, numerator=4, denominator=1))
    feeder.alerter.observe(CorporateAction(feeder.ts, 20200104, 0, "dividend", 8 * SCALE))
    feeder.events(adjusted("split", 20, numerator=4))
    feeder.open()
    assert feeder.bar(96, 100, 50) == []
    (alert,) = feeder.bar(97, 100, 50)
    assert alert.title == "+5.43% move of AAPL, 20 shares held"
    feeder.alerter.observe(CorporateAction(feeder.ts, 20200105, 0, "rename", 0, renamed_to=1))
    feeder.events(adjusted("rename", 20, new_symbol=1))
    feeder.open()
    assert feeder.bar(None, 97, 50) == []
    (alert,) = feeder.bar(None, 90, 50)
    assert alert.title == "-7.22% move of MSFT, 20 shares held"
