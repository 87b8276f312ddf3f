"""Windows, back-off and declarations: pure rules."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.errors import InvariantError
from daemon.supervision.child import ChildSpec
from daemon.supervision.policy import Backoff, Heartbeat, Restart, RestartIntensity, RestartWindow
from tests.supervision.world import OFTEN, Told, children, steady, supervisor


@pytest.mark.parametrize(
    ("most", "within", "every", "count", "holds"),
    [
        (5, 300.0, 0.0, 5, True),  # a burst of five is borne ...
        (5, 300.0, 0.0, 6, False),  # ... a sixth is not
        (1, 60.0, 0.0, 2, False),  # the same burst is too much for 1 in 60 s
        (1, 60.0, 60.5, 1000, True),  # which bears one a minute for ever
        (5, 300.0, 60.5, 1000, True),  # as does 5 in 300 s,
        (5, 300.0, 59.5, 6, False),  # but nothing faster: the sixth is within the window
        (5, 300.0, 60.0, 6, False),  # the window's edge belongs to it
        (0, 1.0, 0.0, 1, False),  # none at all
    ],
)
def test_bursts_and_sustained_rates_are_told_apart(
    most: int, within: float, every: float, count: int, *, holds: bool
) -> None:
    """Five in 300 s is not one in 60 s."""
    window = RestartWindow(RestartIntensity(most, within))
    outcomes = []
    for n in range(count):
        window.add(n * every)
        outcomes.append(not window.exceeded())
    assert outcomes[-1] is holds
    assert all(outcomes[:-1])


@given(st.lists(st.floats(0, 50), max_size=60), st.integers(0, 5), st.floats(0.5, 100))
def test_a_window_counts_what_lies_in_it(gaps: list[float], most: int, within: float) -> None:
    """Against the definition: failures not older than the window."""
    window = RestartWindow(RestartIntensity(most, within))
    times: list[float] = []
    for gap in gaps:
        times.append((times[-1] if times else 0.0) + gap)
        expected = sum(times[-1] - at <= within for at in times)
        assert window.add(times[-1]) == expected
        assert window.exceeded() is (expected > most)


def test_backoff_doubles_up_to_its_cap_with_a_jitter_that_names_decide() -> None:
    """0.1 s times 2^n, at most 10 s, less up to a quarter, equal in every run."""
    backoff = Backoff()
    delays = [backoff.delay("root", "feed", n) for n in range(100)]
    for n, delay in enumerate(delays):
        base = min(10.0, 0.1 * 2**n)
        assert 0.75 * base <= delay <= base
    assert delays == [backoff.delay("root", "feed", n) for n in range(100)]
    assert len({round(backoff.delay("root", name, 3), 9) for name in ("a", "b", "c", "d")}) == 4
    assert backoff.delay("x", "feed", 0) != backoff.delay("y", "feed", 0)
    assert Backoff(jitter=0.0).delay("a", "b", 2) == pytest.approx(0.4)


def test_a_heartbeat_is_due_so_long_after_the_last_beat() -> None:
    """Being made is a beat."""
    now = [10.0]
    heart = Heartbeat(3.0, lambda: now[0])
    assert heart.due == 13.0
    now[0] = 12.0
    heart.beat()
    assert heart.due == 15.0


@pytest.mark.parametrize(("most", "within"), [(-1, 1.0), (1, 0.0), (1, -2.0), (1, float("nan"))])
def test_an_intensity_without_sense_is_refused(most: int, within: float) -> None:
    """Negative counts and empty windows."""
    with pytest.raises(InvariantError, match="makes no sense"):
        RestartIntensity(most, within)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"shutdown_s": 0.0}, {"heartbeat_s": -1.0}, {"start_s": float("nan")}])
def test_a_child_without_a_name_or_with_times_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """At declaration, not when it is started."""
    declared: dict[str, object] = {"name": "a", "start": steady} | wrong
    with pytest.raises(InvariantError, match="positive times"):
        ChildSpec(**declared)  # type: ignore[arg-type]


def test_a_permanent_child_cannot_be_significant() -> None:
    """It is never over, so it can never end its supervisor."""
    with pytest.raises(InvariantError, match="never over"):
        ChildSpec("a", steady, significant=True)
    assert ChildSpec("a", steady, Restart.TRANSIENT, significant=True).significant


def test_names_are_unique_in_the_whole_tree() -> None:
    """The row of `tradingctl actors` must name one thing."""
    told = Told()
    inner = supervisor(told, children(a=steady), name="inner")
    with pytest.raises(InvariantError, match="a stands twice in the tree of root"):
        supervisor(told, [*children(a=steady), inner.spec()])
    with pytest.raises(InvariantError, match="root stands twice"):
        supervisor(told, children(root=steady))


def test_a_supervisors_budget_is_that_of_its_children_and_a_little_more() -> None:
    """They stop one after the other; whoever knows better says so."""
    inner = supervisor(Told(), children(a=steady, b=steady), name="inner")
    assert inner.spec().shutdown_s == 11.0
    assert inner.spec(shutdown_s=2.0, restart=Restart.TRANSIENT).restart is Restart.TRANSIENT
    assert msgspec.structs.replace(OFTEN, max_restarts=1).within_s == OFTEN.within_s
