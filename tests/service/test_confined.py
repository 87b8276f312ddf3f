"""What the units forbid is nothing that their programs need: each runs behind its own unit's filter of system calls."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from actors.messages.inference import PredictionReady
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.text.manifest import read_text_manifest
from actors.predictor.text.store import ModelStore
from tests.inference.support import asking, reachable, running, table
from tests.live_support import daemon
from tests.service.confined import allowed, confinement, needs_seccomp

HOST = "tradingd-inference.service"
DAEMON = "tradingd.service"
SETTINGS = """
[predictor]
strategies = ["price_model"]
[[portfolio]]
name = "main"
[control]
viewer_group = "{group}"
[feed.playback]
source = "sp500"
from = 2019-01-02
speed = 1
"""


def own_group() -> str:
    """Return the name of the group that new files of ours have."""
    return grp.getgrgid(os.getegid()).gr_name


def another_group() -> str:
    """Return the name of a group that we may give files to and that new files do not have by themselves."""
    names = [g.gr_name for g in grp.getgrall() if g.gr_gid != os.getegid()]
    if os.geteuid():
        names = [name for name in names if grp.getgrnam(name).gr_gid in os.getgroups()]
    if not names:
        pytest.skip("we are in no second group")
    return names[0]


def serves(*sets: str) -> None:
    """Start a host as its unit does and have it judge prices and words."""
    with running(*sets, "inference.workers=1", f"inference.group={own_group()}", start=False) as host:
        host.preexec = confinement(HOST)
        host.start()
        with asking(host, deadline_s=30.0) as pool:
            reachable(pool)
            assert isinstance(pool.predict(table(100)), PredictionReady), host.log.read_text("utf-8")
            model_id = read_text_manifest(ModelStore(Path("/nowhere")).find("sentiment")).model_id
            assert isinstance(pool.sentiment(SentimentRequested("s", model_id, ("n",), ("Up",), 0)), SentimentReady)
        assert stat.S_IMODE(host.socket.stat().st_mode) == 0o660
        assert host.socket.stat().st_gid == os.getegid()
        assert host.kill(15) == 0


@needs_seccomp
def test_the_host_starts_listens_for_its_group_and_computes() -> None:
    """The unit names its own group for the socket, and forbids to give files to any."""
    assert not {"chown", "fchownat", "lchown"} & allowed(HOST)
    serves()


@needs_seccomp
@pytest.mark.long
def test_ray_starts_and_computes() -> None:
    """With all its processes, which inherit the filter."""
    serves("inference.pool=ray")


@needs_seccomp
def test_the_daemon_starts_for_a_group_of_viewers(tmp_path: Path) -> None:
    """Its folder and its socket are given to the group that [control] names."""
    group = another_group()
    with daemon(tmp_path, SETTINGS.format(group=group)) as d:
        d.start(preexec=confinement(DAEMON))
        assert d.socket.stat().st_gid == grp.getgrnam(group).gr_gid
        with d.client() as client:
            assert client.call("model")["pool"]["pool"] == "inprocess"
        assert d.stop() == 0


@needs_seccomp
def test_the_filter_of_these_tests_forbids() -> None:
    """What a unit does not allow fails in a child, what it allows does not."""
    code = "import os; os.getpid(); os.chown('.', -1, os.getegid())"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=confinement(HOST)
    )
    assert answer.returncode == 1
    assert "PermissionError" in answer.stderr
