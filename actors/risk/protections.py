"""Protections: a symbol rests after a losing exit, a portfolio after too many stops. They lock entries, never exits.

A session counts from its opening to the next: a lock of one session ends with the opening of the next one, which on
daily data leaves one session without an entry.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.messages.portfolio import TradeClosed
from actors.messages.risk import EntriesLocked
from actors.risk.blocks import EVERY
from actors.risk.params import RiskLimits
from actors.risk.streaks import STOPS, Streaks
from actors.values.fixed import fmt
from actors.values.plain import in_cents

COOLDOWN = "cooldown"
STOP_GUARD = "stop_guard"


def locks(
    event: TradeClosed, limits: RiskLimits, streaks: Streaks, *, ticker: str, held: int, now: int, session: int
) -> Iterator[EntriesLocked]:
    """Yield what a closed trade locks.

    Args:
        event: the trade, folded into ``streaks`` already.
        limits: in force.
        streaks: stops counted so far.
        ticker: name of the trade's symbol.
        held: what the portfolio holds of it behind the trade: an exit leaves nothing on the side it closed.
        now: stamp of the input, nanoseconds UTC.
        session: number of the session.
    """
    if event.pnl < 0 and held * event.side <= 0:
        reason = f"{ticker} was closed at a loss of {in_cents(fmt(-event.pnl))[0]} and rests"
        name, symbol = event.portfolio, event.symbol
        until_ts = now + limits.cooldown_ns if limits.cooldown_ns else 0
        until = session + limits.cooldown_sessions if limits.cooldown_sessions else 0
        if until_ts or until:
            yield EntriesLocked(name, symbol, COOLDOWN, reason, until_ts, until)
    if limits.stop_guard and event.exit_reason in STOPS:
        stops = streaks.stops(event.portfolio, session - limits.stop_guard_sessions + 1)
        if stops >= limits.stop_guard:
            within = f"{limits.stop_guard_sessions} sessions" if limits.stop_guard_sessions > 1 else "one session"
            reason = f"{stops} stops within {within} lock the entries of {event.portfolio}"
            until = session + limits.stop_guard_lock_sessions
            yield EntriesLocked(event.portfolio, EVERY, STOP_GUARD, reason, until_session=until)
