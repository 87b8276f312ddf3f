"""The composition root: the only place that names concrete actors and wires them into a core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from actors.broker.actor import BrokerActor
from actors.broker.params import BrokerParams
from actors.messages.catalogue import codec
from actors.messages.orders import RouteOrder, RouteReplace
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.params import PortfolioSpec
from actors.predictor.actor import PredictorActor
from actors.predictor.binding import StrategyBinding
from actors.predictor.sentiment.params import SentimentParams
from actors.risk.actor import RiskActor
from actors.risk.params import RiskLimits
from actors.values import Interval, Universe, parse_interval
from daemon.journal.memory import MemoryJournal
from daemon.kernel.actor import CoreActor, Sink
from daemon.kernel.clock import Clock, VirtualClock
from daemon.kernel.errors import InvariantError
from daemon.kernel.routing import RouteRow
from daemon.kernel.sequencer import PoisonRecord, Sequencer

STAGES: Final = ("broker", "portfolio", "risk", "predictor")
"""The fixed order in which an input reaches the core actors (design section 2.2)."""


class CoreSpec(msgspec.Struct, frozen=True):
    """Everything a core is built from; equal specs give equal cores.

    Attributes:
        universe: the run's symbols.
        interval: of the bars the core will see.
        bindings: strategies with their parameters.
        decision_interval: how often intraday strategies decide; None for every bar.
        broker, limits, portfolios: parameters of the rooms.
        seed: of the run.
        sentiment: what is made of headlines; None: nothing.
    """

    universe: Universe
    interval: Interval
    bindings: tuple[StrategyBinding, ...]
    decision_interval: Interval | None
    broker: BrokerParams
    limits: RiskLimits
    portfolios: tuple[PortfolioSpec, ...]
    seed: int
    sentiment: SentimentParams | None = None


class Core(msgspec.Struct, frozen=True):
    """A wired core."""

    sequencer: Sequencer
    broker: BrokerActor
    portfolio: PortfolioActor
    risk: RiskActor
    predictor: PredictorActor


def build_core(
    spec: CoreSpec, *, clock: Clock, sink: Sink, on_quarantine: Callable[[PoisonRecord], None] | None = None
) -> Core:
    """Wire a core; the same function serves replay, live and every test."""
    universe = spec.universe
    daily = spec.interval.is_daily
    broker = BrokerActor(universe, msgspec.structs.replace(spec.broker, seed=spec.seed), daily=daily)
    portfolio = PortfolioActor(universe, spec.portfolios, daily=daily)
    risk = RiskActor(
        universe,
        spec.limits,
        tuple(p.name for p in spec.portfolios),
        daily=daily,
        account=spec.broker.account,
        commission_rate=spec.broker.commission_rate,
        commission_per_share=spec.broker.commission_per_share,
        min_commission=spec.broker.min_commission,
        margin_call=spec.broker.margin_call,
        stop_losses={p.name: p.stop_loss for p in spec.portfolios},
    )
    predictor = PredictorActor(
        universe,
        spec.bindings,
        interval=spec.interval,
        decision_interval=spec.decision_interval,
        sentiment=spec.sentiment,
    )
    actors: tuple[CoreActor, ...] = (broker, portfolio, risk, predictor)
    check_stages(actors)
    sequencer = Sequencer(actors, codec=codec(), clock=clock, sink=sink, seed=spec.seed, on_quarantine=on_quarantine)
    return Core(sequencer, broker, portfolio, risk, predictor)


def check_stages(actors: Sequence[CoreActor]) -> None:
    """Refuse a core whose stages are out of order or whose gate can be walked around.

    Raises:
        InvariantError: naming the actor or message.
    """
    names = tuple(actor.name for actor in actors)
    if names != STAGES:
        raise InvariantError(f"the stages are {', '.join(names)}; they must be {', '.join(STAGES)}", code="STAGES")
    for message_type in (RouteOrder, RouteReplace):
        senders = [actor.name for actor in actors if message_type in actor.sends]
        takers = [actor.name for actor in actors if message_type in actor.accepts]
        if senders != ["risk"] or takers != ["broker"]:
            raise InvariantError(
                f"{message_type.__name__} goes from {senders} to {takers}; only risk may send it, only to the broker",
                code="GATE_BYPASSED",
            )


def routes() -> list[RouteRow]:
    """Return the routing table of the core, derived from what its actors declare."""
    spec = CoreSpec(
        universe=Universe(symbols=("A",)),
        interval=parse_interval("1d"),
        bindings=(),
        decision_interval=None,
        broker=BrokerParams(),
        limits=RiskLimits(),
        portfolios=(PortfolioSpec("main", 100_000 * 10**8),),
        seed=0,
    )
    core = build_core(spec, clock=VirtualClock(), sink=MemoryJournal())
    return core.sequencer.routing.rows()
