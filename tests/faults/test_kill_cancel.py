"""A kill cancels every working order exactly once, also where the process dies in the middle of it, again and again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.messages.orders import OrderCanceled
from actors.messages.risk import TradingState, TradingStateChanged
from daemon.control.latch import SITES
from tests.faults.kill_oracle import (
    Kill,
    Witness,
    await_no_orders,
    await_state,
    judge,
    kill_by_socket,
    latch_says_killed,
)
from tests.faults.killing import (
    Traffic,
    foreign_lock,
    order,
    settings,
)
from tests.live_support import Client, Daemon, daemon

RESTING = 120
STEPS = ("before:tape.write", "before:frame.write", "after:frame.write", "before:commit", "after:commit")
STEPS += ("before:reply", "after:reply")


def rest_orders(client: Client, count: int, *, first: int = 0) -> None:
    """Let so many orders rest."""
    sent = [client.send("order.submit", request_id=f"rest{n}", **order(4 * n + 3)) for n in range(first, first + count)]
    answers = {line["id"]: line for line in (client.receive() for _ in sent)}
    assert all(answers[number]["result"]["status"] == "new" for number in sent)


def canceled(d: Daemon) -> list[str]:
    """Return the orders that the ledger says were cancelled."""
    return [event.client_order_id for event in d.events(OrderCanceled)]


@pytest.mark.parametrize("steps", [("before:commit",), pytest.param(STEPS, marks=pytest.mark.long)])
def test_sigkill_at_every_step_of_cancelling(tmp_path: Path, steps: tuple[str, ...]) -> None:
    """The kill is in the latch alone; each start dies at another step of writing it down, the last one lives."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        with d.client() as client:
            for first in range(0, RESTING, 40):
                rest_orders(client, 40, first=first)
        with foreign_lock(d.ledger):
            kill = kill_by_socket(d, witness)
            d.kill()
        for site in steps:
            assert latch_says_killed(d)
            d.spawn(faults=[f"{site}:1:crash"])
            assert d.wait() == -9, f"it dies at {site}"
            done = canceled(d)
            assert len(done) in (0, RESTING), f"all or none of them, not {len(done)}, at {site}"
        d.start()
        with d.client() as client:
            await_no_orders(client)
        assert d.stop() == 0
        assert sorted(canceled(d)) == sorted(f"op-0-rest{n}" for n in range(RESTING))
        entered = [event for event in d.events(TradingStateChanged) if event.new == TradingState.KILLED]
        assert len(entered) == 1, "and killed once"
        assert judge(d, [kill]).open_at_kill == RESTING


SAMPLE = ("after:write",)


@pytest.mark.parametrize(
    "site", [*SAMPLE, *(pytest.param(site, marks=pytest.mark.long) for site in SITES if site not in SAMPLE)]
)
def test_sigkill_at_every_step_of_a_kill(tmp_path: Path, site: str) -> None:
    """Up to the write nobody was told anything, and tradingctl leaves the file; from the write on it is killed."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack:
        d.start(faults=[f"{site}:1:crash"])
        with d.client() as client:
            rest_orders(client, 10)
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        before = witness.head()
        done = d.ctl("kill", "--reason", "it dies of it")
        assert d.wait() == -9
        assert done.returncode == 4, "nothing is said to be confirmed that is not"
        assert latch_says_killed(d) == (site not in ("after:flag", "before:write"))
        assert (d.runtime / "KILL").exists()
        d.start()
        await_state(d, "killed")
        assert d.stop() == 0
        assert judge(d, [Kill(0.0, 0.0, before, before)]).open_at_kill == 10


def test_sigkill_around_the_acknowledgement(tmp_path: Path) -> None:
    """Orders under way, a kill, and SIGKILL some thousandths of a second before or after it is acknowledged."""
    _random_deaths(tmp_path, range(1))


@pytest.mark.long
def test_sigkill_around_a_hundred_acknowledgements(tmp_path: Path) -> None:
    """The same a hundred times on one ledger."""
    _random_deaths(tmp_path, range(100))


def _random_deaths(folder: Path, rounds: Sequence[int]) -> None:
    generator = random.Random(20_240_102)  # noqa: S311 - moments of death
    kills: list[Kill] = []
    everybody: list[Traffic] = []
    with daemon(folder, settings(folder, seconds=20_000, speed=20)) as d:
        for n in rounds:
            with ExitStack() as stack:
                d.start()
                with d.client() as client:
                    if n:
                        client.call("unlatch", reason="another round")
                        client.call("resume", reason="another round")
                witness = Witness(d.ledger)
                stack.callback(witness.close)
                traffic = stack.enter_context(Traffic(d, name=f"r{n}-"))
                everybody.append(traffic)
                traffic.await_accepted(15)
                _hold_briefly(d, generator.random() * 0.05)
                kills.append(kill_by_socket(d, witness))
                _hold_briefly(d, generator.random() * 0.01)
                d.kill()
        d.start()
        with d.client() as client:
            assert client.call("status")["trading_state"] == "killed"
            await_no_orders(client)
        assert d.stop() == 0
        found = judge(d, kills, everybody)
        assert found.accepted >= 15 * len(rounds)


def _hold_briefly(d: Daemon, seconds: float) -> None:
    """Let the daemon run on for so long."""
    assert d.process is not None
    d.manager.listen(seconds)
