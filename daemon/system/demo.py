"""``tradingd demo``: the main job on the data inside the package, without account or network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from config.sources import load_settings
from daemon.system.options import ReplayOptions
from daemon.system.replay import EMBEDDED, ReplayResult, run_replay

STRATEGIES: Final = ("price_model", "momentum", "multi_factor")
"""One model that answers through onnxruntime, two rules; chosen for what they show, not for what they earned."""

RESUME_SESSIONS: Final = 20
SETS: Final = (
    f"predictor.strategies={list(STRATEGIES)}".replace("'", '"'),
    f"risk.replay_resume_sessions={RESUME_SESSIONS}",
)


def run_demo(out: Path, progress: Callable[[int, int], None] | None = None) -> ReplayResult:
    """Replay the 20 embedded stocks, 2015 to 2022, through every actor with the plan's costs and limits.

    A drawdown halt is lifted after :data:`RESUME_SESSIONS` sessions so that the story goes on; the report says so.
    The environment's configuration is left out: the demo is the same everywhere.
    """
    settings = load_settings(file=None, profile="plan", sets=SETS, environ={}).settings
    options = ReplayOptions(out=out, source=EMBEDDED, date_from=20150101, date_to=20221231, command="tradingd demo")
    return run_replay(options, settings, progress)
