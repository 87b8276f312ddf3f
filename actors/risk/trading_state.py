"""The trading state: what the gate lets pass, who may change it, and how.

Anyone may tighten. Loosening takes one step and a human: ``resume`` leads from reducing or halted to active unless a
breaker stands in the way, ``unlatch`` from killed to halted. A rule may stand in for the human where it undoes nothing
but what breakers did to a state that was active: the replay's resets (``semantics.md`` section 4), and the last breaker
that is armed again by itself. A recovery that missed prices reduces an active state, and gives back what it took once
they are fresh again: no more than that, and nothing that a person or a breaker has said in the meantime. Where a
breaker took over from a recovery, or prices were missed meanwhile, the recovery goes on behind the breaker.
"""

from __future__ import annotations

from typing import Any, Final

from actors.messages.risk import TradingState, TradingStateChanged
from daemon.kernel.state_machine import StateMachine

ACTIVE: Final = TradingState.ACTIVE
REDUCING: Final = TradingState.REDUCING
HALTED: Final = TradingState.HALTED
KILLED: Final = TradingState.KILLED

BREAKER: Final = "breaker"
"""``by`` of what a breaker did to the trading state, and of its end."""
REPLAY_RULE: Final = "replay rule"
"""``by`` of what the replay's reset rules do."""
RECOVERY: Final = "recovery"
"""``by`` of what a gap in the data does, and of its end."""

# A trigger that would loosen a stricter state has no row: `reduce` while halted is refused, not silently dropped.
# `halt` while killed has one, because the safe direction must never be an error.
TRADING_STATE: Final[StateMachine[TradingState, str]] = StateMachine(
    "trading state",
    {
        (ACTIVE, "reduce"): REDUCING,
        (ACTIVE, "halt"): HALTED,
        (ACTIVE, "kill"): KILLED,
        (REDUCING, "reduce"): REDUCING,
        (REDUCING, "halt"): HALTED,
        (REDUCING, "kill"): KILLED,
        (REDUCING, "resume"): ACTIVE,
        (HALTED, "halt"): HALTED,
        (HALTED, "kill"): KILLED,
        (HALTED, "resume"): ACTIVE,
        (KILLED, "halt"): KILLED,
        (KILLED, "kill"): KILLED,
        (KILLED, "unlatch"): HALTED,
    },
)


class StateKeeper:
    """The present state and whether a rule may lift it; a fold of ``TradingStateChanged`` and of gaps."""

    __slots__ = ("gap", "latched", "reason", "recovering", "rule_may_resume", "state")

    def __init__(self) -> None:
        self.state = ACTIVE
        self.reason = ""
        self.latched = False
        self.rule_may_resume = False
        self.recovering = False
        """Whether the state is a recovery's own reducing, which ends by itself."""
        self.gap = False
        """Whether prices were missed that nobody has waited for since."""

    def fold(self, event: TradingStateChanged) -> None:
        """Take over a change. What breakers did to an active state may be lifted by rule; nothing else may."""
        by_rule = event.old is ACTIVE or self.rule_may_resume or self.recovering
        own = event.by == BREAKER and by_rule and event.new in (REDUCING, HALTED)
        self.gap = event.new is not ACTIVE and (self.gap or self.recovering)
        self.rule_may_resume = own
        self.recovering = event.by == RECOVERY and event.new is REDUCING
        if self.recovering:
            self.gap = False
        unlatched = event.old is KILLED and event.new is HALTED
        # Why it is halted, not why it is no longer killed: whoever is to resume has to know of the kill.
        self.reason = f"unlatched: {event.reason} (killed before: {self.reason})" if unlatched else event.reason
        self.state = event.new
        self.latched = event.latched

    def fold_spoken(self) -> None:
        """A person has armed a breaker that took the state: it waits for that person's word, and for no rule."""
        self.rule_may_resume = False

    def fold_gap(self) -> None:
        """Prices were missed while the state was no recovery's to change."""
        self.gap = self.state is not ACTIVE and not self.recovering

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self.state.value, self.reason, self.latched, self.rule_may_resume, self.recovering, self.gap]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.state = TradingState(state[0])
        self.reason, self.latched, self.rule_may_resume, self.recovering = state[1:5]
        self.gap = state[5] if len(state) > 5 else False  # a snapshot of an older version has none
