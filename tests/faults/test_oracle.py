"""The oracle and the twin find what they are there to find: every loss, doubling and forgery, done to a good ledger."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.messages.catalogue import codec
from actors.messages.orders import OrderAccepted, OrderFilled
from actors.messages.portfolio import EquityMarked, PositionChanged
from daemon.kernel.message import Event
from tests.faults.kills import looping
from tests.faults.oracle import examine
from tests.faults.twin import compare
from tests.faults.workload import UID
from tests.live_support import Daemon, until
from tests.pace import is_prompt, processors_ns, reference_ms, slowed

Rows = dict[int, list[Any]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the ledger and the client's log of a daemon that lived in peace."""
    folder = tmp_path_factory.mktemp("good")
    with looping(folder, minutes=600) as loop:
        loop.up()
        loop.let_live(2.0)
        loop.down("once")
        verdict, _ = loop.end()
        assert verdict.counts["fills"] > 10
        assert verdict.counts["acknowledged"] > 10
        twins_differ(loop.house)
    return loop.house.ledger, loop.heard


def twins_differ(house: Daemon) -> None:
    """A twin tells a command, a panel and a fill that is not the recorded one."""
    assert compare(house).difference == ""
    bars = house.folder / "bars.csv"
    text = bars.read_text()
    lines = text.splitlines()
    words = lines[40].split(",")
    lines[40] = ",".join([*words[:-1], str(int(words[-1]) + 7)])
    bars.write_text("\n".join(lines) + "\n")
    assert "the recording goes on with" in compare(house).difference
    bars.write_text(text)


def forged(tmp_path: Path, ledger: Path, change: Callable[[Rows], None]) -> Path:
    """Copy a ledger and write its events anew."""
    copy = tmp_path / "ledger.db"
    shutil.copy(ledger, copy)
    db = sqlite3.connect(copy)
    try:
        rows: Rows = {seq: codec().decode_many(body) if n else [] for seq, n, body in
                      db.execute("SELECT seq, n, body FROM frame")}  # fmt: skip
        before = {seq: list(events) for seq, events in rows.items()}
        change(rows)
        assert rows != before
        for seq, events in before.items():
            if seq not in rows:
                db.execute("DELETE FROM frame WHERE seq = ?", (seq,))
            elif rows[seq] != events:
                body = codec().encode_many(rows[seq])
                db.execute("UPDATE frame SET n = ?, body = ? WHERE seq = ?", (len(rows[seq]), body, seq))
        db.commit()
    finally:
        db.close()
    return copy


def first(rows: Rows, kind: type[Event], nth: int = 3) -> tuple[int, int]:
    """Return seq and place of the n-th event of a kind."""
    found = [(seq, i) for seq, events in rows.items() for i, event in enumerate(events) if isinstance(event, kind)]
    return found[nth]


def lose(kind: type[Event]) -> Callable[[Rows], None]:
    """Take an event out."""

    def change(rows: Rows) -> None:
        seq, i = first(rows, kind)
        del rows[seq][i]

    return change


def lose_acceptance(rows: Rows) -> None:
    """Take the acceptance of an order out that is filled later: one that only rests is not missed by anything else."""
    filled = {event.order_id for events in rows.values() for event in events if isinstance(event, OrderFilled)}
    for events in rows.values():
        for i, event in enumerate(events):
            if isinstance(event, OrderAccepted) and event.order_id in filled:
                del events[i]
                return


def double(kind: type[Event]) -> Callable[[Rows], None]:
    """Have an event twice."""

    def change(rows: Rows) -> None:
        seq, i = first(rows, kind)
        rows[seq].insert(i, rows[seq][i])

    return change


def alter(kind: type[Event], field: str) -> Callable[[Rows], None]:
    """Add a hundred-millionth to a number."""

    def change(rows: Rows) -> None:
        seq, i = first(rows, kind)
        event = rows[seq][i]
        rows[seq][i] = msgspec.structs.replace(event, **{field: getattr(event, field) + 1})

    return change


def test_a_good_ledger_has_no_problems(good: tuple[Path, Path]) -> None:
    """Nothing is found where nothing is wrong."""
    assert examine(*good, uid=UID).problems == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose_acceptance, "nobody accepted"),
        (double(OrderAccepted), "was there already"),
        (lose(OrderFilled), "not one transaction"),
        (double(OrderFilled), "is there twice"),
        (lose(PositionChanged), "never booked"),
        (double(PositionChanged), "booked twice"),
        (alter(OrderFilled, "last_px"), "cash after"),
        (alter(OrderFilled, "commission"), "cash after"),
        (alter(OrderFilled, "last_qty"), "is filled with"),
        (alter(PositionChanged, "cash"), "cash after"),
        (alter(PositionChanged, "cost"), "differ by"),
        (alter(PositionChanged, "qty"), "the position after"),
        (alter(EquityMarked, "cash"), "says cash is"),
        (alter(EquityMarked, "equity"), "EquityMarked: equity"),
    ],
)
def test_what_was_lost_doubled_or_forged_is_found(
    tmp_path: Path, good: tuple[Path, Path], change: Callable[[Rows], None], said: str
) -> None:
    """Each by the sentence that names it."""
    problems = examine(forged(tmp_path, good[0], change), good[1], uid=UID).problems
    assert any(said in problem for problem in problems), problems


def test_an_acknowledged_order_that_is_gone_is_found(tmp_path: Path, good: tuple[Path, Path]) -> None:
    """The last input with an order is cut off, as a lost commit would."""

    def change(rows: Rows) -> None:
        last = max(seq for seq, events in rows.items() for e in events if isinstance(e, OrderAccepted)
                   and e.order.client_order_id.startswith("op-"))  # fmt: skip
        for seq in [seq for seq in rows if seq >= last]:
            del rows[seq]

    problems = examine(forged(tmp_path, good[0], change), good[1], uid=UID).problems
    assert any("was acknowledged and is lost" in problem for problem in problems)


def test_an_answer_that_changed_is_found(tmp_path: Path, good: tuple[Path, Path]) -> None:
    """The second answer to a request is another; and an order turns up that nobody asked for."""
    lines = good[1].read_text().splitlines()
    answer = next(json.loads(line) for line in lines if '"ok"' in line and '"new"' in line)
    other = answer | {"result": answer["result"] | {"order_id": "O-0"}}
    log = tmp_path / "heard.jsonl"
    log.write_text("\n".join([*lines, json.dumps(other)]) + "\n")
    problems = examine(good[0], log, uid=UID).problems
    assert any("answered differently" in problem for problem in problems)
    key = answer["key"]
    log.write_text("\n".join(line for line in lines if f'"key": "{key}"' not in line) + "\n")
    assert any("nobody sent" in problem for problem in examine(good[0], log, uid=UID).problems)


def test_promises_without_a_ledger_are_found(tmp_path: Path, good: tuple[Path, Path]) -> None:
    """A ledger that is gone altogether is no excuse."""
    assert examine(tmp_path / "none.db", good[1], uid=UID).problems


def test_a_kill_is_held_against_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Also where the machine is busy: ten times what any kill needs there is not a minute."""
    assert is_prompt(99.9, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not is_prompt(60_000.0, tmp_path)
    assert 0 < reference_ms(tmp_path) < 6_000


def asleep(pid: int) -> bool:
    """Tell whether a process waits for something other than a processor (proc(5), stat: the state behind the name)."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "S"


def test_standing_in_line_for_a_processor_is_told_from_waiting_for_something() -> None:
    """Two that spin on one processor have half of it each; one that sleeps has as much of it as it wants."""
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})"
    spins = [sys.executable, "-S", "-c", f"{one}\nprint(flush=True)\nwhile True: pass"]
    sleeps = [sys.executable, "-S", "-c", "import time\nprint(flush=True)\ntime.sleep(60)"]
    with ExitStack() as stack:
        processes = []
        for command in (spins, spins, sleeps):
            processes.append(stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)))
            stack.callback(processes[-1].kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
        until(10.0, lambda: asleep(processes[2].pid), "its falling asleep, for which it stands in line, too")
        before = [processors_ns(process.pid) for process in processes]
        time.sleep(0.5)
        factors = [slowed(*pair) for pair in zip(before, [processors_ns(p.pid) for p in processes], strict=True)]
    assert min(factors[:2]) > 1.5
    assert factors[2] == 1.0
