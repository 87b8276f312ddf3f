"""``tradingctl version``."""

from __future__ import annotations

import os

from daemon.cli.ctl import client, options, places, wire
from daemon.cli.ctl.text import clean
from daemon.kernel.errors import OperatorError


def own_version() -> str:
    """Return the installed distribution's version; in a bare checkout, what the project file says."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tradingd")
    except PackageNotFoundError:
        from daemon.system.version import program_version

        return program_version()


def run(arguments: list[str]) -> int:
    """Print the version of this program and, where one runs, of the daemon."""
    parser = options.Parser(
        prog="tradingctl version",
        description="Version of this program and, where one runs, of the daemon.",
        epilog="example:\n  tradingctl version --json\n\nanswers:\n  both versions; the daemon's is null without one.",
    )
    options.add_common(parser, timeout="1 unless told")
    known = parser.parse_args(arguments)
    own = own_version()
    try:
        path = places.find(places.candidates(known.socket, os.environ))
        remote = client.greeting(path, known.timeout or 1.0).get("version")
    except OperatorError:
        remote = None  # a daemon that is not there has no version, and asking for ours is no error
    if known.json:
        options.say([wire.dumps({"schema": "tradingd.version/1", "version": own, "daemon": remote})])
        return 0
    options.say([f"tradingctl {own}", *([f"tradingd {clean(remote)}"] if remote else [])])
    return 0
