"""The rules: which fact is worth a person's attention, and what is said about it. Pure functions of the fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from actors.alerter.rendering import fmt, money, percent, plain, title
from actors.alerter.severity import SEVERITY, of_state
from actors.messages.alerts import AlertTested, Severity
from actors.messages.inference import StrategyDisabled
from actors.messages.orders import OrderRestated, SymbolFrozen, SymbolReleased
from actors.messages.portfolio import DividendAccrued, FlattenEnded, PositionAdjusted, TradeClosed
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
from actors.values.time import format_ts
from daemon.kernel.message import InputQuarantined

DOUBTED: Final = "jump"
"""Why a symbol is frozen whose price moved as no price does."""
TEST: Final = "test"
"""Key of test alerts, which stand for no condition."""

_MEASURES: Final = {
    "daily_loss": "day loss",
    "drawdown": "drawdown",
    "weekly_loss": "week's loss",
    "monthly_loss": "month's loss",
}
_MEASURED: Final = {
    "loss_streak": "trades lost in a row",
    "order_rate": "orders at once",
    "stale_data": "s without a price",
    "connectivity": "s without the feed",
    "clock_skew": "s jump of the clock",
    "exposure": "times equity held",
}
"""What a breaker measures that is no share of something, behind the number."""
_MEASURED_DIGITS: Final = 2
_SHARES: Final = {"reject_rate": "of orders refused", "prediction_drift": "of predictions right"}
_ACTIONS: Final = {
    "warn": "none; this is a warning",
    "block_entries": "new entries are blocked; exits pass",
    "block": "new entries are blocked; exits pass",
    "reduce": "only orders that reduce risk pass",
    "deleverage": "only orders that reduce risk pass; a part of every position is closed",
    "halt": "trading halted; working orders that add risk were cancelled, exits stay",
    "flatten": "trading halted; every working order was cancelled, every position is closed",
}
_THEN: Final = {
    "warn": "a warning",
    "block": "entries blocked",
    "reduce": "trading reduces",
    "deleverage": "positions are cut",
    "halt": "trading halted",
    "flatten": "positions are closed",
}
_MILD: Final = ("warn", "block", "reduce")
"""Actions that wake nobody while the breaker arms itself."""
_STATE_ACTIONS: Final = {
    TradingState.ACTIVE: "all orders pass the gate again",
    TradingState.REDUCING: "only orders that reduce risk pass",
    TradingState.HALTED: "no new risk; working orders that add risk were cancelled, exits stay",
    TradingState.KILLED: "every working order was cancelled; positions stay open",
}
_STATE_COMMANDS: Final = {
    TradingState.ACTIVE: "",
    TradingState.REDUCING: "tradingctl resume",
    TradingState.HALTED: "tradingctl resume",
    TradingState.KILLED: "tradingctl unlatch",
}


class Draft(NamedTuple):
    """What a rule wants said; the actor adds id, time and count."""

    key: str
    severity: Severity
    title: str
    facts: tuple[tuple[str, str], ...]
    action_taken: str = ""
    next_command: str = ""


def limit_breached(event: LimitBreached) -> Draft:
    """A loss crossed a warning or blocking level, or a limit is nearly used up."""
    if event.limit != "daily_loss":
        return _used(event)
    measure = _MEASURES.get(event.limit, event.limit)
    then = "entries blocked" if event.action == "block_entries" else f"limit {percent(event.bound, signed=False)}"
    return Draft(
        key=f"{event.limit}:{event.portfolio}:{event.action}",
        severity=SEVERITY[event.action],
        title=title(f"{percent(-event.value)} {measure} in {event.portfolio}: {then}"),
        facts=(("loss", plain(event.value)), ("limit", plain(event.bound)), ("portfolio", event.portfolio)),
        action_taken=_ACTIONS[event.action],
        next_command="tradingctl risk",
    )


def _used(event: LimitBreached) -> Draft:
    part = event.value / event.bound if event.bound else 0.0
    return Draft(
        key=f"used:{event.limit}:{event.portfolio}",
        severity=SEVERITY["utilization"],
        title=title(f"{percent(part, signed=False)} of {event.limit} used in {event.portfolio}"),
        facts=(("value", plain(event.value)), ("limit", plain(event.bound)), ("portfolio", event.portfolio)),
        action_taken="none; this is a warning",
        next_command="tradingctl limits",
    )


def _breaker_of(event: BreakerTripped | BreakerReset) -> str:
    whose = f" of {event.portfolio}" if event.portfolio else ""
    return f"{event.breaker}{whose}{f' ({event.subject})' if event.subject else ''}"


def breaker_key(event: BreakerTripped | BreakerReset) -> str:
    """Return the key of the alert that a breaker's trip is."""
    return f"breaker:{event.portfolio}:{event.breaker}{f':{event.subject}' if event.subject else ''}"


def _measured(event: BreakerTripped) -> str:
    """Return what a breaker that watches no loss measured, in its unit."""
    if event.breaker == "fill_sanity":
        return "a fill that cannot be true"  # its value is a distance, a multiple or nothing; the cause says which
    words = _MEASURED.get(event.breaker)
    if words is not None:
        return f"{plain(round(event.value, _MEASURED_DIGITS))} {words}"
    return f"{percent(event.value, signed=False)} {_SHARES.get(event.breaker, event.breaker)}"


def breaker_tripped(event: BreakerTripped) -> Draft:
    """A breaker tripped: what it measured, and what it did."""
    of = f" --portfolio {event.portfolio}" if event.portfolio else ""
    reset = f"tradingctl breaker reset{of} --breaker {event.breaker}"
    then = _THEN.get(event.action, event.action)
    measure = _MEASURES.get(event.breaker)
    if measure is not None:
        said = f"{percent(-event.value)} {measure} in {event.portfolio}: {then}"
        facts: tuple[tuple[str, str], ...] = (
            ("loss", plain(event.value)),
            ("limit", plain(event.limit)),
            ("equity", fmt(event.equity)),
            ("baseline", fmt(event.baseline)),
            ("portfolio", event.portfolio),
        )
    else:
        where = f" in {event.portfolio}" if event.portfolio else ""
        about = f" ({event.subject})" if event.subject else ""
        said = f"{_measured(event)}{about}{where}: {then}"
        facts = (
            ("cause", event.cause),
            ("value", plain(event.value)),
            ("limit", plain(event.limit)),
            ("portfolio", event.portfolio),
            ("subject", event.subject),
        )
    return Draft(
        key=breaker_key(event),
        severity=SEVERITY["breaker_warns" if event.action in _MILD and not event.latched else "breaker"],
        title=title(said),
        facts=tuple(fact for fact in facts if fact[1]),
        action_taken=_ACTIONS.get(event.action, event.action),
        next_command=reset if event.latched else "",
    )


def breaker_reset(event: BreakerReset) -> Draft:
    """A breaker is armed again."""
    return Draft(
        key=f"armed_again:{breaker_key(event)}",
        severity=SEVERITY["breaker_reset"],
        title=title(f"Breaker {_breaker_of(event)} armed again, by {event.by}"),
        facts=(("reason", event.reason), ("by", event.by)),
        action_taken="it watches again",
    )


def entries_locked(event: EntriesLocked, symbol: str) -> Draft:
    """A protection denies entries for a while; ``symbol`` "" means all of the portfolio."""
    return Draft(
        key=f"locked:{event.portfolio}:{event.rule}:{symbol}",
        severity=SEVERITY[event.rule],
        title=title(f"Entries locked in {f'{symbol} of ' if symbol else ''}{event.portfolio}: {event.rule}"),
        facts=tuple(
            fact
            for fact in (
                ("reason", event.reason),
                ("symbol", symbol),
                ("until", format_ts(event.until_ts) if event.until_ts else ""),
                ("portfolio", event.portfolio),
            )
            if fact[1]
        ),
        action_taken="its entries are denied; exits pass",
    )


def restriction_changed(event: RestrictionChanged, symbol: str) -> Draft:
    """A symbol came onto the restricted list, or left it."""
    how = "restricted" if event.restricted else "no longer restricted"
    return Draft(
        key=f"restricted:{symbol}:{event.restricted}",
        severity=SEVERITY["restriction"],
        title=title(f"{symbol} is {how}, by {event.by}"),
        facts=(("reason", event.reason), ("by", event.by)),
        action_taken="its entries are denied; what is held may be closed" if event.restricted else "it may be entered",
        next_command="tradingctl breakers" if event.restricted else "",
    )


def connection_changed(event: ConnectionChanged) -> Draft:
    """A market-data feed was lost, or is back."""
    what = "lost" if event.lost else "back"
    return Draft(
        key=f"connection:{event.feed}:{what}",
        severity=SEVERITY[f"connection_{what}"],
        title=title(f"The feed {event.feed} is {what}"),
        facts=(("feed", event.feed), ("since", format_ts(event.since)), ("reason", event.reason)),
        action_taken="if it stays away, entries are cancelled" if event.lost else "none",
        next_command="tradingctl health" if event.lost else "",
    )


def margin_called(event: MarginCalled) -> Draft:
    """Equity of a margin account no longer keeps what it holds."""
    sells = event.action == "liquidate"
    return Draft(
        key=f"margin_call:{event.portfolio}",
        severity=SEVERITY["margin_call"],
        title=title(f"{money(-event.excess)} below the margin requirement in {event.portfolio}"),
        facts=(
            ("equity", fmt(event.equity)),
            ("requirement", fmt(event.requirement)),
            ("excess", fmt(event.excess)),
            ("portfolio", event.portfolio),
        ),
        action_taken="market orders reduce positions until it holds" if sells else "none; positions stay as they are",
        next_command="tradingctl positions",
    )


def state_changed(event: TradingStateChanged) -> Draft:
    """Someone or something changed what the gate lets pass."""
    verb = "active again" if event.new is TradingState.ACTIVE else event.new.value
    return Draft(
        key=f"trading_state:{event.new.value}",
        severity=of_state(event),
        title=title(f"Trading {verb}, by {event.by}"),
        facts=(("from", event.old.value), ("to", event.new.value), ("by", event.by), ("reason", event.reason)),
        action_taken=_STATE_ACTIONS[event.new],
        next_command=_STATE_COMMANDS[event.new],
    )


def stop_loss(event: TradeClosed, symbol: str) -> Draft:
    """An automatic stop closed a lot."""
    return Draft(
        key=f"stop_loss:{event.portfolio}:{symbol}",
        severity=SEVERITY["stop_loss"],
        title=title(f"{percent(event.ret)} at stop-loss of {symbol}, {money(event.pnl)}"),
        facts=(
            ("return", plain(event.ret)),
            ("pnl", fmt(event.pnl)),
            ("qty", fmt(event.qty)),
            ("entry_px", fmt(event.entry_px)),
            ("exit_px", fmt(event.exit_px)),
            ("symbol", symbol),
            ("portfolio", event.portfolio),
            ("strategy", event.strategy),
        ),
        action_taken="the lot was closed",
    )


def large_move(symbol: str, move: float, close: int, previous: int, shares: int) -> Draft:
    """A held symbol moved far from the last session's close; amounts in units of 1e-8."""
    return Draft(
        key=f"large_move:{symbol}",
        severity=SEVERITY["large_move"],
        title=title(f"{percent(move)} move of {symbol}, {fmt(shares)} shares held"),
        facts=(
            ("move", plain(move)),
            ("price", fmt(close)),
            ("previous_close", fmt(previous)),
            ("qty", fmt(shares)),
            ("symbol", symbol),
        ),
        action_taken="none",
        next_command="tradingctl positions",
    )


def milestone(portfolio: str, growth: float, equity: int, base: int) -> Draft:
    """Equity reached a new step over what was put in."""
    return Draft(
        key=f"milestone:{portfolio}:{plain(growth)}",
        severity=SEVERITY["milestone"],
        title=title(f"{percent(growth)} over deposits: {portfolio} at {money(equity)}"),
        facts=(
            ("growth", plain(growth)),
            ("equity", fmt(equity)),
            ("deposits", fmt(base)),
            ("portfolio", portfolio),
        ),
        action_taken="none",
    )


def strategy_disabled(event: StrategyDisabled) -> Draft:
    """A strategy was switched off; that its model has seen these dates in training is a fact, not an incident."""
    expected = event.by == "training-window"
    return Draft(
        key=f"strategy_disabled:{event.strategy}",
        severity=Severity.INFO if expected else SEVERITY["strategy_disabled"],
        title=title(f"Strategy {event.strategy} switched off by {event.by}"),
        facts=(("strategy", event.strategy), ("by", event.by), ("reason", event.reason)),
        action_taken="its entries are denied; exits pass",
        next_command=f"tradingctl strategy enable --strategy {event.strategy}",
    )


def input_quarantined(event: InputQuarantined) -> Draft:
    """A handler failed on an input, which was set aside."""
    return Draft(
        key=f"quarantine:{event.actor}:{event.message_type}",
        severity=SEVERITY["quarantine"],
        title=title(f"1 input set aside: {event.message_type} failed in {event.actor}"),
        facts=(("actor", event.actor), ("input", event.message_type), ("error", event.error)),
        action_taken="the input changed nothing; the actor goes on degraded",
        next_command="tradingctl actors",
    )


def symbol_frozen(event: SymbolFrozen, symbol: str, *, held: bool) -> Draft:
    """Nothing of a symbol, or of the whole market, is matched any more; prices nobody can believe are our concern."""
    doubted = event.reason == DOUBTED
    what = symbol or "the whole market"
    said = "prices that cannot be believed" if doubted else event.state
    return Draft(
        key=f"frozen:{symbol}",
        severity=Severity.WARNING if doubted or held else Severity.INFO,
        title=title(f"{what} is frozen: {said}"),
        facts=(("symbol", symbol), ("state", event.state), ("reason", event.reason)),
        action_taken="no order of it is matched, triggered or trailed; cancels pass",
        next_command="tradingctl positions" if doubted else "",
    )


def symbol_released(event: SymbolReleased, symbol: str, *, held: bool) -> Draft:
    """A symbol, or the whole market, is matched again."""
    return Draft(
        key=f"released:{symbol}",
        severity=Severity.WARNING if held else Severity.INFO,
        title=title(f"{symbol or 'the whole market'} trades again"),
        facts=(("symbol", symbol), ("reason", event.reason)),
        action_taken="orders of it are matched again",
        next_command="tradingctl orders" if held else "",
    )


def position_adjusted(event: PositionAdjusted, symbol: str, new_symbol: str) -> Draft:
    """A corporate action changed what is held."""
    said = {
        "split": f"split {event.numerator} for {event.denominator}",
        "rename": f"is called {new_symbol} now",
        "delist": "was delisted",
    }.get(event.kind, event.kind)
    return Draft(
        key=f"corporate_action:{event.portfolio}:{symbol}:{event.kind}",
        severity=Severity.WARNING if event.kind == "delist" else Severity.INFO,
        title=title(f"{symbol} {said}: {event.portfolio} holds {fmt(event.qty)} {new_symbol}"),
        facts=(
            ("kind", event.kind),
            ("symbol", symbol),
            ("new_symbol", new_symbol),
            ("qty", fmt(event.qty)),
            ("cost", fmt(event.cost)),
            ("paid", fmt(event.paid)),
            ("portfolio", event.portfolio),
        ),
        action_taken="position, lots and working orders were changed with it",
        next_command="tradingctl positions",
    )


def dividend_accrued(event: DividendAccrued, symbol: str) -> Draft:
    """A dividend is due to a portfolio, or owed by it."""
    verb = "is due" if event.amount > 0 else "owes"
    return Draft(
        key=f"corporate_action:{event.portfolio}:{symbol}:dividend",
        severity=Severity.INFO,
        title=title(f"{symbol} pays {fmt(event.per_share)} a share: {event.portfolio} {verb} {fmt(abs(event.amount))}"),
        facts=(
            ("symbol", symbol),
            ("qty", fmt(event.qty)),
            ("per_share", fmt(event.per_share)),
            ("amount", fmt(event.amount)),
            ("pay_date", str(event.pay_date)),
            ("portfolio", event.portfolio),
        ),
        action_taken="it is booked; cash moves at the pay date",
    )


def order_restated(event: OrderRestated, symbol: str) -> Draft:
    """A corporate action changed orders in a symbol, of which nothing is held under that name."""
    return Draft(
        key=f"corporate_action:orders:{symbol}:{event.reason}",
        severity=Severity.INFO,
        title=title(f"Orders in {symbol} were restated: {event.reason}"),
        facts=(("symbol", symbol), ("reason", event.reason), ("order", event.client_order_id)),
        action_taken="they work on with their new terms",
        next_command="tradingctl orders",
    )


def flatten_ended(event: FlattenEnded, symbols: tuple[str, ...]) -> Draft:
    """A portfolio is flat, or cannot be made so; ``symbols`` are the names of what is left."""
    left = ", ".join(symbols)
    if event.flat:
        return Draft(
            key=f"flatten:{event.portfolio}:flat",
            severity=Severity.INFO,
            title=title(f"0 positions left in {event.portfolio}: it is flat"),
            facts=(("portfolio", event.portfolio),),
            action_taken="trading stays halted; what comes in late is closed too",
            next_command="tradingctl resume",
        )
    return Draft(
        key=f"flatten:{event.portfolio}:left",
        severity=Severity.CRITICAL,
        title=title(f"{len(symbols)} positions in {event.portfolio} could not be closed"),
        facts=(("portfolio", event.portfolio), ("left", left)),
        action_taken="every closing order that may be tried was tried; the positions stay open",
        next_command="tradingctl flatten",
    )


def limits_changed(event: LimitsChanged) -> Draft:
    """Someone changed the limits: which, from what to what, as it was said by hand or as the configuration has it."""
    if event.changes:
        changed = tuple((key, f"{old} -> {new}") for key, old, new in event.changes)
        said = ",".join(f"{key}={new}" for key, _, new in event.changes)
        source, key = ("reason", event.reason), f"limits:{said}"
    else:
        changed = tuple(_differences(msgspec.to_builtins(event.old), msgspec.to_builtins(event.new)))
        source, key = ("config", event.digest), f"limits:{event.digest[:12]}"
    one = len(changed) == 1
    return Draft(
        key=key,
        severity=Severity.INFO,
        title=title(f"{len(changed)} risk limit{'s' * (not one)} changed by {event.by}"),
        facts=(*changed, ("by", event.by), source),
        action_taken="the new limits are in force",
        next_command="tradingctl limits",
    )


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves in which two trees differ, by dotted names."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) or isinstance(after, dict):
            yield from _differences(before or {}, after or {}, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", f"{before} -> {after}"


def machine_trouble(event: MachineTrouble) -> Draft:
    """Something about the machine: disk, clock, ledger, configuration."""
    return Draft(
        key=f"machine:{event.what}",
        severity=Severity.CRITICAL if event.critical else Severity.WARNING,
        title=title(event.sentence),
        facts=(("what", event.what), ("sentence", event.sentence)),
        action_taken="none",
        next_command="tradingctl model" if event.what.startswith("inference") else "tradingctl health",
    )


def alert_tested(event: AlertTested) -> Draft:
    """A person wants to see that alerts arrive; as loud as can be, so that every channel passes it on."""
    return Draft(
        key=TEST,
        severity=Severity.CRITICAL,
        title=title(f"Test alert, asked for by {event.by}"),
        facts=(("by", event.by), ("reason", event.reason)),
        action_taken="none; nothing is wrong",
    )
