"""Crashes at every step of a commit, which random kills rarely hit, and F02-F04: what stands on either side of it.

All of it: ``pytest -m long -s tests/faults/test_crash_points.py`` (each step at several of its visits).
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.messages.orders import OrderAccepted, OrderFilled
from daemon.journal.batch import SITES
from tests.faults.kills import READY_S, Loop, ask, looping, remains
from tests.faults.meddling import rows_of
from tests.faults.oracle import examine
from tests.faults.twin import compare
from tests.faults.workload import furnish
from tests.live_support import Client, Daemon, daemon, until

PLACES = [f"{when}:{site}" for site in SITES for when in ("before", "after")]


def crash_at_each(loop: Loop, visits: tuple[int, ...]) -> str:
    """Die at every step, one life behind the other, with orders flowing; look at the disk each time."""
    for nth in visits:
        for place in PLACES:
            loop.crash_at(place, nth)
            loop.look()
    verdict, likeness = loop.end()
    assert loop.killed == dict.fromkeys(PLACES, len(visits))
    assert max(loop.ready_cpu_s) < READY_S
    return loop.figures(verdict, likeness)


def test_f01_a_crash_at_any_step_of_a_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Before and after tape write, tape sync, frame write, commit and reply."""
    with looping(tmp_path, minutes=1440, seed=9) as loop:
        crash_at_each(loop, (9,))


@pytest.mark.long
def test_f01_a_crash_at_any_step_of_many_commits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first commits of a start, those with a snapshot, and later ones."""
    with looping(tmp_path, minutes=1440, seed=9, snapshot_events=100) as loop:
        figures = crash_at_each(loop, (1, 2, 3, 5, 8, 13, 21, 34, 55))
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")


# ----------------------------------------------------------------------------------------------- an order, in its steps

BUY = {"symbol": "AAA", "side": "buy", "qty": 10, "type": "market", "portfolio": "desk"}
SLOW = 60
"""A bar a second."""


@contextmanager
def slow(folder: Path, speed: float = SLOW) -> Iterator[Daemon]:
    """Give a daemon whose next bar is some time away."""
    settings = furnish(folder, minutes=600, speed=speed).replace('["restless.py:restless"]', "[]")
    with daemon(folder, settings.replace('["restless"]', "[]")) as house:
        yield house


def sound(house: Daemon) -> None:
    """What lies there holds together, and is what a twin would have done."""
    assert examine(remains(house.state, house.folder / "remains")).problems == []
    assert compare(house).difference == ""


def named(house: Daemon, kind: type, client_id: str) -> list[object]:
    """Return the events of one kind about one order."""
    return [e for e in house.events(kind) if getattr(e, "order", e).client_order_id == client_id]


@pytest.mark.parametrize("place", ["after:commit", pytest.param("after:reply", marks=pytest.mark.long)])
def test_f02_an_order_is_committed_and_its_answer_is_lost(tmp_path: Path, place: str) -> None:
    """The client asks again under the same key: the answer that was kept, and one order."""
    with slow(tmp_path, 1) as house:
        house.start(faults=[f"{place}:2:crash"])  # the opening deposits are the first commit
        with house.client() as client:
            client.send("order.submit", request_id="once", **BUY)
            assert house.wait() == -9
        house.start()
        with house.client() as client:
            answer = client.call("order.submit", request_id="once", **BUY)
            assert client.call("order.submit", request_id="once", **BUY) == answer
        assert house.stop() == 0
        accepted = named(house, OrderAccepted, answer["client_order_id"])
        assert [e.order_id for e in accepted] == [answer["order_id"]]  # type: ignore[attr-defined]
        sound(house)


def test_f02_an_order_that_was_not_committed_is_made_by_the_second_request(tmp_path: Path) -> None:
    """Nothing of it is there before; one order is there after."""
    with slow(tmp_path, 1) as house:
        house.start(faults=["before:commit:2:crash"])
        with house.client() as client:
            client.send("order.submit", request_id="once", **BUY)
            assert house.wait() == -9
        house.start()
        assert house.events(OrderAccepted) == []
        with house.client() as client:
            answer = client.call("order.submit", request_id="once", **BUY)
        assert house.stop() == 0
        assert len(named(house, OrderAccepted, answer["client_order_id"])) == 1
        sound(house)


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Hold the ledger as another process that writes would: nothing is committed meanwhile."""
    other = sqlite3.connect(ledger, isolation_level=None, timeout=5)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def fill_that_waits(house: Daemon, client: Client, attempt: int) -> str:
    """Have an order filled by a bar whose commit cannot begin, and kill the daemon; return the order, or "" if late."""
    answer = client.call("order.submit", request_id=f"order-{attempt}", **BUY)
    name: str = answer["client_order_id"]
    with locked(house.ledger):
        if named(house, OrderFilled, name):
            return ""
        ask(client, "status", lambda status: status["journal"]["waiting_since_ns"])
        house.kill()
    return name


def test_f03_a_fill_that_was_not_committed_is_made_once(tmp_path: Path) -> None:
    """The bar has filled the order in memory, another process keeps the commit from beginning, SIGKILL."""
    with slow(tmp_path) as house:
        house.start()
        with house.client() as client:
            name = next(filter(None, (fill_that_waits(house, client, n) for n in range(20))))
        assert named(house, OrderAccepted, name)
        assert not named(house, OrderFilled, name)
        house.start()
        until(20, lambda: named(house, OrderFilled, name), "the fill")
        assert house.stop() == 0
        assert len(named(house, OrderFilled, name)) == 1
        sound(house)


def test_f04_a_fill_that_was_booked_is_not_booked_again_by_views_that_are_behind(tmp_path: Path) -> None:
    """The views are put back to before the fill: they catch up, and show it once, as the positions do."""
    with slow(tmp_path, 600) as house:
        house.start()
        old = tmp_path / "views"
        old.mkdir()
        with house.client() as client:
            client.call("order.submit", request_id="first", **BUY)
            ask(client, "fills", lambda fills: len(fills["rows"]) == 1)
            for file in house.state.glob("views.db*"):
                shutil.copy(file, old / file.name)
            client.call("order.submit", request_id="second", **BUY)
            ask(client, "fills", lambda fills: len(fills["rows"]) == 2)
        house.kill()
        for file in house.state.glob("views.db*"):
            file.unlink()
        for file in old.iterdir():
            shutil.copy(file, house.state / file.name)
        house.start()
        with house.client() as client:
            # A minute may have had too little volume for all of it: then there are more fills, of the same quantity.
            ask(client, "positions", lambda held: [row["qty"] for row in held["rows"]] == [20])
            fills = rows_of(client, "fills")
            assert len({row["exec_id"] for row in fills}) == len(fills)
            assert [sum(row["qty"] for row in fills if row["order_id"] == name) for name in ("O-1", "O-2")] == [10, 10]
        assert house.stop() == 0
        sound(house)
