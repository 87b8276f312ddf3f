"""Three digests equal: a replay, a playback through the real daemon with jittered edges, a forensic replay of it.

Also where the daemon is killed at the steps of its commits, warmed from history, and, free-running or under operators
who stop at nothing, against the forensic replay of itself.

All seeds: ``pytest -m long tests/parity/test_live.py``.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from config.sources import load_settings
from daemon.system.forensic import Forensics
from daemon.system.parity import parity_of
from tests.live_support import ROOT, CallError, Client, Daemon, daemon
from tests.parity.orders import draw_form
from tests.parity.worlds import STRATEGIES, replay_of, world

PLACES: Final = tuple(
    f"{when}:{what}"
    for what in ("tape.write", "tape.fsync", "frame.write", "commit", "reply")
    for when in ("before", "after")
)
KILLS: Final = 6


def stutter(seed: int, longest_s: float = 0.005) -> list[str]:
    """Return arguments that delay the feed's inputs."""
    return ["--stutter", str(seed), "--stutter-s", str(longest_s)]


def forensic(d: Daemon) -> Forensics:
    """Decide everything a daemon recorded again, and find it equal."""
    found = parity_of(d.state, load_settings(file=d.config, profile=None, sets=(), environ={}).settings)
    assert found.equal, found.differences
    assert found.events
    return found


def seeds(default: tuple[int, ...], *, total: int = 12) -> Any:
    """Parametrize by seed: some in the default run, all in the long one."""
    marks = [seed if seed in default else pytest.param(seed, marks=pytest.mark.long) for seed in range(total)]
    return pytest.mark.parametrize("seed", marks)


def play(d: Daemon, seed: int, *, kills: int = 0) -> int:
    """Play to the end, killed at seeded steps of commits on the way; return how often it was."""
    draw = random.Random(seed)  # noqa: S311 - test data
    for killed in range(kills + 1):
        fault = [f"{draw.choice(PLACES)}:{draw.randint(2, 4)}:crash"] if killed < kills else []
        d.spawn(arguments=stutter(draw.randrange(1_000)), until_end=True, faults=fault)
        code = d.wait()
        if code == 0:
            return killed
        assert code == -9, d.tail()
    raise AssertionError(d.tail())


def test_a_daemon_to_which_no_market_data_came_is_decided_again(tmp_path: Path) -> None:
    """Killed before its first bar it has a ledger and no tape: a daemon's, not a replay's."""
    with daemon(tmp_path, world(tmp_path, 5).settings) as d:
        d.spawn(faults=["before:tape.write:2:crash"])  # the first commit has the deposits
        assert d.wait() == -9, d.tail()
        assert not (d.state / "tape").exists()
        forensic(d)


# -- gated -------------------------------------------------------------------------------------------------------------


@seeds((0, 2, 4))
def test_replay_playback_and_forensic_replay_have_one_digest(tmp_path: Path, seed: int) -> None:
    """Whatever the edges' jitter."""
    with daemon(tmp_path, world(tmp_path, seed).settings) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        play(d, seed)
        assert forensic(d).digest == wanted.digest


@seeds((1,))
def test_sigkills_change_nothing(tmp_path: Path, seed: int) -> None:
    """A playback that is killed again and again goes on exactly where its ledger stands."""
    settings = world(tmp_path, seed).settings + "[journal]\nsnapshot_events = 300\n"
    with daemon(tmp_path, settings) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        killed = play(d, seed, kills=KILLS if seed != 1 else 2)
        assert killed
        assert len(d.query("SELECT 1 FROM run")) == killed + 1
        assert forensic(d).digest == wanted.digest


@pytest.mark.parametrize(
    ("kind", "sessions"),
    [
        ("minutes", 1),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("daily", 30), ("ticks", 1), ("tokyo", 2))),
    ],
)
def test_features_are_warmed_alike_everywhere(tmp_path: Path, kind: str, sessions: int) -> None:
    """In a replay, in a daemon, in one that was killed before its first snapshot, and when it is decided again."""
    settings = world(tmp_path, 3, kind, extra=f"warmup = {sessions}\n").settings
    if kind != "daily":
        first = {"tokyo": "2024-01-09"}.get(kind, "2024-01-03")
        settings = settings.replace('speed = "max"', f'speed = "max"\nfrom = "{first}"')
    with daemon(tmp_path, settings.replace(f"warmup = {sessions}\n", "")) as d:
        cold = replay_of(d.config, tmp_path / "cold")
        d.write(settings)
        wanted = replay_of(d.config, tmp_path / "warm")
        assert wanted.digest != cold.digest
        assert play(d, 5, kills=2)
        assert forensic(d).digest == wanted.digest


# -- forensic ----------------------------------------------------------------------------------------------------------


def free(settings: str, speed: str) -> str:
    """Let the recording run on its own."""
    return settings.replace('speed = "max"', f"speed = {speed}\nfree_running = true")


@seeds((5,))
def test_a_free_running_daemon_equals_its_own_forensic_replay(tmp_path: Path, seed: int) -> None:
    """Inputs are stamped when they arrive, so no replay of the files is equal; that of the record is."""
    with daemon(tmp_path, free(world(tmp_path, seed).settings, '"max"')) as d:
        play(d, seed, kills=seed % 3)
        forensic(d)


def trade(client: Client, draw: random.Random, n: int) -> None:
    """Do something that an operator may do, sensible or not."""
    portfolio = draw.choice(["main", "second"])
    form = draw_form(draw, f"op-{n}", draw.choice(["AAA", "BBB", "CCC"]), portfolio)
    someone = f"op-{draw.randrange(n + 1)}"
    meddling: tuple[str, dict[str, Any]] = draw.choice(
        [
            ("order.cancel", {"id": someone}),
            ("order.replace", {"id": someone, "qty": draw.randint(1, 40)}),
            (draw.choice(["halt", "reduce", "flatten"]), {} if n % 3 else {"reason": "chaos"}),
            ("resume", {"reason": "chaos"}),
            ("resume", {"reason": "chaos"}),
            (
                draw.choice(["cash.deposit", "cash.withdraw"]),
                {"amount": draw.randint(1, 5_000), "portfolio": portfolio},
            ),
            (draw.choice(["strategy.disable", "strategy.enable"]), {"strategy": draw.choice(["windowed", "whole"])}),
            ("breaker.reset", {"breaker": draw.choice(["daily_loss", "drawdown"]), "portfolio": portfolio}),
            ("alert.test", {}),
            ("snapshot", {}),
            ("kill", {"reason": "chaos"}) if n % 7 == 0 else ("unlatch", {"reason": "chaos"}),
        ]
    )
    method, params = ("order.submit", form) if draw.random() < 0.6 else meddling
    if method == "flatten":
        params = params | {"deadline_s": 0.05}
    with suppress(CallError):
        client.call(method, **params)


def under_operators(d: Daemon, seed: int, *, lives: int, calls: int) -> None:
    """Trade and meddle over several lives of a daemon, all but the last ended by SIGKILL."""
    draw = random.Random(seed)  # noqa: S311 - test data
    for life in range(lives):
        d.start(arguments=stutter(seed + life, 0.02))
        with d.client() as client:
            for n in range(calls):
                trade(client, draw, n + life * calls)
        if life < lives - 1:
            d.kill()
    assert d.stop() == 0


@pytest.mark.parametrize(("mode", "kind"), [("gated", "around"), ("free", "around"), ("gated", "ticks")])
@seeds((5,))
def test_operators_and_sigkills_are_decided_again_alike(tmp_path: Path, mode: str, kind: str, seed: int) -> None:
    """Orders of every kind, halts, kills, flows, strategies on and off: in whatever order, it is on record."""
    settings = world(tmp_path, seed, kind).settings.replace("[feed.playback]\n", "[feed.playback]\nloop = true\n")
    settings = settings.replace("[risk]\n", "[risk]\nmax_position = 0\nstale_ms = 0\n")
    settings = free(settings, "20000") if mode == "free" else settings.replace('speed = "max"', "speed = 20000")
    with daemon(tmp_path, settings + "[control]\nrequests_per_s = 100000\n[journal]\nsnapshot_events = 500\n") as d:
        under_operators(d, seed, lives=2 if seed == 5 else 4, calls=30)
        found = forensic(d)
        print(f"{mode} {seed}: {found.inputs} inputs, {found.events} events")  # noqa: T201 - shown by pytest -rP


# -- what differs is named ---------------------------------------------------------------------------------------------


def tradingd_parity(d: Daemon) -> tuple[int, dict[str, Any]]:
    """Run the program; return its exit code and its object."""
    command = [sys.executable, "-m", "daemon", "parity", str(d.state), "--config", str(d.config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    return done.returncode, json.loads(done.stdout)


def test_a_strategy_that_was_changed_is_found_and_named(tmp_path: Path) -> None:
    """Input, fill and equity: with the first that differs of each."""
    with daemon(tmp_path, world(tmp_path, 1).settings) as d:
        play(d, 1)
        code, same = tradingd_parity(d)
        assert (code, same["equal"], same["differences"]) == (0, True, [])
        altered = STRATEGIES.replace("60 * (", "-60 * (").replace("80 * (", "-80 * (").replace("30 * (", "-30 * (")
        (tmp_path / "strategies.py").write_text(altered, "utf-8")
        code, found = tradingd_parity(d)
    assert code == 1
    assert not found["equal"]
    assert found["digest"] != found["recorded_digest"] == same["digest"]
    assert found["differing"]["fills"] > 0
    assert found["differing"]["equity"] > 0
    first = found["differences"][0]
    assert "SignalsReady" in first["recorded"]
    assert "SignalsReady" in first["found"]
    kinds = {row["kind"] for row in found["differences"]}
    assert kinds == {"event", "fill", "equity"}


def test_a_daemon_started_with_another_configuration_is_decided_again_in_its_parts(tmp_path: Path) -> None:
    """Strategies come and go between runs; the record says with which each input was decided."""
    settings = world(tmp_path, 1, "around").settings
    chosen = next(line for line in settings.splitlines() if line.startswith("strategies = "))
    parts = [
        ("2024-01-01", 'strategies = ["strategies.py:windowed", "strategies.py:remembering"]', 0),
        (
            "2024-01-02",
            'strategies = ["strategies.py:windowed", "strategies.py:whole", "strategies.py:remembering"]',
            1,
        ),
        ("2024-01-03", 'strategies = ["strategies.py:whole"]', 0),
    ]
    with daemon(tmp_path, settings) as d:
        for day, strategies, kills in parts:
            until = settings.replace("[feed.playback]\n", f'[feed.playback]\nto = "{day}"\n')
            d.write(until.replace(chosen, strategies))
            play(d, 2, kills=kills)
        found = forensic(d)
        assert found.inputs > 3 * 288


@pytest.mark.parametrize("visit", [3, pytest.param(7, marks=pytest.mark.long)])
def test_what_a_new_strategy_remembers_begins_with_its_own_run(tmp_path: Path, visit: int) -> None:
    """Also where the run before it died without a snapshot, and its inputs have to be folded once more."""
    settings = world(tmp_path, 1, "around").settings
    chosen = next(line for line in settings.splitlines() if line.startswith("strategies = "))
    with daemon(tmp_path, settings.replace(chosen, 'strategies = ["strategies.py:windowed"]')) as d:
        d.spawn(arguments=stutter(1), until_end=True, faults=[f"after:commit:{visit}:crash"])
        assert d.wait() == -9
        assert not d.query("SELECT 1 FROM snapshot")
        d.write(settings.replace(chosen, 'strategies = ["strategies.py:windowed", "strategies.py:remembering"]'))
        play(d, 3, kills=2)
        forensic(d)
