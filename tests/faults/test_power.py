"""F45: the power fails under the whole daemon. What a client was told is there; what was not synced is lost or torn.

All of it: ``pytest -m long -s tests/faults/test_power.py``.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from actors.messages.catalogue import MARKET, codec
from daemon.journal.market_codec import MarketCodec
from daemon.journal.recovery import open_ledger
from daemon.system.start import read_ledger
from tests.faults.disks import FaultyDisk, build_disk
from tests.faults.kills import looping
from tests.faults.oracle import examine
from tests.faults.workload import UID
from tests.journal.test_storage_faults import Disk, Op


def answers(op: Op) -> list[tuple[str, dict[str, Any]]]:
    """Return the orders that an answer on a socket promises: name and result."""
    found = []
    for line in op.data.splitlines():
        result = json.loads(line).get("result") or {}
        if result.get("schema") == "tradingd.order/1":
            found.append((result["client_order_id"], result))
    return found


def whole(folder: Path, told: dict[str, dict[str, Any]]) -> None:
    """What lies there after the loss opens, holds together, and has every order that a client was told of."""
    open_ledger(folder, codec(), MarketCodec(MARKET)).close()
    assert examine(folder / "ledger.db").problems == []
    ledger = read_ledger(folder)
    try:
        rows = list(ledger.inputs(0))
        kept = {reply.key: json.loads(reply.reply)["result"] for reply in ledger.replies()}
    finally:
        ledger.close()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    prefix = f"op-{UID}-"
    for name, result in told.items():
        if result["status"] in {"new", "denied", "rejected"} and name.startswith(prefix):
            assert kept[f"{UID}:{name.removeprefix(prefix)}"] == result


PATIENCE: Final = 60
"""How often a daemon that has promised too little is let live on."""


def lose_power(tmp_path: Path, seconds: float, losses: int, *, promises: int) -> tuple[int, int]:
    """Record what a daemon asks of its disk while it trades, and lose power at places between; return how often.

    It lives until more than ``promises`` requests were answered: on a busy machine that takes longer than ``seconds``.
    """
    with looping(tmp_path, minutes=1440, seed=31, snapshot_events=500) as loop:
        disk = FaultyDisk(build_disk(tmp_path), loop.house.state)
        loop.up(env=disk.env())
        for _ in range(PATIENCE):
            loop.let_live(seconds)
            if loop.heard.read_bytes().count(b"tradingd.order/1") > promises:
                break
        loop.down("power")
        calls = [op for op in disk.calls() if not op.path.startswith("views")]
    first = next(n for n, op in enumerate(calls) if op.kind == "A" and answers(op))
    dice = random.Random(41)  # noqa: S311 - a seed for a test
    chosen = set(dice.sample(range(first, len(calls)), min(losses, len(calls) - first)))
    model, told = Disk(), {}
    for n, op in enumerate(calls):
        model.take(op)
        if op.kind == "A":
            # The first answer to a request; the same may be asked for again.
            told |= {name: result for name, result in answers(op) if name not in told}
        if n in chosen:
            folder = tmp_path / "after"
            folder.mkdir()
            model.lose_power(folder, dice)
            whole(folder, told)
            shutil.rmtree(folder)
    return len(chosen), len(told)


def test_f45_after_a_loss_of_power_every_answer_holds(tmp_path: Path) -> None:
    """At some of the calls behind the first answer."""
    losses, told = lose_power(tmp_path, 1.0, 25, promises=10)
    assert losses == 25
    assert told > 10


@pytest.mark.long
def test_f45_after_a_loss_of_power_at_a_thousand_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, at many more."""
    losses, told = lose_power(tmp_path, 4.0, 1000, promises=50)
    assert told > 50
    with capsys.disabled():
        sys.stdout.write(f"\npower lost {losses} times, {told} orders promised, none lost\n")
