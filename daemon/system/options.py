"""What one replay is asked to do, as the command line (or a test) states it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line's --help reads this module and must not pay for msgspec
    from pathlib import Path

    from actors.values.time import Interval
    from actors.values.universe import Adjustment

DEFAULT_SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """The inputs and outputs of one replay, parsed and checked as far as that needs no file.

    What a configuration file can say as well travels in the settings, not here: ``--strategy`` and ``--params``
    become ``[predictor] strategies`` and ``params``, ``--cash`` becomes ``[[portfolio]] cash``, ``--benchmark``
    becomes ``[universe] benchmark``.

    Attributes:
        source: name of an embedded data set (``sp500``), or None; never beside ``bars``.
        bars: bar files, in the order given.
        quotes, trades, news: files of quotes, trades and headlines, in the order given.
        status: files of trading status, in the order given.
        actions: files of corporate actions, in the order given.
        adjustment: what the prices of ``bars`` have folded in; None where the source states it itself.
        tz: IANA zone of times without an offset; None refuses such times.
        orders: JSON lines of a scripted trader.
        interval: bars to replay; None takes the data's own.
        date_from, date_to: exchange dates as ``YYYYMMDD``, inclusive; None leaves the end open.
        seed: root of every actor's random generator.
        durable: write every commit to SQLite as the live daemon does.
        events: write ``events.jsonl`` too.
        out: the run folder, which appears complete or not at all.
        profile: name of the profile the settings were built on, for the manifest.
        command: what one types to repeat the run, for the report.
    """

    out: Path
    source: str | None = None
    bars: tuple[Path, ...] = ()
    adjustment: Adjustment | None = None
    tz: str | None = None
    orders: Path | None = None
    interval: Interval | None = None
    date_from: int | None = None
    date_to: int | None = None
    seed: int = DEFAULT_SEED
    durable: bool = False
    events: bool = False
    profile: str = "plan"
    command: str = "tradingd replay"
    quotes: tuple[Path, ...] = ()
    trades: tuple[Path, ...] = ()
    news: tuple[Path, ...] = ()
    status: tuple[Path, ...] = ()
    actions: tuple[Path, ...] = ()
