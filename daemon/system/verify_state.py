"""``tradingd verify`` on a state folder, also while the daemon runs: what belongs to the ledger must fit to it.

Nothing is locked, changed or folded in. What is committed while the check goes on is left to the next one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.messages.catalogue import MARKET
from actors.messages.risk import TradingState
from daemon.journal.archive import read_places
from daemon.journal.check import Check
from daemon.journal.market_codec import MarketCodec
from daemon.kernel.errors import OperatorError
from daemon.system.verify_facts import Progress, say_nothing

LEDGER: Final = "ledger.db"
LATCH: Final = "kill.latch"
TAPE: Final = "tape"
TELL_INPUTS: Final = 10_000
_MARKS: Final = (LATCH, TAPE, "ledger.lock", "archive")


def is_state_folder(path: Path) -> bool:
    """Tell whether a folder is a daemon's, not a replay's."""
    return (path / LEDGER).is_file() and any((path / mark).exists() for mark in _MARKS)


def check_tape(folder: Path, progress: Progress = say_nothing) -> Check:
    """Every input that was market data is on the tape, in order, and nothing between two inputs is missing."""
    count = panels = 0
    previous = None
    try:
        for seq, kept in read_places(folder, MarketCodec(MARKET)):
            if previous is not None and seq != previous + 1:
                return Check("tape", ok=False, detail=f"input {seq} follows input {previous}")
            previous = seq
            count += 1
            panels += not kept
            if not count % TELL_INPUTS:
                progress("tape", count)
    except OperatorError as error:
        return Check("tape", ok=False, detail=str(error))
    return Check("tape", ok=True, detail=f"{count} inputs without a gap, {panels} of them on the tape alone")


def check_latch(folder: Path, state: TradingState, before: str) -> Check:
    """Where the ledger says killed, the latch is set; a latch that is set alone is a kill not yet observed.

    Args:
        folder: of the daemon's state.
        state: of trading by the ledger.
        before: what the latch said before the ledger was read: it may be set, or cleared, meanwhile.
    """
    latch = latch_says(folder)
    ok = {latch, before} != {"clear"} or state is not TradingState.KILLED
    return Check("latch", ok=ok, detail=f"trading is {state}, the latch is {latch}")


def latch_says(folder: Path) -> str:
    """Return what a state folder's kill latch says, in a word or a clause."""
    try:
        content = (folder / LATCH).read_bytes()
    except OSError as error:
        return f"not readable ({error.strerror}), which counts as killed"
    return "clear" if content.startswith(b"CLEAR ") else "set"
