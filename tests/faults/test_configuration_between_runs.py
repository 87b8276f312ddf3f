"""What changed in the configuration while nobody ran is recorded before anything is decided by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.messages.risk import LimitsChanged
from daemon.kernel.message import CommandRejected
from daemon.system.parity import parity_of
from daemon.system.verify import verify_path
from live_support import ROOT, daemon, minute_bars

PLAYED = """
[feed.playback]
bars = ["bars.csv"]
adjustment = "raw"
speed = 600
[service]
unclean_starts_max = 0
"""


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
def test_limits_of_another_configuration_are_taken_over_by_a_recorded_command(tmp_path: Path, *, clean: bool) -> None:
    """With a snapshot and without one the core folds to the limits in force, and forensic replay agrees."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=390)
    with daemon(tmp_path, PLAYED) as one:
        one.start()
        with one.client() as client:
            client.call("order.submit", symbol="AAA", side="buy", qty=10, request_id="a")
        if clean:
            one.stop()
        else:
            one.kill()
        one.sets = ["risk.max_order_value=400", "risk.max_order_fraction=0"]
        one.start()
        with one.client() as client:
            denied = client.call("order.submit", symbol="AAA", side="buy", qty=10, request_id="b")
        assert (denied["status"], denied["code"]) == ("denied", "MAX_NOTIONAL")
        one.kill()
        one.start()
        assert one.stop() == 0
        (changed,) = one.events(LimitsChanged)
        assert changed.new.max_order_value == 400 * 10**8
        assert [check for check in verify_path(one.state).checks if not check.ok] == []
        assert parity_of(one.state, None).equal


def test_a_second_start_with_shorts_and_fractions_finds_the_limits_it_began_with(tmp_path: Path) -> None:
    """They follow from [broker] and [portfolio], too; nothing changed, so nothing is reloaded."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=390)
    with daemon(tmp_path, PLAYED, sets=["broker.allow_short=true", "portfolio.lot_size=0.5"]) as one:
        one.start()
        with one.client() as client:
            client.call("order.submit", symbol="AAA", side="sell", qty=10.5, request_id="a")
        one.kill()
        one.start()
        assert one.stop() == 0
        assert one.events(CommandRejected, LimitsChanged) == []
        assert parity_of(one.state, None).equal


ALONE = "from actors.api import *\n\n@strategy(lookback=3)\ndef alone(w, p):\n    return Signal(0.5)\n"


@pytest.mark.parametrize("reference", ["alone.py", "alone.py:alone", "below/alone.py", "below/alone.py:alone"])
def test_parity_finds_files_of_strategies_where_the_configuration_does(tmp_path: Path, reference: str) -> None:
    """Beside the file that names them, wherever it is asked from; without that file the sentence asks for it."""
    minute_bars(tmp_path / "bars.csv", ["AAA"], minutes=30)
    file = tmp_path / reference.partition(":")[0]
    file.parent.mkdir(exist_ok=True)
    file.write_text(ALONE, "utf-8")
    settings = f'[predictor]\nstrategies = ["{reference}"]\n'
    with daemon(tmp_path, PLAYED.replace("600", '"max"') + settings) as one:
        one.spawn(until_end=True)
        assert one.wait() == 0
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        command = [sys.executable, "-m", "daemon", "parity", str(one.state)]
        for more, code, says in ((["--config", str(one.config)], 0, "equal"), ([], 1, "with --config")):
            done = subprocess.run(
                [*command, *more],
                cwd=elsewhere,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == code, done.stderr
            assert says in done.stdout + done.stderr
