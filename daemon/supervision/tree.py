"""A tree of supervisors as rows for people. Reads plain attributes only, so any thread may ask."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from daemon.supervision.child import Child
from daemon.supervision.policy import Restart


class TreeRow(msgspec.Struct, frozen=True):
    """One line of ``tradingctl actors``.

    Attributes:
        name: of the supervisor or child.
        parent: its supervisor, "" for the root.
        state: of the actor lifecycle.
        restarts: how often it was started again since the process began.
        since: when it came into this state, nanoseconds UTC.
        last_error: its last failure in one line, "".
        strategy: of a supervisor, "" for a leaf.
    """

    name: str
    parent: str
    state: str
    restarts: int
    since: int
    last_error: str
    strategy: str


def rows(me: Child, parent: str = "") -> Iterator[TreeRow]:
    """Return a child and everything below it, in the order of starting."""
    nested = me.spec.supervisor
    strategy = "" if nested is None else nested.strategy.value
    yield TreeRow(me.spec.name, parent, me.state.value, me.restarts, me.since, me.last_error, strategy)
    for child in () if nested is None else nested.crew.children:
        yield from rows(child, me.spec.name)


def names(me: Child) -> list[str]:
    """Return the names of a child and everything below it."""
    return [row.name for row in rows(me)]


def neglected(children: list[Child], now: float) -> Iterator[str]:
    """Return the permanent children that are down or starting, but for those whose next start has a time to come.

    Args:
        children: of one supervisor; below one that is down nobody is looked at.
        now: the loop's clock, seconds.
    """
    for child in children:
        nested = child.spec.supervisor
        if child.spec.restart is Restart.PERMANENT and not child.up:
            if child.due is None or child.due < now:
                yield child.spec.name
        elif nested is not None and child.up:
            yield from neglected(nested.crew.children, now)


def not_running(children: list[Child]) -> Iterator[str]:
    """Return the permanent children that are down or have not started; below one that is down nobody is looked at."""
    for child in children:
        nested = child.spec.supervisor
        if child.spec.restart is Restart.PERMANENT and not child.up:
            yield child.spec.name
        elif nested is not None and child.up:
            yield from not_running(nested.crew.children)
