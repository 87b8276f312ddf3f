"""``tradingctl flatten``: close everything and wait until it is closed. "Unknown" is not "flat"."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from daemon.cli.ctl import calls, options, show, wire
from daemon.cli.ctl.errors import IncompleteError, UnreachableError
from daemon.cli.ctl.text import Paint, clean, counted
from daemon.control.methods import METHODS
from daemon.kernel.errors import UsageError

DEADLINE_S: Final = 30.0
DEADLINE_S_MAX: Final = 600.0
_ANSWER_S: Final = 10.0  # beyond the deadline, for the answer itself


def run(path: str, params: dict[str, Any], known: argparse.Namespace) -> int:
    """Flatten; the daemon answers when it is flat or the deadline has come.

    Raises:
        IncompleteError: not flat; what is left was printed.
        UnreachableError: nobody can say whether it is flat.
    """
    deadline_s = _deadline(params)
    result = calls.ask(METHODS["flatten"], path, params, known.timeout or deadline_s + _ANSWER_S)
    result = result if isinstance(result, dict) else {}
    left = [row for row in result.get("left") or [] if isinstance(row, dict)]
    if known.json:
        options.say([wire.dumps(result)])
    else:
        _tell(result, left)
    if result.get("flat") is True:
        return 0
    if "flat" not in result:
        raise UnreachableError(
            "flatten was taken, but the daemon does not say whether it is flat",
            remedy="look with `tradingctl positions`",
        )
    raise IncompleteError(
        f"not flat after {deadline_s:g} s, {counted(len(left), 'position or order')} left"
        if len(left) == 1
        else f"not flat after {deadline_s:g} s, {len(left):,} positions and orders left",
        remedy="the closing orders go on working; look with `tradingctl positions` and `tradingctl orders`",
    )


def _deadline(params: dict[str, Any]) -> float:
    value = float(params.get("deadline_s", DEADLINE_S))
    if not 0 < value <= DEADLINE_S_MAX:
        raise UsageError(f"a deadline is above 0 and at most {DEADLINE_S_MAX:g} seconds")
    return value


def _tell(result: dict[str, Any], left: list[dict[str, Any]]) -> None:
    from daemon.cli.ctl.program import room

    paint = Paint(on=options.is_fancy(sys.stdout))
    orders = result.get("orders")
    sent = f", {counted(len(orders), 'closing order')} sent" if isinstance(orders, list) and orders else ""
    state = paint("red", clean(result.get("trading_state", "halted")))
    if left:
        options.say([f"flatten: trading is {state}{sent}; left:"])
        options.say(show.rows("positions", left, paint, room=room(), indent="  "))
    else:
        flat = paint("green", "flat") if result.get("flat") is True else paint("yellow", "not known to be flat")
        options.say([f"flatten: trading is {state}{sent}; {flat}"])
