"""Verbs in words: how they are grouped, what each gives back, and how long help is laid out.

Methods themselves, with their parameters and examples, stand in :mod:`daemon.control.methods`.
"""

from __future__ import annotations

from typing import Final

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "stop": ("kill", "halt", "reduce", "flatten"),
    "start again": ("resume", "unlatch", "breaker reset"),
    "look": (
        "status", "top", "tail", "why", "positions", "orders", "fills", "trades", "signals", "predictions", "risk",
        "breakers", "limits", "alerts", "health", "actors", "journal head", "subscribe",
    ),
    "limits": ("limits set", "restricted add", "restricted remove"),
    "orders": ("order submit", "order cancel", "order replace"),
    "strategies and models": ("strategy enable", "strategy disable", "model", "model list"),
}  # fmt: skip
"""Group -> its verbs in reading order. What is not named here is administration."""
LAST_GROUP: Final = "administration"

ANSWERS: Final[dict[str, str]] = {
    "status": "trading state with its reason, money, feeds, actors, breakers, model and journal.\n"
    "Exit code 152 killed, else 150 halted, else 151 degraded or reducing, else 0.",
    "health": "what is alive, late or degraded, part by part.",
    "positions": "one row a position: quantity, average price, last price, unrealized and realized gain.",
    "orders": "one row an order: terms, status, filled quantity and average price, reason.",
    "fills": "one row an execution: price, quantity, fee, where the price is from.",
    "trades": "one row a round trip: entry, exit, fees, profit, why it was left.",
    "signals": "one row a signal: strategy, symbol, score, confidence.",
    "predictions": "one row a prediction, with what came true once its horizon has passed.",
    "risk": "exposure, drawdown and losses beside the limits that hold them.",
    "breakers": "one row a breaker: armed or tripped, with the values it tripped on.",
    "limits": "the limits in force.",
    "alerts": "one row an alert: severity, what happened, what was done about it, which command is next.",
    "config.show": "every key in force, with its value and where that came from.",
    "config.check": "what the file would change, and what is wrong with it.",
    "actors": "one row an actor of the supervision tree: its state and restarts.",
    "journal.head": "the last sequence number and the event digest.",
    "model": "one row a model, then who computes them: waiting requests, latency, late answers, known headlines.",
    "model.list": "one row a model: version, digest, state.",
    "why": "signal, checks, order and fills as one story with times and numbers.",
    "subscribe": "one line an event as it is committed, until Ctrl-C.",
    "kill": "that the kill is on disk.",
    "halt": "the trading state and the orders that were cancelled.",
    "reduce": "the trading state and the orders that were cancelled.",
    "flatten": "the orders that close; then waits until flat. Exit code 6, with what is left, where it is not by then.",
    "resume": "the trading state; refused while a breaker is latched, naming it (exit code 5).",
    "unlatch": "the trading state and the breakers that are armed again.",
    "order.submit": "ids and status of the order once it is durable. Exit code 5 where it was denied or rejected.\n"
    "The same --request-id again gives the same answer and no second order.",
    "order.cancel": "the order as it stands now.",
    "order.replace": "the order with its new terms.",
    "breaker.reset": "the breaker's state and the trading state.",
    "limits.set": "the keys that changed, from what to what; they last until [risk] of the configuration changes.\n"
    "What lets more pass than now asks first, or wants --yes.",
    "restricted.add": "whether the symbol is restricted, and whether that is new.",
    "restricted.remove": "whether the symbol is restricted, and whether that is new.",
    "strategy.enable": "whether the strategy is on, and whether that is new.",
    "strategy.disable": "whether the strategy is on, and whether that is new.",
    "cash.deposit": "cash and equity of the portfolio behind the flow.",
    "cash.withdraw": "cash and equity of the portfolio behind the flow.",
    "alert.test": "that the alert was raised; each channel confirms on its own (tradingctl alerts).",
    "alert.ack": "the alert's state.",
    "reload": "which keys changed; all of them or, where one is wrong, none.",
    "snapshot": "sequence number and digest of the snapshot.",
    "backup": "the file that was written, its size and digest.",
    "log.level": "the level in force.",
    "shutdown": "that the daemon has begun to stop; positions stay open.\n"
    "A service manager starts it again: there, `systemctl stop tradingd` is what stops it.",
}
"""Method -> what its verb gives back, for ``--help``. With --json: the daemon's result on one line."""
ANSWER: Final = "the daemon's result."


def group_of(verb: str) -> str:
    """Return the group a verb is listed in."""
    return next((name for name, verbs in GROUPS.items() if verb in verbs), LAST_GROUP)
