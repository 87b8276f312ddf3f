"""One clear sentence for each event whose fields one by one would not say what happened, from the event itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.messages.catalogue import EVENTS
from actors.messages.columns import pack_f64, pack_i32
from actors.messages.limits import BreakerRule, RiskLimits
from actors.messages.orders import (
    BUY,
    BarRevised,
    Bracket,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRequested,
    OrderReplaceRequested,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    OrderType,
    SubmitOrder,
    SymbolFrozen,
    SymbolReleased,
)
from actors.messages.portfolio import (
    DividendAccrued,
    DividendPaid,
    EntriesCut,
    FinancingCharged,
    PositionAdjusted,
    TargetsProposed,
)
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    LimitsChanged,
    MarginCalled,
    RestrictionChanged,
    RiskReviewed,
)
from actors.reporter.events import EventWriter
from actors.values.fixed import SCALE
from actors.values.universe import Universe
from daemon.cli.ctl import terms, told, wire
from daemon.cli.ctl.events import line, what
from daemon.cli.ctl.text import Paint

UNIVERSE = Universe(("AAPL", "META", "FB"))
TS = 1_598_880_600_000_000_000  # 2020-08-31T13:30:00Z
S = SCALE


def shown(event: Any) -> str:
    """What ``tail`` says of an event behind its time and type, from the line that a subscriber gets."""
    values = {"seq": 7, "n": 0, "ts": "2020-08-31T13:30:00.000Z", "type": type(event).__name__}
    sent = msgspec.json.encode(values | EventWriter(UNIVERSE).values(event)).decode()
    return what(wire.loads(sent), Paint())


LIMITS = RiskLimits(max_order_qty=50 * S, breakers={"slippage": BreakerRule(limit=0.01)})
OTHERS = msgspec.structs.replace(LIMITS, max_order_qty=40 * S, breakers={"slippage": BreakerRule(limit=0.02)})
SENTENCES = [
    (
        BreakerTripped("main", "daily_loss", 0.0512, 0.05, 94_880 * S, 100_000 * S, "halt", latched=True),
        "daily_loss of main: 5.12 % lost, limit 5.00 %; trading halts, latched",
    ),
    (
        BreakerTripped(
            "main", "slippage", 0.0124, 0.01, 0, 0, "block", latched=False, cause="a fill cost 1.24%", subject="AAPL"
        ),
        "slippage of main (AAPL): a fill cost 1.24%, 1.24 % against 1.00 %; entries are blocked",
    ),
    (
        BreakerTripped(
            "", "connectivity", 31.2, 30.0, 0, 0, "reduce", latched=False, cause="the feed x is lost", subject="x"
        ),
        "connectivity (x): the feed x is lost, 31.2 s against 30 s; trading reduces",
    ),
    (
        BreakerReset("main", "slippage", "reviewed", "uid 7 pid 1", "AAPL"),
        "slippage of main (AAPL) is armed again, by uid 7 pid 1 (reviewed)",
    ),
    (
        LimitBreached("main", "max_positions", 9.0, 10.0, "warn"),
        "max_positions of main at 9 of 10; told, no more",
    ),
    (
        LimitBreached("main", "max_sector:Health Care", 0.3834, 0.4, "warn"),
        "max_sector:Health Care of main at 38.34 % of 40.00 %; told, no more",
    ),
    (
        BreakerTripped("main", "exposure", 1.62, 1.5, 0, 0, "deleverage", latched=False),
        "exposure of main: 1.62 x against 1.5 x; positions are cut",
    ),
    (
        LimitsChanged(LIMITS, OTHERS, "ann", "", "thin", (("risk.max_order_qty", "50", "40"),)),
        "risk.max_order_qty 50 -> 40, by ann (thin)",
    ),
    (
        LimitsChanged(LIMITS, OTHERS, "ann", "7c9e" * 16),
        "max_order_qty 50 -> 40, breakers.slippage.limit 0.01 -> 0.02 from configuration 7c9e7c9e7c9e, by ann",
    ),
    (
        EntriesLocked("main", 0, "cooldown", "AAPL was closed at a loss of 4 and rests", TS),
        "main enters AAPL no more until 2020-08-31 13:30:00Z: AAPL was closed at a loss of 4 and rests (cooldown)",
    ),
    (
        EntriesLocked("main", -1, "stop_guard", "3 stops within 5 sessions", until_session=12),
        "main enters every symbol no more until session 12 of the run opens: 3 stops within 5 sessions (stop_guard)",
    ),
    (
        RestrictionChanged(0, True, "earnings", "ann"),
        "AAPL is restricted: what is held may be closed, by ann (earnings)",
    ),
    (RestrictionChanged(0, False, "published", "ann"), "AAPL may be entered again, by ann (published)"),
    (
        ConnectionChanged("alpaca", lost=True, since=TS, reason="silent"),
        "the feed alpaca is lost since 2020-08-31 13:30:00Z (silent)",
    ),
    (ConnectionChanged("alpaca", lost=False, since=TS), "the feed alpaca is back"),
    (RiskReviewed("stale_data", "", TS, TS), "looked at stale_data, next at 2020-08-31 13:30:00Z"),
    (RiskReviewed("connectivity", "alpaca", TS, None), "looked at connectivity of alpaca"),
    (
        OrderCancelRequested("a", "operator", TS + 250_000_000, "O-1"),
        "cancel of a (O-1) reaches the venue at 2020-08-31 13:30:00.250Z (operator)",
    ),
    (
        OrderReplaceRequested("a", 5 * S, 99 * S, None, 0, TS, "O-1"),
        "new terms of a (O-1) (5 limit 99.00) reach the venue at 2020-08-31 13:30:00Z",
    ),
    (
        OrderTriggered("O-1", "a", 9_950_000_000, 10_000_000_000),
        "a (O-1) was triggered at 99.50, its stop stood at 100.00",
    ),
    (OrderTriggered("O-1", "a", 9_950_000_000), "a (O-1) was triggered at 99.50"),
    (
        OrderRestated("O-1", "a", 0, 40 * S, 8 * S, 2_475_000_000, None, OrderTerms(display_qty=4 * S), "split"),
        "a (O-1) is for 40 limit 24.75 AAPL now, shows 4, 8 of it filled (split)",
    ),
    (SymbolFrozen(0, "halted", "T1"), "AAPL is not matched any more: halted (T1)"),
    (SymbolFrozen(-1, "halted", "MWC1"), "the whole market is not matched any more: halted (MWC1)"),
    (SymbolReleased(0, ""), "AAPL is matched again"),
    (
        BarRevised(0, TS, 100 * S, 10_025_000_000),
        "AAPL bar of 2020-08-31 13:30:00Z was corrected: close 100.00 -> 100.25; fills stay",
    ),
    (
        BarRevised(0, TS, 0, 10_025_000_000),
        "AAPL bar of 2020-08-31 13:30:00Z was corrected: close unknown -> 100.25; fills stay",
    ),
    (
        PositionAdjusted("main", 0, "split", 0, 40 * S, 0, 0, 0, 0, (("l", 40 * S, S, S, 0),), (), 4, 1),
        "main holds 40 AAPL now: a split of 4 for 1",
    ),
    (
        PositionAdjusted("main", 0, "split", 0, 3 * S, 0, 0, 0, 0, (), (), 1, 3, px=300 * S, paid=100 * S),
        "main holds 3 AAPL now: a split of 1 for 3; 100.00 paid at 300.00",
    ),
    (
        PositionAdjusted("main", 2, "rename", 1, 5 * S, 0, 0, 0, 0, (), ()),
        "main holds 5 META now: FB is called META now",
    ),
    (
        PositionAdjusted("main", 0, "delist", 0, 0, 0, 0, 0, 0, (), (), px=2 * S, paid=20 * S),
        "main holds 0 AAPL now: AAPL was delisted; 20.00 paid at 2.00",
    ),
    (
        DividendAccrued("main", 0, 10 * S, 82_000_000, 820_000_000, 20200807, 20200813, ()),
        "main is owed a dividend of 8.20: 10 AAPL at 0.82, ex 2020-08-07, payable 2020-08-13",
    ),
    (
        DividendAccrued("main", 0, -10 * S, 82_000_000, -820_000_000, 20200807, 20200813, ()),
        "main owes a dividend of 8.20: -10 AAPL at 0.82, ex 2020-08-07, payable 2020-08-13",
    ),
    (
        DividendPaid("main", 0, 820_000_000, 20200807, 1_000 * S, ()),
        "main received the dividend of AAPL, ex 2020-08-07: 8.20, cash 1,000.00",
    ),
    (
        DividendPaid("main", 0, -820_000_000, 20200807, 1_000 * S, ()),
        "main paid the dividend of AAPL, ex 2020-08-07: 8.20, cash 1,000.00",
    ),
    (
        FinancingCharged("main", "borrow", 0, 20200831, 3, 36_000 * S, 3_000_000, 900_000_000, 991 * S, ()),
        "main was charged 9.00 to borrow AAPL: 3.00 % a year on 36,000.00 for 3 days, cash 991.00",
    ),
    (
        FinancingCharged("main", "interest", -1, 20200831, 1, 36_000 * S, 8_000_000, 800_000_000, 992 * S, ()),
        "main was charged 8.00 of interest: 8.00 % a year on 36,000.00 for 1 day, cash 992.00",
    ),
    (
        MarginCalled("main", 900 * S, 1_000 * S, -100 * S, "liquidate"),
        "main: equity 900.00 against a maintenance of 1,000.00; positions are cut",
    ),
]


@pytest.mark.parametrize(
    ("event", "sentence"), SENTENCES, ids=[f"{type(e).__name__}-{n}" for n, (e, _) in enumerate(SENTENCES)]
)
def test_an_event_is_told_in_a_sentence(event: Any, sentence: str) -> None:
    """As ``tail`` shows it, from what a subscriber is sent."""
    assert shown(event) == sentence


def test_every_sentence_is_of_an_event_that_exists() -> None:
    """A name that nobody emits would be told never, and nobody would notice."""
    assert {type(event).__name__ for event, _ in SENTENCES} <= {event.__name__ for event in EVENTS}
    for event, _ in SENTENCES:
        assert told.sentence(type(event).__name__, {}) is not None  # nothing but a name still makes a sentence


def test_a_line_has_its_time_its_number_and_its_type() -> None:
    """A sentence stands where the fields of others do."""
    event = {"seq": wire.Number("7"), "ts": "2020-08-31T13:30:00.000Z", "type": "SymbolReleased", "symbol": "AAPL"}
    assert line(event, Paint()) == "2020-08-31 13:30:00Z        7  SymbolReleased        AAPL is matched again"


def test_targets_name_what_sizing_made_smaller() -> None:
    """Half for its likeness and a fifth of the rest for heat are six tenths; a column that is none is left alone."""
    event = TargetsProposed(
        "main", "m", 3, pack_i32([0, 1]), pack_f64([0.2, 0.1]), 4, 0, "signal", cut_ids=pack_i32([1, 2]),
        cut_correlation=pack_f64([0.5, 1.0]), cut_heat=pack_f64([0.2, 0.0]),
    )  # fmt: skip
    said = shown(event)
    assert said.startswith("AAPL 0.200, META 0.100  made smaller: META by 60.00 %, FB by 100.00 %  portfolio=main")
    assert "cut_ids" not in said
    broken = {"type": "TargetsProposed", "cut_ids": ["AAPL"], "cut_correlation": [None], "cut_heat": [None]}
    assert "made smaller" not in what(broken, Paint())


def test_entries_without_room_are_named_with_their_limit() -> None:
    """What is left of a sector, nothing of a cluster."""
    limits = ("max_sector", "max_cluster")
    said = shown(EntriesCut("main", "m", 3, pack_i32([1, 2]), pack_f64([0.25, 1.0]), limits))
    assert said.startswith("made smaller: META by 25.00 % (max_sector), FB by 100.00 % (max_cluster)  portfolio=main")
    broken = {"type": "EntriesCut", "ids": ["AAPL"], "parts": [None], "limits": ["max_net"]}
    assert "made smaller" not in what(broken, Paint())


def test_terms_of_an_accepted_order_and_the_cancel_of_a_sibling_are_shown() -> None:
    """In the line of fields that all orders have."""
    bracket = OrderTerms(bracket=Bracket(take_profit_px=110 * S, trail_percent=5 * S))
    order = SubmitOrder("a", "main", 0, BUY, 10 * S, terms=bracket)
    assert "terms=bracket 110.00 / trail 5 %" in shown(OrderAccepted("O-1", order, 0))
    exit_order = SubmitOrder(
        "a-sl", "main", 0, -1, S, OrderType.TRAILING_STOP, terms=OrderTerms(trail_percent=5 * S, bracket_of="a")
    )
    assert "terms=trail 5 %, exit of a" in shown(OrderAccepted("O-2", exit_order, 0))
    assert shown(OrderCanceled("O-2", "a-sl", 0, "OCO")) == "order_id=O-2  client_order_id=a-sl  cum_qty=0  OCO"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"trail_amount": "1.5"}, "trail 1.50"),
        ({"trail_percent": "2.5", "activation_px": "440"}, "trail 2.5 % from 440.00 on"),
        ({"display_qty": "1000", "post_only": True}, "shows 1,000, post-only"),
        (
            {"expire_at": "2020-02-01T05:00:00.000Z", "do_not_reduce": True},
            "not reduced by dividends, until 2020-02-01 05:00:00Z",
        ),
        ({"bracket": {"stop_px": "95.125"}, "oco_group": "g"}, "bracket 95.125, OCO g"),
        ({"locate": True, "oco_group": "\x1b[2J"}, "located, OCO "),
    ],
)
def test_terms_in_few_words(said: Any, words: str) -> None:
    """Prices with two places at least, and nothing that a terminal would obey."""
    given = None if said is None else wire.loads(msgspec.json.encode(said).decode())
    assert terms.words(given) == words
