"""``tradingd verify``: is a run what it says it is?

Each check has a stable name. A ledger is checked for integrity, order and its hash chain, then its events are folded
again: double entry, positions, orders. A run folder is checked on top of that against its own list of digests and
against the tables that its ledger gives when they are derived again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.messages.catalogue import codec
from actors.reporter.news_section import headlines_csv, sentiment_csv
from actors.reporter.performance import curve
from actors.reporter.runfolder import UNSEALED, sha256
from actors.reporter.story import Story, gather
from actors.reporter.tables import equity_csv, fills_csv, orders_csv, predictions_csv, signals_csv, trades_csv
from daemon.journal.archive import begins_at_first, check_archive, state_dir_of, whole_frames
from daemon.journal.check import (
    CHUNK,
    Check,
    RunRow,
    check_chain,
    check_integrity,
    check_replies,
    check_sealed,
    check_snapshots,
    read_runs,
)
from daemon.journal.journal import StoredFrame
from daemon.journal.rows import whole_run
from daemon.journal.sqlite import open_readonly
from daemon.kernel.errors import OperatorError
from daemon.system.verify_facts import PROBLEMS_MAX, UNREADABLE, Facts, Progress, check_events, say_nothing
from daemon.system.verify_state import check_latch, check_tape, is_state_folder, latch_says

MANIFEST: Final = "run.json"
LEDGER: Final = "ledger.db"


class VerifyReport(msgspec.Struct, frozen=True):
    """What was checked and whether all of it holds."""

    path: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def verify_path(path: Path, progress: Progress = say_nothing) -> VerifyReport:
    """Check a run folder, a daemon's state folder or a ledger file; a daemon may go on running.

    Args:
        path: of one of these.
        progress: told what is looked at and how many rows of it were, now and then.

    Raises:
        OperatorError: there is nothing at ``path`` that could be checked.
    """
    if path.is_dir():
        if is_state_folder(path):
            return VerifyReport(str(path), tuple(_state_checks(path, progress)))
        if not (path / MANIFEST).is_file() and not (path / LEDGER).is_file():
            raise OperatorError(
                f"{path} is not a run folder: it has neither {MANIFEST} nor {LEDGER}",
                code="NO_RUN",
                remedy="name a run folder or a ledger.db",
            )
        return VerifyReport(str(path), tuple(_folder_checks(path, progress)))
    return VerifyReport(str(path), tuple(_ledger_checks(path, progress).checks))


# -- ledger ------------------------------------------------------------------------------------------------------------


class _Found(msgspec.Struct):
    """What was found in a ledger: the row of its last run, and what its events tell, as far as they can be read."""

    checks: list[Check] = []
    run: RunRow | None = None
    facts: Facts | None = None


def _state_checks(folder: Path, progress: Progress) -> Iterator[Check]:
    """Check a daemon's state folder: its ledger with what was archived of it, its tape, its latch."""
    latch = latch_says(folder)
    found = _ledger_checks(folder / LEDGER, progress)
    yield from found.checks
    if found.facts is not None and found.facts.events:
        yield check_tape(folder, progress)
        yield check_latch(folder, found.facts.state, latch)


def _ledger_checks(path: Path, progress: Progress, keep: list[StoredFrame] | None = None) -> _Found:
    """Check a ledger, and what was archived of it; its frames are read once more and put into ``keep``, if given."""
    db = open_readonly(path)
    found = _Found()
    checks = found.checks
    try:
        progress("pages", 0)
        checks.append(check_integrity(db))
        if not checks[0].ok:
            return found
        runs = read_runs(db, manifests=False)
        if not runs:
            checks.append(Check("sealed", ok=False, detail="the ledger has no row about its run"))
            return found
        run = whole_run(db, runs[-1])
        checks += [check_sealed(runs), *check_chain(db, runs, should_stop=_told(progress, "chain", CHUNK))]
        if run.started is not None:
            checks += [check_snapshots(db), check_replies(db)]
        if any(r.archived is not None for r in runs):
            checks.append(check_archive(state_dir_of(path), runs))
    except UNREADABLE as error:
        # A row that was tampered with may not even decode; that is a finding, not a failure of the program.
        checks.append(Check("decode", ok=False, detail=str(error)))
        return found
    finally:
        db.close()
    frames = whole_frames(path, codec())
    more, facts = check_events(
        frames if keep is None else _kept(frames, keep), from_first=begins_at_first(runs), progress=progress
    )
    checks += more
    if not facts.problem:
        found.run, found.facts = run, facts
    return found


def _kept(frames: Iterator[StoredFrame], keep: list[StoredFrame]) -> Iterator[StoredFrame]:
    for frame in frames:
        keep.append(frame)
        yield frame


def _told(progress: Progress, what: str, rows: int) -> Callable[[], bool]:
    """Return what a check asks after each so many rows whether to stop: it never does, and tells."""
    done = 0

    def never() -> bool:
        nonlocal done
        done += rows
        progress(what, done)
        return False

    return never


# -- folder ------------------------------------------------------------------------------------------------------------


def _folder_checks(folder: Path, progress: Progress) -> Iterator[Check]:
    manifest, problem = _read_manifest(folder / MANIFEST)
    yield Check("manifest", ok=not problem, detail=problem or f"{len(manifest.get('files', {}))} files listed")
    yield _check_files(folder, manifest)
    if not (folder / LEDGER).is_file():
        yield Check("ledger", ok=False, detail=f"there is no {LEDGER}")
        return
    frames: list[StoredFrame] = []
    try:
        found = _ledger_checks(folder / LEDGER, progress, frames)
    except OperatorError as error:
        yield Check("ledger", ok=False, detail=str(error))
        return
    yield from found.checks
    if found.run is None:
        return
    yield _check_same_run(manifest, found.run)
    try:
        derived = _derive(found.run, frames)
    except (KeyError, ValueError, TypeError, IndexError, msgspec.MsgspecError) as error:
        yield Check("tables", ok=False, detail=f"they cannot be derived from the ledger: {error!r}")
        return
    for name, text in derived.items():
        yield _check_table(folder / name, text)


def _read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    if not path.is_file():  # reading a pipe or a device would never end
        return {}, f"there is no file {MANIFEST}"
    try:
        raw = path.read_bytes()
        manifest = msgspec.json.decode(raw, type=dict[str, Any])
    except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError
        return {}, f"{MANIFEST} cannot be read: {error}"
    if not isinstance(manifest.get("files"), dict):
        return {}, f"{MANIFEST} lists no files"
    seal = manifest.get("seal")
    if (
        not isinstance(seal, str)
        or hashlib.sha256(raw.replace(seal.encode(), UNSEALED.encode(), 1)).hexdigest() != seal
    ):
        return manifest, f"{MANIFEST} was changed: its seal does not fit"
    return manifest, ""


def _check_files(folder: Path, manifest: dict[str, Any]) -> Check:
    listed: dict[str, Any] = manifest.get("files", {})
    present = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    present.pop(MANIFEST, None)
    problems = [f"{name} is missing" for name in listed if name not in present]
    problems += [f"{name} is not listed" for name in sorted(present) if name not in listed]
    for name, digest in listed.items():
        if name in present and (not present[name].is_file() or sha256(present[name]) != digest):
            problems.append(f"{name} was changed")
    detail = "; ".join(problems[:PROBLEMS_MAX]) or f"{len(listed)} files as written"
    return Check("files", ok=bool(listed) and not problems, detail=detail)


def _check_same_run(manifest: dict[str, Any], run: RunRow) -> Check:
    pairs = {
        "version": run.version,
        "mode": run.mode,
        "seed": run.seed,
        "config_digest": run.config_digest,
        "event_digest": run.event_digest,
    }
    wrong = [name for name, value in pairs.items() if manifest.get(name) != value]
    detail = f"{MANIFEST} and {LEDGER} differ in {', '.join(wrong)}" if wrong else "run.json and ledger agree"
    return Check("same_run", ok=not wrong, detail=detail)


def _derive(run: RunRow, frames: list[StoredFrame]) -> dict[str, str]:
    """Return the tables that need nothing but the ledger."""
    written = run.manifest_dict()
    symbols: list[str] = written["universe"]["symbols"]
    risk = written["config"]["risk"]
    gates = (float(risk["min_confidence_buy"]), float(risk["min_confidence_sell"]))
    story: Story = gather(frames)
    several = len(story.opening) > 1
    marks = story.combined_marks() if written["config"]["reporter"]["equity"] == "bar" else None
    derived = {
        "equity.csv": equity_csv(curve(story), marks),
        "orders.csv": orders_csv(story, symbols, several),
        "fills.csv": fills_csv(story, symbols, several),
        "trades.csv": trades_csv(story, symbols, several),
        "predictions.csv": predictions_csv(story, symbols),
        "signals.csv": signals_csv(story, symbols, gates),
    }
    if story.news:
        derived["headlines.csv"] = headlines_csv(story.news, symbols)
        derived["sentiment.csv"] = sentiment_csv(story.news, symbols)
    return derived


def _check_table(path: Path, text: str) -> Check:
    name = f"table:{path.name}"
    if not path.is_file():
        return Check(name, ok=False, detail="there is no such file")
    try:
        found = path.read_bytes()
    except OSError as error:
        return Check(name, ok=False, detail=f"cannot be read: {error.strerror}")
    if found == text.encode():
        return Check(name, ok=True, detail=f"{text.count(chr(10)) - 1} rows, as the ledger says")
    lines = zip(found.decode("utf-8", "replace").splitlines(), text.splitlines(), strict=False)
    line = next((n for n, (a, b) in enumerate(lines, start=1) if a != b), "its length")
    return Check(name, ok=False, detail=f"differs from what the ledger says at line {line}")
