"""The edges hold no truth: what they lose is found again; what they deliver is delivered once, or at least once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import anyio
import msgspec
import pytest

from actors.messages.alerts import AlertFailed, AlertRaised, Severity
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.market import SessionClosed
from daemon.journal.batch import OutboxRow
from daemon.kernel.message import Market
from daemon.system import edges
from daemon.system.edges import AT_ONCE, ATTEMPTS_MAX, RETRY_S, Deliveries, FreeFeed, GatedFeed, Inference, seen_from
from daemon.system.intake import MarketQueue, Pace
from daemon.system.live_core import OpenQuestion
from daemon.testing.virtual_time import run_virtual
from tests.system.core_rig import DEADLINE_S, MINUTE, OPEN, Phone, bars

SECOND = 10**9


def nothing() -> None:
    """Be a sign of life that nobody counts."""


class Wakes:
    """Counts wakes, and lets a test wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._event = anyio.Event()

    def __call__(self) -> None:
        """Wake."""
        self.count += 1
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that comes with a wake."""
        with anyio.fail_after(DEADLINE_S):
            while not condition():
                self._event = anyio.Event()
                await self._event.wait()


# -- feeds -------------------------------------------------------------------------------------------------------------


def test_a_gated_feed_reads_as_far_as_there_is_room() -> None:
    """It rests while the queue is full, wakes the core when it was empty, and goes on once half of it is."""

    async def main() -> None:
        queue, wakes, inputs = MarketQueue(4), Wakes(), bars(1, 8)
        beats = 0

        def beat() -> None:
            nonlocal beats
            beats += 1
            wakes()

        async with anyio.create_task_group() as group:
            group.start_soon(GatedFeed(queue, lambda: iter(inputs), wakes).run, beat)
            await wakes.until(lambda: len(queue.items) == 4 and queue.on_room is not None)
            taken = [queue.take()]
            assert queue.on_room is not None
            taken.append(queue.take())
            assert queue.on_room is None
            while not (queue.ended and not queue.items):
                await wakes.until(lambda: bool(queue.items) or queue.ended)
                while queue.items:
                    taken.append(queue.take())
            assert taken == inputs
            before = beats
            await anyio.sleep(10)  # virtual
            assert beats - before >= 9
            group.cancel_scope.cancel()

    run_virtual(main)


def test_a_feed_that_waits_for_room_gives_signs_of_life() -> None:
    """A core that stands still for minutes is no failure of the feed."""

    async def main() -> None:
        beats: list[float] = []
        queue = MarketQueue(1)
        async with anyio.create_task_group() as group:
            feed = GatedFeed(queue, lambda: iter(bars(1, 3)), nothing)
            group.start_soon(feed.run, lambda: beats.append(anyio.current_time()))
            await anyio.sleep(60)
            assert len(queue.items) == 1
            assert len(beats) == pytest.approx(60, abs=2)
            group.cancel_scope.cancel()

    run_virtual(main)


def test_a_feed_lets_others_run_while_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to read, and however much room."""
    monkeypatch.setattr(edges, "READ_AHEAD", 5)

    async def main() -> None:
        queue = MarketQueue(10_000)
        async with anyio.create_task_group() as group:
            group.start_soon(GatedFeed(queue, lambda: iter(bars(1, 60)), nothing).run, nothing)
            await anyio.lowlevel.checkpoint()
            assert 0 < len(queue.items) <= 10
            await anyio.sleep(1)
            assert len(queue.items) == 62
            group.cancel_scope.cancel()

    run_virtual(main)


def test_a_feed_stutters_as_it_is_told() -> None:
    """Tests of the gate delay each input."""

    async def main() -> None:
        queue, waits = MarketQueue(), []

        async def jitter() -> None:
            waits.append(len(queue.items))
            await anyio.sleep(1)

        async with anyio.create_task_group() as group:
            group.start_soon(GatedFeed(queue, lambda: iter(bars(1, 2)), nothing).run, nothing, jitter)
            group.start_soon(
                FreeFeed(MarketQueue(), lambda: iter(bars(1, 2)), nothing, Pace(None), lambda *_: None).run,
                nothing,
                jitter,
            )
            await anyio.sleep(30)
            assert len(waits) == 8
            group.cancel_scope.cancel()

    run_virtual(main)


def loop_ns() -> int:
    """Return the loop's own time, nanoseconds."""
    return round(anyio.current_time() * SECOND)


def test_a_free_feed_delivers_when_the_time_has_come() -> None:
    """At the recording's pace; it waits for room as a vendor's stream would be read late."""

    async def main() -> None:
        pace = Pace(1.0, loop_ns)
        pace.begin(OPEN)
        queue, inputs = MarketQueue(2), bars(1, 4)
        async with anyio.create_task_group() as group:
            group.start_soon(FreeFeed(queue, lambda: iter(inputs), nothing, pace, lambda *_: None).run, nothing)
            await anyio.sleep(1)
            assert len(queue.items) == 1
            await anyio.sleep(60)
            assert len(queue.items) == 2
            await anyio.sleep(600)
            assert len(queue.items) == 2
            taken = []
            for _ in range(2):
                taken += [queue.take(), queue.take()]
                await anyio.sleep(2)
            taken += list(queue.items)
            assert taken == inputs[:5]
            await anyio.sleep(390 * 60)
            assert queue.ended
            group.cancel_scope.cancel()

    run_virtual(main)


def test_what_a_market_showed_while_the_process_stood_still_is_missed_but_for_the_calendar() -> None:
    """It is told once, since when until when; sessions still end for everybody."""

    async def main() -> None:
        ahead = 0
        pace = Pace(1.0, lambda: loop_ns() + ahead, runs_on=True)
        pace.begin(OPEN)
        gaps: list[tuple[int, int]] = []
        queue, inputs = MarketQueue(), bars(1, 10)
        async with anyio.create_task_group() as group:
            feed = FreeFeed(
                queue, lambda: iter(inputs), nothing, pace, lambda since, until: gaps.append((since, until))
            )
            group.start_soon(feed.run, nothing)
            await anyio.sleep(61)
            assert len(queue.items) == 2
            ahead = 5 * MINUTE + 30 * SECOND
            await anyio.sleep(60)
            assert [panel.ts for panel in queue.items] == [OPEN, OPEN + MINUTE, OPEN + 7 * MINUTE]
            assert len(gaps) == 1
            assert gaps[0][1] - gaps[0][0] == pytest.approx(ahead, abs=2 * SECOND)
            ahead += 400 * MINUTE
            await anyio.sleep(60)
            assert isinstance(queue.items[-1], SessionClosed)
            group.cancel_scope.cancel()

    run_virtual(main)
    seen = list(seen_from(iter(bars(1, 4)), OPEN + 3 * MINUTE))
    assert [panel.ts for panel in seen] == [OPEN, OPEN + 3 * MINUTE, OPEN + 4 * MINUTE, OPEN + 390 * MINUTE]


def test_a_free_feed_lets_others_run_at_full_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At full speed nothing else makes it wait."""
    monkeypatch.setattr(edges, "READ_AHEAD", 5)

    async def main() -> None:
        queue = MarketQueue(10_000)

        def inputs() -> Iterator[Market]:
            yield from bars(1, 60)

        async with anyio.create_task_group() as group:
            group.start_soon(FreeFeed(queue, inputs, nothing, Pace(None), lambda *_: None).run, nothing)
            await anyio.lowlevel.checkpoint()
            assert 0 < len(queue.items) <= 10
            await anyio.sleep(1)
            assert queue.ended
            group.cancel_scope.cancel()

    run_virtual(main)


# -- inference ---------------------------------------------------------------------------------------------------------


def request(name: str) -> InferenceRequested:
    """Return a question."""
    return InferenceRequested(name, "m", "s", 1, b"", b"", 1 << 62)


class Model:
    """A pool whose answers wait for a gate; fails as told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fail = False
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def predict(self, request: InferenceRequested) -> PredictionReady:
        """Answer, in the worker thread."""
        self.asked.append(request.request_id)
        self.reached.set()
        assert self.open.wait(DEADLINE_S)
        if self.fail:
            raise ValueError("no idea")
        return PredictionReady(request.request_id, request.model_id, "1d", b"", b"", b"")


class Answers(Wakes):
    """What came back."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[PredictionReady | PredictionUnavailable] = []

    def take(self, answer: PredictionReady | PredictionUnavailable) -> None:
        """Take an answer."""
        self.got.append(answer)
        self()

    @property
    def names(self) -> list[str]:
        """Return what was answered."""
        return [answer.request_id for answer in self.got]


@pytest.mark.asyncio
async def test_each_question_is_asked_once_in_order() -> None:
    """Asked again while it waits or is being answered, it is not asked twice; nothing is left behind."""
    model, answers = Model(), Answers()
    inference = Inference(model, answers.take)
    model.open.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        for name in ("a", "b", "a"):
            inference.ask(request(name))
        assert await anyio.to_thread.run_sync(model.reached.wait, DEADLINE_S)
        inference.ask_again({name: OpenQuestion(request(name), 1) for name in ("a", "b", "c")})
        assert len(inference) == 3
        model.open.set()
        await answers.until(lambda: len(answers.got) == 3)
        inference.ask(request("d"))
        await answers.until(lambda: len(answers.got) == 4)
        group.cancel_scope.cancel()
    assert answers.names == model.asked == ["a", "b", "c", "d"]
    assert inference.answers == 4
    assert inference.last_ms >= 0
    assert not len(inference)


@pytest.mark.asyncio
async def test_whatever_a_model_raises_means_hold() -> None:
    """The reason is recorded with the answer; the next question has its own chance."""
    model, answers = Model(), Answers()
    model.fail = True
    inference = Inference(model, answers.take)
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        inference.ask(request("a"))
        await answers.until(lambda: len(answers.got) == 1)
        model.fail = False
        inference.ask(request("b"))
        await answers.until(lambda: len(answers.got) == 2)
        group.cancel_scope.cancel()
    first, second = answers.got
    assert isinstance(first, PredictionUnavailable)
    assert first.reason == "ValueError: no idea"
    assert isinstance(second, PredictionReady)
    assert inference.failures == 1


@pytest.mark.asyncio
async def test_without_a_pool_nothing_is_available() -> None:
    """A question is answered all the same, or the gate would wait for ever."""
    answers = Answers()
    inference = Inference(None, answers.take)
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        inference.ask(request("a"))
        await answers.until(lambda: len(answers.got) == 1)
        group.cancel_scope.cancel()
    assert isinstance(answers.got[0], PredictionUnavailable)


@pytest.mark.asyncio
async def test_a_pool_that_is_started_again_answers_what_its_predecessor_left() -> None:
    """Cancelled in the middle of an answer, which comes in all the same: each question is answered once."""
    model, answers = Model(), Answers()
    inference = Inference(model, answers.take)
    model.open.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        for name in ("a", "b"):
            inference.ask(request(name))
        assert await anyio.to_thread.run_sync(model.reached.wait, DEADLINE_S)
        group.cancel_scope.cancel()
        model.open.set()
    assert answers.names == ["a"]
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        await answers.until(lambda: len(answers.got) == 2)
        group.cancel_scope.cancel()
    assert answers.names == model.asked == ["a", "b"]


@pytest.mark.asyncio
async def test_a_question_that_a_model_hangs_in_is_not_asked_again() -> None:
    """The pool was left behind in it and replaced: it is unavailable, the next is answered, and nothing comes twice."""
    model, answers = Model(), Answers()
    inference = Inference(model, answers.take)
    model.open.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        for name in ("a", "b"):
            inference.ask(request(name))
        assert await anyio.to_thread.run_sync(model.reached.wait, DEADLINE_S)
        group.start_soon(inference.run, nothing)
        await answers.until(lambda: answers.names == ["a"])
        assert isinstance(answers.got[0], PredictionUnavailable)
        assert "does not come back" in answers.got[0].reason
        model.open.set()
        await answers.until(lambda: len(answers.got) >= 2)
        assert isinstance(answers.got[1], PredictionReady)
        group.cancel_scope.cancel()
    assert answers.names == ["a", "b"]
    assert len(inference) == 0


@pytest.mark.asyncio
async def test_a_pool_that_gave_up_refuses_at_once_and_never_twice() -> None:
    """What waited, what is being answered, and what comes later: each is answered once."""
    model, answers = Model(), Answers()
    inference = Inference(model, answers.take)
    model.open.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(inference.run, nothing)
        for name in ("a", "b"):
            inference.ask(request(name))
        assert await anyio.to_thread.run_sync(model.reached.wait, DEADLINE_S)
        inference.give_up()
        assert answers.names == ["a", "b"]
        model.open.set()
        inference.ask(request("c"))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert answers.names == ["a", "b", "c"]
    assert all(isinstance(answer, PredictionUnavailable) for answer in answers.got)
    assert not len(inference)


# -- deliveries --------------------------------------------------------------------------------------------------------


def row(name: str, severity: Severity = Severity.CRITICAL, *, ts: int = 1, attempts: int = 0) -> OutboxRow:
    """Return an alert as it stands in the outbox."""
    alert = AlertRaised(name, f"key-{name}", ts, severity, f"title of {name} at {ts}", ())
    return OutboxRow(name, ts, severity.value, msgspec.json.encode(alert), attempts=attempts)


class Kept:
    """What is written about alerts."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []

    def __call__(self, rows: list[OutboxRow]) -> None:
        """Take rows."""
        self.rows += rows

    @property
    def states(self) -> list[tuple[str, str, int]]:
        """Return (id, state, attempts)."""
        return [(one.alert_id, one.state, one.attempts) for one in self.rows]


def deliver_in_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call channels on the loop's own thread: virtual time does not wait for another one."""

    async def run_sync(function: Callable[..., object], *args: object) -> object:
        await anyio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(edges.anyio.to_thread, "run_sync", run_sync)


@pytest.mark.asyncio
async def test_what_the_last_run_left_goes_out_first_critical_first() -> None:
    """Under the ids it had."""
    phone, kept = Phone(), Kept()
    left = [row("I-1", Severity.INFO), row("C-1"), row("W-1", Severity.WARNING), row("C-2")]
    deliveries = Deliveries([phone], left, kept)
    assert len(deliveries) == 4
    assert await deliveries.deliver_once() == 0
    assert [alert.alert_id for alert in phone.heard] == ["C-1", "C-2", "I-1", "W-1"]
    assert {state for _, state, _ in kept.states} == {"delivered"}
    assert deliveries.delivered == 4
    assert await deliveries.deliver_once() == 0
    assert len(phone.heard) == 4


def test_a_critical_alert_is_tried_until_a_channel_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    """For hours if it must be; another is given up after a few attempts, and that is written."""
    deliver_in_loop(monkeypatch)

    async def main() -> None:
        phone, kept = Phone(works=False), Kept()
        deliveries = Deliveries([phone], [], kept)
        async with anyio.create_task_group() as group:
            group.start_soon(deliveries.run, nothing)
            deliveries.add([row("C-1"), row("W-1", Severity.WARNING)])
            await anyio.sleep(ATTEMPTS_MAX * RETRY_S + 1)
            assert kept.states == [("W-1", "dropped", ATTEMPTS_MAX)]
            await anyio.sleep(7200)
            assert phone.tried > 1_000
            assert len(deliveries.failed) == 100
            assert isinstance(deliveries.failed[0], AlertFailed)
            phone.works = True
            await anyio.sleep(RETRY_S + 1)
            assert [alert.alert_id for alert in phone.heard] == ["C-1"]
            assert kept.states[-1][:2] == ("C-1", "delivered")
            assert not len(deliveries)
            await anyio.sleep(600)
            assert len(phone.heard) == 1
            assert deliveries.dropped == 1
            group.cancel_scope.cancel()

    run_virtual(main)


@pytest.mark.asyncio
async def test_one_channel_that_confirms_is_enough() -> None:
    """And where no channel is configured, nobody is waiting for it."""
    kept = Kept()
    deliveries = Deliveries([Phone(works=False), Phone(), Phone(works=False)], [row("C-1")], kept)
    assert await deliveries.deliver_once() == 0
    assert kept.states == [("C-1", "delivered", 1)]
    nobody = Deliveries([], [row("C-2")], kept)
    assert await nobody.deliver_once() == 0
    assert kept.states[-1] == ("C-2", "delivered", 1)


class Slow(Phone):
    """A channel that waits for a gate, in the worker thread."""

    def __init__(self, *, works: bool) -> None:
        super().__init__(works=works)
        self.reached = threading.Event()
        self.open = threading.Event()

    def deliver(self, alert: AlertRaised) -> None:
        """Wait, then do as a phone."""
        self.reached.set()
        assert self.open.wait(DEADLINE_S)
        super().deliver(alert)


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.asyncio
async def test_a_newer_form_that_comes_during_a_delivery_goes_out_itself(works: bool) -> None:
    """The older form's success says nothing about it, and its failure does not put the older one back."""
    phone, kept = Slow(works=works), Kept()
    deliveries = Deliveries([phone], [row("C-1", ts=1)], kept)
    async with anyio.create_task_group() as group:
        group.start_soon(deliveries.deliver_once)
        assert await anyio.to_thread.run_sync(phone.reached.wait, DEADLINE_S)
        deliveries.add([row("C-1", ts=2)])
        phone.open.set()
    assert kept.rows == []
    assert len(deliveries) == 1
    phone.works = True
    assert await deliveries.deliver_once() == 0
    assert phone.heard[-1].title == "title of C-1 at 2"
    assert [(one.ts, one.state) for one in kept.rows] == [(2, "delivered")]


@pytest.mark.asyncio
async def test_an_alert_that_was_given_up_during_its_delivery_is_not_written_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is a bound on what waits: the oldest that is not critical goes."""
    monkeypatch.setattr(edges, "WAITING_MAX", 2)
    phone, kept = Slow(works=True), Kept()
    deliveries = Deliveries([phone], [row("W-1", Severity.WARNING), row("C-1")], kept)
    async with anyio.create_task_group() as group:
        group.start_soon(deliveries.deliver_once)
        assert await anyio.to_thread.run_sync(phone.reached.wait, DEADLINE_S)
        deliveries.add([row("C-2")])
        assert kept.states == [("W-1", "dropped", 0)]
        deliveries.add([row("C-3")])
        assert len(deliveries) == 3  # nothing critical is given up
        phone.open.set()
    assert kept.states == [("W-1", "dropped", 0), ("C-1", "delivered", 1)]


@pytest.mark.asyncio
async def test_many_alerts_go_out_a_few_at_a_time_with_signs_of_life_between() -> None:
    """A slow channel is no dead-locked alerter."""
    phone = Phone()
    kept = Kept()
    deliveries = Deliveries([phone], [row(f"a{n}") for n in range(2 * AT_ONCE + 1)], kept)
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    assert await deliveries.deliver_once(beat) == 0
    assert beats == 3


@pytest.mark.asyncio
async def test_two_do_not_deliver_at_once() -> None:
    """The end of the process asks for a last round while one is under way: no alert goes out twice for that."""
    phone, kept = Slow(works=True), Kept()
    deliveries = Deliveries([phone], [row("C-1")], kept)
    async with anyio.create_task_group() as group:
        group.start_soon(deliveries.run, nothing)
        assert await anyio.to_thread.run_sync(phone.reached.wait, DEADLINE_S)
        last = anyio.Event()

        async def end() -> None:
            assert await deliveries.deliver_once() == 0
            last.set()

        group.start_soon(end)
        await anyio.lowlevel.checkpoint()
        phone.open.set()
        with anyio.fail_after(DEADLINE_S):
            await last.wait()
        group.cancel_scope.cancel()
    assert len(phone.heard) == 1


def test_states_that_come_back_from_a_commit_are_no_news() -> None:
    """Only what is pending is to be delivered."""
    deliveries = Deliveries([], [], Kept())
    deliveries.add([])
    deliveries.add([msgspec.structs.replace(row("C-1"), state="delivered")])
    assert not len(deliveries)
