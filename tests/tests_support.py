"""Runs of the whole system for tests: the same call the command line makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.sources import load_settings
from daemon.system.options import ReplayOptions
from daemon.system.replay import ReplayResult, run_replay

ROOT = Path(__file__).resolve().parent.parent


def replay(
    out: Path,
    *,
    strategy: str | Sequence[str] | None = None,
    profile: str = "plan",
    sets: Sequence[str] = (),
    **options: Any,
) -> ReplayResult:
    """Run the whole system as the command line would."""
    names = [strategy] if isinstance(strategy, str) else list(strategy or ())
    flags = {("predictor", "strategies"): (names, "test")} if names else {}
    loaded = load_settings(file=None, profile=profile, sets=sets, environ={}, flags=flags)
    if not any(options.get(name) for name in ("bars", "quotes", "trades")):
        options.setdefault("source", "sp500")
    return run_replay(ReplayOptions(out=out, profile=profile, **options), loaded.settings)
