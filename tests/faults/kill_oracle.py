"""Kills, and the oracle that judges what a daemon did with them; shared with ops/bench/kill.py.

The ledger is read at the moment of the acknowledgement and again later. Between the two no order may have been accepted
and none filled, in order of seq none may stand behind the kill, and no client may have been told of an order that the
ledger does not hold.
"""

from __future__ import annotations

import json
import math
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.messages.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
)
from actors.messages.risk import TradingState, TradingStateChanged
from daemon.journal.journal import StoredFrame
from daemon.system.verify import verify_path
from tests.faults.killing import Flood, Traffic, is_accepted
from tests.live_support import CallError, Client, Daemon, until
from tests.pace import bound_ms

RISKY = (OrderAccepted, OrderFilled, OrderPartiallyFilled)
OVER = (OrderFilled, OrderCanceled, OrderExpired)


# -------------------------------------------------------------------------------------------------------------- a kill


class Witness:
    """Looks at the ledger from outside, on a connection that is open already: how far is it durable right now?"""

    def __init__(self, ledger: Path) -> None:
        """Connect."""
        self._db = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, isolation_level=None)
        self.head()

    def head(self) -> int:
        """Return the last durable seq; 0 where there is none."""
        return int(self._db.execute("SELECT ifnull(max(seq), 0) FROM frame").fetchone()[0])

    def close(self) -> None:
        """Disconnect."""
        self._db.close()


@dataclass
class Kill:
    """One acknowledged kill: when it was asked for and acknowledged, and how far the ledger was before and then.

    ``bound_ms`` is how long it may take (:mod:`tests.pace`); :func:`judge` holds it against that.
    """

    began: float
    acked: float
    before: int
    at_ack: int
    answer: dict[str, Any] = field(default_factory=dict)
    bound_ms: float = math.inf

    @property
    def took_ms(self) -> float:
        """Milliseconds from the first byte to the acknowledgement, connecting included."""
        return (self.acked - self.began) * 1e3


HELLO = b'{"jsonrpc":"2.0","id":0,"method":"hello","params":{"api":1,"client":"kill"}}\n'
KILL = b'{"jsonrpc":"2.0","id":1,"method":"kill","params":{"reason":"test"}}\n'


def kill_by_socket(d: Daemon, witness: Witness, seconds: float = 30.0, *, prompt: bool = True) -> Kill:
    """Do what ``tradingctl kill`` does, without the time Python takes to start; look at the ledger at once.

    Without ``prompt`` it may take its time, because nobody in the process can run.
    """
    before = witness.head()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(seconds)
        began = time.monotonic()
        link.connect(str(d.socket))
        link.sendall(HELLO + KILL)
        with link.makefile("rb") as lines:
            lines.readline()
            line = lines.readline()
        acked = time.monotonic()
        at_ack = witness.head()
    answer = json.loads(line)
    assert answer.get("result", {}).get("trading_state") == "killed", f"acknowledged: {answer}"
    kill = Kill(began, acked, before, at_ack, answer["result"])
    if prompt:
        kill.bound_ms = bound_ms(kill.took_ms, d.folder)
    return kill


def latch_says_killed(d: Daemon) -> bool:
    """Tell whether the file says killed."""
    return (d.state / "kill.latch").read_bytes().startswith(b"KILLED")


def await_latch(d: Daemon, witness: Witness, act: Callable[[], object], seconds: float = 20.0) -> Kill:
    """Kill by a way that answers nothing (a signal, the file); acknowledged is when the latch is on disk."""
    before = witness.head()
    began = time.monotonic()
    act()
    while not latch_says_killed(d):
        assert time.monotonic() < began + seconds, "the kill came to the disk"
    acked = time.monotonic()
    return Kill(began, acked, before, witness.head())


def revive(client: Client) -> None:
    """Killed -> halted -> active, as an admin does; where the disk was full, once the daemon has found room again."""

    def unlatched() -> bool:
        try:
            return bool(client.call("unlatch", reason="the test goes on"))
        except CallError as error:
            if error.reason != "LEDGER_FULL":
                raise
            return False

    until(30, unlatched, "room on the disk")
    client.call("resume", reason="the test goes on")


def await_no_orders(client: Client) -> None:
    """Wait until what the daemon shows has no working order; it is shown a moment behind the ledger."""
    until(20, lambda: client.call("status")["open_orders"] == 0, "a book without orders")


def await_state(d: Daemon, wanted: str, seconds: float = 30.0) -> None:
    """Wait until the ledger's last trading state is ``wanted``; each look is a committed read by the daemon."""
    deadline = time.monotonic() + seconds
    with d.client(timeout=seconds) as client:
        seen = ""
        while time.monotonic() < deadline:
            changes = d.events(TradingStateChanged)
            seen = changes[-1].new if changes else "active"
            if seen == wanted:
                return
            try:
                client.call("journal.head")
            except CallError as error:
                seen = error.reason
    raise AssertionError(f"the ledger says {seen}, not {wanted}")


# ---------------------------------------------------------------------------------------------------------- the oracle


@dataclass
class Judged:
    """What the oracle found.

    Attributes:
        accepted, filled: events in the whole ledger; a storm that was none proves nothing.
        gaps: for each kill, inputs between the last durable one at the acknowledgement and the kill in the ledger.
        open_at_kill: orders that were working when the (last) kill came, all of which it cancelled.
    """

    accepted: int = 0
    filled: int = 0
    gaps: list[int] = field(default_factory=list)
    open_at_kill: int = 0


def judge(d: Daemon, kills: Sequence[Kill], traffic: Sequence[Traffic | Flood] = (), *, verify: bool = True) -> Judged:
    """Hold the ledger against the kills and against what clients were told; the daemon may run or be gone."""
    frames = d.frames()
    found = Judged()
    entered = [f.seq for f in frames if _changed(f, to=TradingState.KILLED)]
    left = [f.seq for f in frames if _changed(f, away=TradingState.KILLED)]
    risky = [(f.seq, event) for f in frames for event in f.events if isinstance(event, RISKY)]
    found.accepted = sum(isinstance(event, OrderAccepted) for _, event in risky)
    found.filled = len(risky) - found.accepted
    for kill in kills:
        assert kill.took_ms <= kill.bound_ms, f"acknowledged after {kill.took_ms:.1f} ms, not {kill.bound_ms:.1f}"
        behind = [seq for seq in entered if seq > kill.before]
        assert behind, f"the kill stands in the ledger behind input {kill.before}"
        killed = behind[0]
        end = min((seq for seq in left if seq > killed), default=1 << 62)
        late = [(seq, event) for seq, event in risky if min(kill.at_ack, killed) < seq < end]
        assert not late, (
            f"{len(late)} orders or fills behind a kill acknowledged at {kill.at_ack} after {kill.took_ms:.1f} ms"
            f" (durable before: {kill.before}, killed: {killed}): {_named(late)}"
        )
        found.gaps.append(max(0, killed - kill.at_ack - 1))
    for seq in entered:
        end = min((other for other in left if other > seq), default=1 << 62)
        late = [(at, event) for at, event in risky if seq < at < end]
        assert not late, f"orders or fills behind the kill {seq} in order of seq: {_named(late)}"
        found.open_at_kill = _all_canceled(frames, seq)
    _agrees(frames, traffic)
    if verify:
        report = verify_path(d.state)
        assert report.ok, [check for check in report.checks if not check.ok]
    return found


def _named(late: list[tuple[int, Any]]) -> list[str]:
    """Say briefly what should not be there."""
    names = [(seq, type(event).__name__, event.order_id) for seq, event in late]
    return [f"{seq} {kind} {order}" for seq, kind, order in names[:5]]


def _changed(frame: StoredFrame, *, to: TradingState | None = None, away: TradingState | None = None) -> bool:
    return any(
        isinstance(event, TradingStateChanged)
        and (to is None or event.new == to)
        and (away is None or event.old == away)
        for event in frame.events
    )


def _all_canceled(frames: Sequence[StoredFrame], killed: int) -> int:
    """Return how many orders were working when the kill came; it must have cancelled every one in its own frame."""
    working: dict[str, None] = {}
    before = 0
    for frame in frames:
        if frame.seq > killed:
            break
        if frame.seq == killed:
            before = len(working)
        for event in frame.events:
            if isinstance(event, OrderAccepted):
                working[event.order.client_order_id] = None
            elif isinstance(event, OVER):
                working.pop(event.client_order_id, None)
    assert not working, f"the kill at {killed} left orders working: {list(working)[:3]}"
    return before


def _agrees(frames: Sequence[StoredFrame], traffic: Sequence[Traffic | Flood]) -> None:
    """Hold what clients were told against the ledger: nothing told that is not there, nothing there twice."""
    ids: dict[str, int] = {}
    for frame in frames:
        for event in frame.events:
            if isinstance(event, (OrderAccepted, OrderRejected)):
                name = event.order.client_order_id
                assert name not in ids, f"{name} was accepted twice"
                ids[name] = frame.seq
    executions = [e.exec_id for f in frames for e in f.events if isinstance(e, (OrderFilled, OrderPartiallyFilled))]
    assert len(executions) == len(set(executions)), "no fill twice"
    for one in traffic:
        missing = [
            told.answer["client_order_id"]
            for told in one.told.values()
            if is_accepted(told) and told.answer is not None and told.answer["client_order_id"] not in ids
        ]
        assert not missing, f"clients were told of {len(missing)} orders that the ledger does not hold: {missing[:3]}"
