"""``python -m daemon`` is ``tradingd``."""

from __future__ import annotations

import sys

from daemon.cli.tradingd import main

sys.exit(main())
