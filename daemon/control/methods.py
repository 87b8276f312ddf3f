"""The table of methods: what may be asked of a running daemon, by whom, and with which parameters. Pure data.

``tradingctl`` makes its verbs and flags from this table and the server checks calls against it, so a method exists in
both or in neither. Standard library only: a kill must not need a package.

Who may what: looking needs a viewer; everything that makes the daemon do less (halt, reduce, kill, cancel, disable) and
trading itself needs an operator; what loosens (resume, unlatch, enable, reset), moves cash or touches the process needs
an admin. ``flatten`` is an operator's: it ends with less risk than it began with, and whoever may sell one position may
sell them all.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["read", "core", "kill", "admin"]
"""``read``: answered from what is published. ``core``: an input of the core. ``kill``: the latch, nothing else.
``admin``: done by the daemon around the core."""
Who = Literal["viewer", "operator", "admin"]
Type = Literal["text", "number", "integer", "bool", "object", "texts"]
"""``texts`` is a list of text; ``number`` may have decimals and is never a float on the way."""


class Param(NamedTuple):
    """One parameter.

    Attributes:
        name: on the wire; its flag is ``--limit-px`` for ``limit_px``.
        type: of the value.
        doc: one line for ``--help``.
        required: a call without it is refused.
        choices: the values that are taken, () for any.
        positional: the command line takes it without a flag.
        later: the broker has nothing behind it yet: it is judged like any other, and shown by no --help.
        judged: the value may be of any type here because the desk judges it: an order that can be read but asks for
            nonsense becomes a denied order that stands in the journal, not a line that nobody sees.
    """

    name: str
    type: Type
    doc: str
    required: bool = False
    choices: tuple[str, ...] = ()
    positional: bool = False
    judged: bool = False
    later: bool = False

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.name.replace("_", "-")


class Method(NamedTuple):
    """One method.

    Attributes:
        name: on the wire; its verb is the words between the dots.
        kind: see :data:`Kind`.
        role: the least role that may call it.
        doc: one line for ``--help``.
        example: a whole command line.
        params: by name, without ``reason`` and ``request_id``.
        reason: mutating methods take a reason; `asked` where a person at a terminal is asked for one.
        lane: 0 for the safe direction, which has a budget of its own; 1 for other commands; 2 for reads.
        confirm: the command line asks first, or wants ``--yes``.
        lenient: never refused for its parameters. Only the kill: what is misspelt must not go on trading.
        timeout_s: how long an answer may take, None for the server's own limit.
    """

    name: str
    kind: Kind
    role: Who
    doc: str
    example: str
    params: tuple[Param, ...] = ()
    reason: Literal["none", "optional", "asked"] = "none"
    lane: int = 2
    confirm: bool = False
    lenient: bool = False
    timeout_s: float | None = None

    @property
    def verb(self) -> tuple[str, ...]:
        """Return the words of the command line: ``order.submit`` is ``tradingctl order submit``."""
        return tuple(self.name.split("."))

    @property
    def mutating(self) -> bool:
        """Tell whether it changes something, and so takes ``reason`` and ``request_id``."""
        return self.kind != "read"

    def param(self, name: str) -> Param | None:
        """Return the parameter of that name."""
        return next((param for param in self.params if param.name == name), None)


REASON: Final = Param("reason", "text", "why; it is journaled with who asked")
REQUEST_ID: Final = Param("request_id", "text", "idempotency key: the same key is done once and answered alike")

_SINCE = Param("since", "text", "only from this time on, RFC 3339 or a date")
_LIMIT = Param(
    "limit",
    "integer",
    "at most so many, newest first; 100 (on a terminal a screenful) unless told or with all, 1,000 at most",
)
_MOST = Param("limit", "integer", "at most so many rows; all of them unless told")
_SYMBOL = Param("symbol", "text", "only this symbol")
_ALL = Param("all", "bool", "also those that are over")
_WHOLE = Param("all", "bool", "not only the newest: as many as one answer takes")
_IN = Param("portfolio", "text", "only this portfolio")
_OF = Param("strategy", "text", "only this strategy")
_PORTFOLIO = Param("portfolio", "text", "name of the portfolio; not needed where there is one")
_ORDER = Param("id", "text", "order id or client order id", required=True, positional=True)


def _read(name: str, doc: str, *params: Param, role: Who = "viewer", flags: str = "") -> Method:
    return Method(name, "read", role, doc, _line(name, flags), params)


def _line(name: str, flags: str) -> str:
    return f"tradingctl {name.replace('.', ' ')} {flags}".rstrip()


_READS: Final = (
    _read("status", "state, equity, feeds, actors and journal at a glance"),
    _read("health", "what is alive, what is late, what is degraded"),
    _read("positions", "what is held, at which price, with which gain", _ALL, _MOST, _SYMBOL, _IN),
    _read("orders", "working orders", _ALL, _SINCE, _LIMIT, _SYMBOL, _IN, _OF, flags="--all --limit 20"),
    _read("fills", "executions", _WHOLE, _SINCE, _LIMIT, _SYMBOL, _IN, flags="--since 2026-11-20"),
    _read("trades", "round trips", _WHOLE, _SINCE, _LIMIT, _SYMBOL, _IN, _OF, flags="--symbol SPY"),
    _read("signals", "what strategies said", _SINCE, _LIMIT, _SYMBOL, _OF, flags="--limit 20"),
    _read("predictions", "what models said, and what came true", _SINCE, _LIMIT, _SYMBOL, _OF, flags="--limit 20"),
    _read("risk", "exposure, drawdown and losses against their limits"),
    _read("breakers", "trading breakers and their states"),
    _read("limits", "the limits in force"),
    _read("alerts", "alerts, those not acknowledged first", _ALL, _SINCE, _LIMIT, flags="--all"),
    _read("config.show", "the configuration in force, with origins", Param("key", "text", "only keys below this one")),
    _read("config.check", "check the configuration file without taking it over", role="operator"),
    _read("actors", "the supervision tree: states and restarts"),
    _read("journal.head", "last sequence number and event digest"),
    _read("model", "models and what computes them: queue, latency, late answers, headline cache"),
    _read("model.list", "models, their digests and their states"),
    _read(
        "why",
        "the story of one order: signal, checks, order, fills",
        Param("order_id", "text", "order id or client order id", required=True, positional=True),
        flags="a1b2c3",
    ),
    _read(
        "subscribe",
        "committed events as they happen",
        Param("from_seq", "integer", "begin behind this sequence number, at most 10,000 inputs with events ago"),
        Param("types", "texts", "only events of these types"),
        _SYMBOL,
    ),
)

_SAFE: Final = (
    Method(
        "kill",
        "kill",
        "operator",
        "stop all trading at once and stay stopped: cancels everything, closes nothing",
        'tradingctl kill --reason "prices look wrong"',
        reason="optional",
        lane=0,
        lenient=True,
    ),
    Method(
        "halt",
        "core",
        "operator",
        "no new risk: cancels orders that add risk, protective exits stay",
        'tradingctl halt --reason "news at 14:00"',
        reason="optional",
        lane=0,
    ),
    Method(
        "reduce",
        "core",
        "operator",
        "only orders that reduce risk pass",
        'tradingctl reduce --reason "end of day"',
        reason="optional",
        lane=0,
    ),
    Method(
        "flatten",
        "core",
        "operator",
        "halt, cancel, close every position and verify; exit code 6 if not flat by the deadline",
        'tradingctl flatten --yes --deadline-s 60 --reason "over the weekend"',
        (Param("deadline_s", "number", "how long to wait until flat, seconds; 30 unless told, 600 at most"),),
        reason="optional",
        lane=0,
        confirm=True,
        timeout_s=630.0,
    ),
)

_ORDERS: Final = (
    Method(
        "order.submit",
        "core",
        "operator",
        "hand in an order; the answer means it is durable",
        "tradingctl order submit --symbol SPY --side buy --qty 10 --type limit --limit-px 450",
        (
            Param("symbol", "text", "what to trade", required=True, judged=True),
            Param("side", "text", "buy or sell", required=True, choices=("buy", "sell"), judged=True),
            Param("qty", "number", "how many shares", required=True, judged=True),
            Param(
                "type",
                "text",
                "market unless told: limit, stop, stop_limit, trailing_stop, market_if_touched, limit_if_touched,"
                " take_profit, market_on_open, market_on_close",
                judged=True,
            ),
            Param(
                "tif",
                "text",
                "day unless told: gtc, gtd, ioc, fok, opg, cls; an order on the open is opg, one on the close cls",
                judged=True,
            ),
            Param("limit_px", "number", "limit price", judged=True),
            Param("stop_px", "number", "trigger of a stop, or the price to be touched", judged=True),
            Param("trail_amount", "number", "distance of a trailing stop in money", judged=True),
            Param("trail_percent", "number", "the same in percent: 10 is ten percent", judged=True),
            Param("activation_px", "number", "price from which a trailing stop trails", judged=True),
            Param("display_qty", "number", "shares that others see of it (iceberg)", judged=True),
            Param("post_only", "bool", "refused instead of taking liquidity", judged=True),
            Param("reduce_only", "bool", "never open or turn a position", judged=True),
            Param(
                "expire_at", "text", "end of a gtd order: RFC 3339, or a date with that day as its last", judged=True
            ),
            Param(
                "bracket",
                "object",
                "exits behind an entry: take_profit_px, and stop_px or trail_amount or trail_percent (activation_px);"
                " or a flag for each, such as --bracket-stop-px",
                judged=True,
            ),
            Param("oco_group", "text", "a name for orders of which the first to fill cancels the others", judged=True),
            Param("do_not_reduce", "bool", "a cash dividend leaves its prices as they are", judged=True),
            Param("locate", "bool", "shares to borrow were found before a short sale", judged=True),
            Param("algo", "object", "how to work the order", judged=True, later=True),
            Param("id", "text", "client order id; from the request id unless told"),
            _PORTFOLIO,
        ),
        reason="optional",
        lane=1,
    ),
    Method(
        "order.cancel",
        "core",
        "operator",
        "cancel an order",
        "tradingctl order cancel a1b2c3",
        (_ORDER,),
        reason="optional",
        lane=1,
    ),
    Method(
        "order.replace",
        "core",
        "operator",
        "change quantity or prices of a working order",
        "tradingctl order replace a1b2c3 --limit-px 449.50",
        (
            _ORDER,
            Param("qty", "number", "new quantity", judged=True),
            Param("limit_px", "number", "new limit price", judged=True),
            Param("stop_px", "number", "new stop price", judged=True),
        ),
        reason="optional",
        lane=1,
    ),
)


def _act(
    name: str,
    kind: Kind,
    role: Who,
    doc: str,
    *params: Param,
    flags: str = "",
    asks_reason: bool = False,
    confirm: bool = False,
    timeout_s: float | None = None,
) -> Method:
    reason: Literal["optional", "asked"] = "asked" if asks_reason else "optional"
    return Method(
        name, kind, role, doc, _line(name, flags), params, reason, lane=1, confirm=confirm, timeout_s=timeout_s
    )


_STRATEGY = Param("strategy", "text", "name of the strategy", required=True, positional=True)
_TICKER = Param("symbol", "text", "which symbol", required=True, positional=True)
_AMOUNT = Param("amount", "number", "in the account's currency, above 0", required=True, positional=True)

_COMMANDS: Final = (
    _act(
        "resume",
        "core",
        "admin",
        "halted or reducing -> active, unless a breaker is latched",
        flags='--yes --reason "checked the feed"',
        asks_reason=True,
        confirm=True,
    ),
    _act(
        "unlatch",
        "core",
        "admin",
        "killed -> halted",
        flags='--yes --reason "found the cause"',
        asks_reason=True,
        confirm=True,
    ),
    _act(
        "breaker.reset",
        "core",
        "admin",
        "arm a tripped breaker again",
        Param("breaker", "text", "name of the breaker", required=True, positional=True),
        Param("portfolio", "text", "whose it is; not needed where there is one, or where it watches all of them"),
        Param("subject", "text", "only that of this feed, symbol or strategy"),
        flags='daily_loss --reason "reviewed"',
    ),
    _act(
        "limits.set",
        "admin",
        "admin",
        "change limits until the configuration changes",
        Param("set", "texts", "key=value of [risk], one or more", required=True, positional=True),
        Param("loosen", "bool", "also what lets more pass than now"),
        flags='max_order_qty=500 symbols.AAPL.max_position=0.1 --reason "thin market"',
    ),
    _act(
        "restricted.add",
        "core",
        "operator",
        "enter a symbol no more; what is held may be closed",
        _TICKER,
        flags='AAPL --reason "earnings"',
    ),
    _act(
        "restricted.remove",
        "core",
        "admin",
        "let a symbol be entered again",
        _TICKER,
        flags='AAPL --yes --reason "published"',
        confirm=True,
    ),
    _act(
        "strategy.enable",
        "core",
        "admin",
        "switch a strategy on",
        _STRATEGY,
        flags='momentum --reason "fixed"',
    ),
    _act("strategy.disable", "core", "operator", "switch a strategy off", _STRATEGY, flags="momentum"),
    _act(
        "cash.deposit",
        "core",
        "admin",
        "an external flow into a portfolio",
        _AMOUNT,
        _PORTFOLIO,
        flags='10000 --reason "top up"',
    ),
    _act(
        "cash.withdraw",
        "core",
        "admin",
        "an external flow out of a portfolio",
        _AMOUNT,
        _PORTFOLIO,
        flags='2500.50 --reason "fees"',
    ),
    _act("alert.test", "core", "operator", "raise an alert that only tests the channels"),
    _act(
        "alert.ack",
        "core",
        "operator",
        "acknowledge an alert",
        Param("alert_id", "text", "id of the alert", required=True, positional=True),
        flags="9f3c",
    ),
    _act("reload", "admin", "admin", "read the configuration again: all of it or nothing", timeout_s=60.0),
    _act("snapshot", "admin", "admin", "keep the whole state now", timeout_s=60.0),
    _act(
        "backup",
        "admin",
        "admin",
        "copy the ledger while it runs",
        Param("to", "text", "folder that the daemon may write; in its state folder unless told", positional=True),
        timeout_s=600.0,
    ),
    _act(
        "log.level",
        "admin",
        "admin",
        "change how much is logged",
        Param(
            "level",
            "text",
            "from which severity on",
            required=True,
            choices=("debug", "info", "warning", "error"),
            positional=True,
        ),
        flags="debug",
    ),
    _act("shutdown", "admin", "admin", "stop the daemon; positions stay open", flags='--reason "new version"'),
)

METHODS: Final[dict[str, Method]] = {
    method.name: method for group in (_SAFE, _READS, _ORDERS, _COMMANDS) for method in group
}
"""Every method but ``hello``, by name."""
