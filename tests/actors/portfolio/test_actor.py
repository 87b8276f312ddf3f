"""The actor: flows, marks, rolls, excursions, several portfolios, closing out, and a restart in between."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.orders import OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected
from actors.messages.portfolio import (
    CashFlowed,
    ClosePositions,
    DepositCash,
    EquityMarked,
    PositionChanged,
    SessionRolled,
    TradeClosed,
)
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.ledger import replay_books
from actors.values import Universe
from actors.values.fixed import SCALE
from daemon.kernel.errors import ConfigError, InvariantError
from daemon.kernel.message import CommandRejected
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of


def test_a_deposit_is_an_external_flow_with_its_postings():
    """Cash, capital, and the equity before it."""
    desk = Desk(n=1)
    (flow,) = desk.sink.events(CashFlowed)
    assert (flow.amount, flow.cash, flow.equity) == (fx(100_000), fx(100_000), 0)
    assert flow.postings == (("cash", fx(100_000)), ("capital", fx(-100_000)))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (DepositCash("main", 0, "x"), "BAD_AMOUNT"),
        (DepositCash("main", fx(-100_001), "x"), "INSUFFICIENT_CASH"),
        (DepositCash("main", 2**62, "x"), "BAD_AMOUNT"),
        (DepositCash("other", 1, "x"), "UNKNOWN_PORTFOLIO"),
        (ClosePositions("other", "x"), "UNKNOWN_PORTFOLIO"),
    ],
)
def test_commands_that_make_no_sense_are_refused_with_a_sentence(command, code):
    """The operator hears what is wrong and what to do; nothing is booked."""
    desk = Desk(n=1)
    (rejected,) = desk.seq.process(command, "control")
    assert isinstance(rejected, CommandRejected)
    assert rejected.code == code
    assert ";" in rejected.reason
    assert desk.pf.cash == fx(100_000)


def test_cash_that_working_orders_reserve_cannot_be_withdrawn():
    """A buy of 60,000 leaves 40,000 to take out."""
    desk = Desk(spec_of(max_weight=0.6), n=1)
    desk.bar([10])
    desk.signal({0: 0.9})
    (rejected,) = desk.seq.process(DepositCash("main", fx(-40_001), "x"), "control")
    assert isinstance(rejected, CommandRejected)
    assert isinstance(desk.seq.process(DepositCash("main", fx(-40_000), "x"), "control")[0], CashFlowed)


def test_a_fill_of_an_unknown_portfolio_is_our_own_fault():
    """The gate would never have let it through."""
    desk = Desk(n=1)
    with pytest.raises(InvariantError, match="unknown portfolio"):
        desk.seq.process(Inject((make_fill("x", 1, portfolio="who", qty=fx(1), px=fx(1)),)), "test")


def test_equity_is_marked_at_each_bar_with_the_bars_own_fills_in_it():
    """Bought at the open of 11, marked at the close of 12."""
    desk = Desk(n=2)
    desk.bar([10, 5])
    desk.signal({0: 0.9})
    desk.bar([12, 5], open_=[11, 5])
    marked = desk.sink.events(EquityMarked)[-1]
    assert desk.pf.qty(0) == fx(10_000)
    assert (marked.cash, marked.net, marked.gross) == (fx(-10_000), fx(120_000), fx(120_000))
    assert marked.equity == desk.actor.equity("main") == fx(110_000)


def test_gross_counts_shorts_and_net_takes_them_off():
    """100 long at 10 and 50 short at 20."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.bar([10, 20])
    desk.seq.process(
        Inject(
            (make_fill("a", 1, qty=fx(100), px=fx(10)), make_fill("b", 1, symbol=1, side=-1, qty=fx(50), px=fx(20)))
        ),
        "test",
    )
    desk.bar([11, 22])
    marked = desk.sink.events(EquityMarked)[-1]
    assert (marked.gross, marked.net, marked.equity) == (fx(2_200), 0, fx(100_000))


def test_fractional_lots_and_giant_positions_are_valued_exactly():
    """What 64 bits or whole shares cannot carry goes through plain integers: the sum is exact to the last unit."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.bar([0.33333333, 2.0])
    desk.seq.process(Inject((make_fill("a", 1, qty=123_456_789, px=33_333_333),)), "test")
    gross, net = desk.pf.valuation(desk.actor._marks.px, desk.actor._marks.px_f)
    assert gross == net == round(123_456_789 * 33_333_333 / SCALE)
    huge = 50_000_000_000
    desk.seq.process(Inject((make_fill("b", 1, side=-1, qty=123_456_789, px=33_333_333),)), "test")
    desk.seq.process(Inject((make_fill("c", 1, symbol=1, qty=huge * SCALE // 1000, px=1),)), "test")
    desk.actor._marks.px[1] = 1_000 * 2 * SCALE
    desk.actor._marks.px_f[1] = 2_000.0
    assert desk.pf.valuation(desk.actor._marks.px, desk.actor._marks.px_f)[1] == huge * 2 * SCALE


def test_a_position_without_any_bar_is_worth_what_it_was_traded_at():
    """The last known price is the fill's, until a bar says otherwise."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.seq.process(Inject((make_fill("a", 1, symbol=1, qty=fx(10), px=fx(7)),)), "test")
    assert desk.actor.equity("main") == fx(100_000)
    desk.bar([3], ids=[0])
    assert desk.actor.equity("main") == fx(100_000)
    desk.bar([8], ids=[1])
    assert desk.actor.equity("main") == fx(100_010)


def test_panels_of_the_other_kind_are_not_looked_at():
    """A session bar in an intraday run would count the day's extremes for lots bought at noon."""
    desk = Desk(n=1)
    desk.actor._daily = False
    assert desk.bar([10]) == []
    assert desk.actor._marks.px[0] == 0


def test_session_rolls_carry_peak_and_drawdown():
    """Up to 110, down to 99: ten percent under the peak."""
    desk = Desk(spec_of(strategies=()), n=1)
    desk.bar([10])
    desk.seq.process(Inject((make_fill("a", 1, qty=fx(10_000), px=fx(10)),)), "test")
    for close in (10.0, 11.0, 9.9):
        desk.bar([close])
        desk.close()
    rolls = desk.sink.events(SessionRolled)
    assert [r.peak for r in rolls] == [fx(100_000), fx(110_000), fx(110_000)]
    assert [r.drawdown for r in rolls] == [0.0, 0.0, -0.1]
    assert [r.session for r in rolls] == [20240102, 20240103, 20240104]


def test_a_flow_is_neither_gain_nor_drawdown():
    """At ten percent under the peak, doubling or halving the money leaves the drawdown at ten percent."""
    desk = Desk(spec_of(strategies=()), n=1)
    desk.bar([10])
    desk.seq.process(Inject((make_fill("a", 1, qty=fx(5_000), px=fx(10)),)), "test")
    desk.bar([8])
    desk.close()
    desk.seq.process(DepositCash("main", fx(90_000), "more"), "control")
    desk.bar([8])
    desk.close()
    desk.seq.process(DepositCash("main", fx(-60_000), "less"), "control")
    desk.bar([8])
    desk.close()
    rolls = desk.sink.events(SessionRolled)
    assert [r.drawdown for r in rolls] == [-0.1, -0.1, -0.1]
    assert [r.flows for r in rolls] == [fx(100_000), fx(90_000), fx(-60_000)]
    assert [r.equity for r in rolls] == [fx(90_000), fx(180_000), fx(120_000)]


def trade_after(*bars: dict[str, list[float]], entry: str = "open", exit_: str = "open") -> TradeClosed:
    """Enter one lot at 100 in the first bar and leave it at 100 in the last; the fills are dictated."""
    desk = Desk(spec_of(strategies=()), n=1)
    desk.bar([100])
    for n, bar in enumerate(bars):
        if n in (0, len(bars) - 1):
            side, source = (1, entry) if n == 0 else (-1, exit_)
            desk.venue.scripted = (make_fill(f"f{n}", 1, side=side, qty=fx(1), px=fx(100), source=source),)
        desk.bar(**bar)
    (trade,) = desk.sink.events(TradeClosed)
    return trade


WIDE = {"close": [100], "open_": [100], "high": [120], "low": [80]}
NARROW = {"close": [101], "open_": [99], "high": [102], "low": [98]}


@pytest.mark.parametrize(
    ("bars", "entry", "exit_", "expected"),
    [
        ((WIDE, NARROW, WIDE), "open", "open", (-0.2, 0.2)),
        ((WIDE, NARROW, WIDE), "intrabar", "open", (-0.02, 0.02)),
        ((WIDE, NARROW, WIDE), "close", "intrabar", (-0.02, 0.02)),
        ((NARROW, NARROW, WIDE), "close", "close", (-0.2, 0.2)),
        ((NARROW, WIDE, NARROW), "close", "open", (-0.2, 0.2)),
        ((NARROW, NARROW), "close", "intrabar", (-0.01, 0.01)),
        ((NARROW, NARROW), "close", "open", (0.0, 0.01)),
    ],
)
def test_excursions_count_only_prices_known_to_lie_between_entry_and_exit(bars, entry, exit_, expected):
    """Entry and exit bars count as far as the path is known; bars in between count whole."""
    trade = trade_after(*bars, entry=entry, exit_=exit_)
    assert (trade.mae, trade.mfe) == expected


def test_excursions_of_a_short_are_mirrored_and_each_lot_has_its_own():
    """The second lot does not inherit what happened before it."""
    desk = Desk(spec_of(strategies=()), n=1)
    desk.bar([100])
    desk.venue.scripted = (make_fill("a", 1, side=-1, qty=fx(1), px=fx(100)),)
    desk.bar([100], high=[110], low=[90])
    desk.venue.scripted = (make_fill("b", 1, side=-1, qty=fx(1), px=fx(100)),)
    desk.bar([100], high=[105], low=[99])
    desk.venue.scripted = (make_fill("c", 1, qty=fx(2), px=fx(100)),)
    desk.bar([100])
    first, second = desk.sink.events(TradeClosed)
    assert (first.mae, first.mfe) == (-0.1, 0.1)
    assert (second.mae, second.mfe) == (-0.05, 0.01)


def test_a_late_entry_does_not_hide_the_bar_from_older_lots():
    """Lot a is held through the whole bar in which b is bought inside it."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.bar([100, 1])
    desk.venue.scripted = (make_fill("a", 1, qty=fx(1), px=fx(100)),)
    desk.bar([100, 1])
    desk.venue.scripted = (make_fill("b", 1, qty=fx(1), px=fx(100), source="intrabar"),)
    desk.bar([103], high=[120], low=[80], ids=[0])
    desk.venue.scripted = (make_fill("c", 1, side=-1, qty=fx(2), px=fx(103)),)
    desk.bar([103], ids=[0])
    first, second = desk.sink.events(TradeClosed)
    assert (first.mae, first.mfe) == (-0.2, 0.2)
    assert (second.mae, second.mfe) == (0.0, 0.03)


def test_a_fill_at_a_close_that_is_over_already_counts_nothing_of_that_bar_twice():
    """An order that comes in after a bar and fills at its close: what the bar did is known before or lies behind."""
    desk = Desk(spec_of(strategies=()), n=1)
    desk.bar([100], high=[120], low=[80])
    desk.seq.process(Inject((make_fill("a", 1, qty=fx(1), px=fx(100), source="close"),)), "test")
    desk.bar([101], high=[102], low=[98])
    desk.seq.process(Inject((make_fill("b", 1, side=-1, qty=fx(1), px=fx(101), source="close"),)), "test")
    (trade,) = desk.sink.events(TradeClosed)
    assert (trade.mae, trade.mfe) == (-0.02, 0.02)


def test_an_order_that_the_broker_gives_up_later_works_no_more():
    """After a late rejection the next decision orders anew and has nothing to cancel."""
    desk = Desk(n=1)
    desk.bar([100])
    (accepted,) = [e for e in desk.signal({0: 0.9}) if isinstance(e, OrderAccepted)]
    assert list(desk.pf.entries) == [accepted.order.client_order_id]
    desk.seq.process(OrderRejected(accepted.order_id, accepted.order, "HALTED", "no trading in it today"), "test")
    assert list(desk.pf.entries) == []
    events = desk.signal({0: 0.9})
    assert [e.order.qty for e in events if isinstance(e, OrderAccepted)] == [accepted.order.qty]
    assert not any(isinstance(e, OrderCanceled) for e in events)


def test_closing_out_sends_one_reduce_only_order_per_position_and_no_second_one():
    """Long and short go flat; asking twice while the first orders work adds nothing."""
    desk = Desk(spec_of(strategies=()), n=3)
    desk.bar([10, 20, 30])
    desk.seq.process(
        Inject(
            (make_fill("a", 1, qty=fx(100), px=fx(10)), make_fill("b", 1, symbol=1, side=-1, qty=fx(50), px=fx(20)))
        ),
        "test",
    )
    events = desk.seq.process(ClosePositions("", "test"), "control")
    assert desk.orders(events) == [(0, -100, -1, "flatten"), (1, 50, -1, "flatten")]
    assert all(e.order.reduce_only for e in events if isinstance(e, OrderAccepted))
    assert desk.seq.process(ClosePositions("main", "test"), "control") == []
    desk.bar([10, 20, 30])
    assert desk.pf.held() == []
    assert [t.exit_reason for t in desk.sink.events(TradeClosed)] == ["flatten", "flatten"]
    assert desk.seq.process(ClosePositions("main", "test", 2), "control") == []


def test_one_symbol_can_be_closed_out_alone():
    """``symbol`` names it."""
    desk = Desk(spec_of(strategies=()), n=2)
    desk.bar([10, 20])
    desk.seq.process(Inject(tuple(make_fill(f"a{s}", 1, symbol=s, qty=fx(5), px=fx(10)) for s in (0, 1))), "test")
    assert desk.orders(desk.seq.process(ClosePositions("main", "test", 1), "control")) == [(1, -5, -1, "flatten")]


def test_two_portfolios_that_follow_one_strategy_keep_their_books_apart():
    """Different sizes and limits, one signal; order ids tell them apart; one venue serves both."""
    small = spec_of(name="small", cash=fx(1_000), max_weight=0.5)
    large = spec_of(name="large", cash=fx(50_000), rebalance="weekly", stop_loss=0.03)
    desk = Desk(small, large, n=2)
    desk.bar([10, 20])
    events = desk.signal({0: 0.9})
    assert [e.order.client_order_id for e in events if isinstance(e, OrderAccepted)] == [
        "small.s-S0-1-buy",
        "large.s-S0-1-buy",
    ]
    desk.bar([10, 20])
    desk.close()
    held = [desk.actor.portfolio(name).qty(0) for name in ("small", "large")]
    assert held == [fx(50), fx(5_000)]
    marks = [(e.portfolio, e.equity) for e in desk.sink.events(EquityMarked)[-2:]]
    assert marks == [("small", fx(1_000)), ("large", fx(50_000))]
    books = replay_books(desk.sink.events())
    assert books.ok
    assert list(books.portfolios) == ["small", "large"]
    assert len(desk.actor.portfolio("large").exits) == 1


def test_expired_orders_let_go_of_their_cash():
    """A DAY buy that found no bar expires with the session; the next decision may spend the cash again."""
    desk = Desk(n=2)
    desk.bar([10, 20])
    desk.signal({0: 0.9})
    desk.bar([20], ids=[1])
    assert desk.pf.entries
    events = desk.close()
    assert [type(e) for e in events] == [OrderExpired, SessionRolled]
    assert desk.pf.entries == {}
    assert desk.orders(desk.signal({0: 0.9})) == [(0, 10_000, 90, "signal")]


def story(desk: Desk, days: range) -> None:
    """Days with signals, stops, flows, closes, sparse bars and two strategies' worth of everything."""
    for day in days:
        wave = [100 + 7 * ((day * k) % 5) / (k + 1) for k in range(1, 4)]
        if day % 4 == 3:
            desk.bar(wave[:2], ids=[0, 2], high=[w * 1.05 for w in wave[:2]], low=[w * 0.95 for w in wave[:2]])
        else:
            desk.bar(wave, open_=[w * 1.002 for w in wave], high=[w * 1.06 for w in wave], low=[w * 0.94 for w in wave])
        desk.close()
        scores = {s: round(0.7 - 0.3 * ((day + s) % 4), 3) for s in range(3) if (day + s) % 5}
        desk.signal(scores, buy_and_hold=day % 7 == 6)
        if day % 5 == 2:
            desk.signal({day % 3: 0.8}, strategy="t")
        if day == 9:
            desk.seq.process(DepositCash("b", fx(5_000), "more"), "control")
        if day == 13:
            desk.seq.process(ClosePositions("a", "test"), "control")


def story_desk() -> Desk:
    """Two portfolios with everything on."""
    a = spec_of(
        name="a", strategies=("s", "t"), allocation="inverse_volatility", lookback=3, stop_loss=0.03, take_profit=0.05
    )
    b = spec_of(
        name="b",
        allocation="confidence",
        rebalance="weekly",
        drift=0.05,
        max_positions=2,
        lot_size=10**6,
        reuse_proceeds=False,
    )
    return Desk(a, b, n=3, fee_rate=100_000)


def test_the_story_is_worth_telling():
    """The scenario that the restart tests rely on does trade, stop out, short of nothing."""
    desk = story_desk()
    story(desk, range(20))
    reasons = [t.exit_reason for t in desk.sink.events(TradeClosed)]
    assert {"signal", "rebalance", "stop_loss", "take_profit"} <= dict.fromkeys(reasons).keys()
    assert any(e.qty % SCALE for e in desk.sink.events(PositionChanged))
    assert len(desk.sink.events(OrderFilled)) > 40
    books = replay_books(desk.sink.events())
    assert books.ok, [c for c in books.checks if not c.ok]


@pytest.mark.parametrize("cut", [1, 2, 5, 8, 13, 14, 19])
def test_a_run_split_by_snapshot_and_restore_has_the_same_digest(cut):
    """Snapshot, through msgpack, into fresh actors: the events that follow are equal to the last bit."""
    whole = story_desk()
    story(whole, range(20))
    first = story_desk()
    story(first, range(cut))
    second = Desk(*first.specs, n=3, fee_rate=100_000, deposit=False)
    second.seq.restore(first.seq.snapshot())
    second.session, second.decisions = first.session, dict(first.decisions)
    second.clock.advance_to(first.clock.now())
    story(second, range(cut, 20))
    assert second.seq.digest == whole.seq.digest
    assert second.seq.events_total == whole.seq.events_total


def test_two_equal_runs_have_equal_digests():
    """Nothing depends on anything but the inputs."""
    digests = []
    for _ in range(2):
        desk = story_desk()
        story(desk, range(12))
        digests.append(desk.seq.digest)
    assert digests[0] == digests[1]


def test_the_snapshot_is_plain_and_survives_msgpack():
    """Restoring it into a fresh actor gives the same snapshot again."""
    desk = story_desk()
    story(desk, range(11))
    packed = msgspec.msgpack.encode(desk.actor.snapshot())
    other = PortfolioActor(desk.universe, desk.specs, daily=True)
    other.restore(msgspec.msgpack.decode(packed))
    assert msgspec.msgpack.encode(other.snapshot()) == packed


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": ""}, "name"),
        ({"allocation": "magic"}, "allocation"),
        ({"rebalance": "hourly"}, "rebalance"),
        ({"strategies": ("s", "s")}, "strategies"),
        ({"cash": -1}, "cash"),
        ({"cash": 2**63}, "cash"),
        ({"lot_size": 0}, "lot_size"),
        ({"lookback": 1}, "lookback"),
        ({"max_weight": 1.5}, "max_weight"),
        ({"drift": float("nan")}, "drift"),
        ({"cash_buffer": 1.0}, "cash_buffer"),
        ({"stop_loss": 1.0}, "stop_loss"),
        ({"take_profit": -0.1}, "take_profit"),
        ({"cash_reserve": 0}, "cash_reserve"),
    ],
)
def test_a_spec_that_does_not_hold_is_refused_by_name_of_key(changes, key):
    """Configuration errors name the portfolio and the key before anything runs."""
    with pytest.raises(ConfigError, match=key):
        PortfolioActor(Universe(("A",)), [spec_of(**changes)], daily=True)


def test_two_portfolios_of_one_name_are_refused():
    """Names are addresses."""
    with pytest.raises(ConfigError, match="two portfolios"):
        PortfolioActor(Universe(("A",)), [spec_of(), spec_of()], daily=True)
