"""The process that holds Ray: starts it, keeps its workers, hands them calls. Its parent is the host.

Ray's driver replaces signal handlers, stalls for seconds and dies with its raylet, so it lives here, where that hurts
nobody: the host hears from it over a socket pair, kills it where it does not hear, and starts another. It waits for
nothing without a time limit, and learns of deaths from the kernel, at once, instead of from Ray, at some time.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.predictor.pool.frames import (
    CHUNK_BYTES,
    DIED,
    OVERDUE,
    OVERDUE_SAID,
    QUEUED,
    VERSION,
    Begun,
    Call,
    Called,
    Frame,
    Look,
    ModelFact,
    Standing,
    Unpacker,
    Welcome,
    pack,
)
from daemon.inference.begun import NAME
from daemon.inference.contain import die_with_parent, exposed, guard_session, private_network, session_of
from daemon.inference.options import HostOptions
from daemon.inference.ray_worker import Worker
from daemon.inference.threads import LOADING_S
from daemon.kernel.errors import OperatorError

EXIT_RAY: Final = 70
EXIT_REFUSED: Final = 78
READY_S: Final = 60.0
"""What a worker gets to start in; then another is started."""
TRIES: Final = 2
"""A call whose worker died is computed once more, by another worker."""
FAIR_S: Final = 0.25
"""What a worker gets to compute in before it counts as hung, however little was left of the time of the call."""
SHUTDOWN_S: Final = 5.0


class _Call:
    """A call on its way; whoever finishes it first has."""

    def __init__(self, call: Call) -> None:
        self.number = call.number
        self.data = pack(call)
        self.models = frozenset(request.model_id for request in call.requests)
        self.deadline = time.monotonic() + call.budget_ms / 1000
        self.tries = 0
        self.finished = False


class Driver:
    """See the module."""

    def __init__(self, ray: Any, options: HostOptions, workers: int, link: socket.socket, begun: str = "") -> None:
        self._ray = ray
        self.options = options
        self._begun = begun
        self._link = link
        self._sending = threading.Lock()
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._bell, self._ring = os.pipe()
        self._keepers = [Keeper(self, number) for number in range(workers)]
        self.restarts = 0

    # -- workers' side -----------------------------------------------------------------------------------------------

    def new_actor(self) -> Any:
        """Start a worker."""
        options, ray = self.options, self._ray
        remote = ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=1)(Worker)
        return remote.remote(options.tables, options.state_dir, options.ray.worker_mb, self._begun, probe=options.probe)

    def take(self, keeper: Keeper) -> _Call | None:
        """Wait for a call; None where the keeper's worker has died meanwhile."""
        with self._changed:
            while keeper.well:
                while self._calls:
                    call = self._calls.popleft()
                    if not call.finished and time.monotonic() < call.deadline:
                        keeper.call = call
                        if not self._begun:
                            self.say(Begun(call.number))  # a worker of another machine cannot say it itself
                        return call
                    self.finish(call, Called(call.number, (), QUEUED, "no worker was free in time"))
                self._changed.wait()
        return None

    def finish(self, call: _Call, called: Called) -> None:
        """Answer a call, once."""
        with self._changed:
            if call.finished:
                return
            call.finished = True
        self.say(called)

    def failed(self, call: _Call, reason: str) -> None:
        """A worker died over a call: another one computes it, where one is well and there is time."""
        with self._changed:
            if call.finished:
                return
            others = any(keeper.well for keeper in self._keepers)
            if others and call.tries < TRIES and time.monotonic() < call.deadline:
                self._calls.appendleft(call)
                self._changed.notify_all()
                return
        self.finish(call, Called(call.number, (), DIED, reason))

    def turned(self) -> None:
        """A worker is well again, or no longer: tell the host, and look at it anew."""
        with self._changed:
            self._changed.notify_all()
        self.say(self.standing(0))
        os.write(self._ring, b"!")

    def say(self, frame: Frame) -> None:
        """Send a frame to the host; without one there is nobody to work for."""
        try:
            with self._sending:
                self._link.sendall(pack(frame))
        except OSError:
            self.end()

    # -- the host's side ---------------------------------------------------------------------------------------------

    def standing(self, number: int) -> Standing:
        """Return how many workers are well, and what they have loaded."""
        well = sum(keeper.well for keeper in self._keepers)
        served: dict[tuple[str, str], int] = {}
        for keeper in self._keepers:
            for fact in keeper.models:
                served[fact.model_id, fact.kind] = served.get((fact.model_id, fact.kind), 0) + fact.served
        models = tuple(ModelFact(model_id, kind, n) for (model_id, kind), n in sorted(served.items()))
        state = "up" if well else "starting"
        detail = "" if well else "its workers are being started"
        busy, waiting = sum(keeper.call is not None for keeper in self._keepers), len(self._calls)
        return Standing(number, "ray", state, detail, well, busy, waiting, 0, 0, 0, self.restarts, 0.0, 0.0, models)

    def run(self) -> None:
        """Serve until the host hangs up."""
        for keeper in self._keepers:
            threading.Thread(target=self.keep, args=(keeper,), name=f"keeper-{keeper.number}", daemon=True).start()
        vital = [os.pidfd_open(pid) for pid in self._vital()]
        unpacker = Unpacker()
        link = self._link.fileno()
        while True:
            watched = {keeper.pidfd: keeper for keeper in self._keepers if keeper.pidfd is not None}
            try:
                readable, _, _ = select.select([link, self._bell, *vital, *watched], [], [])
            except OSError:  # a worker was replaced meanwhile
                continue
            for fd in readable:
                if fd == link:
                    data = self._link.recv(CHUNK_BYTES)
                    if not data:
                        return
                    for frame in unpacker.feed(data):
                        self._heard(frame)
                elif fd == self._bell:
                    os.read(self._bell, 4096)
                elif fd in vital:
                    self.end()  # raylet or GCS: nothing works any more
                else:
                    watched[fd].died(fd)

    def keep(self, keeper: Keeper) -> None:
        """Run a keeper; a worker without one would never be used, nor started again."""
        try:
            keeper.run()
        except BaseException:  # noqa: BLE001 - told, and everything ends with it
            traceback.print_exc()
            self.end()

    def end(self) -> None:
        """End, so that the host starts it all again; it hears of it now, not when the last of our threads has ended."""
        with suppress(OSError):  # it has gone before us
            self._link.shutdown(socket.SHUT_RDWR)
        os._exit(EXIT_RAY)

    def _vital(self) -> list[int]:
        """Return the processes of Ray itself; none where the cluster is another's."""
        if self.options.ray.address:
            return []
        found = []
        for pid in session_of(os.getpid()):
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text("utf-8").strip() in {"raylet", "gcs_server"}:
                    found.append(pid)
        return found

    def _heard(self, frame: Frame) -> None:
        if isinstance(frame, Call):
            with self._changed:
                self._calls.append(_Call(frame))
                self._changed.notify()
        elif isinstance(frame, Look):
            self.say(self.standing(frame.number))


class Keeper:
    """Keeps one worker, and gives it one call at a time."""

    def __init__(self, driver: Driver, number: int) -> None:
        self._driver = driver
        self._ray = driver._ray  # noqa: SLF001 - one module, two halves
        self.number = number
        self.well = False
        self.pidfd: int | None = None
        self.call: _Call | None = None
        self.models: tuple[ModelFact, ...] = ()
        self._loaded: frozenset[str] = frozenset()
        self._actor: Any = None
        self._pid = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Start the worker, and again whenever it has died; compute what there is to compute."""
        while True:
            self._bring_up()
            while (call := self._driver.take(self)) is not None:
                self._compute(call)

    def died(self, pidfd: int) -> None:
        """The kernel says that a worker's process has ended; not of interest where another has its place by now."""
        with self._lock:
            if self.pidfd != pidfd:
                return
            self.pidfd = None
            self.well = False
        os.close(pidfd)
        self._hand_over("its worker died")
        self._driver.turned()

    def _hand_over(self, reason: str) -> None:
        """Let another worker have the call that this one failed at: once, whoever notices it first."""
        with self._lock:
            call, self.call = self.call, None
        if call is not None:
            self._driver.failed(call, reason)

    def _bring_up(self) -> None:
        ray = self._ray
        while True:
            if self._actor is None:
                self._actor = self._driver.new_actor()
            try:
                pid = ray.get(self._actor.ping.remote(), timeout=READY_S)
                fd = None if self._driver.options.ray.address else os.pidfd_open(pid)
            except ray.exceptions.ActorUnavailableError:
                time.sleep(0.02)  # Ray is starting it again
                continue
            except (ray.exceptions.RayError, OSError):
                with suppress(ray.exceptions.RayError, ValueError):
                    ray.kill(self._actor, no_restart=True)
                self._actor = None
                self._driver.restarts += 1
                continue
            break
        with self._lock:
            if self._pid and pid != self._pid:
                self._driver.restarts += 1
            before, self.pidfd = self.pidfd, fd
            self._pid, self.well, self.models, self._loaded = pid, True, (), frozenset()
        if before is not None:  # Ray knew of its end before the kernel told us
            os.close(before)
        self._driver.turned()

    def _compute(self, call: _Call) -> None:
        ray = self._ray
        call.tries += 1
        try:
            if not call.models <= self._loaded and not self._load(call):
                return
            began = time.monotonic()
            answer = self._actor.answer.remote(call.data)
            data, self.models = ray.get(answer, timeout=max(0.001, call.deadline - began))
        except ray.exceptions.GetTimeoutError:
            self.call = None
            self._driver.finish(call, Called(call.number, (), OVERDUE, OVERDUE_SAID))
            if not self._comes_back(answer, began + FAIR_S):
                self._end_worker()
        except ray.exceptions.RayError as error:
            with self._lock:
                self.well = False
            died = isinstance(error, ray.exceptions.RayActorError)
            self._hand_over("its worker died" if died else f"its worker failed: {type(error).__name__}")
        else:
            self.call = None
            (called,) = Unpacker().feed(data)
            if isinstance(called, Called):
                self._driver.finish(call, called)

    def _comes_back(self, answer: Any, until: float) -> bool:
        """Wait for an overdue answer as long as a worker may take; a call that had little time costs no worker."""
        left = until - time.monotonic()
        if left <= 0:
            return False
        self._be_well(False)  # meanwhile nobody waits for it
        try:
            self._ray.get(answer, timeout=left)
        except self._ray.exceptions.RayError:  # not in time, or its worker died meanwhile
            return False
        self._be_well(True)
        return True

    def _load(self, call: _Call) -> bool:
        """Have the worker load a call's models; tell whether there is time left to compute it.

        A worker that loads is left alone for longer than any call may take: killed over it, it would never have loaded.
        """
        ray = self._ray
        loading = self._actor.load.remote(call.data)
        left = call.deadline - time.monotonic() - LOADING_S
        try:
            ray.get(loading, timeout=max(0.001, left))
        except ray.exceptions.GetTimeoutError:
            self._driver.finish(call, Called(call.number, (), QUEUED, "its model is being loaded"))
            self.call = None
            self._be_well(False)  # meanwhile nobody waits for it
            try:
                ray.get(loading, timeout=READY_S)
            except ray.exceptions.GetTimeoutError:
                self._end_worker()
                return False
            self._be_well(True)
        self._loaded |= call.models
        if call.finished:
            self.call = None
        return not call.finished

    def _be_well(self, well: bool) -> None:
        with self._lock:
            self.well = well and (self.pidfd is not None or bool(self._driver.options.ray.address))
        self._driver.turned()

    def _end_worker(self) -> None:
        """Kill a worker that does not come back; Ray starts another in its place."""
        with self._lock:
            self.well = False
            pid = self._pid if self.pidfd is not None else 0
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        elif self._driver.options.ray.address:  # here one that has ended by itself is on its way back
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._actor, no_restart=False)


def start_ray(options: HostOptions, workers: int, folder: str) -> Any:
    """Start Ray, or connect to it; signal handlers are ours again afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    import ray  # noqa: PLC0415 - a second, in this process alone

    if options.ray.address:
        ray.init(address=options.ray.address, log_to_driver=False, configure_logging=False)
    else:
        ray.init(
            address="local",
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=options.ray.object_store_mb << 20,
            _temp_dir=f"{folder}/s",  # Ray opens it to everybody, 0777; nobody gets through the folder around it
            log_to_driver=False,
            configure_logging=False,
        )
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return ray


def _refuse_exposed() -> None:
    """Refuse to work with a Ray that others can reach.

    Raises:
        OperatorError: it listens beyond loopback.
    """
    addresses = exposed([os.getpid(), *session_of(os.getpid())])
    if addresses:
        raise OperatorError(
            f"Ray listens on {', '.join(addresses[:3])}, where others could reach it",
            code="RAY_EXPOSED",
            remedy='set [inference.ray] network = "private"',
        )


def main(arguments: list[str]) -> int:
    """Be the driver: ``FD PARENT WORKERS FOLDER`` and the options as JSON."""
    fd, parent, workers, folder, text = arguments
    die_with_parent(int(parent))
    os.umask(0o077)
    options = msgspec.json.decode(text, type=HostOptions)
    beside = Path(folder).parent == Path(options.socket).parent
    guard_session([int(fd)], "" if beside else folder)  # beside the socket the next host's is called the same
    link = socket.socket(fileno=int(fd))
    link.set_inheritable(False)
    try:
        if options.ray.network == "private" and not options.ray.address:
            private_network()
        ray = start_ray(options, int(workers), folder)
        if not options.ray.address:
            _refuse_exposed()
    except OperatorError as error:
        link.sendall(pack(Standing(0, "ray", "down", str(error), 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0)))
        return EXIT_REFUSED
    link.sendall(pack(Welcome(VERSION, "ray", "ray", int(workers), os.getpid())))
    Driver(ray, options, int(workers), link, "" if options.ray.address else f"{folder}/{NAME}").run()
    threading.Timer(SHUTDOWN_S, os._exit, (0,)).start()
    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
