"""The daemon's supervision tree is the one of the design: who is started again with whom, and how often."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from daemon.journal.failures import LedgerBrokenError
from daemon.kernel.errors import InvariantError
from daemon.supervision.supervisor import ChildSpec, Restart, RestartIntensity, Strategy, Supervisor
from daemon.system.tree import build_tree

PERMANENT, TEMPORARY = Restart.PERMANENT, Restart.TEMPORARY
DESIGN = {
    "root": (Strategy.ONE_FOR_ONE, 2, 120, PERMANENT),
    "core": (Strategy.ONE_FOR_ALL, 1, 300, PERMANENT),
    "inference": (Strategy.REST_FOR_ONE, 3, 60, TEMPORARY),  # never escalates
    "market": (Strategy.REST_FOR_ONE, 10, 60, TEMPORARY),  # its end halts
    "outreach": (Strategy.ONE_FOR_ONE, 5, 300, TEMPORARY),  # never stops trading
    "admin": (Strategy.ONE_FOR_ONE, 5, 60, TEMPORARY),  # its end reduces
}
NO_HEARTBEAT = {"sequencer", "records"}
"""The core answers the watchdog's question instead; a look at every old row may take its time."""


def specs_of(root: Supervisor) -> dict[str, ChildSpec]:
    """Return every child of a tree by name."""
    found: dict[str, ChildSpec] = {}
    waiting = [child.spec for child in root.crew.children]
    while waiting:
        spec = waiting.pop(0)
        found[spec.name] = spec
        if spec.supervisor is not None:
            waiting += [child.spec for child in spec.supervisor.crew.children]
    return found


def tree() -> Supervisor:
    """Return the tree of a daemon that never runs."""
    running: Any = MagicMock()
    return build_tree(running)


def test_strategies_and_intensities_are_those_of_the_design() -> None:
    """Design section 2, line by line; what is temporary ends without taking the daemon along."""
    root = tree()
    specs = specs_of(root)
    supervisors = {"root": root} | {name: spec.supervisor for name, spec in specs.items() if spec.supervisor}
    for name, (strategy, most, within, restart) in DESIGN.items():
        assert supervisors[name].strategy is strategy, name
        assert supervisors[name].intensity == RestartIntensity(most, within), name
        assert name == "root" or specs[name].restart is restart, name
    assert supervisors.keys() == DESIGN.keys()


def test_the_ledger_comes_first_and_the_way_in_last() -> None:
    """What others need is there before them, and goes after them."""
    order = [child.spec.name for child in tree().crew.children]
    assert order == ["journal", "core", "inference", "market", "outreach", "admin"]


def test_every_leaf_is_permanent_and_gives_signs_of_life() -> None:
    """One that hangs without returning is found; only what holds nothing that a successor needs is left behind."""
    leaves = {name: spec for name, spec in specs_of(tree()).items() if spec.supervisor is None}
    assert {spec.restart for spec in leaves.values()} == {PERMANENT}
    assert {name for name, spec in leaves.items() if spec.heartbeat_s is None} == NO_HEARTBEAT
    assert {name for name, spec in leaves.items() if spec.abandon} == {"pool", "alerter", "records"}


def test_what_hangs_again_and_again_exceeds_what_its_supervisor_bears() -> None:
    """Or it would be replaced for ever, and nobody would be told that it does not work."""
    specs = specs_of(tree())
    for leaf, above in (("pool", "inference"), ("alerter", "outreach")):
        spec, supervisor = specs[leaf], specs[above].supervisor
        assert spec.heartbeat_s is not None
        assert supervisor is not None
        once = spec.heartbeat_s + spec.shutdown_s
        assert supervisor.intensity.max_restarts * once < supervisor.intensity.within_s * 0.9, leaf


def test_failures_of_the_ledger_and_of_our_own_are_fatal_at_once() -> None:
    """No second try in the same process: the next start looks at what is there."""
    specs = specs_of(tree())
    assert set(specs["sequencer"].fatal) == {InvariantError, LedgerBrokenError}
    assert specs["journal"].fatal == (BaseException,)
