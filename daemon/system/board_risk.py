"""What a board holds of breakers, locks, the restricted list and limits set by hand: copied on the core's thread."""

from __future__ import annotations

import msgspec

from actors.risk.params import RiskLimits
from daemon.system.composition import Core


class TrippedFact(msgspec.Struct, frozen=True):
    """A breaker that is not armed.

    Attributes:
        portfolio: its own, "" for all.
        since: stamp from which its wait counts, nanoseconds UTC; session: number of the session from which it does.
    """

    portfolio: str
    breaker: str
    subject: str
    state: str
    action: str
    cause: str
    value: float
    limit: float
    since: int
    session: int


class LockFact(msgspec.Struct, frozen=True):
    """A protection that denies entries; ``symbol`` "" for every one, ``until_ts`` and ``sessions_left`` 0 for none."""

    portfolio: str
    symbol: str
    rule: str
    reason: str
    until_ts: int
    sessions_left: int


class RiskFacts(msgspec.Struct, frozen=True):
    """See the module.

    Attributes:
        session: number of the present session.
        tripped: in the order in which they tripped.
        watched: (portfolio, breaker, what it measures now or None) of those that measure something while armed.
        locks: those that hold.
        restricted: (ticker, who put it there and why).
        by_hand: (key, value) of limits set by hand.
        configured: the limits as the configuration has them.
    """

    session: int
    tripped: tuple[TrippedFact, ...]
    watched: tuple[tuple[str, str, float | None], ...]
    locks: tuple[LockFact, ...]
    restricted: tuple[tuple[str, str], ...]
    by_hand: tuple[tuple[str, str], ...]
    configured: RiskLimits


def risk_facts(core: Core, symbols: tuple[str, ...]) -> RiskFacts:
    """Copy what people may ask for; on the core's thread, between two inputs."""
    risk = core.risk
    session, now = risk.prices.session, core.sequencer.last_ts
    return RiskFacts(
        session=session,
        tripped=tuple(
            TrippedFact(*row.key, row.state.value, row.action, row.cause, row.value, row.limit, row.since, row.session)
            for row in risk.rows
        ),
        watched=tuple(risk.watched()),
        locks=tuple(
            LockFact(
                lock.portfolio,
                symbols[lock.symbol] if lock.symbol >= 0 else "",
                lock.rule,
                lock.reason,
                lock.until_ts,
                max(0, lock.until_session - session),
            )
            for lock in risk.blocks.locks()
            if now < lock.until_ts or session < lock.until_session
        ),
        restricted=tuple((symbols[symbol], why) for symbol, why in sorted(risk.restricted.why.items())),
        by_hand=tuple(risk.by_hand.items()),
        configured=risk.configured,
    )
