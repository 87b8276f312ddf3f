"""How much one peer, and all of them together, may ask of the control thread. Every number is a bound with a test."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any, Final

from daemon.control.protocol import FRAME_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of the server; seconds, bytes and counts as the names say.

    Attributes:
        connections_max: open at once. One more closes another: a newcomer always gets in.
        frame_bytes_max: of a line from a client.
        answer_bytes_max: of a line to a client.
        pipeline_max: requests of one connection that wait for their answers.
        calls_max: calls that wait for the core, all connections together; as many again are kept for lane 0.
        hello_s: until ``hello`` must have come.
        line_s: until a line that was begun must have ended.
        idle_s: without a request, unless subscribed.
        call_s: how long the core may take, unless the method says otherwise.
        linger_s: how long a closing connection may take to read its last lines.
        requests_per_s: of one uid, on all its connections.
        requests_burst: of one uid at once.
        safe_per_s: the same for lane 0 (halt, reduce, flatten), which other requests cannot use up. A kill is not
            counted at all.
        safe_burst: of lane 0, at once.
        refusals_max: in a row, after which a connection is closed.
        subscribers_max: of all connections.
        events_max: that one subscriber may be behind.
        heartbeat_s: between two signs of life to subscribers.
        write_bytes_max: of answers that a client has not read.
        audits_per_s: of refusals, for one uid; what is above is counted and told with the next.
        lines_per_turn: of one connection before it is the others' turn.
    """

    connections_max: int = 64
    frame_bytes_max: int = FRAME_BYTES_MAX
    answer_bytes_max: int = 4 << 20
    pipeline_max: int = 64
    calls_max: int = 1024
    hello_s: float = 5.0
    line_s: float = 5.0
    idle_s: float = 600.0
    call_s: float = 30.0
    linger_s: float = 5.0
    requests_per_s: float = 50.0
    requests_burst: float = 100.0
    safe_per_s: float = 20.0
    safe_burst: float = 40.0
    refusals_max: int = 100
    subscribers_max: int = 16
    events_max: int = 1000
    heartbeat_s: float = 5.0
    write_bytes_max: int = 8 << 20
    audits_per_s: float = 5.0
    lines_per_turn: int = 4

    def told(self) -> dict[str, Any]:
        """Return what a client should know."""
        names = ("frame_bytes_max", "answer_bytes_max", "pipeline_max", "line_s", "idle_s", "call_s", "requests_per_s")
        return {name: value for name, value in asdict(self).items() if name in names}


class Bucket:
    """A token bucket: so many at once, so many a second. The clock is the caller's."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Begin full."""
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one, or say that there is none."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


_UIDS_MAX: Final = 256


class Budgets:
    """One bucket for each uid; the uid that was heard longest ago is forgotten first."""

    def __init__(self, rate: float, burst: float) -> None:
        """See :class:`Bucket`."""
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    def take(self, uid: int, now: float) -> bool:
        """Take one from the uid's bucket."""
        bucket = self._buckets.get(uid)
        if bucket is None:
            if len(self._buckets) >= _UIDS_MAX:
                self._buckets.popitem(last=False)
            bucket = self._buckets[uid] = Bucket(self._rate, self._burst, now)
        self._buckets.move_to_end(uid)
        return bucket.take(now)


class Audits:
    """Thins refusals out before they are journaled, so that a flood of garbage is a row and a count, not a flood."""

    def __init__(self, rate: float) -> None:
        """Let ``rate`` a second through for each uid, ten times that at once."""
        self._budgets = Budgets(rate, 10 * rate)
        self._dropped: dict[int, int] = {}

    def thin(self, uid: int, outcome: str, now: float) -> str | None:
        """Return the outcome to be journaled, with the count of those before it that were not; None: not this one."""
        if not self._budgets.take(uid, now):
            if uid in self._dropped or len(self._dropped) < _UIDS_MAX:
                self._dropped[uid] = self._dropped.get(uid, 0) + 1
            return None
        dropped = self._dropped.pop(uid, 0)
        return f"{outcome} (and {dropped} refusals before it)" if dropped else outcome
