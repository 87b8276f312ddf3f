"""``tradingctl``: the program that talks to a running daemon. Standard library only, so that it always starts."""

from __future__ import annotations

import sys

from daemon.cli.ctl.program import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
