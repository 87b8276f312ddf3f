"""Between two runs of a daemon its configuration may change: strategies come and go, portfolios only come."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, Struct, Window, spec_of, strategy
from actors.api import Signal as Said
from actors.messages.control import DisableStrategy, EnableStrategy
from actors.messages.inference import InferenceRequested, StrategyFailed
from actors.messages.orders import BUY, OrderAccepted, OrderDenied
from actors.messages.portfolio import DepositCash, SignalsReady
from actors.portfolio.params import PortfolioSpec
from actors.predictor.binding import StrategyBinding
from actors.predictor.registry import bind_spec
from daemon.kernel.errors import ConfigError
from daemon.kernel.message import CommandRejected
from tests.parity.core_bench import World
from tests.parity.programs import SHARE

SNAPSHOT = pytest.mark.parametrize("snapshot", [True, False])


class Count(Struct):
    """How many bars were seen."""

    n: int = 0


@strategy(lookback=1, horizon=1)
def first(w: PanelWindow, p: Params) -> Scores:
    """Want everything."""
    ones = np.ones(w.close.shape[1])
    return Scores(ones, confidence=ones)


@strategy(lookback=1, horizon=1)
def counting(state: Count, w: Window, p: Params) -> tuple[Count, Said]:
    """Remember."""
    return Count(state.n + 1), Said(0.9, confidence=0.9, reason=str(state.n + 1))


@strategy(lookback=3, horizon="2d", bar="2d", fields=("open",))
def slow(w: PanelWindow, p: Params) -> Scores:
    """Use coarser bars, and of them what was asked for: closes of each row held, opens where they were kept."""
    told = np.full(w.close.shape[1], len(w.close) / 10 + np.isnan(w.open).sum() / 1000)
    return Scores(told, confidence=told)


@strategy(lookback=3, horizon="2d", bar="2d")
def plain(w: PanelWindow, p: Params) -> Scores:
    """Use coarser closes."""
    told = np.full(w.close.shape[1], len(w.close) / 10)
    return Scores(told, confidence=told)


def bound(*functions: Any) -> tuple[StrategyBinding, ...]:
    """Bind strategies."""
    return tuple(bind_spec(spec) for spec in map(spec_of, functions) if spec is not None)


def owner(name: str, *strategies: str) -> PortfolioSpec:
    """Return a portfolio that follows strategies."""
    return PortfolioSpec(
        name, 100_000 * SHARE, strategies, rebalance="signal", max_weight=0.3, stop_loss=0, take_profit=0
    )


def days(world: World, *numbers: int) -> None:
    """Let whole days go by."""
    for number in numbers:
        world.open(number)
        world.bar(number, 0)
        world.close(number)


def said(world: World, strategy_name: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return (decision, reasons) of what a strategy said."""
    return [(e.decision, e.reasons) for e in world.facts(SignalsReady) if e.strategy == strategy_name]


@SNAPSHOT
def test_a_strategy_that_is_gone_leaves_its_positions_and_one_that_came_starts_fresh(snapshot: bool) -> None:
    """Both in one restart. What it remembers of bars is a fold of the tape: of as much of it as is folded again."""
    world = World(interval="1d", bindings=bound(first), portfolios=[owner("main", "first")])
    days(world, 0, 1)
    held = world.positions()
    assert set(held) == {0, 1}
    world = world.reborn(snapshot=snapshot, bindings=bound(counting), portfolios=(owner("main", "counting"),))
    assert world.positions() == held
    days(world, 2)
    bars = "1" if snapshot else "3"
    assert said(world, "counting")[0] == (1, (bars, bars))
    assert [e.strategy for e in world.kept[-1].events if isinstance(e, SignalsReady)] == ["counting"]


@SNAPSHOT
def test_a_strategy_that_comes_back_counts_on_and_stays_switched_off(snapshot: bool) -> None:
    """Else its next order would bear the id of an old one and be denied as a resend, for ever."""
    both, one = bound(first, counting), bound(counting)
    pf = (owner("main", "first", "counting"),)
    world = World(interval="1d", bindings=both, portfolios=pf)
    days(world, 0, 1)
    world.do(DisableStrategy("first", "pause", "ann"))
    decisions = len(said(world, "first"))
    world = world.reborn(snapshot=snapshot, bindings=one, portfolios=(owner("main", "counting"),))
    days(world, 2)
    assert isinstance(world.do(EnableStrategy("first", "?", "ann"))[0], CommandRejected)
    world = world.reborn(snapshot=snapshot, bindings=both, portfolios=pf)
    days(world, 3)
    assert len(said(world, "first")) == decisions
    world.do(EnableStrategy("first", "go on", "ann"))
    days(world, 4)
    assert said(world, "first")[-1][0] == decisions + 1
    ids = [e.order.client_order_id for e in world.facts(OrderAccepted)]
    assert len(dict.fromkeys(ids)) == len(ids)
    assert not [e for e in world.facts(OrderDenied) if e.code == "DUPLICATE"]
    assert said(world, "counting")[-1][1] == ("5", "5")


def test_what_is_parked_is_folded_like_everything_else() -> None:
    """A strategy that failed, asked or was switched on again while this run does not have it."""
    world = World(interval="1d", bindings=bound(first), portfolios=[owner("main", "first")])
    days(world, 0, 1)
    world.do(DisableStrategy("first", "pause", "ann"))
    world.do(EnableStrategy("first", "go on", "ann"))
    gone = {"bindings": (), "portfolios": (owner("main"),)}
    snapshots = [world.reborn(snapshot=how, **gone).core.predictor.snapshot()["parked"] for how in (True, False)]
    assert snapshots == [[["first", 2, ""]]] * 2
    predictor = world.reborn(snapshot=True, **gone).core.predictor
    predictor.fold_requested(InferenceRequested("r", "m@1", "asks", 5, b"", b"", 9))
    predictor.fold_failed(StrategyFailed("fails", 7, -1, "raised"))
    assert predictor.snapshot()["parked"][1:] == [["asks", 5, ""], ["fails", 7, ""]]


def test_coarser_bars_survive_a_strategy_that_wants_more_of_them() -> None:
    """Closes kept so far stay; what nobody had asked for is unknown, not invented."""
    pf = (owner("main"),)
    world = World(interval="1d", bindings=bound(plain), portfolios=pf)
    days(world, 0, 1, 2, 3, 4)
    world = world.reborn(snapshot=True, bindings=bound(plain, slow), portfolios=pf)
    days(world, 5)
    plain_says, slow_says = (
        [np.frombuffer(e.score)[0] for e in world.facts(SignalsReady) if e.strategy == name][-1]
        for name in ("plain", "slow")
    )
    assert plain_says == 0.3
    assert slow_says == pytest.approx(0.3 + 2 * 2 / 1000 + 0 / 1000)
    back = world.reborn(snapshot=True, bindings=bound(plain), portfolios=pf)
    days(back, 6, 7)
    assert [np.frombuffer(e.score)[0] for e in back.facts(SignalsReady) if e.strategy == "plain"][-1] == 0.3


@SNAPSHOT
def test_a_portfolio_that_is_gone_is_refused_with_a_sentence(snapshot: bool) -> None:
    """Nobody would own what it holds."""
    world = World(portfolios=[owner("main"), owner("hand")])
    world.open(0)
    world.bar(0, 0)
    world.order(0, BUY, 10, portfolio="hand")
    world.bar(0, 1)
    with pytest.raises(ConfigError) as caught:
        world.reborn(snapshot=snapshot, portfolios=(owner("main"),))
    assert caught.value.code == "PORTFOLIO_GONE"
    held = "99000 in cash and 1 position" if snapshot else "100000 in cash"
    assert str(caught.value) == (
        f"the ledger has a portfolio 'hand' with {held}, and the configuration has none; "
        "put it back; without strategies it takes operators' orders only"
    )


@SNAPSHOT
def test_a_portfolio_that_came_starts_empty_and_trades(snapshot: bool) -> None:
    """Its deposit is the daemon's to give."""
    world = World(portfolios=[owner("main")])
    world.open(0)
    world.bar(0, 0)
    world = world.reborn(snapshot=snapshot, portfolios=(owner("main"), owner("new")))
    assert world.core.broker.funded == ("main",)
    world.do(DepositCash("new", 5_000 * SHARE, "opening deposit"))
    world.order(0, BUY, 10, portfolio="new")
    world.bar(0, 1)
    assert world.positions("new") == {0: 10}
    assert msgspec.msgpack.decode(world.core.sequencer.snapshot())["seq"] == world.kept[-1].seq
