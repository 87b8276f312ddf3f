"""The composition refuses a core whose gate could be walked around."""

from __future__ import annotations

from typing import ClassVar

import pytest

from actors.broker.actor import BrokerActor
from actors.broker.params import BrokerParams
from actors.messages.orders import RouteOrder
from actors.portfolio.actor import PortfolioActor
from actors.portfolio.params import PortfolioSpec
from actors.predictor.actor import PredictorActor
from actors.risk.actor import RiskActor
from actors.risk.params import RiskLimits
from actors.values import Universe, parse_interval
from daemon.kernel.actor import CoreActor
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command
from daemon.system.composition import STAGES, check_stages, routes

UNIVERSE = Universe(("A",))


def actors(portfolio: type[PortfolioActor] = PortfolioActor) -> list[CoreActor]:
    """Return the four core actors in stage order."""
    return [
        BrokerActor(UNIVERSE, BrokerParams(), daily=True),
        portfolio(UNIVERSE, (PortfolioSpec("main", 10**13),), daily=True),
        RiskActor(UNIVERSE, RiskLimits(), ("main",), daily=True),
        PredictorActor(UNIVERSE, (), interval=parse_interval("1d")),
    ]


def test_the_house_is_wired_as_designed() -> None:
    """Broker, portfolio, risk, predictor."""
    check_stages(actors())
    assert tuple(actor.name for actor in actors()) == STAGES


def test_stages_out_of_order_are_refused() -> None:
    """Two swapped stages, or one missing."""
    four = actors()
    with pytest.raises(InvariantError, match="the stages are portfolio, broker"):
        check_stages([four[1], four[0], *four[2:]])
    with pytest.raises(InvariantError, match="the stages are"):
        check_stages(four[:3])


def test_a_second_way_to_the_broker_is_refused() -> None:
    """A portfolio that declares it may send routed orders does not get into the house."""

    class Shortcut(PortfolioActor):
        sends: ClassVar[tuple[type[Command], ...]] = (*PortfolioActor.sends, RouteOrder)

    with pytest.raises(InvariantError, match="only risk may send it, only to the broker"):
        check_stages(actors(Shortcut))


def test_routes_tell_who_says_and_hears_what() -> None:
    """The order's way stands in the printed table."""
    table = {row.message: row for row in routes()}
    assert table["SubmitOrder"].decided_by == ("risk",)
    assert table["RouteOrder"].sent_by == ("risk",)
    assert table["RouteOrder"].decided_by == ("broker",)
    assert table["BarPanel"].decided_by[0] == "broker"
    assert set(table["OrderFilled"].folded_by) >= {"broker", "risk"}
