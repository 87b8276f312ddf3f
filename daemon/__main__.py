"""``python -m daemon`` is ``tradingd``."""

from __future__ import annotations

import sys

try:
    from daemon.cli.tradingd import program
except ModuleNotFoundError as missing:  # a checkout whose requirements were never installed
    sys.exit(f"tradingd: {missing.name} is not installed; run: python3 -m venv .venv && .venv/bin/pip install .")

program()
