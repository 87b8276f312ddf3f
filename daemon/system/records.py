"""Upkeep of what a daemon keeps.

What the start did not check is checked; a run that lasts long is cut into runs of a week, so that what is old is
sealed; and old records move to the archive.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from actors.messages.catalogue import MARKET
from actors.messages.control import Halt
from actors.messages.market import BarPanel
from config.settings import Settings
from daemon.journal.check import Check, check_older
from daemon.journal.failures import LedgerFullError
from daemon.journal.journal import Manifest
from daemon.journal.market_codec import MarketCodec
from daemon.journal.retention import Outcome, RetentionPolicy, apply, plan, take_stock
from daemon.journal.writer import LedgerWriter
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Message
from daemon.system.start import manifest_behind

T = TypeVar("T")

EVERY_S: Final = 3600.0
LOOK_S: Final = 1.0
REST_S: Final = 0.02
"""Between two looks at some thousand old rows, so that who trades is never far from its turn."""
ROLL_S: Final = 7 * 86_400.0
"""How old a run becomes by wall time; only what belongs to a sealed one can leave the ledger."""


class Keeper(Protocol):
    """The part of the running daemon that is used here."""

    settings: Settings
    writer: LedgerWriter
    manifest: Manifest
    log: Any

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        ...

    @property
    def unchecked_before(self) -> int:
        """Rows up to this seq were not looked at by the start; 0 where all were."""
        ...

    @property
    def stalled(self) -> str:
        """Why nothing can be written at the moment, or ""."""
        ...

    @property
    def warmup_rows(self) -> int:
        """Bars before a snapshot that a start needs."""
        ...

    def command(self, message: Message) -> None:
        """Put a command in front of the core."""
        ...

    def trouble(self, what: str, sentence: str, *, critical: bool = False) -> None:
        """Record something that people should hear of."""
        ...


class Records:
    """See the module."""

    def __init__(self, keeper: Keeper) -> None:
        """Look after one daemon's records."""
        self._keeper = keeper
        self._run_began = time.time_ns()
        self.closing = False
        self._market = MarketCodec(MARKET)

    async def run(self, beat: Callable[[], None]) -> None:
        """Check once, then tidy up again and again, until cancelled."""
        if self._keeper.unchecked_before:
            await self._check()
        while True:
            began = time.monotonic()
            await self._roll()
            await self._tidy()
            while time.monotonic() - began < EVERY_S:
                beat()
                await anyio.sleep(LOOK_S)

    async def _check(self) -> None:
        keeper = self._keeper
        path = keeper.state_dir / "ledger.db"

        def rested() -> bool:
            time.sleep(REST_S)
            return self.closing

        def check() -> list[Check]:
            return check_older(path, keeper.unchecked_before, should_stop=rested)

        try:
            checks = await anyio.to_thread.run_sync(check)
        except (OperatorError, OSError, sqlite3.Error) as error:
            keeper.trouble("ledger_unchecked", f"older rows of the ledger could not be checked: {error}", critical=True)
            return
        bad = [f"{c.name}: {c.detail}" for c in checks if not c.ok]
        if bad:
            keeper.command(Halt(f"the ledger is damaged: {bad[0]}", "daemon"))
            keeper.trouble("ledger_damaged", f"the ledger is damaged: {bad[0]}", critical=True)

    async def _roll(self) -> None:
        """Begin a new run once this one is old; a full or closing ledger is left alone."""
        keeper = self._keeper
        if time.time_ns() - self._run_began < ROLL_S * 1e9 or keeper.stalled or self.closing:
            return
        before, after = keeper.manifest.run_id, manifest_behind(keeper.manifest, keeper.settings)
        try:
            await keeper.writer.roll(after)
        except LedgerFullError as error:
            keeper.log.warning("run not rolled", detail=str(error))  # the core will find out, too; later is soon enough
            return
        keeper.manifest, self._run_began = after, time.time_ns()
        keeper.log.info("run rolled", run_id=after.run_id, behind=before)

    async def _tidy(self) -> None:
        keeper = self._keeper
        retention = keeper.settings.retention
        policy = RetentionPolicy(
            ledger_days=retention.ledger_days, tape_days=retention.tape_days, archive_days=retention.archive_days
        )
        try:
            outcome = await anyio.to_thread.run_sync(self._retain, policy, keeper.warmup_rows)
        except (OperatorError, OSError, sqlite3.Error) as error:
            keeper.trouble("retention", f"old records were not moved: {error}")
            return
        for sentence in outcome.done:
            keeper.log.info("retention", detail=sentence)
        for sentence in outcome.problems:
            keeper.trouble("retention", sentence)

    def _retain(self, policy: RetentionPolicy, warmup: int) -> Outcome:
        state_dir = self._keeper.state_dir
        stock = take_stock(state_dir, self._market, warmup=warmup, kinds=(BarPanel,))
        actions = plan(stock, policy, time.time_ns())
        return apply(actions, state_dir, self._market, self._on_ledger, should_stop=lambda: self.closing)

    def _on_ledger(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return anyio.from_thread.run(self._keeper.writer.transact, function)
