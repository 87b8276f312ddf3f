"""Table-driven state machines: every transition stands in one table, and whatever is not there is refused."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from daemon.kernel.errors import InvariantError

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class InvalidTransitionError(InvariantError):
    """A trigger that the table does not allow in this state."""


class StateMachine(Generic[S, T]):
    """A named table ``(state, trigger) -> state``; it holds no state itself: one table serves any number of objects."""

    __slots__ = ("name", "states", "table", "triggers")

    def __init__(self, name: str, table: Mapping[tuple[S, T], S]) -> None:
        """Build from a complete table; order of first mention is kept for printing."""
        self.name = name
        self.table: dict[tuple[S, T], S] = dict(table)
        states: dict[S, None] = {}
        triggers: dict[T, None] = {}
        for (old, trigger), new in self.table.items():
            states[old] = None
            states[new] = None
            triggers[trigger] = None
        self.states = tuple(states)
        self.triggers = tuple(triggers)

    def next(self, state: S, trigger: T) -> S:
        """Return the state after ``trigger``.

        Raises:
            InvalidTransitionError: the table has no such row.
        """
        new = self.table.get((state, trigger))
        if new is None:
            message = f"{self.name}: {trigger} is not possible in state {state}"
            raise InvalidTransitionError(message, code="INVALID_TRANSITION")
        return new

    def allows(self, state: S, trigger: T) -> bool:
        """Tell whether the table has a row for the pair."""
        return (state, trigger) in self.table

    def terminal(self) -> tuple[S, ...]:
        """Return the states that nothing leaves."""
        sources = {old for old, _ in self.table}
        return tuple(s for s in self.states if s not in sources)

    def to_mermaid(self) -> str:
        """Draw the table as a Mermaid state diagram."""
        lines = ["stateDiagram-v2"]
        lines += [f"    {old} --> {new}: {trigger}" for (old, trigger), new in self.table.items()]
        return "\n".join(lines)
