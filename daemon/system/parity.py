"""``tradingd parity RUN``: decide a recorded session again from its journal and tape, and say what differs.

What a run was built from stands in its manifest: configuration, universe, seed. Strategies that come from files are
found by name, so their files must be where the configuration given with ``--config`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.messages.catalogue import MARKET, codec
from actors.values.time import format_ts
from config.settings import Settings
from daemon.journal.archive import read_all
from daemon.journal.check import read_runs
from daemon.journal.market_codec import MarketCodec
from daemon.journal.sqlite import open_readonly
from daemon.kernel.errors import OperatorError
from daemon.system.composition import CoreSpec
from daemon.system.forensic import Forensics, replay_recorded
from daemon.system.recorded import shape_of, spec_of
from daemon.system.start import WARM_MAX, read_ledger

LEDGER: Final = "ledger.db"
REPLAY: Final = "replay"


def parity_of(path: Path, config: Settings | None, progress: Callable[[int], None] | None = None) -> Forensics:
    """Decide everything a ledger recorded again.

    Args:
        path: state folder of a daemon, or the ledger in it.
        config: where strategies that are no built-in ones come from; None where all are.
        progress: told how many inputs are done.

    Raises:
        OperatorError: there is no ledger with a tape, or it was recorded with what is not here.
    """
    folder = path if path.is_dir() else path.parent
    if not (folder / LEDGER).is_file():
        raise OperatorError(
            f"{path} is no state folder: it has no {LEDGER}", code="NO_RUN", remedy="name the daemon's paths.state_dir"
        )
    db = open_readonly(folder / LEDGER)
    try:
        runs = read_runs(db)
    finally:
        db.close()
    if all(run.mode == REPLAY for run in runs):
        raise OperatorError(
            f"{path} has no tape, so there is nothing to decide again from",
            code="NO_TAPE",
            remedy="name a daemon's state folder; a replay's run folder is repeated by the command in its run.json",
        )
    specs: dict[int, CoreSpec] = {}
    before: Any = None
    for run in runs:
        shape = shape_of(run)
        if shape != before:
            specs[max(run.first_seq, 1)] = spec_of(run, config)  # of runs that wrote nothing, the last
        before = shape
    ledger = read_ledger(folder)
    try:
        digest, last = ledger.event_digest.hex(), ledger.last_seq
        warm = ledger.panels_before(1, WARM_MAX)
    finally:
        ledger.close()
    # A daemon that runs goes on writing; what is compared ends where its digest was read.
    rows = (row for row in read_all(folder, codec(), MarketCodec(MARKET)) if row.seq <= last)
    first = next(rows, None)
    if first is not None and first.seq != 1:
        raise OperatorError(
            f"the inputs before {first.seq} are gone from the archive, so nothing can be decided from the beginning",
            code="ARCHIVED",
            remedy="keep the archive for longer ([retention] archive_days)",
        )
    every = () if first is None else chain((first,), rows)
    return replay_recorded(every, specs, recorded_digest=digest, warm=warm, progress=progress)


def report(found: Forensics) -> dict[str, Any]:
    """Return the result as the object of ``--json``."""
    return {
        "schema": "tradingd.parity/1",
        "equal": found.equal,
        "inputs": found.inputs,
        "events": found.events,
        "recorded_digest": found.recorded_digest,
        "digest": found.digest,
        "differing": {"inputs": found.differing, "fills": found.fills, "equity": found.equity},
        "differences": [
            {**msgspec.structs.asdict(difference), "ts": format_ts(difference.ts)} for difference in found.differences
        ],
    }
