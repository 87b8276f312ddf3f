"""Replay throughput: this program beside a bare numpy loop and three peers, on the same file in the same run.

``python ops/bench/replay.py [--quick] [--json] [--no-peers] [--keep DIR]``; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import bars  # noqa: E402 - found beside this file
import peers  # noqa: E402
import table  # noqa: E402
from job import QUICK_SIZES, SIZES, Result, Size  # noqa: E402

REPEATS = 5
QUICK_REPEATS = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small files, few repeats: shows that it works")
    parser.add_argument("--json", action="store_true", help="print figures as JSON instead of tables")
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep bars and environments there and use them again")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        answer = measure(arguments.keep.resolve(), quick=arguments.quick, with_peers=not arguments.no_peers)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            answer = measure(Path(folder), quick=arguments.quick, with_peers=not arguments.no_peers)
    sys.stdout.write((json.dumps(answer, indent=2) if arguments.json else table.render(answer)) + "\n")


def measure(folder: Path, *, quick: bool, with_peers: bool) -> dict[str, Any]:
    """Measure everything; files and environments go to ``folder``."""
    interpreters = _interpreters(folder) if with_peers else {}
    sizes = [_measure_size(size, folder, interpreters, quick=quick) for size in (QUICK_SIZES if quick else SIZES)]
    return {"schema": "tradingd.bench.replay/1", "python": platform.python_version(), "quick": quick, "sizes": sizes}


def _interpreters(folder: Path) -> dict[str, Path | str]:
    """Return by peer its interpreter, or the sentence why there is none."""
    found: dict[str, Path | str] = {}
    for peer in peers.PEERS:
        _say(f"environment of {peer.name}")
        try:
            found[peer.name] = peers.install(peer, folder)
        except peers.ContenderError as error:
            found[peer.name] = f"cannot be installed here: {error}"
    return found


def _measure_size(size: Size, folder: Path, interpreters: dict[str, Path | str], *, quick: bool) -> dict[str, Any]:
    path = folder / f"{size.symbols}x{size.sessions}x{size.interval}.parquet"
    if not path.is_file():
        _say(f"{size.name}: writing bars")
        bars.write_bars(size, path)
    repeats = QUICK_REPEATS if quick else REPEATS
    python = Path(sys.executable)
    own: dict[str, Any] = {}
    for load, every in (("all trade", 1), ("few trade", size.quiet_every)):
        _say(f"{size.name}: tradingd, {load}")
        own[load] = _row(peers.drive(python, "own.py", path, repeats, "--every", str(every)))
    _say(f"{size.name}: tradingd, a complete run")
    phases = peers.ask(python, "own.py", path, "--phases", str(size.symbols))
    _say(f"{size.name}: bare numpy")
    others: dict[str, Any] = {"bare numpy": _row(peers.drive(python, "panel.py", path, repeats))}
    for peer in peers.PEERS:
        if peer.name not in interpreters:
            continue
        interpreter = interpreters[peer.name]
        if isinstance(interpreter, str):
            others[peer.name] = {"problem": interpreter}
            continue
        _say(f"{size.name}: {peer.name}")
        try:
            others[peer.name] = _row(peers.drive(interpreter, peer.driver, path, 1 if quick else peer.repeats))
        except peers.ContenderError as error:
            others[peer.name] = {"problem": f"cannot be run here: {error}"}
    count = own["all trade"]["facts"]["bars"]
    return {**asdict(size), "bars": count, "own": own, "phases": phases, "others": others}


def _row(result: Result) -> dict[str, Any]:
    return {**asdict(result), "wall_median": result.median_wall, "cpu_median": result.median_cpu}


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    main()
