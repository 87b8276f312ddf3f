"""How wild the market is: annual volatility of the benchmark, or of the universe's mean return, over 20 sessions."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from actors.values.history import SessionHistory

SESSIONS: Final = 20
SESSIONS_A_YEAR: Final = 252
DIGITS: Final = 9


def volatility(history: SessionHistory, benchmark: int | None) -> float | None:
    """Return the annual volatility (ddof 1, x sqrt 252) of the last 20 session returns, rounded to 9 digits.

    Args:
        history: session closes of the universe.
        benchmark: symbol id of the benchmark; None for the mean return of all symbols that have one in a session.

    Returns:
        None with fewer than 20 returns, or where one of them is not known.
    """
    returns = history.returns(SESSIONS)
    if len(returns) < SESSIONS:
        return None
    series = [_mean(row) for row in returns] if benchmark is None else returns[:, benchmark].tolist()
    if not all(map(math.isfinite, series)):
        return None
    mean = math.fsum(series) / SESSIONS
    variance = math.fsum((value - mean) ** 2 for value in series) / (SESSIONS - 1)
    return round(math.sqrt(variance * SESSIONS_A_YEAR), DIGITS)


def _mean(row: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Return the mean of what is known of a session, NaN where nothing is."""
    known = row[np.isfinite(row)]
    return math.fsum(known.tolist()) / len(known) if len(known) else math.nan
