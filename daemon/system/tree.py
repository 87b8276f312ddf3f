"""The supervision tree of the daemon (design section 2): who is started again with whom, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from daemon.journal.failures import LedgerBrokenError
from daemon.kernel.errors import InvariantError
from daemon.supervision.supervisor import (
    ChildSpec,
    Restart,
    RestartIntensity,
    StartContext,
    Strategy,
    Supervisor,
)

if TYPE_CHECKING:
    from daemon.system.running import Running

EDGE_HEARTBEAT_S: Final = 30.0
ANSWER_S: Final = 15.0
"""How long a model may take for an answer. Four that hang are four failures within the pool's window, and the end."""


def build_tree(running: Running) -> Supervisor:
    """Declare the children of a daemon, in the order in which they start."""
    fatal = (InvariantError, LedgerBrokenError)
    beat = EDGE_HEARTBEAT_S
    core = Supervisor(
        "core",
        Strategy.ONE_FOR_ALL,
        RestartIntensity(1, 300),
        [ChildSpec("sequencer", running.run_core, fatal=fatal, shutdown_s=10)],
    )
    inference = Supervisor(
        "inference",
        Strategy.REST_FOR_ONE,
        RestartIntensity(3, 60),
        [ChildSpec("pool", _edge(running.inference.run), abandon=True, heartbeat_s=ANSWER_S, shutdown_s=1)],
    )
    market = Supervisor(
        "market",
        Strategy.REST_FOR_ONE,
        RestartIntensity(10, 60),
        [ChildSpec("feed", running.run_feed, heartbeat_s=beat)],
    )
    outreach = Supervisor(
        "outreach",
        Strategy.ONE_FOR_ONE,
        RestartIntensity(5, 300),
        [
            ChildSpec("alerter", _edge(running.deliveries.run), abandon=True, heartbeat_s=beat),
            ChildSpec("reporter", _edge(running.watch_reporter), heartbeat_s=beat),
        ],
    )
    admin = Supervisor(
        "admin",
        Strategy.ONE_FOR_ONE,
        RestartIntensity(5, 60),
        [
            ChildSpec("board", _edge(running.publish_boards), heartbeat_s=beat),
            ChildSpec("control", _edge(running.watch_control), heartbeat_s=beat),
            ChildSpec("errands", _edge(running.desk.run_admin), heartbeat_s=beat),
            ChildSpec("housekeeping", _edge(running.house.keep), heartbeat_s=beat),
            ChildSpec("records", _edge(running.records.run), abandon=True),
        ],
    )
    return Supervisor(
        "root",
        Strategy.ONE_FOR_ONE,
        RestartIntensity(2, 120),
        [
            # Whatever ends it: what nobody watches might be written to a ledger that is not there any more.
            ChildSpec("journal", _edge(running.house.watch_ledger), fatal=(BaseException,), heartbeat_s=beat),
            core.spec(),
            inference.spec(restart=Restart.TEMPORARY),
            market.spec(restart=Restart.TEMPORARY),
            outreach.spec(restart=Restart.TEMPORARY),
            admin.spec(restart=Restart.TEMPORARY),
        ],
        on_event=running.supervised,
    )


def _edge(
    run: Callable[[Callable[[], None]], Awaitable[None]],
) -> Callable[[StartContext], Awaitable[None]]:
    async def start(context: StartContext) -> None:
        context.started()
        await run(context.beat)

    return start
