"""Everything the simulator remembers survives SIGKILL: the end equals that of a twin that was never interrupted.

Resting orders of every type, trails, brackets and groups, entries filled in part, places in the queue, requests on
their way, shorts with their borrow, a margin account's debit, dividends due, halts. All of it:
``pytest -m long -s tests/faults/test_simulator_survives.py``.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.messages.orders import (
    OrderAccepted,
    OrderCancelRequested,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderRestated,
    OrderTriggered,
    SymbolFrozen,
)
from actors.messages.portfolio import DividendAccrued, DividendPaid, FinancingCharged, PositionAdjusted
from daemon.system.verify import verify_path
from tests.faults.kills import Loop, ask
from tests.faults.twin import compare
from tests.faults.workload import Trader, furnish
from tests.live_support import daemon

START = datetime(2024, 1, 2, tzinfo=UTC)
UNHURRIED = 600.0
"""Speed while the scene is set: however slow the machine is, its orders come in on the first day."""
WANTED = (
    OrderAccepted,
    OrderCancelRequested,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderRestated,
    OrderTriggered,
    SymbolFrozen,
    PositionAdjusted,
    DividendAccrued,
    DividendPaid,
    FinancingCharged,
)


SCENE: tuple[dict[str, Any], ...] = (
    {"symbol": "BBB", "side": "sell", "qty": 1600, "type": "market", "tif": "gtc"},
    {"symbol": "BBB", "side": "buy", "qty": 400, "type": "trailing_stop", "trail_percent": 5, "tif": "gtc"},
    {
        "symbol": "AAA",
        "side": "buy",
        "qty": 900,
        "type": "market",
        "bracket": {"take_profit_px": 240, "trail_amount": 30},
    },
    {"symbol": "CCC", "side": "buy", "qty": 700, "type": "limit", "limit_px": 139.9, "display_qty": 70, "tif": "gtc"},
    {"symbol": "CCC", "side": "buy", "qty": 300, "type": "limit", "limit_px": 139, "tif": "gtc", "oco_group": "pair"},
    {"symbol": "CCC", "side": "buy", "qty": 300, "type": "stop", "stop_px": 141, "tif": "gtc", "oco_group": "pair"},
    {"symbol": "CCC", "side": "buy", "qty": 10, "type": "limit", "limit_px": 135, "tif": "gtc", "id": "op-slow"},
    {"symbol": "AAA", "side": "buy", "qty": 10, "type": "limit", "limit_px": 95, "tif": "gtc", "id": "op-bigger"},
)
"""Orders that leave something behind: a short and its trail, a bracket, an iceberg in a queue, a group, a cancel."""


def stamp(seconds: int) -> str:
    """A time of the recording."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_ticks(folder: Path, *, minutes: int) -> None:
    """Quotes and prints of CCC every minute: a price that wanders by cents, small sizes."""
    dice = random.Random(23)  # noqa: S311 - a seed for a test
    quotes, trades = ["ts,symbol,bid_px,bid_size,ask_px,ask_size"], ["ts,symbol,price,size"]
    cents = 14_000
    for second in range(60, minutes * 60, 60):
        cents += dice.choice((-2, -1, 0, 0, 1, 2))
        cents = min(max(cents, 13_700), 14_300)
        bid, ask = cents / 100, (cents + dice.choice((1, 2))) / 100
        quotes.append(
            f"{stamp(second)},CCC,{bid:.2f},{dice.choice((20, 50, 200))},{ask:.2f},{dice.choice((20, 50, 200))}"
        )
        trades.append(f"{stamp(second + 7)},CCC,{dice.choice((bid, ask)):.2f},{dice.choice((10, 30, 100))}")
    (folder / "quotes.csv").write_text("\n".join(quotes) + "\n", "ascii")
    (folder / "trades.csv").write_text("\n".join(trades) + "\n", "ascii")


def furnish_all(folder: Path, *, days: int, speed: float) -> str:
    """Write everything a simulator can be given; return the settings."""
    text = furnish(folder, minutes=1440 * days, speed=speed, snapshot_events=700)
    write_ticks(folder, minutes=1440 * days)
    (folder / "actions.csv").write_text(
        "ex_date,symbol,kind,value,pay_date\n2024-01-03,AAA,split,2,\n2024-01-03,BBB,dividend,0.35,2024-01-04\n",
        "ascii",
    )
    (folder / "status.csv").write_text(
        f"ts,symbol,state\n{stamp(86_400 + 7_200)},CCC,halted\n{stamp(86_400 + 10_800)},CCC,trading\n", "ascii"
    )
    text = text.replace(
        'bars = ["bars.csv"]\n', 'bars = ["bars.csv"]\nquotes = ["quotes.csv"]\ntrades = ["trades.csv"]\n'
    )
    text = text.replace('strategies = ["restless.py:restless"]', "strategies = []").replace('["restless"]', "[]")
    text = text.replace("\n[predictor]", 'actions = ["actions.csv"]\nstatus = ["status.csv"]\n\n[predictor]', 1)
    text = text.replace("[risk]\n", "[risk]\nrequire_reference = false\n")
    return text.replace(
        "[broker]\n", '[broker]\naccount = "margin"\nallow_short = true\nlatency_ms = 15000\nimpact_permanent = 0.3\n'
    )


def outlast(folder: Path, *, days: int, kills: int, speed: float, seed: int) -> tuple[Counter[str], str]:
    """Kill a daemon so many times while everything happens; return what happened, and figures for people."""
    dice = random.Random(seed)  # noqa: S311 - a seed for a test
    with daemon(folder, furnish_all(folder, days=days, speed=UNHURRIED)) as house:
        heard = folder / "heard.jsonl"
        trader = Trader(house.socket, heard, seed=seed)
        loop = Loop(house, trader, heard)
        loop.up()
        with house.client() as client:
            ask(client, "status", lambda status: status["session"] and status["journal"]["seq"] > 10)
            for n, order in enumerate(SCENE):
                taken = client.call("order.submit", portfolio="desk", request_id=f"scene-{n}", **order)
                assert taken["status"] == "new", taken
            client.call("order.replace", id="op-bigger", qty=20, request_id="scene-replace")
            client.call("order.cancel", id="op-slow", request_id="scene-cancel")
        loop.let_live(0.2)
        loop.down("running")
        house.sets.append(f"feed.playback.speed={speed}")
        while loop.kills < kills:
            loop.kill_somewhere(dice)
        trader.close()
        house.sets.append('feed.playback.speed="max"')
        house.spawn(until_end=True)
        assert house.wait() == 0, house.tail()
        checks = verify_path(house.state)
        assert [check for check in checks.checks if not check.ok] == []
        likeness = compare(house)
        assert likeness.difference == ""
        happened = Counter(type(event).__name__ for event in house.events(*WANTED))
        lines = (
            f"killed {loop.kills} times: {dict(loop.killed)}",
            f"happened: {dict(happened)}",
            f"twin: {likeness.inputs} inputs, {likeness.events} events, digest {likeness.digest[:16]} equal",
        )
        return happened, "\n".join(lines)


def test_a_simulator_with_everything_in_it_survives_eight_kills(tmp_path: Path) -> None:
    """Three days in which orders of every kind meet splits, dividends, halts, latency and margin."""
    happened, _ = outlast(tmp_path, days=4, kills=8, speed=43_200, seed=7)
    assert [kind.__name__ for kind in WANTED if not happened[kind.__name__]] == []


@pytest.mark.long
def test_a_simulator_with_everything_in_it_survives_a_hundred_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, over two weeks of market time."""
    happened, figures = outlast(tmp_path, days=14, kills=100, speed=7_200, seed=31)
    assert [kind.__name__ for kind in WANTED if not happened[kind.__name__]] == []
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
