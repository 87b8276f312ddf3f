"""The alerter: a pure policy over committed frames and panels. Channels are ports; see ``delivery.py``.

A panel's frame goes to :meth:`AlerterActor.consume` first, if it has one, then the panel itself to
:meth:`AlerterActor.observe`: what a bar's fills closed is not held any more when the bar's moves are looked at. Both
answer with the alerts that are new or whose count went up; ``raised`` holds the newest form of each.

What the policy remembers is a fold of exactly these two calls: show them what was recorded, in the order in which it
was first shown, throw the answers away, and the alerter is the one that gave them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from actors.alerter import rules
from actors.alerter.dedupe import Dedupe
from actors.alerter.params import AlertParams
from actors.messages.alerts import AlertAcknowledged, AlertRaised, AlertTested, Severity
from actors.messages.inference import StrategyDisabled
from actors.messages.market import BarPanel, CorporateAction, SessionOpened
from actors.messages.orders import OrderRestated, SymbolFrozen, SymbolReleased
from actors.messages.portfolio import (
    CashFlowed,
    DividendAccrued,
    EquityMarked,
    FlattenEnded,
    PositionAdjusted,
    PositionChanged,
    TradeClosed,
)
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    LimitsChanged,
    MarginCalled,
    RestrictionChanged,
    TradingState,
    TradingStateChanged,
)
from actors.messages.runtime import MachineTrouble
from actors.values.fixed import SCALE, mul, mul_ratio, to_fixed
from actors.values.universe import Universe
from daemon.kernel.actor import EdgeActor, Health
from daemon.kernel.message import Envelope, Event, InputQuarantined, Message

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_NEVER = 1 << 200
"""A level no equity reaches."""

DAEMON_KEEPS = 200
"""Alerts that ``raised`` holds in a daemon, which runs for months; older ones are in the ledger."""


LOSSES_OF_OLD = ("daily_loss", "drawdown")

UNRESOLVED_NS = 12 * 3_600 * 10**9
"""How long a critical alert that nobody has dealt with keeps a daemon from trading after a restart."""

BY_RULE = ("recovery", "breaker")
"""Who lets trading go on without having looked. The replay's rule stands in for the person who would."""
SETTLED_BY_RESUME = ("trading_state:", "breaker:", "flatten:")


class _Growth:
    """Where a portfolio's next milestone lies: ``base`` is its deposits, moved by later flows as equity is."""

    __slots__ = ("base", "next", "reached", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.base = 0
        self.reached = 0
        self.next = _NEVER

    def flow(self, amount: int, equity: int) -> None:
        """Take an external flow: it scales base and equity alike, so it is no growth and no loss."""
        if equity > 0 and self.base > 0:
            self.base = mul_ratio(self.base, equity + amount, equity)
        else:
            self.base += amount
        self._aim()

    def snapshot(self) -> list[int]:
        """Return plain values."""
        return [self.base, self.reached]

    def restore(self, state: list[int]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.base, self.reached = state
        self._aim()

    def reach(self, equity: int) -> int:
        """Take an equity at or above the next milestone; return the number of the step it stands on."""
        self.reached = (equity - self.base) * SCALE // (self.base * self.step)
        self._aim()
        return self.reached

    def _aim(self) -> None:
        more = mul(self.base, self.step) * (self.reached + 1)
        self.next = self.base + more if self.base > 0 and self.step > 0 else _NEVER


class AlerterActor(EdgeActor):
    """See the module."""

    name = "alerter"

    def __init__(self, universe: Universe, params: AlertParams | None = None, *, daemon: bool = False) -> None:
        """Begin with nothing held and nothing said.

        Args:
            universe: names of the symbols.
            params: thresholds, by default those of :class:`AlertParams`.
            daemon: whether a daemon runs: suggested commands could be given to it, and it keeps no more than
                :data:`DAEMON_KEEPS` alerts. A replay reports every one of them.
        """
        self._params = params = params or AlertParams()
        self._daemon = daemon
        self._symbols = universe.symbols
        self._dedupe = Dedupe()
        self._step = to_fixed(params.milestone_step)
        self._growth: dict[str, _Growth] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._session = 0
        n = len(universe)
        self._last: I64 = np.zeros(n, dtype=np.int64)
        self._owned = True
        self._previous: I64 = np.zeros(n, dtype=np.int64)
        self._holders = [0] * n
        """How many portfolios hold each symbol."""
        self._reach: F64 = np.full(n, np.inf)
        """How far from the previous close the next large move of each symbol begins; inf where no close is known."""
        self._complete = False
        """Whether every symbol has a previous close; then it stays so."""
        self._judges: dict[type[Event], Callable[[Any, list[Event]], rules.Draft | None]] = {
            EquityMarked: self._marked,
            CashFlowed: self._flow,
            PositionChanged: self._position,
            TradeClosed: self._trade,
            TradingStateChanged: self._state,
            LimitBreached: lambda event, _: rules.limit_breached(event),
            BreakerTripped: lambda event, _: rules.breaker_tripped(event),
            BreakerReset: self._reset,
            EntriesLocked: lambda event, _: rules.entries_locked(
                event, self._symbols[event.symbol] if event.symbol >= 0 else ""
            ),
            RestrictionChanged: lambda event, _: rules.restriction_changed(event, self._symbols[event.symbol]),
            ConnectionChanged: lambda event, _: rules.connection_changed(event),
            MarginCalled: lambda event, _: rules.margin_called(event),
            StrategyDisabled: lambda event, _: rules.strategy_disabled(event),
            InputQuarantined: lambda event, _: rules.input_quarantined(event),
            FlattenEnded: self._flattened,
            SymbolFrozen: self._frozen,
            SymbolReleased: self._released,
            PositionAdjusted: self._adjusted,
            DividendAccrued: lambda event, _: rules.dividend_accrued(event, self._symbols[event.symbol]),
            OrderRestated: self._restated,
            LimitsChanged: lambda event, _: rules.limits_changed(event),
            MachineTrouble: lambda event, _: rules.machine_trouble(event),
            AlertTested: lambda event, _: rules.alert_tested(event),
            AlertAcknowledged: self._acknowledged,
        }
        self._raised: dict[str, AlertRaised] = {}
        self._open: dict[str, AlertRaised] = {}
        """Critical alerts that nobody has acknowledged and nothing has settled, by id."""

    @property
    def raised(self) -> list[AlertRaised]:
        """The alerts so far, in order of their first instants, each in its newest form; in a daemon the newest."""
        return list(self._raised.values())

    # -- panels ----------------------------------------------------------------------------------------------------

    def observe(self, panel: Message) -> list[AlertRaised]:
        """Look at market data: the calendar, last closes, and large moves of what is held."""
        if type(panel) is BarPanel:
            return self._bars(panel)
        if type(panel) is SessionOpened and panel.session.date != self._session:
            self._begin(panel.session.date)
        elif type(panel) is CorporateAction:
            self._reprice(panel)
        return []

    def _reprice(self, action: CorporateAction) -> None:
        """Say the last close in the units of the session that is about to begin: a split is no large move."""
        symbol = action.symbol
        last = int(self._last[symbol])
        if not last:
            return
        if not self._owned:
            self._last, self._owned = self._last.copy(), True
        if action.kind == "split":
            self._last[symbol] = mul_ratio(last, action.denominator, action.numerator)
        elif action.kind == "dividend":
            self._last[symbol] = max(last - action.value, 1)
        elif action.kind == "rename" and action.renamed_to is not None:
            self._last[action.renamed_to] = last

    def _begin(self, date: int) -> None:
        """Start a session: the closes so far are what moves are measured from."""
        self._session = date
        self._previous = self._last.copy() if self._owned else self._last
        limit = self._params.large_move
        if limit <= 0:
            return
        previous = self._previous
        # Half a unit of 1e-8 of slack, so that a move of exactly the limit counts whatever a float makes of it.
        self._reach = np.multiply(previous, limit, dtype=np.float64)
        self._reach -= 0.5
        if not self._complete:
            self._reach[previous == 0] = np.inf
            self._complete = bool(previous.all())

    def _bars(self, panel: BarPanel) -> list[AlertRaised]:
        if panel.session != self._session:
            self._begin(panel.session)
        if panel.dense:
            self._last = panel.close_fx
            self._owned = False
        else:
            if not self._owned:
                self._last = self._last.copy()
                self._owned = True
            self._last[panel.ids] = panel.close_fx
        if not self._positions:
            return []
        # A symbol without a bar keeps its last close and its reach, so it says nothing twice.
        distance = self._last - self._previous
        moved = (np.abs(distance, out=distance) >= self._reach).nonzero()[0]
        if not len(moved):
            return []
        return self._moved([symbol for symbol in moved.tolist() if self._holders[symbol]], panel.ts)

    def _moved(self, symbols: list[int], ts: int) -> list[AlertRaised]:
        alerts = []
        for symbol in symbols:
            close, previous = int(self._last[symbol]), int(self._previous[symbol])
            move = close / previous - 1.0
            # The next word comes at the next multiple of the limit.
            step = int(abs(move) / self._params.large_move + 1e-9) + 1
            self._reach[symbol] = previous * (self._params.large_move * step) - 0.5
            shares = sum(qty for (_, held), qty in self._positions.items() if held == symbol)
            alerts.append(self._raise(rules.large_move(self._symbols[symbol], move, close, previous, shares), ts))
        return alerts

    # -- frames ----------------------------------------------------------------------------------------------------

    # The kernel asks for nothing back; the alerts are for whoever feeds the channels.
    def consume(self, envelope: Envelope, events: list[Event]) -> list[AlertRaised]:  # type: ignore[override]
        """Look at a committed frame; return the alerts that are new or counted again."""
        body = envelope.body
        if type(body) is SessionOpened and body.session.date != self._session:
            self._begin(body.session.date)
        alerts: list[AlertRaised] = []
        # A fact from the edge is an input of its own.
        for event in [body, *events] if isinstance(body, Event) else events:
            judge = self._judges.get(type(event))
            if judge is not None:
                draft = judge(event, events)
                if draft is not None:
                    alerts.append(self._raise(draft, envelope.ts_init))
        return alerts

    def _marked(self, event: EquityMarked, events: list[Event]) -> rules.Draft | None:
        del events
        growth = self._growth.get(event.portfolio)
        if growth is None or event.equity < growth.next:
            return None
        ratio = round(growth.reach(event.equity) * self._params.milestone_step, 9)
        return rules.milestone(event.portfolio, ratio, event.equity, growth.base)

    def _flow(self, event: CashFlowed, events: list[Event]) -> rules.Draft | None:
        del events
        growth = self._growth.get(event.portfolio)
        if growth is None:
            growth = self._growth[event.portfolio] = _Growth(self._step)
        growth.flow(event.amount, event.equity)
        return None

    def _position(self, event: PositionChanged, events: list[Event]) -> rules.Draft | None:
        del events
        self._holds(event.portfolio, event.symbol, event.qty)
        return None

    def _holds(self, portfolio: str, symbol: int, qty: int) -> None:
        key = (portfolio, symbol)
        if qty:
            if key not in self._positions:
                self._holders[symbol] += 1
            self._positions[key] = qty
        elif self._positions.pop(key, 0):
            self._holders[symbol] -= 1

    def _adjusted(self, event: PositionAdjusted, events: list[Event]) -> rules.Draft | None:
        del events
        if event.new_symbol != event.symbol:
            self._holds(event.portfolio, event.symbol, 0)
        self._holds(event.portfolio, event.new_symbol, event.qty)
        return rules.position_adjusted(event, self._symbols[event.symbol], self._symbols[event.new_symbol])

    def _restated(self, event: OrderRestated, events: list[Event]) -> rules.Draft | None:
        """Where something is held, the position's own word in the same frame says it."""
        if any(isinstance(other, PositionAdjusted | DividendAccrued) for other in events):
            return None
        return rules.order_restated(event, self._symbols[event.symbol])

    def _frozen(self, event: SymbolFrozen, events: list[Event]) -> rules.Draft | None:
        del events
        if event.symbol < 0:
            return rules.symbol_frozen(event, "", held=True)
        return rules.symbol_frozen(event, self._symbols[event.symbol], held=bool(self._holders[event.symbol]))

    def _released(self, event: SymbolReleased, events: list[Event]) -> rules.Draft | None:
        del events
        if event.symbol < 0:
            return rules.symbol_released(event, "", held=True)
        return rules.symbol_released(event, self._symbols[event.symbol], held=bool(self._holders[event.symbol]))

    def _trade(self, event: TradeClosed, events: list[Event]) -> rules.Draft | None:
        del events
        if event.exit_reason != "stop_loss" or not self._params.stop_losses:
            return None
        return rules.stop_loss(event, self._symbols[event.symbol])

    def _state(self, event: TradingStateChanged, events: list[Event]) -> rules.Draft | None:
        if event.new is TradingState.ACTIVE and event.by not in BY_RULE:
            # A person who lets trading go on has looked at what stopped it.
            for alert in [alert for alert in self._open.values() if alert.key.startswith(SETTLED_BY_RESUME)]:
                del self._open[alert.alert_id]
        # A breaker's halt is told by the breaker's own alert, which says what was lost.
        told = event.by == "breaker" and any(type(other) is BreakerTripped for other in events)
        return None if told or not self._params.trading_state else rules.state_changed(event)

    def _reset(self, event: BreakerReset, events: list[Event]) -> rules.Draft | None:
        """What a breaker's trip was about is settled; day loss and drawdown are told by the state that follows."""
        del events
        key = rules.breaker_key(event)
        for alert in [alert for alert in self._open.values() if alert.key == key]:
            del self._open[alert.alert_id]
        return None if event.breaker in LOSSES_OF_OLD else rules.breaker_reset(event)

    def _flattened(self, event: FlattenEnded, events: list[Event]) -> rules.Draft | None:
        del events
        return rules.flatten_ended(event, tuple(self._symbols[symbol] for symbol in event.left))

    def _acknowledged(self, event: AlertAcknowledged, events: list[Event]) -> rules.Draft | None:
        del events
        self._open.pop(event.alert_id, None)
        return None

    # -- alerts ----------------------------------------------------------------------------------------------------

    def _raise(self, draft: rules.Draft, ts: int) -> AlertRaised:
        if not self._daemon:
            draft = draft._replace(next_command="")
        told = self._dedupe.count(draft.key, self._session, ts)
        alert = AlertRaised(told.alert_id, draft.key, ts, *draft[1:], count=told.times)
        raised = self._raised
        raised[alert.alert_id] = alert
        if self._daemon and len(raised) > DAEMON_KEEPS:
            del raised[next(iter(raised))]
        if alert.severity is Severity.CRITICAL and draft.key != rules.TEST:
            self._keep_open(alert)
        return alert

    def _keep_open(self, alert: AlertRaised) -> None:
        self._open[alert.alert_id] = alert
        while len(self._open) > DAEMON_KEEPS or next(iter(self._open.values())).ts < alert.ts - UNRESOLVED_NS:
            del self._open[next(iter(self._open))]

    def unresolved(self, now: int) -> list[str]:
        """Return the critical alerts of the last twelve hours that nobody has dealt with, oldest first, as text.

        One is dealt with once a person acknowledges it or, where it is about a halt or a breaker, resumes trading.
        """
        since = now - UNRESOLVED_NS
        return [f"{alert.alert_id} ({alert.title})" for alert in self._open.values() if alert.ts >= since]

    def health(self) -> Health:
        """Say how many conditions were told in this session, and whether a critical one waits for a person."""
        told, waiting = self._dedupe.told, len(self._open)
        detail = f"{told} condition{'s' * (told != 1)} told in this session"
        return Health(ok=not waiting, detail=f"{detail}; {waiting} critical not dealt with" if waiting else detail)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values, equal for equal histories."""
        return {
            "session": self._session,
            "dedupe": self._dedupe.snapshot(),
            "growth": [[portfolio, growth.snapshot()] for portfolio, growth in self._growth.items()],
            "positions": [[*key, qty] for key, qty in self._positions.items()],
            "last": self._last.tobytes(),
            "previous": self._previous.tobytes(),
            "reach": self._reach.tobytes(),
            "complete": self._complete,
            "open": [msgspec.to_builtins(alert) for alert in self._open.values()],
            "raised": [msgspec.to_builtins(alert) for alert in self._raised.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave, in a fresh alerter of the same universe and thresholds."""
        self._session = state["session"]
        self._dedupe.restore(state["dedupe"])
        for portfolio, growth in state["growth"]:
            self._growth[portfolio] = _Growth(self._step)
            self._growth[portfolio].restore(growth)
        for portfolio, symbol, qty in state["positions"]:
            self._positions[portfolio, symbol] = qty
            self._holders[symbol] += 1
        self._last = np.frombuffer(state["last"], dtype=np.int64)
        self._owned = False
        self._previous = np.frombuffer(state["previous"], dtype=np.int64)
        self._reach = np.frombuffer(state["reach"], dtype=np.float64).copy()
        self._complete = state["complete"]
        self._open = _by_id(state["open"])
        self._raised = _by_id(state["raised"])


def _by_id(rows: list[Any]) -> dict[str, AlertRaised]:
    return {alert.alert_id: alert for alert in msgspec.convert(rows, list[AlertRaised])}
