"""Whatever happens in whatever order: only resume, unlatch and the reset rules loosen, and never what a person set."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.control import ClockStepped, Flatten, Halt, Kill, Reduce, Reload, ResetBreaker, Resume, Unlatch
from actors.messages.limits import BreakerRule
from actors.messages.market import FeedConnected, FeedLost, GapDetected
from actors.messages.risk import BreakerReset, BreakerTripped, TradingState, TradingStateChanged
from actors.risk.breaker_rows import CLOCK_SKEW, CONNECTIVITY, STALE_DATA, WEEKLY_LOSS, BreakerState
from tests.actors.risk.conftest import DAY, WIDE, World

SECOND = 10**9
MINUTE = 60 * SECOND
STRICTNESS = {state: n for n, state in enumerate(TradingState)}
BY_RULE = ("breaker", "replay rule", "recovery")
ACTIONS = st.sampled_from(["warn", "block", "reduce", "deleverage", "halt", "flatten"])
RULES = st.fixed_dictionaries(
    {
        name: st.builds(
            BreakerRule,
            limit=st.just(limit),
            action=ACTIONS,
            reset=st.sampled_from(["operator", "cooling", "cooling"]),
            cooling_ns=st.sampled_from([0, MINUTE]),
            cooling_sessions=st.integers(0, 1),
        )
        for name, limit in ((CLOCK_SKEW, 5.0), (CONNECTIVITY, 30.0), (STALE_DATA, 60.0), (WEEKLY_LOSS, 0.1))
    }
)
STEPS = st.lists(
    st.sampled_from(
        [
            "step", "lost", "back", "gap", "bar", "mark", "loss", "wait", "night", "reset", "split", "off", "on",
            "reduce", "halt", "kill", "flatten", "resume", "unlatch",
        ]
    ),
    max_size=25,
)  # fmt: skip


def act(w, step):  # noqa: PLR0911 - one line a step
    """Do one thing."""
    now = w.clock.now()
    if step == "split":
        w.split()
        return []
    if step in ("off", "on"):
        rules = {name: msgspec.structs.replace(rule, limit=0.0) for name, rule in w.limits.breakers.items()}
        return w.process(
            Reload("d", "anna", w.limits if step == "on" else msgspec.structs.replace(WIDE, breakers=rules))
        )
    if step == "wait":
        return w.until(now + MINUTE)
    if step == "night":
        events = w.until(w.session.close_ts) + w.close()
        return events + w.until(w.session.open_ts + DAY) + w.open()
    if step == "bar":
        return w.until(now + MINUTE) + w.bar([100.0] * 3, at=w.clock.now()) + w.mark(100_000)
    if step in ("mark", "loss"):
        return w.mark(100_000 if step == "mark" else 80_000)
    if step == "reset":
        return [
            event
            for row in list(w.risk.rows)
            for event in w.process(ResetBreaker(row.portfolio, row.breaker, "seen", "anna", row.subject))
        ]
    commands = {
        "step": ClockStepped(6 * SECOND),
        "lost": FeedLost(now, "live", "cut"),
        "back": FeedConnected(now, "live"),
        "gap": GapDetected(now, "live", now - SECOND, now),
        "reduce": Reduce("by hand", "anna"),
        "halt": Halt("by hand", "anna"),
        "kill": Kill("by hand", "anna"),
        "flatten": Flatten("by hand", "anna"),
        "resume": Resume("by hand", "anna"),
        "unlatch": Unlatch("by hand", "anna"),
    }
    return w.process(commands[step])


@settings(max_examples=300, deadline=None)
@given(RULES, STEPS)
def test_nothing_is_loosened_but_by_a_person_or_what_breakers_did_by_their_reset(rules, steps):
    """After each step: who changed the state may do so; a person's word stands until a person takes it back."""
    w = World(msgspec.structs.replace(WIDE, breakers=rules))
    theirs = TradingState.ACTIVE
    """The strictest that a person has set and not taken back."""
    for step in steps:
        before = w.risk.trading_state
        standing = {row.key for row in w.risk.rows if row.state is BreakerState.LATCHED}
        events = act(w, step)
        for event in events:
            if isinstance(event, TradingStateChanged):
                loosens = STRICTNESS[event.new] < STRICTNESS[event.old]
                if event.by == "anna":
                    if step in ("resume", "unlatch"):
                        theirs = event.new
                    else:
                        assert not loosens
                        theirs = max(theirs, event.new, key=STRICTNESS.__getitem__)
                else:
                    assert event.by in BY_RULE
            elif isinstance(event, BreakerReset) and event.by in BY_RULE:
                assert (event.portfolio, event.breaker, event.subject) not in standing  # a latch waits for a person
        state = w.risk.trading_state
        assert STRICTNESS[state] >= STRICTNESS[theirs]
        if STRICTNESS[state] < STRICTNESS[before] and step not in ("resume", "unlatch"):
            # A rule loosened: no breaker that sets a state stands any more, and none is latched.
            assert not w.risk.rows.stands_in_the_way()
        setting = [e for e in events if isinstance(e, BreakerTripped) and e.action in ("reduce", "halt", "flatten")]
        if setting and step not in ("resume", "unlatch", "night", "bar"):
            assert state is not TradingState.ACTIVE


@settings(max_examples=100, deadline=None)
@given(RULES, STEPS, st.integers(0, 24))
def test_a_run_that_is_folded_anew_stands_where_it_stood(rules, steps, cut):
    """State, rows and timers, from the snapshot and from nothing."""
    w = World(msgspec.structs.replace(WIDE, breakers=rules))
    for step in steps[:cut]:
        act(w, step)
    whole = w.sequencer.snapshot()
    w.split()
    w.sequencer.rearm()
    assert w.sequencer.snapshot() == whole
    w.refold()
    assert w.sequencer.snapshot() == whole
