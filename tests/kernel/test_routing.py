"""Routes follow from what actors declare, and wrong declarations are refused when the core is composed."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.kernel.actor import KINDS, CoreActor, EdgeActor, Health, decides, evolves, observes, seals
from daemon.kernel.errors import InvariantError
from daemon.kernel.message import Command, Envelope, Event, Market, Query
from daemon.kernel.routing import RouteRow, Routing


class Tick(Market, frozen=True, tag=920):
    """Market data."""


class Do(Command, frozen=True, tag=921):
    """A command."""


class Do2(Do, frozen=True, tag=922):
    """A command of its own, for all that it derives from another."""


class Fact(Event, frozen=True, tag=923):
    """A fact."""


class Ask(Query, frozen=True, tag=924):
    """A question."""


class Base(CoreActor):
    """Handlers to inherit."""

    name = "base"
    sends = (Do,)
    emits = (Fact,)

    @observes(Tick)
    @seals(Tick)
    def on_tick(self, _tick: Tick) -> str:
        """Return who was called."""
        return f"{self.name} tick"

    @decides(Do, Ask)
    def on_do(self, _message: Any, _ctx: Any) -> str:
        """Return who was called."""
        return f"{self.name} base"

    @evolves(Fact)
    def on_fact(self, _fact: Fact) -> str:
        """Return who was called."""
        return f"{self.name} fact"


class Child(Base):
    """Overrides without saying so again: the registration stays and the new method runs."""

    name = "child"

    def on_do(self, _message: Any, _ctx: Any) -> str:
        """Return who was called."""
        return f"{self.name} override"


class Replacing(Base):
    """Decides on Do by another method and adds a type."""

    name = "replacing"

    @decides(Do, Do2)
    def on_both(self, _message: Any, _ctx: Any) -> str:
        """Return who was called."""
        return f"{self.name} both"


class Retyped(Base):
    """Takes the inherited method's name for another message."""

    name = "retyped"

    @decides(Do2)
    def on_do(self, _message: Any, _ctx: Any) -> str:
        """Return who was called."""
        return f"{self.name} retyped"


def answers(actors: list[CoreActor], message_type: Any) -> list[tuple[int, str]]:
    """Return (stage, what the handler answered) for each stage that decides on a type."""
    handlers: Any = Routing(actors).route(message_type).stages
    return [(stage, handler(None, None)) for stage, handler in handlers]


def test_accepts_is_derived_from_the_decorators() -> None:
    """Nobody keeps a list by hand."""
    assert Base.accepts == (Do, Ask)
    assert Replacing.accepts == (Do, Ask, Do2)
    assert Base.handlers == {
        "observes": {Tick: "on_tick"},
        "decides": {Do: "on_do", Ask: "on_do"},
        "evolves": {Fact: "on_fact"},
        "seals": {Tick: "on_tick"},
    }


def test_routes_are_in_the_order_of_the_stages() -> None:
    """For deciding, folding, observing and sealing."""
    actors = [Child(), Base(), Replacing()]
    assert answers(actors, Do) == [(0, "child override"), (1, "base base"), (2, "replacing both")]
    routing: Any = Routing(actors)
    assert [fold(None) for fold in routing.route(Fact).folders] == ["child fact", "base fact", "replacing fact"]
    for kind in ("observers", "sealers"):
        assert [h(None) for h in getattr(routing.route(Tick), kind)] == ["child tick", "base tick", "replacing tick"]
    assert answers(list(reversed(actors)), Do)[0] == (0, "replacing both")


def test_a_handler_takes_exactly_its_type() -> None:
    """A derived message is another message."""
    assert answers([Base(), Replacing()], Do2) == [(1, "replacing both")]


def test_an_inherited_method_that_is_decorated_again_has_only_its_new_registration() -> None:
    """The old type would otherwise reach a method that no longer knows it."""
    assert answers([Retyped()], Do2) == [(0, "retyped retyped")]
    assert answers([Retyped()], Do) == []
    assert Retyped.accepts == (Do2,)


def test_mixins_bring_their_handlers_along() -> None:
    """Whether or not they are actors themselves."""

    class Mixin:
        @decides(Do2)
        def on_do2(self, _message: Any, _ctx: Any) -> str:
            return "mixin"

    class Mixed(Mixin, Base):
        name = "mixed"

    assert answers([Mixed()], Do2) == [(0, "mixin")]
    assert answers([Mixed()], Do) == [(0, "mixed base")]


def test_two_methods_of_one_class_may_not_claim_the_same_message() -> None:
    """Only one of them would run, and nothing would say which."""
    with pytest.raises(InvariantError, match=r"Torn\.first and \.second both claim decides\(Do\)"):

        class Torn(CoreActor):
            @decides(Do)
            def first(self, message: Any, ctx: Any) -> None: ...

            @decides(Do)
            def second(self, message: Any, ctx: Any) -> None: ...


def test_a_type_that_nobody_takes_is_a_dead_end_unless_it_is_a_fact_or_market_data() -> None:
    """Commands and questions are meant for someone; what the market says may go unheard."""
    routing = Routing([])
    assert [routing.route(t).is_dead_end for t in (Tick, Do, Ask, Fact)] == [False, True, True, False]
    routing = Routing([Base()])
    assert [routing.route(t).is_dead_end for t in (Tick, Do, Ask, Fact)] == [False] * 4
    assert routing.route(Tick).opening == routing.route(Tick).observers
    assert routing.route(Fact).opening == routing.route(Fact).folders
    assert routing.route(Do) is routing.route(Do)


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"emits": (Do,)}, "wrong emits Do, which is no event"),
        ({"sends": (Fact,)}, "wrong sends Fact, which is no command"),
        ({"handler": evolves(Do)}, "wrong evolves Do, which is no event"),  # type: ignore[arg-type]
        ({"handler": observes(Do)}, "wrong observes Do, which is no market data"),
        ({"handler": seals(Fact)}, "wrong seals Fact, which is no market data"),
    ],
)
def test_declarations_that_could_never_work_are_refused(declared: dict[str, Any], complaint: str) -> None:
    """A command that is observed would be lost to recovery; an event that is sent would be folded by nobody."""
    if "handler" in declared:
        declared = {"on": declared["handler"](lambda _self, _message: None)}
    wrong: Any = type("Wrong", (CoreActor,), {"name": "wrong", **declared})
    with pytest.raises(InvariantError, match=complaint):
        Routing([wrong()])


@pytest.mark.parametrize("actors", [[Base(), Base()], [CoreActor()]])
def test_actors_need_distinct_names(actors: list[CoreActor]) -> None:
    """Names key snapshots, generators and blame."""
    with pytest.raises(InvariantError, match="distinct names"):
        Routing(actors)


def test_rows_show_every_message_once_sorted_by_kind_and_name() -> None:
    """What ``tradingd routes`` prints."""
    rows = Routing([Base(), Replacing()]).rows()
    assert [(row.kind, row.message) for row in rows] == [
        ("command", "Do"),
        ("command", "Do2"),
        ("event", "Fact"),
        ("market", "Tick"),
        ("message", "Ask"),
    ]
    both = ("base", "replacing")
    assert rows[0] == RouteRow("Do", "command", both, (), both, (), ())
    assert rows[2] == RouteRow("Fact", "event", both, (), (), both, ())
    assert rows[3] == RouteRow("Tick", "market", (), both, (), (), both)


def test_an_actor_without_anything_to_say_says_it_is_well() -> None:
    """Defaults are harmless: health is ok, no rows are needed, edges look at frames and return."""
    assert CoreActor().health() == Health(ok=True, detail="")
    assert CoreActor().warmup_rows() == 0
    assert tuple(CoreActor.handlers) == KINDS
    EdgeActor().consume(Envelope(1, 2, 3, "test", Do()), [])
    for unwritten in (CoreActor().snapshot, lambda: CoreActor().restore({})):
        with pytest.raises(NotImplementedError):
            unwritten()
