"""Table-driven state machines, and the actors' lifecycle."""

from __future__ import annotations

import itertools

import pytest

from daemon.kernel.actor import LIFECYCLE, Lifecycle
from daemon.kernel.errors import InvariantError
from daemon.kernel.state_machine import InvalidTransitionError, StateMachine

DOOR = StateMachine(
    "door",
    {("open", "close"): "closed", ("closed", "open"): "open", ("closed", "weld"): "sealed", ("open", "x"): "open"},
)


def test_the_whole_cross_product_follows_the_table_or_is_refused() -> None:
    """What is not in the table does not happen."""
    for state, trigger in itertools.product(DOOR.states, DOOR.triggers):
        if (state, trigger) in DOOR.table:
            assert DOOR.allows(state, trigger)
            assert DOOR.next(state, trigger) == DOOR.table[state, trigger]
        else:
            assert not DOOR.allows(state, trigger)
            with pytest.raises(InvalidTransitionError, match=f"door: {trigger} is not possible in state {state}"):
                DOOR.next(state, trigger)


def test_states_and_triggers_are_listed_in_order_of_mention() -> None:
    """Targets count as mentioned; unknown ones are refused like wrong ones."""
    assert DOOR.states == ("open", "closed", "sealed")
    assert DOOR.triggers == ("close", "open", "weld", "x")
    assert DOOR.terminal() == ("sealed",)
    with pytest.raises(InvariantError) as caught:
        DOOR.next("melted", "open")
    assert caught.value.code == "INVALID_TRANSITION"


def test_a_table_changed_afterwards_does_not_change_the_machine() -> None:
    """The machine keeps its own copy."""
    table = {("a", "go"): "b"}
    machine = StateMachine("m", table)
    table["b", "back"] = "a"
    assert machine.terminal() == ("b",)


def test_the_diagram_has_one_line_for_each_row() -> None:
    """Mermaid, so that documents can show the table itself."""
    assert DOOR.to_mermaid().splitlines() == [
        "stateDiagram-v2",
        "    open --> closed: close",
        "    closed --> open: open",
        "    closed --> sealed: weld",
        "    open --> open: x",
    ]


def test_every_state_of_an_actor_can_be_reached_and_none_is_a_trap_but_stopped() -> None:
    """A failed actor can be started again; a stopped one is built anew."""
    reached = [Lifecycle.NEW]
    for state in reached:
        reached += [new for (old, _), new in LIFECYCLE.table.items() if old is state and new not in reached]
    assert sorted(reached) == sorted(Lifecycle)
    assert LIFECYCLE.terminal() == (Lifecycle.STOPPED,)
    assert "    running --> degraded: degrade" in LIFECYCLE.to_mermaid()
    live = [Lifecycle.STARTING, Lifecycle.RUNNING, Lifecycle.DEGRADED, Lifecycle.STOPPING]
    assert [s for s in Lifecycle if LIFECYCLE.allows(s, "fail")] == live
