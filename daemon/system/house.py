"""What a running daemon looks after by itself: its ledger, the disk, the books, whether its feed is quiet or over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio

from actors.messages.control import Halt
from daemon.journal.failures import LedgerBrokenError
from daemon.system.first_inputs import BY, FEED, OPEN_STATES
from daemon.system.housekeeping import FeedWatch, WalWatch
from daemon.system.invariants import check_core

if TYPE_CHECKING:
    from daemon.system.running import Running

HOUSE_S: Final = 1.0
UNTIL_END_S: Final = 0.02
"""How often it is looked whether the recording has ended, where the daemon ends with it."""
BOOKS_S: Final = 60.0


class House:
    """See the module.

    Attributes:
        disk: "ok", or why there is too little room to trade on.
    """

    def __init__(self, running: Running) -> None:
        """Look after one daemon."""
        settings = running.settings
        self._running = running
        self.disk = "ok"
        self._told_end = False
        self._books_at = time.monotonic()
        self._books_said = ""
        self._wal = WalWatch(settings.journal.wal_max_mb)
        self._silence = FeedWatch(FEED, staleness_ms=settings.feed.staleness_ms)

    @property
    def stale(self) -> bool:
        """Whether the feed owes data for too long."""
        return self._silence.stale

    async def watch_ledger(self, beat: Callable[[], None]) -> None:
        """Notice that the ledger under the writer is not the one it opened (F49), or that its upkeep broke it."""
        while True:
            gauges = self._running.writer.gauges()
            if gauges.moved:
                problem = f"{gauges.moved} was removed or replaced while the daemon runs; what is written is lost"
                raise LedgerBrokenError(problem, code="LEDGER_GONE", remedy="restore it from a backup")
            if gauges.broken:
                raise LedgerBrokenError(gauges.broken, code="LEDGER_BROKEN", remedy="the next start looks")
            beat()
            await anyio.sleep(HOUSE_S)

    async def keep(self, beat: Callable[[], None]) -> None:
        """Look after the disk, the feed and the books; with ``--until-end`` end the daemon with its recording."""
        running, prepared = self._running, self._running.prepared
        until_end = prepared.options.until_end
        while True:
            self._look_at_disk()
            self._look_at_feed(until_end=until_end)
            running.own.say_again()
            if time.monotonic() - self._books_at >= BOOKS_S:
                self._books_at = time.monotonic()
                self._look_at_books()
            if until_end and self._all_played():
                prepared.stop.ask("the recording has ended")
            beat()
            await anyio.sleep(UNTIL_END_S if until_end else HOUSE_S)

    def _look_at_disk(self) -> None:
        running = self._running
        state = running.prepared.disk.look()
        self.disk = state.sentence or "ok"
        if state.low and self._may_add_risk():
            running.command(Halt(state.sentence, BY))  # again, if somebody resumed while there is no room
        gauges = running.writer.gauges()
        wal = self._wal.look(gauges.wal_bytes, gauges.checkpoint_blocked_since_ns)
        if wal:
            running.trouble("wal", wal)

    def _look_at_feed(self, *, until_end: bool) -> None:
        running, queue = self._running, self._running.queue
        if queue.ended and not queue.items and not self._told_end:  # read to its end is not played yet
            self._told_end = True
            tell = running.log.info if until_end else running.log.warning
            tell("the recording has ended", detail="no more data will come; orders stay as they are")
        silence = self._silence.look(queue.silent_s)
        if silence:
            running.trouble("feed_stale", silence)
            running.outlet.dirty = True

    def _look_at_books(self) -> None:
        """Halt where the rooms do not agree on the same money; tell each such finding once (control C22)."""
        running = self._running
        problems = check_core(running.loop.core.core)
        sentence = f"the books do not agree: {problems[0]}" if problems else ""
        if problems and self._may_add_risk():
            # Again, if somebody resumed while they do not. What everything is worth is not known, which is no loss.
            running.command(Halt(f"UNKNOWN: {sentence}", BY))
        if problems and sentence != self._books_said:
            running.log.error("books do not agree", problems=problems[:10])
            running.trouble("books", sentence, critical=True)
        self._books_said = sentence

    def _may_add_risk(self) -> bool:
        return self._running.loop.core.core.risk.trading_state in OPEN_STATES

    def _all_played(self) -> bool:
        running = self._running
        return running.intake.exhausted and not running.loop.depth and not len(running.loop.lanes)
