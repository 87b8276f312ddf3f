"""What the reporter is told of a run, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.alerts import AlertRaised
from actors.messages.market import CorporateAction
from actors.reporter.adjusted import adjusted
from actors.reporter.benchmarks import CostRates
from actors.values.universe import Universe

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SURVIVORSHIP: Final = (
    "The 20 embedded companies were chosen knowing that they survived to 2022: absolute returns here are no evidence."
)


class IndexSeries(msgspec.Struct, frozen=True):
    """An index to compare with: ``dates`` YYYYMMDD and ``closes`` of equal length, ascending."""

    label: str
    dates: I64
    closes: F64
    total_return: bool = False


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run, beside its frames.

    Attributes:
        version: of the program.
        mode: ``replay``, ``live`` ...
        seed: of the run.
        config: plain values, for ``run.json``.
        config_digest: of the configuration.
        digests: SHA-256 of input files by name, without directories.
        data_label: what the data are, for people.
        universe: symbols, sectors, adjustment, benchmark.
        portfolios: (name, starting cash as plain decimal text) in order.
        strategies: names.
        command: that repeats the run, without machine-specific paths.
        interval: of the bars, such as ``1d``.
        from_date, to_date: YYYY-MM-DD, "" where open.
        started, ended: wall time, RFC 3339; only ``run.json`` shows them.
        event_digest: hexadecimal.
        session_dates: ``[S]`` exchange dates YYYYMMDD.
        session_opens, session_closes: ``[S, N]`` by symbol id, NaN where there is none.
        index: the benchmark index, or None.
        costs: rates for the costed benchmark.
        gates: confidence needed to buy and to sell, None where not known.
        alerts: in order.
        notices: sentences on the data for people.
        quality: counts of what the feed refused or repaired.
        assumptions: further sentences on what is simulated.
        survivorship: whether the embedded companies were traded.
        close_only, volume_known: of the bars; where there are only ticks, their sizes are known.
        fed: of what prices came, ``bars`` and ``ticks`` (quotes and prints).
        oos_from: first out-of-sample session YYYYMMDD, 0 for all; the scoreboard looks at nothing before it.
        equity_rows: ``session`` or ``bar``, rows of ``equity.csv``.
        zone: of the exchange, for hours of the day.
        traded: looks up all trading in some symbols, by id: stamps, prices and volumes; None where it is not recorded.
        actions: corporate actions that were played, in order of time.
        periods: sessions a year.
        rf: annual risk-free rate.
        measures: what is measured of each portfolio's risk at the end, as plain values; () where it is not.
    """

    version: str
    seed: int
    config: dict[str, Any]
    config_digest: str
    universe: Universe
    event_digest: str
    session_dates: I64
    session_closes: F64
    session_opens: F64
    mode: str = "replay"
    digests: dict[str, str] = {}
    data_label: str = ""
    portfolios: tuple[tuple[str, str], ...] = ()
    strategies: tuple[str, ...] = ()
    command: str = ""
    interval: str = "1d"
    from_date: str = ""
    to_date: str = ""
    started: str = ""
    ended: str = ""
    index: IndexSeries | None = None
    costs: CostRates = CostRates()
    gates: tuple[float, float] | None = None
    alerts: tuple[AlertRaised, ...] = ()
    notices: tuple[str, ...] = ()
    quality: dict[str, Any] = {}
    assumptions: tuple[str, ...] = ()
    survivorship: bool = False
    close_only: bool = False
    volume_known: bool = True
    fed: tuple[str, ...] = ("bars",)
    oos_from: int = 0
    equity_rows: str = "session"
    zone: str = "America/New_York"
    traded: Callable[[Collection[int]], Mapping[int, tuple[I64, F64, F64]]] | None = None
    actions: tuple[CorporateAction, ...] = ()
    periods: float = 252.0
    rf: float = 0.02
    measures: tuple[dict[str, Any], ...] = ()

    def in_last_units(self, prices: F64) -> F64:
        """Return opens or closes of the sessions in the units of the last one (:mod:`actors.reporter.adjusted`)."""
        return adjusted(prices, self.session_closes, self.session_dates, self.actions)


class RunResult(msgspec.Struct, frozen=True):
    """What is known after the folder was written.

    Attributes:
        folder: where the files are.
        metrics: contents of ``metrics.json``.
        manifest: contents of ``run.json``.
        alerts: as in the record.
        halted_since: RFC 3339, or None if the run ended active.
        halts: (from, until or None, reason) as RFC 3339 texts.
    """

    folder: Path
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    alerts: tuple[AlertRaised, ...]
    halted_since: str | None
    halts: tuple[tuple[str, str | None, str], ...]
