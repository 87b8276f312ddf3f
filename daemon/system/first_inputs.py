"""What goes into a core in front of everything else, after a start of the process or of the core alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.messages.control import Halt, Reload
from actors.messages.market import GapDetected, SessionOpened
from actors.messages.portfolio import DepositCash
from actors.messages.risk import TradingState
from config.settings import settings_digest
from daemon.system.core_ports import Input
from daemon.system.start import limits_of

if TYPE_CHECKING:
    from daemon.system.running import Running

BY: Final = "daemon"
"""Who speaks where the daemon gives commands of its own."""
FEED: Final = "playback"
OPEN_STATES: Final = (TradingState.ACTIVE, TradingState.REDUCING)
"""States in which risk can still be added or is about to be; the others are no looser than a halt."""


def first_inputs(running: Running) -> list[Input]:
    """Return what has to go in before anything else, after a start of the process or of the core alone.

    What the ledger shows to be in already is left out. Where the core failed before it was, it comes again: the
    opening cash, and prices that were missed meanwhile.
    """
    prepared, core, settings = running.prepared, running.loop.core, running.settings
    known = core.core.broker.funded
    first = None if core.sequencer.seq else prepared.data.first_ts
    inputs = [
        Input(DepositCash(spec.name, spec.cash, "opening deposit"), "control", at=first)
        for spec in prepared.data.spec.portfolios
        if spec.name not in known
    ]
    core.move_clock(first)
    if first is not None:
        warm = prepared.data.warm_rows(settings)
        core.sequencer.rewarm(warm)
        running.loop.tape_warm(warm)
    if running.free_running and core.feed_n:
        now = running.missed_until = core.clock.now()
        inputs.append(Input(GapDetected(now, FEED, core.sequencer.last_ts, now), "feed"))
        inputs += [
            # Said again, so that orders of the day know that their day is not over.
            Input(SessionOpened(now, session), "feed")
            for session in prepared.data.recording.sessions
            if session.open_ts <= core.sequencer.last_ts and now < session.close_ts
        ]
    wanted = limits_of(settings)
    if core.sequencer.seq and core.core.risk.configured != wanted:  # the configuration changed while nobody ran
        inputs.append(Input(Reload(settings_digest(settings), BY, wanted), "shell"))
    return inputs


def halts_of_the_start(running: Running) -> list[Input]:
    """Return what makes this process wait for a person; who has resumed since is not asked again."""
    prepared, core, inputs = running.prepared, running.loop.core, []
    service = running.settings.service
    if service.unclean_starts_max and prepared.unclean >= service.unclean_starts_max:
        minutes = service.unclean_window_s / 60
        reason = f"{prepared.unclean} starts within {minutes:g} minutes did not end cleanly"
        inputs.append(Input(Halt(reason, BY), "shell"))
    unresolved = core.alerter.unresolved(core.sequencer.last_ts)
    if unresolved and core.core.risk.trading_state in OPEN_STATES:
        reason = f"{len(unresolved)} critical alert(s) of the last hours are not acknowledged: {unresolved[0]}"
        inputs.append(Input(Halt(reason, BY), "shell"))
    return inputs
