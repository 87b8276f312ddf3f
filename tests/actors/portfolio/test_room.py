"""Entries fit into the room that the gate's limits leave: the strongest first, what is held never trimmed."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, spec_of, strategy
from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.control import Reload
from actors.messages.limits import PortfolioLimits, RiskLimits, SymbolLimits
from actors.messages.market import BarPanel
from actors.messages.orders import BUY, SELL, OrderAccepted, OrderDenied
from actors.messages.portfolio import EntriesCut, TargetsProposed
from actors.portfolio.cutback import Cutback
from actors.portfolio.entry import Entry
from actors.portfolio.params import PortfolioSpec, RoomLimits, sized_by
from actors.portfolio.positions import Position
from actors.portfolio.state import PortfolioState, Working
from actors.predictor.registry import bind_spec
from actors.values import Universe
from actors.values.fixed import SCALE
from actors.values.history import SessionHistory
from tests.actors.portfolio.test_cutback import history_of
from tests.parity.core_bench import WIDE, World

NAMES = ("AA", "BB", "CC", "DD", "EE")
TECH = ("Tech", "Tech", "Tech", "Oil", "")
"""Three of a sector, one of another, one of none."""
EQUITY = 100_000 * SCALE
NO_HISTORY = SessionHistory(5, 60)


def portfolio(*held: int, **room: Any) -> PortfolioState:
    """A portfolio that holds so many shares of each symbol, under these limits."""
    pf = PortfolioState(PortfolioSpec("main", EQUITY, ("s",), correlation_shrink=0.7, room=RoomLimits(**room)), 5)
    for symbol, qty in enumerate(held):
        if qty:
            pf.positions[symbol] = Position(symbol, qty * SCALE)
            pf.holding[symbol] = True
    return pf


def works(pf: PortfolioState, symbol: int, qty: int, *, reduce_only: bool = False) -> None:
    """Let a market order work."""
    side, name = (BUY, f"w{symbol}") if qty > 0 else (SELL, f"w{symbol}")
    pf.entries[name] = Working(name, symbol, side, abs(qty) * SCALE, 0, 0, True, "s", "", 0, 0, reduce_only=reduce_only)


def entry(symbol: int, qty: int, strength: float = 0.5, *, held: int = 0) -> Entry:
    """An entry at 100, to sell short where the quantity is negative."""
    side = BUY if qty > 0 else SELL
    return Entry(symbol, side, held * SCALE, abs(qty) * SCALE, 100 * SCALE, strength=strength)


def fit(
    pf: PortfolioState,
    *entries: Entry,
    sectors: tuple[str, ...] = TECH,
    history: SessionHistory = NO_HISTORY,
    closing: dict[int, int] | None = None,
) -> list[int]:
    """What is left of entries, whole shares; every price is 100, equity 100,000: a share is a thousandth."""
    marks = np.full(5, 100 * SCALE, dtype=np.int64)
    closed = {symbol: qty * SCALE for symbol, qty in (closing or {}).items()}
    cutback = Cutback(Universe(NAMES, sectors), history, lambda *_: 0)
    cutback.cut(pf, list(entries), marks, EQUITY, {}, closed)
    return [e.qty // SCALE for e in entries]


# -- each limit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "left"), [(199, 199), (200, 200), (201, 200), (400, 200)])
def test_a_sector_takes_what_it_has_room_for(asked: int, left: int) -> None:
    """40 % of 100,000 are 400 shares of which 200 are held; those of another sector and of none do not count."""
    pf = portfolio(200, 0, 0, 500, 500, max_sector=0.4)
    one = entry(1, asked)
    assert fit(pf, one) == [left]
    assert one.bound == ("max_sector" if left < asked else "")
    assert one.less_room == pytest.approx(1 - left / asked)


def test_symbols_without_a_sector_are_one_together_and_unlimited_where_none_has_one() -> None:
    """As in the gate: 400 of the two without a sector; where no symbol has one, no limit."""
    pf = portfolio(300, max_sector=0.4)
    assert fit(pf, entry(4, 300), sectors=("", "Tech", "Tech", "Tech", "")) == [100]
    assert fit(pf, entry(4, 300), sectors=()) == [300]


def test_a_sector_by_name_is_the_tighter_one() -> None:
    """25 % of Tech, 40 % of the others; a name that the run does not have limits nothing."""
    pf = portfolio(max_sector=0.4, sectors={"Tech": 0.25, "Oil": 0.5, "Gold": 0.1})
    assert fit(pf, entry(0, 500), entry(3, 500)) == [250, 400]


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        pytest.param({"max_gross_value": 50_000 * SCALE}, 200, id="500 shares in all, 200 long and 100 short"),
        pytest.param({"max_leverage": 0.6}, 300, id="600"),
        pytest.param({"max_net": 0.25}, 150, id="250 net of 100"),
        pytest.param({"max_position": 0.22}, 220, id="220 of its own"),
        pytest.param({"symbols": {"CC": 0.12}, "max_position": 0.3}, 120, id="120 by name"),
    ],
)
def test_what_all_positions_together_may_be(limit: dict[str, Any], left: int) -> None:
    """200 are held long and 100 short; of a third symbol 400 are wanted."""
    pf = portfolio(200, -100, **limit)
    assert fit(pf, entry(2, 400)) == [left]


def test_a_short_counts_on_the_other_side_of_the_net() -> None:
    """100 net long and 250 either way: 350 may be sold short, which is 100 - 350 = -250; gross counts it whole."""
    assert fit(portfolio(200, -100, max_net=0.25), entry(2, -400)) == [350]
    assert fit(portfolio(200, -100, max_leverage=0.5), entry(2, -400)) == [200]


def test_names_are_given_to_the_strongest_and_a_held_one_takes_none() -> None:
    """Two held of four places: of three new names the stronger two, and more of what is held all the same."""
    pf = portfolio(10, 10, max_positions=4)
    entries = entry(0, 5, 0.1), entry(2, 5, 0.2), entry(3, 5, 0.9), entry(4, 5, 0.3)
    assert fit(pf, *entries) == [5, 0, 5, 5]
    assert [e.bound for e in entries] == ["", "max_positions", "", ""]


def test_a_name_that_is_closed_whole_gives_its_place() -> None:
    """By the same decision or by a market order that works; one that leaves a share does not."""
    for closing, reducing, left in (({0: 10}, 0, 5), ({0: 9}, 0, 0), ({}, 10, 5), ({}, 9, 0), ({0: 4}, 6, 5)):
        pf = portfolio(10, max_positions=1)
        if reducing:
            works(pf, 0, -reducing, reduce_only=True)
        assert fit(pf, entry(1, 5), closing=closing) == [left]


# -- in which order, how much ------------------------------------------------------------------------------------------


def test_the_strongest_get_room_first_whatever_their_place_in_the_list() -> None:
    """Of 400 shares of a sector the third symbol takes 300, the first the other 100, the second nothing."""
    pf = portfolio(max_sector=0.4)
    assert fit(pf, entry(0, 300, 0.6), entry(1, 300, 0.5), entry(2, 300, 0.7)) == [100, 0, 300]
    assert fit(pf, entry(2, 300, 0.7), entry(1, 300, 0.5), entry(0, 300, 0.6)) == [300, 0, 100]
    assert fit(pf, entry(1, 300), entry(0, 300)) == [100, 300]


def test_what_works_counts_as_if_it_filled_and_what_only_reduces_frees_nothing_yet() -> None:
    """200 held, 100 being bought: 100 are left; a sale of the 200 that works does not make it more."""
    for sale in (0, 200):
        pf = portfolio(200, max_sector=0.4)
        works(pf, 1, 100)
        if sale:
            works(pf, 0, -sale, reduce_only=True)
        assert fit(pf, entry(2, 300)) == [100]


def test_more_of_what_is_held_counts_with_it_and_beyond_the_limit_nothing_is_trimmed() -> None:
    """150 held of 400 leave 250; where 450 are held nothing is bought, and that is all."""
    assert fit(portfolio(150, max_sector=0.4), entry(0, 300, held=150)) == [250]
    pf = portfolio(450, max_sector=0.4)
    assert fit(pf, entry(0, 50, held=450), entry(1, 50)) == [0, 0]
    assert pf.qty(0) == 450 * SCALE


def test_a_part_too_small_to_trade_is_none_and_its_room_is_the_next_ones() -> None:
    """Half a share is left: nothing of it (a share is 100, orders are of 100 at least); lots are whole."""
    assert fit(portfolio(max_sector=0.4005), entry(0, 400, 0.9), entry(1, 9, 0.5)) == [400, 0]
    pf = portfolio(399, max_sector=0.4)
    pf.spec = msgspec.structs.replace(pf.spec, min_order_value=200 * SCALE)
    small, other = entry(1, 300, 0.9), entry(3, 300, 0.5)
    assert fit(pf, small, other) == [0, 300]


def test_the_half_of_a_flip_that_opens_has_the_room_of_its_side() -> None:
    """100 short are bought back, then 300 bought: 250 may be held, the 100 that are short still count until then."""
    pf = portfolio(-100, max_position=0.25, max_sector=0.4)
    assert fit(pf, entry(0, 300), closing={0: 100}) == [250]


# -- clusters ----------------------------------------------------------------------------------------------------------


def test_what_moves_alike_shares_the_room_of_a_cluster() -> None:
    """The second moves with the first (rho 0.9), the third against it: 300 of both, the third is free."""
    history = history_of(0.9, -0.9, 0.0, 0.0)
    pf = portfolio(200, max_cluster=0.3)
    assert fit(pf, entry(1, 200), entry(2, 200), history=history) == [100, 200]
    short = portfolio(-200, max_cluster=0.3)
    assert fit(short, entry(1, 400), entry(2, 400), history=history) == [400, 100]


@pytest.mark.parametrize(("rho", "left"), [(0.6999, 400), (0.7001, 100)])
def test_a_cluster_begins_where_sizes_begin_to_shrink(rho: float, left: int) -> None:
    """Just below and just above 0.7."""
    assert fit(portfolio(200, max_cluster=0.3), entry(1, 400), history=history_of(rho, 0.0, 0.0, 0.0)) == [left]


@pytest.mark.parametrize(("sessions", "left"), [(39, 400), (40, 100)])
def test_a_cluster_is_not_known_before_two_thirds_of_the_sessions(sessions: int, left: int) -> None:
    """39 and 40 of 60."""
    history = history_of(1.0, 0.0, 0.0, 0.0, sessions=sessions)
    assert fit(portfolio(200, max_cluster=0.3), entry(1, 400), history=history) == [left]


def test_an_entry_that_comes_later_leaves_those_before_it_their_cluster() -> None:
    """The first moves with both others (0.8), those with each other less (0.28): the first got its room with 150.

    Strongest is the first with 150, then the second with 150: the cluster of the first is full, and the third, whose
    own cluster would be of 150 + 150, would make the first's larger than that.
    """
    b = np.sqrt(1 - 0.8 * 0.8)
    first = np.tile([1.0, -1.0, 1.0, -1.0], 15)
    second = np.tile([1.0, 1.0, -1.0, -1.0], 15)
    rows = np.stack([first, 0.8 * first + b * second, 0.8 * first - b * second], axis=1)
    history = SessionHistory(5, 60)
    px = np.full(5, 10_000.0)
    history.fold_close(np.rint(px * SCALE).astype(np.int64))
    for row in rows:
        px[:3] *= 1.0 + 0.01 * row
        history.fold_close(np.rint(px * SCALE).astype(np.int64))
    entries = entry(0, 150, 0.9), entry(1, 150, 0.8), entry(2, 150, 0.7)
    assert fit(portfolio(max_cluster=0.3), *entries, history=history) == [150, 150, 0]
    assert entries[2].bound == "max_cluster"


# -- where the limits come from ----------------------------------------------------------------------------------------


def test_a_portfolio_sizes_by_the_tighter_of_general_and_own_limits() -> None:
    """Names that have no position of their own are not carried along."""
    limits = RiskLimits(
        max_position=0.3,
        max_positions=8,
        max_sector=0.4,
        max_cluster=0.3,
        max_heat=0.02,
        symbols={"AA": SymbolLimits(max_position=0.1), "BB": SymbolLimits(max_order_qty=5)},
        sectors={"Tech": 0.2},
        portfolios={"main": PortfolioLimits(max_position=0.2, max_sector=0.5, max_leverage=1.5)},
    )
    spec = sized_by(PortfolioSpec("main", 0), limits)
    assert spec.room == RoomLimits(
        max_position=0.2,
        max_positions=8,
        max_leverage=1.5,
        max_sector=0.4,
        max_cluster=0.3,
        symbols={"AA": 0.1},
        sectors={"Tech": 0.2},
    )
    assert spec.max_heat == 0.02
    assert sized_by(PortfolioSpec("other", 0), limits).room.max_position == 0.3


@strategy(lookback=1, horizon=1)
def everything(w: PanelWindow, p: Params) -> Scores:
    """Want everything, the last symbol most."""
    del p
    scores = np.linspace(0.7, 0.9, w.close.shape[1])
    return Scores(scores, confidence=np.ones(len(scores)))


def run(world: World, first: int, last: int, rng: np.random.Generator) -> None:
    """Sessions in which all symbols move with the market, by a little on their own."""
    px = world.core.portfolio.marks.px_f.copy()
    px = np.where(np.isfinite(px) & (px > 0), px, 100.0)
    for number in range(first, last):
        world.open(number)
        session = world.session(number)
        before, common = px, rng.normal(0, 0.01)
        px = np.round(px * (1 + common + rng.normal(0, 0.01, 5)), 2)
        rows = before, np.maximum(before, px) + 0.5, np.minimum(before, px) - 0.5, px
        args = (session.date, True, np.arange(5, dtype=np.int32), True, *rows, np.rint(px * SCALE).astype(np.int64))
        world.do(BarPanel(session.close_ts, session.open_ts, *args, np.full(5, 1e6)), "feed", at=session.close_ts)
        world.close(number)


LOSSES = dict.fromkeys(("daily_loss_warn", "daily_loss_block", "daily_loss_halt", "max_drawdown"), 0.0)
ALL = {"max_sector": 0.4, "max_cluster": 0.3, "correlation_shrink": 0.5, "max_leverage": 0.8, "max_positions": 4}


def world_of(limits: RiskLimits) -> World:
    """Five names, a strategy that wants all of them, a portfolio that sizes by the gate's limits."""
    asked = spec_of(everything)
    assert asked is not None
    owner = PortfolioSpec("main", EQUITY, ("everything",), rebalance="signal", correlation_sessions=12, max_weight=0.3)
    pf = (sized_by(owner, limits),)
    return World(symbols=NAMES, sectors=TECH, interval="1d", limits=limits, portfolios=pf, bindings=(bind_spec(asked),))


@pytest.mark.parametrize(
    "changes",
    [*({key: value} for key, value in ALL.items() if key not in ("correlation_shrink", "max_cluster")), ALL],
    ids="-".join,
)
def test_the_gate_has_nothing_to_deny(changes: dict[str, Any]) -> None:
    """Thirty sessions under one of the limits and under all of them; entries are cut, and some are bought."""
    limits = msgspec.structs.replace(WIDE, correlation_sessions=12, **LOSSES, **changes)
    world = world_of(limits)
    run(world, 0, 30, np.random.default_rng(5))
    assert {e.code for e in world.facts(OrderDenied)} == set()
    cuts = world.facts(EntriesCut)
    assert cuts
    assert {limit for e in cuts for limit in e.limits} <= changes.keys()
    assert [e for e in world.facts(OrderAccepted) if e.order.reason == "signal"]
    for snapshot in (True, False):
        other = world.reborn(snapshot=snapshot)
        assert other.core.sequencer.snapshot() == world.core.sequencer.snapshot()


def test_targets_are_those_that_there_is_room_for() -> None:
    """Five names of 0.2 under a leverage of 0.5: the last two whole, the third half, the others not at all."""
    world = world_of(msgspec.structs.replace(WIDE, **LOSSES, max_leverage=0.5))
    run(world, 0, 1, np.random.default_rng(5))
    cut, told = world.facts(EntriesCut)[0], world.facts(TargetsProposed)[0]
    assert unpack_i32(cut.ids).tolist() == [0, 1, 2]
    assert unpack_f64(cut.parts).tolist() == pytest.approx([1.0, 1.0, 0.5], abs=0.01)
    assert cut.limits == ("max_leverage",) * 3
    weights = dict(zip(unpack_i32(told.ids).tolist(), unpack_f64(told.weights).tolist(), strict=True))
    assert weights == pytest.approx({0: 0.0, 1: 0.0, 2: 0.1, 3: 0.2, 4: 0.2}, abs=0.002)


def test_sizes_follow_when_limits_are_changed_and_after_a_restart() -> None:
    """From a leverage of 0.4 to 0.8 while it runs: more is held, nothing refused, nothing forgotten."""
    limits = msgspec.structs.replace(WIDE, **LOSSES, max_leverage=0.4)
    world = world_of(limits)
    run(world, 0, 5, np.random.default_rng(5))
    world.do(Reload("digest", "operator", msgspec.structs.replace(limits, max_leverage=0.8)), "control")
    assert world.core.portfolio.portfolio("main").spec.room.max_leverage == 0.8
    for snapshot in (True, False):
        other = world.reborn(snapshot=snapshot)
        assert other.core.portfolio.portfolio("main").spec.room.max_leverage == 0.8
    run(world, 5, 10, np.random.default_rng(6))
    assert {e.code for e in world.facts(OrderDenied)} == set()
    pf = world.core.portfolio.portfolio("main")
    gross = sum(pf.qty(s) * int(world.core.portfolio.marks.px[s]) for s in range(5)) / SCALE
    assert 0.5 < gross / world.core.portfolio.equity("main") < 0.81
