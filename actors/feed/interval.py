"""Which interval bars have, told from their times alone, and what an operator may ask for instead.

A bar read as shorter than it is would be known before its end, so doubt is an error here, never a guess:
the step is the greatest common divisor of the distances between bars of one symbol within a session, and it must
itself occur or be at least a minute.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.feed.bars import I32, I64
from actors.values.time import HOUR_NS, MINUTE_NS, SECOND_NS, Interval, parse_interval
from daemon.kernel.errors import OperatorError

DAILY: Final = parse_interval("1d")


class Plan(msgspec.Struct, frozen=True):
    """What the data have and what the run shall see; equal unless bars are to be aggregated."""

    source: Interval
    wanted: Interval

    @property
    def aggregate(self) -> bool:
        """Whether bars must be put together."""
        return self.source != self.wanted


def interval_of(ns: int) -> Interval:
    """Return the interval of a whole number of seconds in its largest unit."""
    unit, size = next((u, s) for u, s in (("h", HOUR_NS), ("m", MINUTE_NS), ("s", SECOND_NS)) if ns % s == 0)
    return Interval(f"{ns // size}{unit}", ns=ns)


def plan_daily(wanted: Interval | None, what: str) -> Plan:
    """Decide for bars that carry session dates.

    Raises:
        OperatorError: something finer, or several sessions in one bar, is wanted.
    """
    wanted = wanted or DAILY
    if not wanted.is_daily:
        _refuse_finer(wanted, DAILY, what)
    if wanted.sessions != 1:
        message = f"bars of {wanted.text} are not built"
        raise OperatorError(message, code="BAD_INTERVAL", remedy="use 1d, or an interval within the session such as 5m")
    return Plan(DAILY, DAILY)


def plan_intraday(
    wanted: Interval | None,
    what: str,
    *,
    ids: I32,
    ts: I64,
    session: I64,
    opens: I64,
    known: Interval | None = None,
) -> Plan:
    """Decide for bars that carry times of day.

    Args:
        wanted: what the operator asked for, or None for what the data have.
        what: the inputs, for messages.
        ids: [R] symbols, rows within a session only.
        ts: [R] starts of bars.
        session: [R] which session each lies in.
        opens: [R] when that session opened.
        known: what the bars have, where the inputs say so; None: told from the times.

    Raises:
        OperatorError: the bars have no regular step, or one that ``wanted`` is not a multiple of.
    """
    if wanted is not None and wanted.is_daily:
        plan_daily(wanted, what)
    source = known or _told(wanted, what, ids, ts, session, opens)
    if wanted is None or wanted == source:
        return Plan(source, source)
    if source.is_daily:
        _refuse_finer(wanted, source, what)
    if wanted.is_daily:
        return Plan(source, DAILY)
    if wanted.ns == source.ns:
        return Plan(source, source)
    if wanted.ns < source.ns:
        _refuse_finer(wanted, source, what)
    if wanted.ns % source.ns:
        message = f"{what}: bars of {source.text} cannot be put together to {wanted.text}"
        raise OperatorError(message, code="BAD_INTERVAL", remedy=f"choose a multiple of {source.text}")
    return Plan(source, wanted)


def _told(wanted: Interval | None, what: str, ids: I32, ts: I64, session: I64, opens: I64) -> Interval:
    """Tell the interval from the times."""
    order = np.lexsort((ts, ids))
    gaps = np.diff(ts[order])
    together = (np.diff(ids[order]) == 0) & (np.diff(session[order]) == 0) & (gaps > 0)
    if not together.any():
        return _one_a_session(wanted, what, ts - opens, session)
    at_open = (ts - opens)[order][:-1][together] == 0
    return _step(gaps[together], at_open, wanted, what)


def _one_a_session(wanted: Interval | None, what: str, offset: I64, session: I64) -> Interval:
    """Judge bars of which no symbol has two in a session: daily if always at the same time of the session."""
    steady = bool((offset == offset[0]).all())
    several = int(session.min()) != int(session.max())
    if steady and (offset[0] == 0 or several):
        if wanted is not None and not wanted.is_daily and not several:
            return wanted
        return DAILY
    if wanted is not None:
        return wanted
    message = f"{what}: no symbol has two bars in a session, so their interval cannot be told"
    raise OperatorError(message, code="UNKNOWN_INTERVAL", remedy="say it with --interval, such as --interval 1m")


def _step(gaps: I64, at_open: npt.NDArray[np.bool_], wanted: Interval | None, what: str) -> Interval:
    distinct, counts = np.unique(gaps, return_counts=True)
    commonest = int(distinct[np.argmax(counts)])
    shortest = int(distinct[0])
    if shortest < commonest and commonest % HOUR_NS == 0 and at_open[gaps < commonest].all():
        # Hours by the clock, the first one cut short by the open: 09:30, 10:00, 11:00.
        distinct = np.unique(gaps[gaps >= commonest])
        shortest = commonest
    step = int(np.gcd.reduce(distinct))
    if step % SECOND_NS == 0 and (step == shortest or step >= MINUTE_NS or (wanted and wanted.ns == step)):
        return interval_of(step)
    message = f"{what}: the bars have no regular interval (distances from {shortest / SECOND_NS:g} s, no common step)"
    raise OperatorError(
        message, code="UNKNOWN_INTERVAL", remedy="give bars on a regular grid, and ticks with --trades or --quotes"
    )


def _refuse_finer(wanted: Interval, source: Interval, what: str) -> None:
    message = f"{what}: {wanted.text} is finer than the data, which have one bar per {source.text}"
    raise OperatorError(message, code="FINER_THAN_DATA", remedy=f"ask for {source.text} or a multiple of it")
