"""``tradingctl``: the program that talks to a running daemon. Standard library only, so that it always starts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="tradingctl", description="Talk to the trading daemon.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    version = commands.add_parser("version", help="print the version", description="Print the version.")
    version.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args(argv)

    from daemon.system.version import program_version

    text = program_version()
    if arguments.json:
        text = json.dumps({"schema": "tradingd.version/1", "version": text})
    sys.stdout.write(f"{text}\n" if arguments.json else f"tradingctl {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
