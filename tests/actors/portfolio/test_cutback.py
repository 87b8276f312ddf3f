"""Entries are cut back to what the gate lets pass: by correlation with what is held, by what stops leave at risk."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.market import BarPanel
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderDenied
from actors.messages.portfolio import TargetsProposed
from actors.portfolio.cutback import Cutback
from actors.portfolio.entry import Entry
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.positions import Position
from actors.portfolio.state import PortfolioState, Working
from actors.predictor.registry import bind_spec
from actors.values import Universe
from actors.values.fixed import SCALE
from actors.values.history import SessionHistory
from tests.actors.portfolio import harness
from tests.actors.portfolio.harness import Desk
from tests.parity.core_bench import WIDE, World

UNIVERSE = Universe(("AA", "BB", "CC", "DD", "EE"))
SHRINK = {"correlation_shrink": 0.7, "max_correlation": 0.8}
A = np.tile([1.0, -1.0, 1.0, -1.0], 15)
B = np.tile([1.0, 1.0, -1.0, -1.0], 15)
"""Sixty moves each, with mean 0 and no correlation: rho x A + sqrt(1 - rho^2) x B has correlation rho with A."""


def history_of(*correlations: float, sessions: int = 60) -> SessionHistory:
    """Sessions in which the first symbol moves by 1 % as A does, the others correlated with it."""
    rows = np.stack([A, *(rho * A + np.sqrt(1.0 - rho * rho) * B for rho in correlations)], axis=1)[:sessions]
    history = SessionHistory(rows.shape[1], 60)
    px = np.full(rows.shape[1], 10_000.0)
    history.fold_close(np.rint(px * SCALE).astype(np.int64))
    for row in rows:
        px = px * (1.0 + 0.01 * row)
        history.fold_close(np.rint(px * SCALE).astype(np.int64))
    return history


def portfolio(*held: int, **changes: Any) -> PortfolioState:
    """A portfolio that holds so many shares of each symbol."""
    pf = PortfolioState(PortfolioSpec("main", 100_000 * SCALE, ("s",), **changes), 5)
    for symbol, qty in enumerate(held):
        if qty:
            pf.positions[symbol] = Position(symbol, qty * SCALE)
            pf.holding[symbol] = True
    return pf


def cut(pf: PortfolioState, history: SessionHistory, *entries: Entry) -> list[int]:
    """What is left of entries, whole shares; every price is 100, equity 100,000."""
    marks = np.full(5, 100 * SCALE, dtype=np.int64)
    Cutback(UNIVERSE, history, lambda *_: 0).cut(pf, list(entries), marks, 100_000 * SCALE, {})
    return [entry.qty // SCALE for entry in entries]


def entry(symbol: int, qty: int, side: int = BUY, base: int = 0) -> Entry:
    """An entry at 100."""
    return Entry(symbol, side, base * SCALE, qty * SCALE, 100 * SCALE)


# -- correlation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rho", "left"),
    [
        pytest.param(-0.9, 100, id="against"),
        pytest.param(0.0, 100, id="none"),
        pytest.param(0.6999, 100, id="just below the first"),
        pytest.param(0.7095, 90, id="(0.8 - 0.7095) / 0.1 = 0.905"),
        pytest.param(0.7495, 50, id="(0.8 - 0.7495) / 0.1 = 0.505"),
        pytest.param(0.7895, 10, id="(0.8 - 0.7895) / 0.1 = 0.105"),
        pytest.param(0.8001, 0, id="just above the last"),
        pytest.param(0.95, 0, id="far above"),
    ],
)
def test_a_size_falls_linearly_between_the_two_correlations(rho: float, left: int) -> None:
    """A hundred shares of a symbol so correlated with the one that is held."""
    assert cut(portfolio(10, **SHRINK), history_of(rho), entry(1, 100)) == [left]


def test_the_mean_is_weighted_by_value_and_signed() -> None:
    """Held: 300 of the first (rho 0.9), 100 short of the second (rho 0.9 as well): (270 - 90) / 400 = 0.45."""
    history = history_of(1.0, 0.9)
    assert cut(portfolio(300, 0, **SHRINK), history, entry(2, 100)) == [0]
    assert cut(portfolio(300, -100, **SHRINK), history, entry(2, 100)) == [100]
    assert cut(portfolio(300, -100, **SHRINK), history, entry(2, 100, SELL)) == [100]
    assert cut(portfolio(-300, 0, **SHRINK), history, entry(2, 100, SELL)) == [0]


def test_a_symbol_does_not_count_for_itself() -> None:
    """More of the only thing that is held."""
    assert cut(portfolio(300, **SHRINK), history_of(0.9), entry(0, 100, base=300)) == [100]


@pytest.mark.parametrize(("sessions", "left"), [(39, 100), (40, 0), (60, 0)])
def test_less_than_two_thirds_of_the_sessions_say_nothing(sessions: int, left: int) -> None:
    """39 returns of 60, 40 of 60."""
    assert cut(portfolio(10, **SHRINK), history_of(1.0, sessions=sessions), entry(1, 100)) == [left]


def test_what_is_entered_first_counts_for_what_follows() -> None:
    """As in the gate, where an order that was sent is there for the next one; nothing is held before."""
    assert cut(portfolio(**SHRINK), history_of(0.95), entry(0, 100), entry(1, 100)) == [100, 0]
    assert cut(portfolio(**SHRINK), history_of(0.95), entry(1, 100), entry(0, 100)) == [100, 0]


def test_what_works_counts_unless_it_is_cancelled_or_only_reduces() -> None:
    """A working buy of the first symbol; one that this decision cancels does not count, a reducing sale neither."""
    for gone, reduce_only, left in ((False, False, 0), (True, False, 100), (False, True, 100)):
        pf = portfolio(**SHRINK)
        working = Working("w", 0, BUY, 100 * SCALE, 0, 0, True, "s", "", 0, 0, reduce_only=reduce_only)
        pf.entries["w"] = working
        first = entry(1, 100)
        marks = np.full(5, 100 * SCALE, dtype=np.int64)
        history = history_of(0.95)
        Cutback(UNIVERSE, history, lambda *_: 0).cut(pf, [first], marks, 10**13, {"w": None} if gone else {})
        assert first.qty == left * SCALE


def test_the_position_aimed_at_shrinks_so_that_asking_again_adds_nothing_and_trims_nothing() -> None:
    """Of 100 there are to be 50: with none held 50, with 50 held nothing more, with 80 held neither more nor less."""
    pf, history = portfolio(10, 0, **SHRINK), history_of(0.7495)
    assert cut(pf, history, entry(1, 100)) == [50]
    assert cut(pf, history, entry(1, 50, base=50)) == [0]
    assert cut(pf, history, entry(1, 20, base=80)) == [0]


@pytest.mark.parametrize("off", ["correlation_shrink", "max_correlation"])
def test_without_either_correlation_nothing_shrinks(off: str) -> None:
    """0 is off, as in the gate."""
    assert cut(portfolio(10, **{**SHRINK, off: 0.0}), history_of(0.95), entry(1, 100)) == [100]


def test_a_decision_records_what_it_cut() -> None:
    """Two symbols that move alike: the second is not bought at all, and the targets say so."""
    desk = Desk(harness.spec_of(correlation_sessions=6, max_weight=0.25, **SHRINK), n=3)
    for px in (100, 101, 100, 102, 101, 103):
        desk.bar([px, 2 * px, 50])
        desk.close()
    events = desk.signal({0: 0.9, 1: 0.9})
    (told,) = [e for e in events if isinstance(e, TargetsProposed)]
    assert unpack_i32(told.cut_ids).tolist() == [1]
    assert unpack_f64(told.cut_correlation).tolist() == [1.0]
    assert unpack_f64(told.cut_heat).tolist() == [0.0]
    assert dict(zip(unpack_i32(told.ids).tolist(), unpack_f64(told.weights).tolist(), strict=True)) == {0: 0.25, 1: 0.0}
    assert [symbol for symbol, *_ in desk.orders(events)] == [0]


# -- heat --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "left"),
    [
        pytest.param(1_000, 666, id="3 % of 100,000 is more than 2 %: two thirds, 666 whole shares"),
        pytest.param(667, 666, id="2.001 %"),
        pytest.param(666, 666, id="1.998 %"),
    ],
)
def test_an_entry_is_cut_to_what_may_be_at_risk(weight: int, left: int) -> None:
    """Shares at 100 with a stop 3 % away risk 3 each; 2 % of 100,000 is 2,000: 666.67 shares."""
    assert cut(portfolio(max_heat=0.02), history_of(0.0), entry(0, weight)) == [left]


def test_entries_share_what_is_left_of_the_heat() -> None:
    """600 and 300 risk 2,700 of 2,000: both shrink to 2,000 / 2,700, which is 444.4 and 222.2."""
    assert cut(portfolio(max_heat=0.02), history_of(0.0), entry(0, 600), entry(1, 300)) == [444, 222]


def test_what_is_held_counts_down_to_its_stops_and_whole_without() -> None:
    """500 held with a stop at 98 risk 1,000, which leaves 1,000: 333 shares; 15 without a stop risk 1,500: 166."""
    pf = portfolio(0, 500, max_heat=0.02)
    stop = Working("x", 1, SELL, 500 * SCALE, 0, 0, False, "s", "lot", 0, 0, "stop_loss", stop_px=98 * SCALE)
    pf.exits["lot"] = {"x": stop}
    assert cut(pf, history_of(0.0), entry(0, 600)) == [333]
    assert cut(portfolio(0, 15, max_heat=0.02), history_of(0.0), entry(0, 600)) == [166]
    stop.stop_px, stop.trail_percent = 0, 2 * SCALE
    assert cut(pf, history_of(0.0), entry(0, 600)) == [333]


def test_an_entry_alone_risks_no_more_than_its_own_share() -> None:
    """1 % of 100,000 is 1,000: 333 shares at 3 each; one without automatic exits risks its price: 10 shares."""
    pf = portfolio(risk_per_trade=0.01)
    assert cut(pf, history_of(0.0), entry(0, 600), entry(1, 100)) == [333, 100]
    exempt = entry(0, 600)
    exempt.exempt = True
    assert cut(pf, history_of(0.0), exempt) == [10]


@pytest.mark.parametrize(
    ("stop", "wanted", "left"),
    [
        pytest.param(98, 1_000, 666, id="1,000 at risk until the flip: 666 shares of 3 a share are 1,998 of 2,000"),
        pytest.param(98, 600, 600, id="1,800 instead of 1,000"),
        pytest.param(95, 1_000, 833, id="2,500 are at risk already; as much may take its place"),
    ],
)
def test_what_a_flip_opens_takes_the_place_of_what_it_closes(stop: int, wanted: int, left: int) -> None:
    """500 held at 100, to be sold and as many sold short as may be at risk."""
    pf = portfolio(0, 500, max_heat=0.02)
    pf.exits["lot"] = {
        "x": Working("x", 1, SELL, 500 * SCALE, 0, 0, False, "s", "lot", 0, 0, "stop_loss", stop_px=stop * SCALE)
    }
    assert cut(pf, history_of(0.0), entry(1, wanted, SELL)) == [left]


def test_others_share_what_a_flip_leaves() -> None:
    """A flip of 600 needs 1,800 of which 1,000 are free, 600 of another symbol need 1,800 as well; 1,000 are left.

    (1,000 + 1,000) / 3,600 is 0.5556: 333 shares each.
    """
    pf = portfolio(0, 500, max_heat=0.02)
    pf.exits["lot"] = {
        "x": Working("x", 1, SELL, 500 * SCALE, 0, 0, False, "s", "lot", 0, 0, "stop_loss", stop_px=98 * SCALE)
    }
    assert cut(pf, history_of(0.0), entry(1, 600, SELL), entry(2, 600)) == [333, 333]


# -- with the gate -----------------------------------------------------------------------------------------------------


@strategy(lookback=1, horizon=1)
def everything(w: PanelWindow, p: Params) -> Scores:
    """Want everything."""
    del p
    ones = np.ones(w.close.shape[1])
    return Scores(ones, confidence=ones)


@pytest.mark.parametrize("stop", ["percent", "volatility", "atr", "chandelier", "trailing"])
@pytest.mark.parametrize("limits", [{"max_heat": 0.02}, {"risk_per_trade": 0.004}, SHRINK])
def test_the_gate_has_nothing_to_deny_where_sizes_aim_below_its_limits(stop: str, limits: dict[str, float]) -> None:
    """Five names, some alike, over 25 sessions under one of the limits; something is bought all the same."""
    names = ("AA", "BB", "CC", "DD", "EE")
    asked = spec_of(everything)
    assert asked is not None
    owner = PortfolioSpec(
        "main",
        100_000 * SCALE,
        ("everything",),
        rebalance="signal",
        stop=stop,
        stop_lookback=3,
        correlation_sessions=12,
        **limits,
    )
    losses = dict.fromkeys(("daily_loss_warn", "daily_loss_block", "daily_loss_halt", "max_drawdown"), 0.0)
    gate = msgspec.structs.replace(WIDE, correlation_sessions=12, **losses, **limits)
    world = World(symbols=names, interval="1d", limits=gate, portfolios=(owner,), bindings=(bind_spec(asked),))
    rng = np.random.default_rng(5)
    px = np.full(5, 100.0)
    for number in range(25):
        world.open(number)
        session = world.session(number)
        before, common = px, rng.normal(0, 0.01)
        px = np.round(px * (1 + common + rng.normal(0, 0.004, 5)), 2)
        rows = before, np.maximum(before, px) + 0.5, np.minimum(before, px) - 0.5, px
        args = (session.date, True, np.arange(5, dtype=np.int32), True, *rows, np.rint(px * SCALE).astype(np.int64))
        world.do(BarPanel(session.close_ts, session.open_ts, *args, np.full(5, 1e6)), "feed", at=session.close_ts)
        world.close(number)
    assert {e.code for e in world.facts(OrderDenied)} == set()
    assert any(unpack_i32(e.cut_ids).size for e in world.facts(TargetsProposed))
    assert [e for e in world.facts(OrderAccepted) if e.order.reason == "signal"]
    for snapshot in (True, False):
        other = world.reborn(snapshot=snapshot)
        assert other.core.sequencer.snapshot() == world.core.sequencer.snapshot()
