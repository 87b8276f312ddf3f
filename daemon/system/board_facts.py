"""The facts that a board is made of, as the core's thread copies them, and how they are written.

Money is in units of 1e-8 inside and leaves as plain decimals (:class:`msgspec.Raw`: encode with msgspec).
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.predictor.pool.host import PoolFacts
from actors.values.margin import Margin

SECOND: Final = 1e9


class FeedFact(msgspec.Struct, frozen=True):
    """A feed as the shell sees it; ``last_event_ns`` is monotonic, None before the first event."""

    name: str
    state: str
    last_event_ns: int | None = None
    detail: str = ""


class ActorFact(msgspec.Struct, frozen=True):
    """A supervised child: its state by :class:`daemon.kernel.actor.Lifecycle` and how often it was restarted."""

    name: str
    state: str
    restarts: int = 0
    detail: str = ""


class ShellFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the core does not know about itself.

    Attributes:
        version, run_id, mode: of the run.
        started_ns, commit_ns: monotonic stamps of the start and of the last commit.
        seq: of the last committed frame.
        feeds, actors: in order.
        degraded: names of core actors that lost an input to quarantine.
        alerts_pending: rows of the outbox that no channel has confirmed.
        alerts_unacked: critical ones nobody has acknowledged.
        journal: further gauges of the ledger, plain numbers by name with the unit last.
        notices: sentences a person should see.
        disk: "ok", or why there is too little room to trade on.
        inference: how whoever computes models does; None where nobody was asked.
        text_model: id of the model that scores headlines, "" where none does.
    """

    version: str
    run_id: str
    mode: str
    started_ns: int
    commit_ns: int
    seq: int
    feeds: tuple[FeedFact, ...] = ()
    actors: tuple[ActorFact, ...] = ()
    degraded: tuple[str, ...] = ()
    alerts_pending: int = 0
    alerts_unacked: int = 0
    journal: dict[str, int | float | str | None] = {}
    notices: tuple[str, ...] = ()
    disk: str = "ok"
    inference: PoolFacts | None = None
    text_model: str = ""


class PortfolioFacts(msgspec.Struct, frozen=True):
    """One portfolio; money in units of 1e-8.

    Attributes:
        day_base: equity at the close before the present session plus flows since; between two sessions it is still that
            of the one that has ended, whose profit is what people want to know in the evening.
        peak: highest session-close equity, flows accounted for.
        loss_base, mark: what the breakers measure from, ``loss_base`` in the same way; a reset restarts them.
        names: places taken by holdings and entries.
        positions: (symbol id, qty, cost, realised) of every symbol ever held, in order of symbol id.
        held: how many of them are not flat.
        daily, drawdown: states of the two breakers.
        blocked: whether entries are blocked for the day.
        margin: what the positions of a margin account require, None in other accounts.
    """

    name: str
    cash: int
    equity: int
    gross: int
    net: int
    day_base: int
    peak: int
    reserved: int
    available: int
    names: int
    held: int
    positions: tuple[tuple[int, int, int, int], ...]
    loss_base: int
    mark: int
    daily: str
    drawdown: str
    blocked: bool
    margin: Margin | None = None


class StrategyFacts(msgspec.Struct, frozen=True):
    """A strategy of the run; ``off`` says who switched it off, "" while it is on."""

    name: str
    off: str
    decisions: int
    horizon: str
    bar: str
    model_id: str
    trained: tuple[int, int]


def age_s(now_ns: int, since_ns: int | None) -> msgspec.Raw | None:
    """Return seconds between two monotonic stamps as a plain number, to the millisecond; never below 0."""
    return None if since_ns is None else msgspec.Raw(f"{max(0, now_ns - since_ns) / SECOND:.3f}".encode())


def date_text(date: int) -> str | None:
    """Return ``YYYY-MM-DD`` of YYYYMMDD, None for 0."""
    text = str(date)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if date else None


def drawdown_of(p: PortfolioFacts) -> float:
    """Return equity over its peak less 1: 0 at the peak and above, negative below."""
    return min(0.0, p.equity / p.peak - 1.0) if p.peak > 0 else 0.0
