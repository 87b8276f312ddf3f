"""Worlds for runs of the whole system, each from one seed: files of market data, strategies, a configuration.

A world can be replayed, played through a real daemon and decided again from what the daemon kept. Nothing here knows
what any of the three does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.values import parse_interval
from actors.values.universe import Adjustment
from config.sources import load_settings
from daemon.system.options import ReplayOptions
from daemon.system.replay import ReplayResult, run_replay

SYMBOLS: Final = ("AAA", "BBB", "CCC")
KINDS: Final = ("daily", "minutes", "ticks", "always", "tokyo", "around")
"""Embedded daily bars; a few sessions of New York without and with ticks; daily bars without sessions; sessions over
midnight UTC; five-minute bars around the clock."""
OPENS: Final = {"XNYS": 14.5, "always": 0.0, "XTKS": 0.0}
"""Hour UTC at which a session of these winter days begins."""
DAYS: Final = {
    "XNYS": (date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)),
    "XTKS": (date(2024, 1, 4), date(2024, 1, 5), date(2024, 1, 9)),
}
STRATEGIES: Final = '''\
"""Strategies of every form that a file can hold."""

import numpy as np

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy


@strategy(lookback=5, horizon=3)
def windowed(w: Window, p: Params) -> Signal | None:
    """Against the last move."""
    if len(w) < 5:
        return None
    return Signal(float(np.tanh(60 * (w.close.mean() / w.close[-1] - 1))), confidence=0.9)


@strategy(lookback=3, horizon=2, fields=("open", "volume"))
def whole(w: PanelWindow, p: Params) -> Scores:
    """With the last bar."""
    score = np.clip(80 * (w.close[-1] / w.open[-1] - 1), -1, 1)
    return Scores(score, confidence=np.where(np.isfinite(score), 0.8, np.nan))


class Memory(Struct):
    """What the fold keeps."""

    level: float = 0.0
    n: int = 0


@strategy(horizon=1)
def remembering(state: Memory, w: Window, p: Params) -> tuple[Memory, Signal]:
    """Against an average that never forgets."""
    level = 0.9 * state.level + 0.1 * float(w.close[-1]) if state.n else float(w.close[-1])
    return Memory(level, state.n + 1), Signal(float(np.tanh(30 * (level / w.close[-1] - 1))), confidence=0.85)
'''


class World(msgspec.Struct):
    """One configuration, without ``[paths]``, and the files it names."""

    kind: str
    settings: str


def world(folder: Path, seed: int, kind: str | None = None, *, extra: str = "") -> World:
    """Write a world; the same seed writes the same.

    Args:
        folder: for its files.
        seed: of everything.
        kind: one of :data:`KINDS`; None chooses by seed.
        extra: lines for ``[predictor]``.
    """
    draw = random.Random(seed)  # noqa: S311 - test data
    kind = KINDS[seed % len(KINDS)] if kind is None else kind
    (folder / "strategies.py").write_text(STRATEGIES, "utf-8")
    chosen = sorted(draw.sample(["windowed", "whole", "remembering"], draw.randint(1, 3)))
    strategies = [f"strategies.py:{name}" for name in chosen]
    universe = ""
    if kind == "daily":
        start = date(2020, 1, 6) + timedelta(days=7 * draw.randrange(80))
        feed = f'source = "sp500"\nfrom = "{start}"\nto = "{start + timedelta(days=150)}"\n'
        strategies = [*sorted(draw.sample(["momentum", "mean_reversion", "multi_factor"], 2)), "price_model"]
    elif kind == "always":
        universe = 'calendar = "always"\n'
        feed = f'bars = ["{_bars(folder, draw, "always", step_min=1440, days=40)}"]\ninterval = "1d"\n'
    elif kind == "around":
        universe = 'calendar = "always"\n'
        feed = f'bars = ["{_bars(folder, draw, "always", step_min=5, days=3, count=288)}"]\n'
    else:
        calendar = "XTKS" if kind == "tokyo" else "XNYS"
        universe = f'calendar = "{calendar}"\n'
        feed = f'bars = ["{_bars(folder, draw, calendar, step_min=draw.choice((1, 5)), count=60)}"]\n'
        if kind == "ticks":
            feed += "".join(f'{name} = ["{_ticks(folder, draw, name)}"]\n' for name in ("quotes", "trades", "news"))
        feed += f'status = ["{_status(folder, calendar)}"]\nactions = ["{_actions(folder, calendar)}"]\n'
    if kind != "daily":
        feed += 'adjustment = "split"\n'
    latency = draw.choice((0, 250, 90_000))
    named = ", ".join(f'"{name}"' for name in strategies)
    return World(
        kind,
        f'[universe]\n{universe}[feed.playback]\nspeed = "max"\n{feed}'
        f"[predictor]\nstrategies = [{named}]\nlatency_ms = {latency}\ncall_budget_ms = 0\n{extra}"
        f'[[portfolio]]\nname = "main"\nrebalance = "{draw.choice(("signal", "daily", "weekly"))}"\n'
        '[[portfolio]]\nname = "second"\ncash = 50000\nallocation = "confidence"\nrebalance = "signal"\n'
        "[risk]\nmin_order_value = 1\nmax_order_fraction = 1\nmin_confidence_buy = 0.1\nmin_confidence_sell = 0.1\n"
        "[service]\nunclean_starts_max = 0\ndisk_halt_mb = 0\n",
    )


def replay_of(config: Path, out: Path) -> ReplayResult:
    """Replay what a daemon's configuration would play."""
    loaded = load_settings(file=config, profile=None, sets=(), environ={})
    playback = loaded.settings.feed.playback
    options = ReplayOptions(
        out=out,
        source=playback.source or None,
        bars=playback.bars,
        quotes=playback.quotes,
        trades=playback.trades,
        news=playback.news,
        status=playback.status,
        actions=playback.actions,
        adjustment=Adjustment(playback.adjustment) if playback.adjustment else None,
        tz=playback.tz or None,
        interval=parse_interval(playback.interval) if playback.interval else None,
        date_from=playback.from_day,
        date_to=playback.to_day,
    )
    return run_replay(options, loaded.settings)


# -- files -------------------------------------------------------------------------------------------------------------


def _instants(calendar: str, step_min: int, count: int, days: int) -> list[datetime]:
    """Return starts of ``count`` bars from the opening on in every session."""
    dates: Sequence[date] = DAYS.get(calendar) or [date(2024, 1, 1) + timedelta(days=n) for n in range(days)]
    begin = timedelta(hours=OPENS[calendar])
    return [
        datetime(day.year, day.month, day.day, tzinfo=UTC) + begin + timedelta(minutes=step_min * n)
        for day in dates
        for n in range(count)
    ]


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bars(folder: Path, draw: random.Random, calendar: str, *, step_min: int, count: int = 1, days: int = 0) -> str:
    """Write bars that walk at random, with gaps."""
    prices = dict.fromkeys(SYMBOLS, 100.0)
    lines = ["ts,symbol,open,high,low,close,volume"]
    for at in _instants(calendar, step_min, count, days):
        for symbol in SYMBOLS:
            first = prices[symbol]
            last = prices[symbol] = max(5.0, first * (1 + draw.gauss(0, 0.004)))
            if draw.random() < 0.05:
                continue
            high, low = max(first, last) * (1 + draw.random() / 500), min(first, last) * (1 - draw.random() / 500)
            row = ",".join(f"{price:.2f}" for price in (first, max(high, first, last), min(low, first, last), last))
            lines.append(f"{_stamp(at)},{symbol},{row},{draw.randrange(1_000, 900_000)}")
    return _written(folder / "bars.csv", lines)


def _ticks(folder: Path, draw: random.Random, kind: str) -> str:
    """Write quotes, trades or headlines of the same sessions, several at one instant now and then."""
    header = {
        "quotes": "ts,symbol,bid_px,bid_size,ask_px,ask_size",
        "trades": "ts,symbol,price,size",
        "news": "ts,symbols,headline",
    }
    lines = [header[kind]]
    step = {"quotes": 13, "trades": 17, "news": 600}[kind]
    for at in _instants("XNYS", 60, 2, 0):
        for n in range(2_400 // step):
            stamp = _stamp(at + timedelta(seconds=step * n, milliseconds=draw.choice((0, 0, 500))))
            for symbol in draw.sample(SYMBOLS, draw.randint(1, 2)):
                price = 100 + draw.gauss(0, 1)
                rest: dict[str, Any] = {
                    "quotes": f"{symbol},{price - 0.02:.2f},{draw.randrange(100, 900)},{price + 0.02:.2f},500",
                    "trades": f"{symbol},{price:.2f},{draw.randrange(1, 400)}",
                    "news": f"{symbol},{symbol} did something at {n}",
                }
                lines.append(f"{stamp},{rest[kind]}")
    return _written(folder / f"{kind}.csv", lines)


def _status(folder: Path, calendar: str) -> str:
    """Write halts of a quarter of an hour, bands and restrictions in every session; one halt is older."""
    first = DAYS[calendar][0] - timedelta(days=1)
    lines = ["ts,symbol,state,lower,upper,reason", f"{first}T00:00:00Z,CCC,halted,,,T1"]
    for at in _instants(calendar, 60, 1, 0):
        for minutes, row in (
            (5, "AAA,halted,,,T12"),
            (5, "CCC,trading,,,"),
            (10, "BBB,luld,99.5,100.5,"),
            (20, "AAA,trading,,,"),
            (25, "BBB,trading,,,"),
            (30, "*,odd,,,MWC1"),
            (35, "*,trading,,,"),
            (40, "BBB,ssr,,,"),
            (50, "CCC,halted,,,"),
        ):
            lines.append(f"{_stamp(at + timedelta(minutes=minutes))},{row}")
    return _written(folder / "status.csv", lines)


def _actions(folder: Path, calendar: str) -> str:
    """Write a dividend that is paid a session later, a rename and a delisting."""
    _, second, third = DAYS[calendar]
    lines = ["ex_date,symbol,kind,value,pay_date", f"{second},AAA,dividend,0.5,{third}"]
    lines += [f"{second},BBB,dividend,0.25,", f"{third},BBB,rename,BBX,", f"{third},CCC,delist,99.5,"]
    return _written(folder / "actions.csv", lines)


def _written(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines) + "\n", "ascii")
    return path.name
