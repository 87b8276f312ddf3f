"""The crew answers every request once, by its deadline, whatever its backend does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentRequested
from actors.predictor.pool.frames import BUSY, DIED, DOWN, OVERDUE, QUEUED, Answered, Begun, Called, Request
from daemon.inference import crew as module
from daemon.inference.crew import STARTING, UP, BackendState, Crew
from tests.inference.support import table


class Backend:
    """Computes what a test lets it, when a test lets it."""

    name = "scripted"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.changed: Callable[[], None] = lambda: None
        self.now = BackendState(UP)
        self.calls: list[tuple[Request, ...]] = []
        self.fault = ""
        self.begins = True
        self.may = anyio.Event()

    async def run(self) -> None:
        """Need nothing."""
        await anyio.sleep_forever()

    async def call(self, requests: tuple[Request, ...], budget_s: float, begun: Callable[[], None]) -> Called:
        """Answer when it may."""
        self.calls.append(requests)
        if self.begins:
            begun()
            begun()
        await self.may.wait()
        if self.fault:
            return Called(0, (), self.fault, "as the test said")
        answers = tuple(PredictionReady(r.request_id, r.model_id, "5d", b"", b"", b"") for r in requests)
        return Called(0, answers)

    def state(self) -> BackendState:
        """Return what the test said."""
        return self.now


class Client:
    """Takes answers, and hears what was begun."""

    def __init__(self) -> None:
        self.heard: list[Answered] = []
        self.begun: list[int] = []
        self._more = anyio.Event()

    def tell(self, said: Begun | Answered) -> None:
        """Take one."""
        if isinstance(said, Begun):
            self.begun.append(said.number)
        else:
            self.heard.append(said)
            self._more.set()

    async def reach(self, n: int) -> list[Answered]:
        """Wait until so many have come."""
        with anyio.fail_after(20):
            while len(self.heard) < n:
                self._more = anyio.Event()
                await self._more.wait()
        return self.heard


def with_crew(act: Callable[[Crew, Backend, Client], Awaitable[None]], workers: int = 1) -> None:
    """Run a crew around a test."""

    async def main() -> None:
        backend, client = Backend(workers), Client()
        crew = Crew(backend)
        async with anyio.create_task_group() as group:
            group.start_soon(crew.run)
            await act(crew, backend, client)
            group.cancel_scope.cancel()

    anyio.run(main)


def test_what_waits_is_computed_together_by_the_next_worker() -> None:
    """The first is on its way; the other three, 20 rows each, go in one call; each is answered under its number."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        crew.ask(1, table(20, 1), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        for number in (2, 3, 4):
            crew.ask(number, table(20, number), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        standing = crew.standing(9)
        assert (standing.busy, standing.queue, standing.workers) == (1, 3, 1)
        backend.may.set()
        heard = await client.reach(4)
        assert [len(call) for call in backend.calls] == [1, 3]
        assert [(one.number, one.answer.request_id, one.fault) for one in heard] == [
            (n, f"a-{n}", "") for n in range(1, 5)
        ]
        assert all(one.host_ns > 0 for one in heard)
        standing = crew.standing(9)
        assert (standing.served, standing.failed, standing.late, standing.queue) == (4, 0, 0, 0)

    with_crew(act)


def test_at_the_deadline_what_is_computed_is_overdue_and_what_waits_was_queued() -> None:
    """Only the first can be to blame; what comes back afterwards is counted and dropped."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        crew.ask(1, table(500, 1), 0.05, client.tell)
        await anyio.wait_all_tasks_blocked()
        crew.ask(2, table(500, 2), 0.05, client.tell)
        heard = await client.reach(2)
        assert [(one.number, one.fault) for one in heard] == [(1, OVERDUE), (2, QUEUED)]
        assert all(isinstance(one.answer, PredictionUnavailable) for one in heard)
        backend.may.set()
        await anyio.wait_all_tasks_blocked()
        standing = crew.standing(9)
        assert (standing.served, standing.failed, standing.late) == (0, 2, 1)
        crew.ask(3, table(1, 3), 20.0, client.tell)
        assert (await client.reach(3))[2].fault == ""
        assert [call[0].request_id for call in backend.calls] == ["a-1", "a-3"]

    with_crew(act)


def test_a_client_hears_that_a_worker_has_begun_its_request_or_that_it_is_next() -> None:
    """Once each. One that no worker begins is not, for nobody knows whether it will ever be."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        for number in (1, 2):
            crew.ask(number, table(100, number), 20.0, client.tell)
        assert client.begun == []
        await anyio.wait_all_tasks_blocked()
        assert client.begun == [1, 2]  # there is one worker, and it has work
        crew.ask(3, table(100, 3), 20.0, client.tell)
        assert client.begun == [1, 2, 3]
        backend.may.set()
        await client.reach(3)
        backend.begins, backend.may = False, anyio.Event()
        crew.ask(4, table(100, 4), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        assert len(backend.calls) == 4
        crew.ask(5, table(100, 5), 20.0, client.tell)  # that the worker has a call says nothing where it has not begun
        backend.may.set()
        await client.reach(5)
        assert client.begun == [1, 2, 3]

    with_crew(act)


@pytest.mark.parametrize("fault", [DIED, DOWN])
def test_a_fault_of_the_backend_is_told_to_each_request_of_the_call(fault: str) -> None:
    """With its reason; the crew goes on."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        backend.fault = fault
        backend.may.set()
        for number in (1, 2):
            crew.ask(number, table(20, number), 20.0, client.tell)
        for one in await client.reach(2):
            assert one.fault == fault
            assert isinstance(one.answer, PredictionUnavailable)
            assert one.answer.reason == "as the test said"
        backend.fault = ""
        crew.ask(3, table(20, 3), 20.0, client.tell)
        assert isinstance((await client.reach(3))[2].answer, PredictionReady)

    with_crew(act)


def test_without_a_worker_that_is_well_nobody_waits() -> None:
    """What waits when the last one goes is told at once, and so is what comes meanwhile."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        crew.ask(1, table(500, 1), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        crew.ask(2, table(500, 2), 20.0, client.tell)
        backend.now = BackendState(STARTING, "being started")
        backend.changed()
        assert [(one.number, one.fault) for one in await client.reach(1)] == [(2, DOWN)]
        crew.ask(3, table(1, 3), 20.0, client.tell)
        answer = (await client.reach(2))[1].answer
        assert isinstance(answer, PredictionUnavailable)
        assert answer.reason == "the inference host is starting: being started"

    with_crew(act)


def test_too_much_is_refused_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on what waits."""
    monkeypatch.setattr(module, "WAITING_MAX", 2)

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        crew.ask(0, table(500, 0), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        for number in (1, 2, 3):
            crew.ask(number, table(500, number), 20.0, client.tell)
        assert [(one.number, one.fault) for one in await client.reach(1)] == [(3, BUSY)]

    with_crew(act)


def test_one_request_of_too_many_parts_is_refused_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventeen headlines are three parts, where two may wait; sixteen are two. A frame has room for half a million."""
    monkeypatch.setattr(module, "WAITING_MAX", 2)

    def words(n: int) -> SentimentRequested:
        return SentimentRequested(f"s-{n}", "m@1", tuple(map(str, range(n))), ("up",) * n, 0)

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        crew.ask(1, words(17), 20.0, client.tell)
        assert [(one.number, one.fault) for one in client.heard] == [(1, BUSY)]
        crew.ask(2, words(16), 20.0, client.tell)
        await anyio.wait_all_tasks_blocked()
        assert [len(request.texts) for call in backend.calls for request in call] == [8]  # type: ignore[union-attr]
        crew.ask(3, words(0), 20.0, client.tell)  # one part, as empty as it is
        assert (len(client.heard), crew.standing(9).queue) == (1, 2)

    with_crew(act)


def test_what_a_client_that_has_gone_asked_for_is_not_computed() -> None:
    """Others' requests are; nobody is told anything under its name."""

    async def act(crew: Crew, backend: Backend, client: Client) -> None:
        gone = Client()
        crew.ask(1, table(500, 1), 20.0, gone.tell)
        await anyio.wait_all_tasks_blocked()
        tell = gone.tell
        crew.ask(2, table(500, 2), 20.0, tell)
        crew.ask(3, table(500, 3), 20.0, client.tell)
        crew.forget(tell)
        backend.may.set()
        await client.reach(1)
        assert [call[0].request_id for call in backend.calls] == ["a-1", "a-3"]

    with_crew(act)
