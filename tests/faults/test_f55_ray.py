"""F55 with Ray behind the host: its workers and its raylet are killed, its calls hang and starve; nobody else suffers.

One Ray is started for all of them (ten seconds and more on a busy machine); what kills it comes last.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from actors.messages.columns import unpack_f64
from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady
from actors.predictor.models.manifest import SHIPPED, ModelManifest
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.text.lexicon import Lexicon
from actors.predictor.text.manifest import read_text_manifest
from actors.predictor.text.store import ModelStore
from daemon.inference.contain import kill_session, scrubbed, session_of, write_token
from tests.faults.test_f55_inference import TAKEN_S, close, degraded, numbered, timed
from tests.inference.support import MODEL, ROOT, Elsewhere, Host, asking, reachable, running, table, until
from tests.inference.test_host import (
    SIZES,
    load_takes_longer_than_a_request_may,
    scores_of_the_shipped_model,
    texts,
)
from tests.inference.traps import ask, lay_trap

CANARY = "canary-0b1d"
SECRETS = {"APCA_API_SECRET_KEY": CANARY, "TRADINGD_ALERTER__FILE": f"/{CANARY}", "CREDENTIALS_DIRECTORY": f"/{CANARY}"}


class World:
    """A host with Ray of two workers, and the models it knows."""

    def __init__(self, host: Host, trap: ModelManifest, folder: Path) -> None:
        self.host = host
        self.trap = trap
        self.folder = folder

    @property
    def leader(self) -> int:
        """The process that holds Ray."""
        children = Path(f"/proc/{self.host.pid}/task/{self.host.pid}/children").read_text("ascii").split()
        return int(children[0])

    def processes(self, name: str = "") -> list[int]:
        """Return Ray's processes, or those of a name."""
        found = [self.leader, *session_of(self.leader)]
        return [pid for pid in found if name in comm(pid)]


def comm(pid: int) -> str:
    """Return a process's name, "" where it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


@contextmanager
def world(folder: Path, **ray: object) -> Iterator[World]:
    """Run a host with Ray."""
    trap = lay_trap(folder)
    for name in ("price_5d.json", "price_5d.onnx"):
        shutil.copy(SHIPPED / name, folder)
    options = {"tables": str(folder), "pool": "ray", "workers": 2, "ray": ray}
    with running(options=options, **SECRETS) as host:
        yield World(host, trap, folder)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run one for the module, and wait until it is up."""
    with ExitStack() as stack:
        one = stack.enter_context(world(tmp_path_factory.mktemp("models")))
        with asking(one.host) as pool:
            close(pool)
        yield one


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_a_model_that_takes_long_to_load_costs_no_worker(ray: World) -> None:
    """What asks meanwhile is told so; the worker goes on loading. Before anybody else has asked for that model."""
    before = ray.processes("ray::Worker")
    load_takes_longer_than_a_request_may(ray.host)
    assert set(before) <= set(ray.processes("ray::Worker"))


def test_a_call_with_less_time_than_its_computation_takes_costs_no_worker(ray: World) -> None:
    """Four milliseconds for 380 headlines: nobody waits for the answer, and the workers that compute them live."""
    before = ray.processes("ray::Worker")
    request = texts(model_id=read_text_manifest(ModelStore(ray.host.folder).find("sentiment")).model_id)
    many = tuple(f"{text}, says source {n}" for n in range(20) for text in request.texts)
    request = msgspec.structs.replace(request, texts=many, news_ids=tuple(f"n{n}" for n in range(len(many))))
    with asking(ray.host) as pool:
        until(lambda: isinstance(pool.sentiment(request), SentimentReady), "the model on both workers")
    with asking(ray.host, deadline_s=0.004) as pool:
        reachable(pool)
        for number in range(6):
            hurried = msgspec.structs.replace(request, request_id=f"hurried-{number}")
            assert isinstance(pool.sentiment(hurried), PredictionUnavailable)
    with asking(ray.host) as pool:
        until(lambda: isinstance(pool.sentiment(request), SentimentReady), "an answer for whoever has time")
    assert set(before) <= set(ray.processes("ray::Worker"))


def test_ray_answers_the_bytes_of_the_in_process_pool(ray: World) -> None:
    """As threads do: whole messages are equal, of tables and of texts."""
    here = InProcessPool([MODEL], texts={(lexicon := Lexicon()).model_id: Lexicon})
    with asking(ray.host) as pool:
        close(pool)
        for number, n in enumerate(SIZES):
            assert pool.predict(table(n, number)) == here.predict(table(n, number))
        answer = pool.sentiment(texts(model_id=lexicon.model_id))
        assert isinstance(answer, SentimentReady)
        assert answer == here.sentiment(texts(model_id=lexicon.model_id))
        assert unpack_f64(answer.p).size == 57
        assert pool.facts().degraded == pool.facts().unavailable == 0
    there, same = scores_of_the_shipped_model(ray.host)
    assert there == same


# -- containment -------------------------------------------------------------------------------------------------------


def test_nothing_of_ray_listens_beyond_loopback(ray: World) -> None:
    """What ``ss`` says of every process that the host has started; there are such listeners, and all are local."""
    pids = {ray.host.pid, *ray.processes()}
    said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    lines = [line for line in said.splitlines() if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & pids]
    addresses = [line.split()[3].rpartition(":")[0] for line in lines]
    assert len(addresses) >= 5
    assert {address.strip("[]").removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    assert f"pid={ray.host.pid}," not in said


def test_the_token_is_its_owners_alone_and_no_secret_is_passed_on(ray: World) -> None:
    """Mode 0600 in a folder of mode 0700; no process of Ray knows what stood in the host's environment."""
    folder = ray.host.folder / "inference.ray"
    tokens = [path for path in folder.rglob("*token*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in tokens] == [0o600]
    assert len(tokens[0].read_text("ascii")) == 64
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    environs = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in ray.processes()}
    assert len(environs) >= 6
    raylet = environs[ray.processes("raylet/raylet")[0]]
    off = (b"RAY_USAGE_STATS_ENABLED=0", b"RAY_task_events_report_interval_ms=0")
    for wanted in (b"RAY_AUTH_MODE=token", *off, f"HOME={folder}".encode()):
        assert wanted in raylet
    assert CANARY.encode() in Path(f"/proc/{ray.host.pid}/environ").read_bytes()  # so that there was something to leak
    assert [comm(pid) for pid, environ in environs.items() if CANARY.encode() in environ] == []
    masks = {re.search(r"Umask:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("ascii"))[1] for pid in environs}
    assert masks == {"0077"}


# -- workers -----------------------------------------------------------------------------------------------------------


def test_f55_a_killed_worker_is_not_missed_and_comes_back(ray: World) -> None:
    """SIGKILL of one of two: every request is answered by the other; Ray starts another."""
    with asking(ray.host, deadline_s=20.0) as pool:
        close(pool)
        victim = ray.processes("ray::Worker")[0]
        os.kill(victim, signal.SIGKILL)
        for number in range(20):
            assert isinstance(pool.predict(table(20, number)), PredictionReady)
        took = until(lambda: len(ray.processes("ray::Worker")) == 2 and victim not in ray.processes(), "another")
        print(f"F55: another worker after {took:.1f} s")  # noqa: T201 - shown by -rP
        assert pool.facts().unavailable == 0


def test_f55_when_all_workers_are_killed_the_daemon_answers_at_once_until_they_are_back(ray: World) -> None:
    """What they computed holds; everything behind it is computed here within 50 ms; then the host is used again."""
    elsewhere, requests = Elsewhere(), numbered()
    with asking(ray.host, deadline_s=30.0, fallback=elsewhere, taken_s=TAKEN_S) as pool:
        close(pool)
        until(lambda: len(ray.processes("ray::Worker")) == 2, "two workers")
        found: list[tuple[float, object]] = []
        hangs = threading.Thread(target=lambda: found.append(timed(pool, ask(ray.trap, 1, work=1.0))))
        hangs.start()
        until(lambda: (standing := pool.facts().standing) is not None and standing.busy == 1, "a call under way")
        killed = time.monotonic()
        for victim in ray.processes("ray::Worker"):
            os.kill(victim, signal.SIGKILL)
        hangs.join(30)
        told_ms = (time.monotonic() - killed) * 1e3
        degraded(pool, requests)
        ((_, answer),) = found
        assert isinstance(answer, PredictionUnavailable)
        assert "died" in answer.reason
        assert elsewhere.asked
        assert "t-1" not in elsewhere.asked  # what a worker died of is not computed in the daemon
        assert told_ms < 5_000  # its deadline was six times that
        took = until(lambda: pool.facts().breaker != "open", "the workers")
        close(pool)
        print(f"F55: told {told_ms:.0f} ms after the kill; workers back after {took:.1f} s")  # noqa: T201
        before = len(elsewhere.asked)
        assert isinstance(pool.predict(next(requests)), PredictionReady)
        assert len(elsewhere.asked) == before


def test_f55_a_call_that_never_returns_costs_its_worker_and_nobody_else(ray: World) -> None:
    """``ray.get`` ends at the deadline; the other worker serves meanwhile; the worker that spins is killed."""
    with asking(ray.host, deadline_s=1.0) as hasty, asking(ray.host, deadline_s=20.0) as pool:
        close(pool)
        close(hasty)
        until(lambda: len(ray.processes("ray::Worker")) == 2, "two workers")
        before = set(ray.processes("ray::Worker"))
        took, answer = timed(hasty, ask(ray.trap, 1, work=1.0))
        assert isinstance(answer, PredictionUnavailable)
        assert "in time" in answer.reason
        assert 950 <= took <= 4_000
        assert isinstance(pool.predict(table(20)), PredictionReady)
        until(lambda: len(before & set(ray.processes("ray::Worker"))) == 1, "the end of the worker that spins")
        until(lambda: len(ray.processes("ray::Worker")) == 2, "another")


def test_f55_a_worker_gets_so_much_memory_and_no_more(ray: World) -> None:
    """64 GiB against a bound of two: no prediction, and none of the daemon's, which has no such bound."""
    elsewhere = Elsewhere()
    with asking(ray.host, deadline_s=20.0, fallback=elsewhere) as pool:
        close(pool)
        until(lambda: len(ray.processes("ray::Worker")) == 2, "two workers")
        answer = pool.predict(ask(ray.trap, 1, mib=64 << 10))
        assert isinstance(answer, PredictionUnavailable)
        assert any(word in answer.reason.lower() for word in ("alloc", "arena", "died"))
        assert "t-1" not in elsewhere.asked
        assert isinstance(pool.predict(ask(ray.trap, 2, x=0.5)), PredictionReady)


# -- whatever does not react -------------------------------------------------------------------------------------------


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stop processes for a while."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_f55_a_ray_that_does_not_react_costs_nobody_50_ms(ray: World) -> None:
    """SIGSTOP of what holds Ray: nobody begins a request, so the daemon computes it, and does not ask again."""
    elsewhere, requests = Elsewhere(), numbered()
    with asking(ray.host, deadline_s=20.0, fallback=elsewhere, taken_s=TAKEN_S) as pool:
        close(pool)
        with stopped([ray.leader]):
            before = len(elsewhere.asked)
            assert all(isinstance(answer, PredictionReady) for answer in degraded(pool, requests, 9))
            assert len(elsewhere.asked) == before + 9
            until(lambda: "Ray does not react" in pool.facts().reason, "the host to notice")
            assert pool.facts().breaker == "open"
        close(pool)
        before = len(elsewhere.asked)
        assert isinstance(pool.predict(next(requests)), PredictionReady)
        assert len(elsewhere.asked) == before


def test_f55_workers_that_are_stopped_cost_nobody_50_ms_and_are_replaced(ray: World) -> None:
    """SIGSTOP of all workers, with Ray itself well; those that had a call are killed once its time is over."""
    elsewhere, requests = Elsewhere(), numbered()
    with asking(ray.host, deadline_s=2.0, fallback=elsewhere, taken_s=TAKEN_S) as pool:
        close(pool)
        until(lambda: len(ray.processes("ray::Worker")) == 2, "two workers")
        workers = ray.processes("ray::Worker")
        with stopped(workers):
            assert all(isinstance(answer, PredictionReady) for answer in degraded(pool, requests))
            assert elsewhere.asked
            until(lambda: not set(workers) <= set(ray.processes()), "the end of one that was stopped")
            close(pool)
            assert isinstance(pool.predict(next(requests)), PredictionReady)
        until(lambda: len(ray.processes("ray::Worker")) == 2, "two workers")


# -- the end of it all -------------------------------------------------------------------------------------------------


def test_f55_a_killed_raylet_is_told_at_once_and_the_daemon_answers_itself(ray: World) -> None:
    """SIGKILL of the raylet: 50 ms; nothing of that Ray is left behind; the host itself is well."""
    elsewhere, requests = Elsewhere(), numbered()
    with asking(ray.host, deadline_s=20.0, fallback=elsewhere, taken_s=TAKEN_S) as pool:
        close(pool)
        leader, old = ray.leader, ray.processes()
        os.kill(ray.processes("raylet/raylet")[0], signal.SIGKILL)
        assert all(isinstance(answer, PredictionReady) for answer in degraded(pool, requests))
        until(lambda: comm(leader) == "", "the end of what held Ray")
        assert all(isinstance(answer, PredictionReady) for answer in degraded(pool, requests))
        assert len(elsewhere.asked) >= 5
        until(lambda: not any(map(comm, old)), "the end of that Ray")
        assert ray.host.process is not None
        assert ray.host.process.poll() is None


@pytest.mark.long
def test_f55_ray_is_started_again_behind_the_same_socket(ray: World) -> None:
    """After the raylet's end nobody had to do anything."""
    with asking(ray.host, deadline_s=20.0) as pool:
        os.kill(until_raylet(ray), signal.SIGKILL)
        took = until(lambda: pool.facts().breaker == "open", "the end") + reachable(pool)
        close(pool)
        print(f"F55: Ray serves again {took:.1f} s after its raylet was killed")  # noqa: T201 - shown by -rP
        assert isinstance(pool.predict(table(20)), PredictionReady)


def until_raylet(ray: World) -> int:
    """Wait until Ray is up and return its raylet."""
    with asking(ray.host) as pool:
        reachable(pool)
        close(pool)
    return ray.processes("raylet/raylet")[0]


CGROUP = Path("/sys/fs/cgroup/memory")


@contextmanager
def bounded(mib: int) -> Iterator[Path]:
    """Make a control group (version 1, as root) with so much memory."""
    if os.geteuid() or not (CGROUP / "memory.limit_in_bytes").exists():
        pytest.skip("control groups of version 1 cannot be made here")
    group = CGROUP / f"test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(mib << 20), "ascii")
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text("ascii"), "the end of whatever is in it")
        group.rmdir()


@pytest.mark.long
def test_f55_the_kernels_oom_killer_takes_workers_and_nothing_else(tmp_path: Path) -> None:
    """A model wants 8 GiB where there are two: it has no answer and is not computed in the daemon; all else goes on."""
    elsewhere, requests = Elsewhere(), numbered()
    with bounded(2048) as group, world(tmp_path, worker_mb=0) as one:
        (group / "cgroup.procs").write_text(str(one.host.pid), "ascii")
        with asking(one.host, deadline_s=60.0, fallback=elsewhere, taken_s=TAKEN_S) as pool:
            close(pool)
            until(lambda: len(one.processes("ray::Worker")) == 2, "two workers")
            ray, workers = set(one.processes()), set(one.processes("ray::Worker"))
            answer = pool.predict(ask(one.trap, 1, mib=8 << 10))
            assert isinstance(answer, PredictionUnavailable)
            assert "died" in answer.reason
            assert "t-1" not in elsewhere.asked
            kills = (group / "memory.oom_control").read_text("ascii").split()[-1]
            assert int(kills) >= 1
            gone = {pid for pid in ray if not comm(pid)}
            assert gone
            assert gone <= workers
            degraded(pool, requests)
            took = until(lambda: len(one.processes("ray::Worker")) == 2, "two workers")
            close(pool)
            print(f"F55: workers back after {took:.1f} s")  # noqa: T201 - shown by -rP


@pytest.mark.long
def test_f55_nothing_outlives_a_killed_host(tmp_path: Path) -> None:
    """SIGKILL of the host, in a network of its own: Ray ends with it, and the next host starts."""
    with world(tmp_path, network="private") as one, asking(one.host, deadline_s=20.0) as pool:
        close(pool)
        said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout  # noqa: S607
        old = one.processes()
        assert not {int(pid) for pid in re.findall(r"pid=(\d+)", said)} & set(old)  # not even loopback is shared
        assert isinstance(pool.predict(table(20)), PredictionReady)
        one.host.kill()
        until(lambda: not any(map(comm, old)), "the end of Ray")
        one.host.start()
        close(pool)
        assert one.host.kill(signal.SIGTERM) == 0


@pytest.mark.long
def test_workers_of_a_cluster_that_is_somebody_elses_answer_the_same(tmp_path: Path) -> None:
    """``address`` and ``token_file``: connected to, used, left running; no second Ray is started."""
    token, session = tmp_path / "token", Path(tempfile.mkdtemp(prefix="rc-"))
    write_token(token)
    environ = scrubbed(
        os.environ,
        {
            "HOME": str(session),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
    )
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port=0", "--num-cpus=2", "--block"]
    command += ["--include-dashboard=false", f"--temp-dir={session}/s", "--node-ip-address=127.0.0.1"]
    with (session / "log").open("wb") as log:
        cluster = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        place = session / "s" / "ray_current_cluster"
        until(lambda: place.exists() and bool(place.read_text("ascii")), "a cluster")
        address = {"address": place.read_text("ascii").strip(), "token_file": str(token)}
        with world(tmp_path, **address) as one, asking(one.host, deadline_s=60.0) as pool:
            close(pool)
            assert pool.predict(table(65)) == InProcessPool([MODEL]).predict(table(65))
            assert not one.processes("raylet/raylet")
            assert one.host.kill(signal.SIGTERM) == 0
        assert cluster.poll() is None
    finally:
        cluster.kill()
        kill_session(cluster.pid)
        cluster.wait(20)
        shutil.rmtree(session, ignore_errors=True)
