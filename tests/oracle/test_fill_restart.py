"""A run that is interrupted anywhere ends like one that is not, with every kind of order in the air.

Resting and triggered orders, trails, queues, requests on their way, exits and groups: random programs on bars and ticks
are cut at several places, the core is built anew from its snapshot, and every frame and the last byte of state agree.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.feed.recording import Recording, RecordingSpec, open_recording
from actors.messages.market import BarPanel
from actors.messages.portfolio import DepositCash
from config.params import broker_params, portfolio_specs
from config.risk_params import risk_limits
from config.sources import load_settings
from daemon.journal.memory import MemoryJournal
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Market
from daemon.system.composition import CoreSpec, build_core
from daemon.system.engine import ReplayEngine
from daemon.system.script import ScriptLine, read_script
from daemon.system.when import TimeReader
from oracle.programs import HELD, Author, bars_file, opening, write_ticks
from oracle.tape import FREE, write


class Case:
    """A program as a core meets it: parameters, inputs in order, and the script."""

    def __init__(self, recording: Recording, script: list[ScriptLine], profile: str, sets: list[str]) -> None:
        """Take the recording apart."""
        settings = load_settings(file=None, profile=profile, sets=sets, environ={}, flags={}).settings
        self.spec = CoreSpec(
            universe=recording.universe,
            interval=recording.interval,
            bindings=(),
            decision_interval=None,
            broker=broker_params(settings),
            limits=risk_limits(settings, replay=True),
            portfolios=portfolio_specs(settings, {}),
            seed=42,
        )
        self.inputs: list[Market] = list(recording.inputs())
        self.first = recording.first_start
        self.script = script

    def run(self, cuts: list[int]) -> tuple[bytes, MemoryJournal]:
        """Run all inputs, with a new core built from the last one's snapshot at each cut; return the last snapshot."""
        journal = MemoryJournal()
        snapshot, begin = b"", 0
        for end in [*cuts, len(self.inputs)]:
            snapshot = self._part(journal, snapshot, begin, end)
            begin = end
        return snapshot, journal

    def _part(self, journal: MemoryJournal, snapshot: bytes, begin: int, end: int) -> bytes:
        clock = VirtualClock()
        core = build_core(self.spec, clock=clock, sink=journal)
        if snapshot:
            core.sequencer.restore(snapshot)
            rows = max(actor.warmup_rows() for actor in core.sequencer.routing.actors)
            panels = [m for m in self.inputs[:begin] if isinstance(m, BarPanel)]
            core.sequencer.rewarm(panels[-rows:] if rows else [])
            clock.advance_to(core.sequencer.last_ts)
        since = self.inputs[begin - 1].ts if begin else None
        script = [line for line in self.script if since is None or (line.at is not None and line.at > since)]
        engine = ReplayEngine(
            core.sequencer,
            clock,
            deposits=[DepositCash(p.name, p.cash, "opening deposit") for p in self.spec.portfolios],
            script=script,
            first_bar=self.first if since is None else since,
        )
        engine.run(iter(self.inputs[begin:end]))
        return core.sequencer.snapshot()

    def places(self) -> list[int]:
        """Return the numbers of inputs after which an instant is complete."""
        return [i + 1 for i in range(len(self.inputs) - 1) if self.inputs[i].ts < self.inputs[i + 1].ts]


def scripted(folder: Path, lines: list[dict[str, Any]], recording: Recording) -> list[ScriptLine]:
    """Read a script as the program does."""
    path = folder / "orders.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return read_script(path, recording.universe.index(), ("main",), TimeReader(None, "America/New_York"))


def bars_case(folder: Path, seed: int) -> Case:
    """Return a program on bars; by turns daily or of minutes, with volumes or without; half of them wild."""
    rng = random.Random(seed)  # noqa: S311
    world = Author(rng, daily=bool(seed % 2), volumes=bool(seed // 2 % 2), wild=seed > 2).write()
    (folder / "bars.csv").write_text(bars_file(world) + "\n")
    recording = open_recording(RecordingSpec(bars=(str(folder / "bars.csv"),), adjustment="total"))
    script = scripted(folder, [opening(15 if seed > 2 else HELD), *(line for _, line, _ in world.commands)], recording)
    sets = [*FREE[1:], "portfolio.cash=1000000000", "broker.allow_short=true", "broker.account=margin"]
    sets += [f"broker.participation={'0.1' if seed // 2 % 2 else '0'}"]
    return Case(recording, script, "plan", sets)


def ticks_case(folder: Path, seed: int) -> Case:
    """Return a program on quotes, prints, or both, with latency."""
    rng = random.Random(seed)  # noqa: S311
    program = write_ticks(rng, with_quotes=seed % 3 != 0, with_prints=seed % 3 != 1)
    files = {name: tuple(map(str, paths)) for name, paths in write(folder, program.rows).items()}
    recording = open_recording(RecordingSpec(**files))
    script = scripted(folder, program.script, recording)
    sets = [*FREE, "broker.allow_short=true", "broker.account=margin", "broker.latency_ms=4000"]
    return Case(recording, script, "plan", [*sets, "broker.latency_jitter_ms=5000", "broker.impact_permanent=0.3"])


@pytest.mark.parametrize("make", [bars_case, ticks_case], ids=["bars", "ticks"])
@pytest.mark.parametrize("seed", range(6))
def test_a_run_cut_anywhere_ends_like_one_that_is_not(
    tmp_path: Path, make: Callable[[Path, int], Case], seed: int
) -> None:
    """Cut once at a random place, at three, and after every seventh instant."""
    case = make(tmp_path, seed)
    whole, frames = case.run([])
    assert sum(len(frame.events) for frame in frames.frames()) > 30
    places = case.places()
    rng = random.Random(seed)  # noqa: S311
    for cuts in ([rng.choice(places)], sorted(rng.sample(places, 3)), places[6::7]):
        end, parts = case.run(cuts)
        for mine, expected in zip(parts.frames(), frames.frames(), strict=True):
            assert mine == expected, cuts
        assert end == whole, cuts
