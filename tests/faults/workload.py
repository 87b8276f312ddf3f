"""What a daemon under test is given to do: a recording, a strategy that trades all the time, a client that orders."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.live_support import CallError, Client

SYMBOLS: Final = ("AAA", "BBB", "CCC")
RATE: Final = 50.0
"""Orders a second."""
STRATEGY: Final = '''"""Changes its mind all the time, each symbol in another rhythm, so that much is filled."""

from actors.api import Params, Signal, Window, strategy


class RestlessParams(Params):
    """Nothing to tune."""

    every: int = 4


@strategy(name="restless", params=RestlessParams, lookback=3, horizon=1)
def restless(w: Window, p: RestlessParams) -> Signal | None:
    """Buy on one bar, sell on the next."""
    if len(w) < 3:
        return None
    minute = w.now // 60_000_000_000 + 2 * ord(w.symbol[0])
    up = minute // p.every % 2 == 0
    return Signal(score=0.9 if up else -0.9, confidence=0.95)
'''
SETTINGS: Final = """
[universe]
calendar = "always"

[feed.playback]
bars = ["bars.csv"]
adjustment = "raw"
speed = {speed}

[predictor]
strategies = ["restless.py:restless"]
decision_interval = "2m"
# A run that is repeated elsewhere must not depend on how fast this machine is.
call_overruns_max = 0

[[portfolio]]
name = "restless"
strategies = ["restless"]
cash = 100000
rebalance = "signal"
max_weight = 0.3

[[portfolio]]
name = "desk"
strategies = []
cash = 1000000

[risk]
stale_ms = 0
max_position = 0
max_positions = 0
min_order_value = 0
daily_loss_warn = 0
daily_loss_block = 0
daily_loss_halt = 0
max_drawdown = 0

[broker]
commission_rate = 0.001
participation = 0.05
min_commission = 0.35

[journal]
snapshot_events = {snapshot_events}

[service]
unclean_starts_max = 0
"""


def write_bars(path: Path, *, minutes: int, symbols: tuple[str, ...] = SYMBOLS, thin: int = 2_000) -> None:
    """Write one-minute bars round the clock: prices that wander, volume so thin that some orders fill in parts."""
    dice = random.Random(11)  # noqa: S311 - a seed for a test
    start = datetime(2024, 1, 2, tzinfo=UTC)
    prices = {symbol: 100.0 + 20 * k for k, symbol in enumerate(symbols)}
    lines = ["ts,symbol,open,high,low,close,volume"]
    for minute in range(minutes):
        stamp = (start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for symbol in symbols:
            first = prices[symbol]
            last = min(max(first * (1 + dice.gauss(0, 0.001)), 50.0), 250.0)
            high, low = max(first, last) * 1.0005, min(first, last) * 0.9995
            prices[symbol] = last
            volume = dice.choice((50, thin, 10 * thin))
            lines.append(f"{stamp},{symbol},{first:.4f},{high:.4f},{low:.4f},{last:.4f},{volume}")
    path.write_text("\n".join(lines) + "\n", "ascii")


def furnish(folder: Path, *, minutes: int, speed: float | str = 1200, snapshot_events: int = 2_000) -> str:
    """Write recording and strategy into a folder; return the settings."""
    write_bars(folder / "bars.csv", minutes=minutes)
    (folder / "restless.py").write_text(STRATEGY, "ascii")
    return SETTINGS.format(speed=f'"{speed}"' if isinstance(speed, str) else speed, snapshot_events=snapshot_events)


def _with_terms(dice: random.Random, side: str) -> dict[str, Any]:
    """Return the fields of an order that leaves more behind than a price: trails, exits, groups, dates, auctions."""
    sign = 1 if side == "buy" else -1
    away = dice.choice((0.002, 0.01, 0.03))
    beyond, before = round(100 * (1 + sign * away), 2), round(100 * (1 - sign * away), 2)
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "stop", "stop_px": beyond, "tif": "gtc"},
        {"type": "stop_limit", "stop_px": beyond, "limit_px": round(beyond + sign * 0.2, 2), "tif": "gtc"},
        {"type": "trailing_stop", "trail_amount": dice.choice((0.1, 0.5, 2)), "tif": "gtc"},
        {"type": "trailing_stop", "trail_percent": dice.choice((0.1, 1)), "tif": "gtc", "activation_px": before},
        {"type": "market_if_touched", "stop_px": before, "tif": "gtc"},
        {"type": "limit_if_touched", "stop_px": before, "limit_px": round(before + sign * 0.1, 2), "tif": "gtc"},
        {"type": "limit", "limit_px": before, "tif": "gtc", "oco_group": dice.choice("abcdef")},
        {"type": "stop", "stop_px": beyond, "tif": "gtc", "oco_group": dice.choice("abcdef")},
        {"type": "limit", "limit_px": before, "tif": "gtd", "expire_at": f"2024-01-0{dice.randrange(3, 7)}T12:00:00Z"},
        {"type": "market_on_close"},
        {"type": "market_on_open"},
        {"type": "market", "tif": "fok"},
    )
    if sign > 0 and dice.random() < 0.4:
        bracket: dict[str, Any] = {"take_profit_px": round(260 * dice.choice((1.0, 0.99)), 2)}
        bracket |= dice.choice(({"stop_px": 40}, {"trail_amount": 1}, {"trail_percent": 0.3}))
        return {"type": "market", "bracket": bracket}
    return dict(dice.choice(kinds))


class Trader:
    """A client on a thread of its own: 50 requests a second, every one and every answer noted in a log at once.

    It survives the daemon: told that one is there again, it connects, asks again what was not answered, under the same
    keys, and goes on. Now and then it repeats a request that was answered.
    """

    def __init__(self, socket: Path, log: Path, *, seed: int = 5, rate: float = RATE) -> None:
        """Trade over ``socket``; nothing is sent before :meth:`go`."""
        self._socket = socket
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._dice = random.Random(seed)  # noqa: S311 - a seed for a test
        self._pause = 1 / rate
        self._n = 0
        self._open: list[str] = []
        self._done: list[tuple[str, str, dict[str, Any]]] = []
        self._unanswered: dict[str, tuple[str, dict[str, Any]]] = {}
        self._there = threading.Event()
        self._ending = threading.Event()
        self.failure: BaseException | None = None
        self.refused: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="trader", daemon=True)
        self._thread.start()

    def go(self) -> None:
        """A daemon is ready."""
        self._there.set()

    def rest(self) -> None:
        """Do not connect again until :meth:`go`."""
        self._there.clear()

    def close(self) -> None:
        """End, and raise what went wrong."""
        self._ending.set()
        self._there.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the trader hangs"
        self._log.close()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._there.wait()
                self._session()
        except BaseException as error:  # noqa: BLE001 - raised again by close
            self.failure = error

    def _session(self) -> None:
        try:
            client = Client(self._socket)
        except (OSError, CallError):
            self._ending.wait(0.005)  # a socket that is not there can only be tried again
            return
        try:
            for key, (method, params) in list(self._unanswered.items()):
                self._ask(client, key, method, params)
            due = time.monotonic()
            while self._there.is_set() and not self._ending.is_set():
                self._ask(client, *self._next())
                due = max(due + self._pause, time.monotonic() - 1)
                self._ending.wait(max(0.0, due - time.monotonic()))
        except (OSError, ValueError):  # cut off, perhaps within a line
            return
        finally:
            client.close()

    def _next(self) -> tuple[str, str, dict[str, Any]]:
        dice = self._dice
        draw = dice.random()
        if draw < 0.05 and self._done:
            return dice.choice(self._done[-200:])
        self._n += 1
        key = f"r{self._n}"
        if draw < 0.15 and self._open:
            return key, "order.cancel", {"id": self._open.pop(dice.randrange(len(self._open)))}
        if draw < 0.25 and self._open:
            return key, "order.replace", {"id": dice.choice(self._open), "qty": dice.randrange(1, 90)}
        side = dice.choice(("buy", "buy", "sell"))
        params: dict[str, Any] = {
            "symbol": dice.choice(SYMBOLS),
            "side": side,
            "qty": dice.randrange(1, 60),
            "portfolio": "desk",
            "type": "market",
        }
        draw = dice.random()
        if draw < 0.4:
            away = dice.choice((0.97, 0.995, 1.0, 1.01))
            px = 100 * away if side == "buy" else 100 / away
            params |= {"type": "limit", "limit_px": round(px, 2), "tif": dice.choice(("day", "gtc", "ioc"))}
        elif draw < 0.8:
            params |= _with_terms(dice, side)
        return key, "order.submit", params

    def _note(self, what: str, key: str, **fields: Any) -> None:
        self._log.write(json.dumps({"what": what, "key": key, **fields}) + "\n")

    def _ask(self, client: Client, key: str, method: str, params: dict[str, Any]) -> None:
        self._note("sent", key, method=method, params=params)
        self._unanswered[key] = (method, params)
        try:
            result = client.call(method, request_id=key, **params)
        except CallError as error:
            self._note("error", key, error=error.error)
            self.refused[error.reason] = self.refused.get(error.reason, 0) + 1
            if error.reason not in {"STARTING", "STOPPING", "UNKNOWN", "BUSY", "NOT_READY"}:
                self._unanswered.pop(key, None)
            return
        self._note("ok", key, result=result)
        self._unanswered.pop(key, None)
        self._done.append((key, method, params))
        if method == "order.submit" and result["status"] in {"new", "partially_filled"}:
            self._open.append(result["client_order_id"])
            del self._open[:-50]


UID: Final = os.getuid()
