"""What the daemon itself says to its core: commands, and facts about the machine that people should hear of.

Nobody waits for an answer, so nobody would ask again: what no core was there to take, or what was lost with one before
it was durable, is said again to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from daemon.control.calls import Outcome
from daemon.kernel.mailbox import Lane
from daemon.kernel.message import Message
from daemon.system.core_ports import Input

OWED_MAX: Final = 1_000
"""Words that wait for a core, at most."""
SOURCE: Final = "shell"


class Listener(Protocol):
    """The part of the core loop that is used here; another one whenever the core was built anew."""

    stalled: str

    def offer(self, item: Input, lane: Lane) -> bool:
        """Queue an input on a lane; False where that is not possible."""
        ...


class OwnWords:
    """See the module; on the loop's thread."""

    def __init__(self, listener: Callable[[], Listener]) -> None:
        """Owe nothing yet; ``listener`` gives the core loop that runs."""
        self._listener = listener
        self._owed: list[tuple[Message, Lane]] = []

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._owed)

    def say(self, message: Message, lane: Lane) -> None:
        """Put something in, now or later."""

        def said(outcome: Outcome) -> None:
            if outcome.code:
                self._owe(message, lane)

        if not self._listener().offer(Input(message, SOURCE, answer=said), lane):
            self._owe(message, lane)

    def say_once(self, message: Message, lane: Lane) -> None:
        """Put in what would be wrong later."""
        self._listener().offer(Input(message, SOURCE), lane)

    def say_again(self) -> None:
        """Put in what waits, unless there is no room to keep it."""
        if not self._owed or self._listener().stalled:
            return
        owed, self._owed = self._owed, []
        for message, lane in owed:
            self.say(message, lane)

    def _owe(self, message: Message, lane: Lane) -> None:
        if len(self._owed) < OWED_MAX:
            self._owed.append((message, lane))
