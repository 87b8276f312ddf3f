"""The control server: calls, answers, limits. Real sockets, a desk with a core thread of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.control.calls import Call, Outcome, Peer, Role
from daemon.control.flights import RECENT_MAX, Flight, Flights
from daemon.control.limits import Audits, Bucket, Budgets, ServerLimits
from daemon.control.listening import SocketTakenError
from daemon.control.methods import METHODS
from daemon.control.roles import Groups
from daemon.control.server import ControlServer
from daemon.kernel.errors import OperatorError
from tests.control.parts import DEADLINE_S, Client, Running, reason, running, short_folder, until

ORDER = {"symbol": "SPY", "side": "buy", "qty": 10, "request_id": "r1"}


def killed(daemon: Running) -> bool:
    """Kill over a connection of its own and return whether that worked."""
    with daemon.client() as client:
        return bool(client.ask("kill", {"reason": "test"})["result"]["durable"])


# -- calls and answers -----------------------------------------------------------------------------------------------


def test_answers_come_as_they_are_ready() -> None:
    """Pipelined: a read and a kill overtake a call that waits for the core."""
    with running() as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        client.request("halt", {}, 1)
        client.request("status", {}, 2)
        client.request("kill", {}, 3)
        seen = [client.line(), client.line()]
        assert sorted(line["id"] for line in seen if line) == [2, 3]
        daemon.desk.gate.set()
        last = client.line()
        assert last is not None
        assert last["id"] == 1


def test_a_kill_touches_nothing_but_the_latch() -> None:
    """No desk, no core, no queue; it is noted once the answer is out."""
    with running() as daemon:
        daemon.desk.gate.clear()
        assert killed(daemon)
        assert daemon.latch.reason == "test"
        assert daemon.latch.by == f"uid {os.getuid()} pid {os.getpid()}"
        assert daemon.desk.calls == []
        daemon.noted("kill", [("kill", "ok")])
        assert killed(daemon)
        daemon.noted("kill", [("kill", "ok")])


def test_a_kill_that_is_not_durable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is up, the client is told the truth, and the next kill tries again."""
    with running() as daemon:
        real = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            del descriptor
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        with daemon.client() as client:
            answer = client.ask("kill")
            assert reason(answer) == "NOT_DURABLE"
            assert "killed, but not durable" in answer["error"]["message"]
            assert daemon.latch.is_set
            monkeypatch.setattr(os, "fdatasync", real)
            assert client.ask("kill")["result"]["durable"]
        daemon.noted("kill", [("kill", "NOT_DURABLE"), ("kill", "ok")])


def test_a_call_is_noted_with_its_outcome() -> None:
    """Every mutating or refused one; reads are not."""
    with running() as daemon, daemon.client() as client:
        client.ask("halt")
        client.ask("cash.withdraw", {"amount": 5, "reason": "x"})
        client.ask("status")
        client.ask("nonsense")
        daemon.noted("halt", [("call", "ok")])
        daemon.noted("cash.withdraw", [("call", "CASH")])
        daemon.noted("status", [])
        daemon.noted("nonsense", [("refused", "UNKNOWN_METHOD")])


def test_numbers_reach_the_desk_as_they_were_typed() -> None:
    """Never a float."""
    with running() as daemon, daemon.client() as client:
        client.send(
            b'{"jsonrpc":"2.0","id":1,"method":"cash.deposit","params":{"amount":0.1000000000000000055511,"reason":"x"}}\n'
        )
        assert client.line() is not None
        assert daemon.desk.calls[0].params == {"amount": Decimal("0.1000000000000000055511")}


def test_the_core_does_not_answer_in_time() -> None:
    """The state is not known, and that is what is said; the late answer is dropped, the key still works."""
    with running(ServerLimits(call_s=0.05)) as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        answer = client.ask("order.submit", ORDER)
        assert reason(answer) == "UNKNOWN"
        assert "same request_id" in answer["error"]["data"]["remedy"]
        answer = client.ask("order.submit", {"symbol": "SPY", "side": "buy", "qty": 11})
        assert "look before" in answer["error"]["data"]["remedy"]
        daemon.desk.gate.set()
        until(lambda: len(daemon.desk.calls) == 2, "the core did not go on")
        answer = client.ask("order.submit", ORDER)
        assert answer["result"]["status"] == "new"
        assert len(daemon.desk.calls) == 2
        assert list(daemon.desk.orders) == ["op-r1", "op-"]


def test_methods_that_take_long_have_limits_of_their_own() -> None:
    """A flatten waits for as long as it may take."""
    longest = METHODS["flatten"].timeout_s
    assert longest is not None
    assert longest > 600
    with running(ServerLimits(call_s=0.02)) as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        client.request("reload", {}, 1)
        assert reason(client.ask("halt", {}, 2)) == "UNKNOWN"
        daemon.desk.gate.set()
        line = client.line()
        assert line is not None
        assert line["id"] == 1
        assert "result" in line


def test_answers_after_the_connection_is_gone_go_nowhere() -> None:
    """The call is done all the same, and its key answers on the next connection."""
    with running() as daemon:
        daemon.desk.gate.clear()
        with daemon.client() as client:
            client.request("order.submit", ORDER)
            assert daemon.desk.entered.wait(DEADLINE_S)
        daemon.desk.gate.set()
        with daemon.client() as client:
            assert client.ask("order.submit", ORDER)["result"]["order_id"] == "op-r1"
        assert len(daemon.desk.calls) == 1


def test_a_desk_that_answers_twice_is_heard_once() -> None:
    """From other threads, at the same time."""

    class Twice:
        def submit(self, call: Any, answer: Any) -> None:
            threads = [threading.Thread(target=answer, args=(Outcome({"n": n}),)) for n in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def stands(self, call: Any, outcome: Any) -> bool:
            return bool(call and outcome)

    with running() as daemon, daemon.client() as client:
        daemon.server.attach(Twice())  # type: ignore[arg-type]
        first = client.ask("reload", {"request_id": "a"}, 1)
        assert first["result"]["n"] in (0, 1)
        daemon.server.attach(daemon.desk)
        assert client.ask("status", {}, 2)["result"]
        assert client.ask("reload", {"request_id": "a"}, 3)["result"] == first["result"]


# -- idempotency -----------------------------------------------------------------------------------------------------


def test_the_same_key_under_way_waits_for_the_same_answer() -> None:
    """On two connections; one order."""
    with running() as daemon, daemon.client() as one, daemon.client() as two:
        daemon.desk.gate.clear()
        one.request("order.submit", ORDER)
        assert daemon.desk.entered.wait(DEADLINE_S)
        two.request("order.submit", ORDER)
        assert reason(two.ask("order.submit", ORDER | {"qty": 11}, 2)) == "IDEMPOTENCY_MISMATCH"
        daemon.desk.gate.set()
        answers = [one.line(), two.line()]
        assert [answer["result"]["order_id"] for answer in answers if answer] == ["op-r1", "op-r1"]
        assert len(daemon.desk.calls) == 1


def test_a_key_that_the_ledger_kept_is_answered_from_it() -> None:
    """After a restart; the numbers are as they were written; other parameters are refused."""
    with running() as daemon:
        with daemon.client() as client:
            kept = client.ask("cash.deposit", {"amount": 5, "reason": "x", "request_id": "r1"})
        with running() as later:
            later.desk.kept = daemon.desk.kept
            with later.client() as client:
                answer = client.ask("cash.deposit", {"amount": 5, "reason": "again", "request_id": "r1"})
                assert answer["result"] == kept["result"]
                other = client.ask("cash.deposit", {"amount": 6, "reason": "x", "request_id": "r1"}, 2)
                assert reason(other) == "IDEMPOTENCY_MISMATCH"
                other = client.ask("cash.withdraw", {"amount": 5, "reason": "x", "request_id": "r1"}, 3)
                assert reason(other) == "IDEMPOTENCY_MISMATCH"
            assert later.desk.calls == []


def test_a_key_of_a_call_that_was_refused_may_be_used_again() -> None:
    """Nothing was done, so there is nothing to keep."""
    with running() as daemon, daemon.client() as client:
        params = {"amount": 5, "reason": "x", "request_id": "r1"}
        assert reason(client.ask("cash.withdraw", params, 1)) == "CASH"
        assert reason(client.ask("cash.withdraw", params, 2)) == "CASH"
        assert len(daemon.desk.calls) == 2


def test_a_halt_that_was_lifted_is_done_anew_under_its_key() -> None:
    """A repeated request gets the answer it had while that holds; a stop that does not stop is none."""
    with running() as daemon, daemon.client() as client:
        halted = client.ask("halt", {"request_id": "a"}, 1)["result"]
        assert client.ask("halt", {"request_id": "a"}, 2)["result"] == halted
        assert [call.method for call in daemon.desk.calls] == ["halt"]
        client.ask("resume", {"reason": "over", "request_id": "b"}, 3)
        assert client.ask("halt", {"request_id": "a"}, 4)["result"] == halted
        assert daemon.desk.state == "halted"
        assert [call.method for call in daemon.desk.calls] == ["halt", "resume", "halt"]


def test_while_kept_answers_cannot_be_read_a_stop_is_done_and_the_rest_is_refused() -> None:
    """Rather halted twice than not at all; an order that might be a second one is refused at once."""
    with running() as daemon, daemon.client() as client:
        daemon.desk.unreadable = OperatorError("it is gone", code="LEDGER_UNREADABLE", remedy="look")
        assert client.ask("halt", {"request_id": "a"}, 1)["result"]["trading_state"] == "halted"
        assert client.ask("flatten", {"request_id": "b"}, 2)["result"]
        assert [(call.method, call.request_id) for call in daemon.desk.calls] == [("halt", ""), ("flatten", "")]
        refused = client.ask("order.submit", ORDER, 3)
        assert reason(refused) == "LEDGER_UNREADABLE"
        assert refused["error"]["data"]["remedy"] == "look"
        daemon.desk.unreadable = ZeroDivisionError("a fault on purpose")
        assert reason(client.ask("order.submit", ORDER, 4)) == "INTERNAL"
        assert "ZeroDivisionError" in daemon.problems.pop()
        assert len(daemon.desk.calls) == 2
        daemon.desk.unreadable = None
        assert client.ask("order.submit", ORDER, 5)["result"]["status"] == "denied"


def test_answers_that_the_ledger_does_not_keep_are_remembered_for_a_while() -> None:
    """The last 256 of them; after that the ledger is asked again."""
    peer = Peer(1, 1, 1, Role.ADMIN)
    flights = Flights(10, lambda key: None, lambda call: call.method)
    seen: list[Outcome] = []

    def always(call: Call, outcome: Outcome) -> bool:
        return bool(call and outcome)

    for number in range(RECENT_MAX + 1):
        flight = flights.board(Call("reload", {}, peer, request_id=f"r{number}"), seen.append, always, safe=False)
        assert isinstance(flight, Flight)
        flights.land(flight, Outcome({"n": number}))
        flights.land(flight, Outcome({"n": -1}))
    assert [outcome.result for outcome in seen] == [{"n": number} for number in range(RECENT_MAX + 1)]
    assert flights.board(Call("reload", {}, peer, request_id="r1"), seen.append, always, safe=False) == Outcome(
        {"n": 1}
    )
    assert isinstance(flights.board(Call("reload", {}, peer, request_id="r0"), seen.append, always, safe=False), Flight)


# -- limits ----------------------------------------------------------------------------------------------------------


def test_requests_a_second_are_limited_and_lane_0_has_its_own() -> None:
    """Whoever has used up everything else can still halt and kill; the refusals are thinned out in the notes."""
    limits = ServerLimits(requests_per_s=0.001, requests_burst=5, refusals_max=1000, audits_per_s=0.1)
    with running(limits) as daemon, daemon.client() as client:
        answers = [client.ask("status", {}, number) for number in range(1, 26)]
        assert ["error" in answer for answer in answers] == [False] * 5 + [True] * 20
        assert reason(answers[-1]) == "RATE_LIMITED"
        assert client.ask("halt", {}, 50)["result"]["trading_state"] == "halted"
        assert client.ask("kill", {}, 51)["result"]["durable"]
        daemon.noted("status", [("refused", "RATE_LIMITED")])


def test_lane_0_is_limited_too_and_a_kill_is_not() -> None:
    """A program gone wild halts a thousand times; a kill is still a kill."""
    limits = ServerLimits(safe_per_s=0.001, safe_burst=2)
    with running(limits) as daemon, daemon.client() as client:
        answers = [client.ask("halt", {}, number) for number in range(1, 5)]
        assert ["error" in answer for answer in answers] == [False, False, True, True]
        assert all(client.ask("kill", {}, number)["result"]["durable"] for number in range(5, 60))
        assert client.ask("status", {}, 60)["result"]
        daemon.noted("kill", [("kill", "ok")])


def test_a_conversation_that_is_nothing_but_errors_is_ended() -> None:
    """After a good answer the count begins anew."""
    with running(ServerLimits(refusals_max=5)) as daemon, daemon.client() as client:
        for number in range(1, 5):
            client.ask("nonsense", {}, number)
        client.ask("status", {}, 5)
        for number in range(6, 10):
            client.ask("nonsense", {}, number)
        client.send([])
        assert [reason(line) for line in client.rest()] == ["BATCH", "TOO_MANY_REFUSALS"]
        assert killed(daemon)


def test_requests_that_wait_are_limited_on_a_connection() -> None:
    """The core is stuck: what is too much is refused, lane 0 is not counted, a kill is answered."""
    with running(ServerLimits(pipeline_max=3)) as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        for number in range(1, 4):
            client.request("reload", {}, number)
        assert reason(client.ask("reload", {}, 4)) == "BUSY"
        assert reason(client.ask("status", {}, 5)) == "BUSY"
        client.request("halt", {}, 6)
        assert client.ask("kill", {}, 7)["result"]["durable"]
        daemon.desk.gate.set()
        lines = [client.line() for _ in range(4)]
        ids = [line["id"] for line in lines if line and "result" in line]
        assert [number for number in ids if number != 6] == [1, 2, 3]
        assert 6 in ids  # lane 0 goes first where it can


def test_calls_that_wait_for_the_core_are_limited_and_lane_0_has_its_own() -> None:
    """All connections together; nobody's orders can use up the places of a halt."""
    with running(ServerLimits(calls_max=2)) as daemon, daemon.client() as one, daemon.client() as two:
        daemon.desk.gate.clear()
        one.request("reload", {}, 1)
        one.request("reload", {}, 2)
        assert daemon.desk.entered.wait(DEADLINE_S)
        assert one.ask("status", {}, 3)["result"]
        assert reason(two.ask("reload", {}, 4)) == "BUSY"
        two.request("halt", {}, 5)
        two.request("reduce", {}, 6)
        assert reason(two.ask("flatten", {}, 7)) == "BUSY"
        daemon.desk.gate.set()
        assert [line["id"] for line in (two.line(), two.line()) if line] == [5, 6]


def test_an_answer_that_is_too_long_is_an_error() -> None:
    """It says how to ask for less."""
    with running(ServerLimits(answer_bytes_max=2000)) as daemon, daemon.client() as client:
        assert client.ask("fills", {"limit": 5}, 1)["result"]["rows"]
        answer = client.ask("fills", {"limit": 50}, 2)
        assert reason(answer) == "ANSWER_TOO_LARGE"
        assert "limit" in answer["error"]["data"]["remedy"]


def test_a_client_that_does_not_read_its_answers_is_cut_off() -> None:
    """What piles up is bounded; the others do not notice."""
    limits = ServerLimits(write_bytes_max=100_000, requests_per_s=10_000, requests_burst=10_000, pipeline_max=1000)
    with running(limits) as daemon, daemon.client() as client:
        with pytest.raises(OSError, match=r"[Pp]ipe|reset"):
            _ask_without_reading(client)
        assert killed(daemon)


def _ask_without_reading(client: Client) -> None:
    for number in range(10_000):
        client.request("fills", {"limit": 1000}, number)


def test_what_cannot_be_written_as_json_is_a_fault_that_is_told() -> None:
    """To the client and to the log; the connection goes on."""
    with running() as daemon, daemon.client() as client:
        assert reason(client.ask("risk", {}, 1)) == "INTERNAL"
        assert client.ask("status", {}, 2)["result"]
        assert len(daemon.told()) == 1


def test_a_note_that_cannot_be_taken_does_not_undo_what_was_done() -> None:
    """The audit is told as a problem; the kill is a kill."""
    with running() as daemon:

        def broken(*row: object) -> None:
            raise OSError(28, "No space left on device")

        daemon.server._dispatcher._audit = broken
        assert killed(daemon)
        assert "No space left" in daemon.told()[0]


def _stuff(daemon: Running, client: Client) -> int:
    """Ask without reading until no more answers fit; return how many were asked for."""
    (connection,) = daemon.server._connections
    while not connection.stuffed:
        before = daemon.desk.reads
        client.request("fills", {"limit": 1000}, before + 1)
        until(lambda before=before: daemon.desk.reads > before, "reads are not answered")
    return daemon.desk.reads


def test_whoever_is_closed_and_does_not_read_is_dropped_after_a_while() -> None:
    """Its last lines wait for it, but not for ever."""
    limits = ServerLimits(requests_burst=1000, linger_s=0.05)
    with running(limits) as daemon, daemon.client() as client:
        _stuff(daemon, client)
        client.send(b"garbage\n")
        until(lambda: not daemon.server._connections and not daemon.server._leaving, "it was not dropped")


# -- time ------------------------------------------------------------------------------------------------------------


def test_hello_must_come_in_time() -> None:
    """Silence is ended, with a sentence."""
    with running(ServerLimits(hello_s=0.05)) as daemon, daemon.client(hello=False) as client:
        assert [reason(line) for line in client.rest()] == ["HELLO_TIMEOUT"]
        daemon.noted("connection", [("refused", "HELLO_TIMEOUT")])


def test_an_idle_connection_is_ended_and_one_that_asks_or_waits_is_not() -> None:
    """A call under way is not idleness, nor is a subscription."""
    limits = ServerLimits(idle_s=0.1, heartbeat_s=0.05)
    with running(limits) as daemon, daemon.client() as idle, daemon.client() as waits, daemon.client() as listens:
        daemon.desk.gate.clear()
        waits.request("reload")
        listens.ask("subscribe")
        assert [reason(line) for line in idle.rest()] == ["IDLE"]
        daemon.desk.gate.set()
        assert "result" in (waits.line() or {})
        while (line := listens.line()) is not None and line["method"] != "heartbeat":
            pass
        assert line is not None


def test_bytes_in_time_do_not_make_a_slow_line_good() -> None:
    """Slow-loris: one byte now and then does not move the deadline of the line."""
    with running(ServerLimits(line_s=0.2)) as daemon, daemon.client() as client:
        line = b'{"jsonrpc":"2.0","id":1,"method":"status","params":{}}'
        client.link.settimeout(0.01)
        text = b""
        for byte in line * 100:
            try:
                client.link.send(bytes([byte]) if byte != 10 else b" ")
                text = client.link.recv(1000)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                text = client.link.recv(1000)
                break
        assert b"LINE_TIMEOUT" in text


# -- subscriptions ---------------------------------------------------------------------------------------------------


def test_events_follow_the_answer_and_end_with_the_connection() -> None:
    """From any thread, in order; afterwards the desk is told."""
    with running() as daemon:
        with daemon.client() as client:
            client.request("subscribe")
            assert "result" in (client.line() or {})
            push = daemon.desk.pushes[0]
            feeder = threading.Thread(target=lambda: [push({"seq": number}) for number in range(2, 500)])
            feeder.start()
            seen = [client.line() for _ in range(499)]
            feeder.join(DEADLINE_S)
            assert [line["params"]["seq"] for line in seen if line] == list(range(1, 500))
        assert daemon.desk.undone.wait(DEADLINE_S)
        assert push({"seq": 500}) is False


def test_a_subscriber_that_does_not_read_is_cut_off_and_told() -> None:
    """It never slows the one who pushes; what it finds at the end is why."""
    with running(ServerLimits(events_max=50)) as daemon, daemon.client() as client:
        client.ask("subscribe")
        push = daemon.desk.pushes[0]
        event = {"seq": 2, "text": "x" * 10_000}
        pushed = 0
        while push(event):
            pushed += 1
            assert pushed < 100_000
        lines = client.rest()
        assert lines[-1]["method"] == "end"
        assert lines[-1]["params"]["reason"] == "TOO_SLOW"
        assert daemon.desk.undone.wait(DEADLINE_S)


def test_events_wait_while_a_subscriber_does_not_read_and_go_on_when_it_does() -> None:
    """None is lost and none comes twice, as long as it is not too far behind; signs of life wait as well."""
    with running(ServerLimits(heartbeat_s=0.05)) as daemon, daemon.client() as client:
        client.ask("subscribe")
        (connection,) = daemon.server._connections
        subscription = connection.subscription
        assert subscription is not None
        until(lambda: not subscription.paused, "events are held back")
        push = daemon.desk.pushes[0]
        pushed = 1
        while not subscription.paused:
            pushed += 1
            assert push({"seq": pushed, "text": "x" * 10_000})
            until(lambda: subscription.paused or not subscription.waiting, "events stay where they are")
        for _ in range(100):
            pushed += 1
            assert push({"seq": pushed})
        seen = []
        while len(seen) < pushed:
            line = client.line()
            assert line is not None
            seen += [line["params"]["seq"]] if line["method"] == "event" else []
        assert seen == list(range(1, pushed + 1))
        assert not connection.stuffed


def test_whoever_does_not_read_may_subscribe_and_gets_events_once_it_reads() -> None:
    """The answer to subscribe waits behind what it has not read; so do the events."""
    limits = ServerLimits(requests_burst=1000)
    with running(limits) as daemon, daemon.client() as client:
        (connection,) = daemon.server._connections
        asked = _stuff(daemon, client)
        client.request("subscribe", {}, "s")
        until(lambda: connection.subscription is not None, "the subscription did not come")
        lines = [client.line() for _ in range(asked + 2)]
        assert [line.get("id") for line in lines if line] == [*range(1, asked + 1), "s", None]


def test_subscribers_are_limited() -> None:
    """So that they cannot take all places; each may subscribe once."""
    with running(ServerLimits(subscribers_max=1)) as daemon, daemon.client() as one, daemon.client() as two:
        assert "result" in one.ask("subscribe", {}, 1)
        assert reason(two.ask("subscribe", {}, 1)) == "BUSY"
        one.link.close()
        assert daemon.desk.undone.wait(DEADLINE_S)
        assert "result" in two.ask("subscribe", {}, 2)


def test_a_subscription_that_the_desk_refuses_is_an_error() -> None:
    """And leaves no trace."""
    with running() as daemon, daemon.client() as client:
        daemon.server.attach(object())  # type: ignore[arg-type]
        assert reason(client.ask("subscribe", {}, 1)) == "INTERNAL"
        daemon.problems.clear()
        daemon.server.attach(daemon.desk)
        assert "result" in client.ask("subscribe", {}, 2)


def test_an_event_that_cannot_be_written_ends_the_subscription_with_a_reason() -> None:
    """A fault of ours, told to both sides."""
    with running() as daemon, daemon.client() as client:
        client.ask("subscribe")
        daemon.desk.pushes[0]({"seq": object()})
        assert client.rest()[-1]["params"]["reason"] == "INTERNAL"
        assert len(daemon.told()) == 1


def test_a_subscription_that_cannot_be_undone_is_told() -> None:
    """The connection is gone either way."""
    with running() as daemon:

        def broken() -> None:
            message = "on purpose"
            raise KeyError(message)

        daemon.desk.undone.set = broken  # type: ignore[method-assign]
        with daemon.client() as client:
            client.ask("subscribe")
        assert len(daemon.told()) == 1


# -- the server itself -----------------------------------------------------------------------------------------------


def test_stopping_lets_answers_out_and_removes_the_socket() -> None:
    """A call under way is answered; idle connections and subscribers are told; new ones find nothing."""
    with running() as daemon, daemon.client() as idle, daemon.client() as waits, daemon.client() as listens:
        daemon.desk.gate.clear()
        waits.request("reload")
        assert daemon.desk.entered.wait(DEADLINE_S)
        listens.ask("subscribe")
        stopping = threading.Thread(target=daemon.server.stop, args=(DEADLINE_S,))
        stopping.start()
        assert [reason(line) for line in idle.rest()] == ["STOPPING"]
        assert listens.rest()[-1]["params"]["reason"] == "STOPPING"
        assert reason(waits.ask("status", {}, 2)) == "STOPPING"
        assert waits.ask("kill", {}, 3)["result"]["durable"]
        daemon.desk.gate.set()
        assert [line.get("id") for line in waits.rest()] == [1, None]
        stopping.join(DEADLINE_S)
        assert not daemon.path.exists()


def test_stopping_does_not_wait_for_ever() -> None:
    """The core is stuck: after the budget the connections are closed."""
    with running() as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        client.request("reload")
        assert daemon.desk.entered.wait(DEADLINE_S)
        assert daemon.server.stop(0.05)
        assert client.rest() == []
        daemon.desk.gate.set()


def test_an_answer_that_comes_after_the_end_goes_nowhere() -> None:
    """The desk may be slower than the end of the control thread."""
    with running() as daemon, daemon.client() as client:
        daemon.desk.gate.clear()
        client.request("reload")
        assert daemon.desk.entered.wait(DEADLINE_S)
        assert daemon.server.stop(0.01)
        daemon.desk.gate.set()
        daemon.desk.stop()
        assert [call.method for call in daemon.desk.calls] == ["reload"]


def test_a_second_daemon_is_refused_and_the_first_not_disturbed() -> None:
    """Before it has made a thread."""
    with running() as daemon, daemon.client() as client:
        other = server_at(daemon.path, daemon)
        with pytest.raises(SocketTakenError):
            other.start()
        assert other.stop()
        assert client.ask("status")["result"]


def server_at(path: Path, daemon: Running) -> ControlServer:
    """Return another server, not yet started, with everything of a running one."""
    return ControlServer(
        path,
        latch=daemon.latch,
        groups=Groups(),
        version="",
        lookup=daemon.desk.lookup,
        digest=str,
        audit=lambda *_: None,
        on_problem=daemon.problems.append,
        on_lost=daemon.lost.append,
    )


def test_the_loss_of_the_thread_is_reported() -> None:
    """A daemon that cannot be stopped must not go on."""
    with running() as daemon:
        loop = daemon.server._the_loop()
        loop.call_soon_threadsafe(loop.stop)
        assert daemon.ended.wait(DEADLINE_S)
        assert daemon.lost == [None]
        daemon.lost.clear()


def test_an_end_by_exception_is_reported_with_it() -> None:
    """Such as an exit asked for in the wrong place."""
    with running() as daemon:

        def leave() -> None:
            raise SystemExit(3)

        daemon.server._the_loop().call_soon_threadsafe(leave)
        assert daemon.ended.wait(DEADLINE_S)
        assert isinstance(daemon.lost[0], SystemExit)
        daemon.lost.clear()


def test_a_fault_in_a_handler_ends_one_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one it happened on is told; the others go on."""
    with running() as daemon, daemon.client() as one, daemon.client() as two:
        dispatcher = daemon.server._dispatcher
        monkeypatch.setattr(dispatcher, "_checked", None)
        one.request("status")
        assert [reason(line) for line in one.rest()] == ["INTERNAL"]
        monkeypatch.undo()
        assert two.ask("status")["result"]
        assert len(daemon.told()) == 1


def test_a_fault_in_a_timer_is_told_and_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that ends idle connections survives its own mistakes."""
    with running(ServerLimits(hello_s=0.05)) as daemon:
        monkeypatch.setattr(daemon.server, "_look_for_socket", None)
        until(lambda: len(daemon.problems) >= 2, "the timer did not come again")
        monkeypatch.undo()
        with daemon.client(hello=False) as client:
            assert [reason(line) for line in client.rest()] == ["HELLO_TIMEOUT"]
        daemon.problems.clear()


def test_a_socket_that_somebody_removes_is_told_once() -> None:
    """Nobody can reach the thread any more; the other kill paths are named."""
    with running(ServerLimits(hello_s=0.1)) as daemon:
        daemon.path.unlink()
        assert "file KILL" in daemon.told()[0]


def test_a_peer_that_the_kernel_knows_nothing_of_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown means no."""
    with running() as daemon:

        def unknown(*_: object) -> None:
            raise OSError(92, "Protocol not available")

        monkeypatch.setattr("daemon.control.server.peer_of", unknown)
        with daemon.client(hello=False) as client:
            assert client.rest() == []
        assert len(daemon.told()) == 1


def test_the_loop_is_not_there_before_the_start() -> None:
    """A mistake of the shell is a sentence, not an attribute error."""
    with short_folder() as folder, running() as daemon:
        other = server_at(folder / "s", daemon)
        with pytest.raises(RuntimeError, match="before it is started"):
            other.now()
        assert other.stop()


# -- budgets ---------------------------------------------------------------------------------------------------------


def test_a_bucket_refills_with_time_and_not_beyond_its_size() -> None:
    """Virtual time; a clock that goes back gives nothing."""
    bucket = Bucket(2.0, 3.0, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(100.5)
    assert not bucket.take(100.5)
    assert not bucket.take(99.0)
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_budgets_are_apart_and_forget_the_oldest() -> None:
    """One uid cannot use up another's; a flood of uids costs bounded memory."""
    budgets = Budgets(1.0, 1.0)
    assert budgets.take(1, 0.0)
    assert not budgets.take(1, 0.0)
    assert budgets.take(2, 0.0)
    for uid in range(10, 1000):
        budgets.take(uid, 0.0)
    assert len(budgets._buckets) <= 256


def test_refusals_are_counted_when_they_are_not_noted() -> None:
    """The next note says how many went before."""
    audits = Audits(1.0)
    found = [audits.thin(1, "X", 0.0) for _ in range(15)]
    assert found == ["X"] * 10 + [None] * 5
    assert audits.thin(1, "Y", 1.0) == "Y (and 5 refusals before it)"
    assert audits.thin(2, "Z", 1.0) == "Z"


def test_asyncio_runs_nowhere_else() -> None:
    """The control thread's loop is its own: this thread has none while a server runs."""
    with running() as daemon, daemon.client() as client:
        assert client.ask("status")["result"]
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()


def test_a_client_that_half_closes_gets_its_answers() -> None:
    """``printf ... | nc -U``: everything was said, the answers still go out, then the connection ends."""
    with running() as daemon, daemon.client(hello=False) as client:
        daemon.desk.gate.clear()
        client.request("hello", {"api": 1, "client": "x"}, 0)
        client.request("halt", {}, 1)
        for number in range(2, 40):
            client.request("status", {}, number)
        client.link.shutdown(socket.SHUT_WR)
        assert daemon.desk.entered.wait(DEADLINE_S)
        daemon.desk.gate.set()
        answers = client.rest()
        assert sorted(answer["id"] for answer in answers) == list(range(40))
        assert all("result" in answer for answer in answers)


def test_a_subscriber_that_half_closes_goes_on_listening() -> None:
    """It has said all it wanted."""
    with running(ServerLimits(heartbeat_s=0.05)) as daemon, daemon.client() as client:
        client.ask("subscribe")
        client.link.shutdown(socket.SHUT_WR)
        until(lambda: daemon.desk.pushes[0]({"seq": 7}), "the subscription ended")
        while (line := client.line()) is not None and line["method"] != "heartbeat":
            pass
        assert line is not None


def test_clients_share_nothing() -> None:
    """The same ids on two connections are two requests."""
    with running() as daemon:
        clients = [Client(daemon.path) for _ in range(5)]
        for number, client in enumerate(clients):
            client.request("positions", {"symbol": f"S{number}"}, 1)
        symbols = [(client.line() or {})["result"]["params"]["symbol"] for client in clients]
        assert symbols == [f"S{number}" for number in range(5)]
        for client in clients:
            client.link.close()
