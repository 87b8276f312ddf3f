"""What the daemon says to its core reaches one, if not this then the next."""

from __future__ import annotations

import pytest

from actors.messages.control import Halt
from daemon.control.calls import Outcome
from daemon.kernel.mailbox import Lane
from daemon.system import own_words
from daemon.system.core_ports import Input
from daemon.system.own_words import OwnWords

NO_ROOM = Outcome(code="LEDGER_FULL", message="no room", remedy="make some")


class Loop:
    """Takes what it is offered, or nothing."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.stalled = ""
        self.taken: list[tuple[Input, Lane]] = []

    def offer(self, item: Input, lane: Lane) -> bool:
        """Take an input."""
        if self.takes:
            self.taken.append((item, lane))
        return self.takes

    @property
    def reasons(self) -> list[str]:
        """Return what was taken, in order."""
        return [item.body.reason for item, _ in self.taken if isinstance(item.body, Halt)]


def test_what_nobody_took_is_said_to_the_next_core_in_order() -> None:
    """Once, on the lane it was meant for."""
    loop = Loop(takes=False)
    words = OwnWords(lambda: loop)
    words.say(Halt("one", "daemon"), Lane.CONTROL)
    words.say(Halt("two", "daemon"), Lane.COMMAND)
    words.say_once(Halt("too late", "daemon"), Lane.COMMAND)
    assert len(words) == 2
    words.say_again()
    assert len(words) == 2
    loop = Loop()
    words.say_again()
    words.say_again()
    assert loop.reasons == ["one", "two"]
    assert [lane for _, lane in loop.taken] == [Lane.CONTROL, Lane.COMMAND]
    assert len(words) == 0


def test_what_was_not_kept_is_said_again_and_what_is_durable_is_not() -> None:
    """Not while there is no room: it would only be refused."""
    loop = Loop()
    words = OwnWords(lambda: loop)
    words.say(Halt("kept", "daemon"), Lane.CONTROL)
    words.say(Halt("lost", "daemon"), Lane.CONTROL)
    (kept, _), (lost, _) = loop.taken
    kept.reply(Outcome())
    lost.reply(NO_ROOM)
    loop.stalled = "ledger_full"
    words.say_again()
    assert loop.reasons == ["kept", "lost"]
    loop.stalled = ""
    words.say_again()
    assert loop.reasons == ["kept", "lost", "lost"]


def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them matter: what comes behind says the same."""
    monkeypatch.setattr(own_words, "OWED_MAX", 2)
    loop = Loop(takes=False)
    words = OwnWords(lambda: loop)
    for reason in ("one", "two", "three"):
        words.say(Halt(reason, "daemon"), Lane.CONTROL)
    loop.takes = True
    words.say_again()
    assert loop.reasons == ["one", "two"]
