"""The configuration as frozen models, in the units people use: shares of one, basis points, milliseconds, dollars.

Numbers that become money or rates are exact decimals from the file to the ledger; no binary float lies between.
:mod:`config.params` turns a section into what its room takes.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.fields import (
    Bounds,
    BufferShare,
    Cash,
    CostBps,
    CostRate,
    Count,
    DriftShare,
    GainShare,
    LossShare,
    Millis,
    Names,
    PositionShare,
    Rate,
    Section,
    StopShare,
    plain,
)
from config.news import SentimentSettings
from config.risk import LATER, RiskSettings
from config.running import (
    ControlSettings,
    FeedSettings,
    InferenceSettings,
    Interval,
    JournalSettings,
    LoggingSettings,
    PathsSettings,
    RetentionSettings,
    ServiceSettings,
)

PROFILES: Final = ("plan", "frictionless", "alpaca", "ibkr", "institutional", "swing")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]


class UniverseSettings(Section):
    """What may be seen and traded."""

    symbols: Names = ()
    """Symbols to use of the data; empty for all."""
    benchmark: str = ""
    """Symbol that is only observed and compared with; empty for none beside the source's own index."""
    calendar: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_/]{2,24}$")] = "XNYS"
    """Exchange calendar (a name of exchange_calendars), or `always`: no sessions, days end at 00:00 UTC."""
    sectors: dict[str, str] = Field(default_factory=dict)
    """Sector by symbol, [universe.sectors]; the embedded data know theirs."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        twice = next((s for i, s in enumerate(self.symbols) if s in self.symbols[:i]), None)
        if twice is not None:
            raise PydanticCustomError("twice", "symbols names {symbol} twice", {"symbol": twice})
        return self


class PortfolioSettings(Section):
    """One portfolio: whose signals it follows and how they become weights."""

    name: Name = "main"
    """Unique among the portfolios."""
    cash: Cash = Decimal(100_000)
    """Opening deposit."""
    strategies: Names | None = None
    """Strategies it follows: left out for all of [predictor], empty for operators' orders only."""
    allocation: Literal["equal", "inverse_volatility", "confidence"] = "equal"
    """How signals become weights."""
    rebalance: Literal["never", "daily", "weekly", "monthly", "signal"] = "weekly"
    """When weights are brought back to their targets; `signal` at every decision."""
    drift: DriftShare = Decimal("0.05")
    """Rebalance early once a weight is this far from its target."""
    lookback: Annotated[int, Bounds("2", "1000", decimals=0)] = 60
    """Sessions or bars of returns behind inverse volatility."""
    max_positions: Count = 10
    """Names held at most; 0 for no bound; risk.max_positions binds as well where it is smaller."""
    max_weight: PositionShare = Decimal("0.2")
    """Largest target weight; risk.max_position binds as well where it is smaller."""
    min_weight: PositionShare = Decimal("0.05")
    """Sizing floor of entries; never trims."""
    cash_buffer: BufferShare = Decimal(0)
    """Share of equity kept in cash."""
    stop_loss: StopShare = Decimal("0.03")
    """Automatic exit of a lot this far under its entry price."""
    take_profit: GainShare = Decimal("0.1")
    """Automatic exit of a lot this far above its entry price."""
    lot_size: Annotated[Decimal, Bounds("0.00000001", "1000000")] = Decimal(1)
    """Smallest step of a quantity; 0.000001 for fractions. The same in every portfolio."""
    stop: Literal["percent", "volatility", "atr", "chandelier", "trailing"] = "percent"
    """How far a lot's automatic stop is: stop_loss, or what the price moves; until that is known, stop_loss stands."""
    stop_multiple: Annotated[Decimal, Bounds("0.1", "20", decimals=4)] = Decimal(3)
    """Distance of the stops `volatility`, `atr` and `chandelier`: so many deviations or average true ranges."""
    stop_lookback: Annotated[int, Bounds("2", "250", decimals=0, off=True)] = 0
    """Sessions behind these; 0 for the usual: 20 for `volatility`, 14 for `atr`, 22 for `chandelier`."""
    trail_percent: Annotated[Decimal, Bounds("0.1", "50", decimals=4)] = Decimal(5)
    """Distance of the stop `trailing` from the best price since it rests, in percent, as on orders."""
    time_stop_sessions: Annotated[int, Bounds("0", "10000", decimals=0)] = 0
    """Close a lot at the open after it was held through so many session closes; 0 for never."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_weight and self.min_weight > self.max_weight:
            raise PydanticCustomError("order", "min_weight is above max_weight")
        return self


class PredictorSettings(Section):
    """Which strategies run, with what parameters, how often."""

    strategies: Names = ()
    """Built-in or installed names, or FILE.py:FUNCTION relative to the file that says so."""
    params: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Parameters by strategy: [predictor.params.NAME]; the name is as in `strategies`, or what follows its colon."""
    decision_interval: Interval = ""
    """How often intraday strategies decide (5m, 1h); empty for every closed bar."""
    latency_ms: Millis = 0
    """In a replay, how long after its request a model's answer comes in."""
    on_failure: Literal["stop", "disable"] = "stop"
    """In a replay, when a strategy fails again and again: give the run up, or switch it off and go on without it."""
    warmup: Annotated[int, Bounds("0", "10000", decimals=0)] = 0
    """Sessions before the first one played that features are warmed with, where the data have them."""
    call_budget_ms: Annotated[int, Bounds("0", "60000", decimals=0)] = 5
    """In the daemon, what one decision of a strategy may take before it is told; 0 for no bound."""
    call_overruns_max: Count = 10
    """Overruns in a row that switch a strategy off where playback is free-running, as live; 0 for never."""
    pool: Literal["inprocess", "host"] = "inprocess"
    """Who computes models in the daemon: itself, or the inference host; a replay always computes itself."""
    host_socket: str = ""
    """Socket of the inference host; empty for `inference.sock` in [paths] runtime_dir."""
    deadline_ms: Annotated[int, Bounds("10", "600000", decimals=0)] = 1_000
    """How long the inference host may take for an answer; what comes later is dropped and counted."""
    host_fallback: bool = True
    """Where the host fails, the daemon computes small models itself; without it, or where that fails too, it holds."""
    sentiment: SentimentSettings = SentimentSettings()
    """What is made of headlines."""


class BrokerSettings(Section):
    """What the simulated broker charges and allows."""

    commission_per_share: Annotated[Decimal, Bounds("0", "10")] = Decimal(0)
    """Money per share."""
    commission_rate: CostRate = Decimal("0.001")
    """Share of a fill's value."""
    min_commission: Annotated[Decimal, Bounds("0", "1000")] = Decimal(0)
    """Per order, not per fill."""
    max_commission_rate: Rate = Decimal(0)
    """Cap on the commission as a share of the order's value; 0 for none."""
    regulatory_fees: bool = False
    """Charge the dated SEC and TAF fees on sells."""
    slippage_bps: CostBps = Decimal(5)
    """Basis points of the reference price, on liquidity taken."""
    spread_bps: CostBps = Decimal("1.5")
    """Full modelled spread where no quote is known; half of it is paid."""
    impact: Literal["none", "linear", "sqrt"] = "sqrt"
    """Price impact; `sqrt` falls back to linear where average volume is unknown."""
    impact_linear_rate: CostRate = Decimal("0.001")
    """Linear impact per $100,000 of a fill's value."""
    impact_sqrt_rate: Rate = Decimal("0.02")
    """Impact at a participation of 1; it grows with the square root."""
    participation: Rate = Decimal("0.1")
    """Largest share of a bar's volume that may be filled; 0 for no cap."""
    latency_ms: Millis = 0
    """Shifts an order's arrival against quotes and trades; bars do not see it."""
    same_event_fill: bool = False
    """A market order may fill at the close of the bars it arrives with; quotes and trades do not see it."""
    fill_on_touch: bool = False
    """A resting limit fills when a bar only touches it; else the bar must trade through it."""
    extended_hours: bool = False
    """Bars outside the regular session mark and fill."""
    account: Literal["cash", "cash_strict", "margin"] = "cash"
    """`cash` may reuse unsettled proceeds, `cash_strict` may not, `margin` is Reg T."""
    allow_short: bool = False
    """Selling more than is held opens a short."""
    latency_jitter_ms: Millis = 0
    """Up to so much more latency for each order, drawn from the seed."""
    spread_model: Literal["fixed", "dynamic"] = "fixed"
    """`dynamic` widens spread_bps with volatility and towards the session's ends, where no quote is known."""
    slippage_volume_share: Rate = Decimal(0)
    """Slippage that grows with the square of a fill's share of a bar's volume: this much at a share of 1."""
    impact_permanent: Rate = Decimal(0)
    """Part of the impact that stays in the price for the rest of the session."""
    queue: bool = True
    """On ticks, a resting limit may fill at its own price once the size ahead of it has traded."""
    borrow_rate: Rate = Decimal("0.0025")
    """Annual fee on the value of borrowed shares, actual/360; 0 for none."""
    margin_rate: Rate = Decimal("0.06")
    """Annual interest on a debit balance of account `margin`, actual/360; 0 for none."""
    require_locate: bool = False
    """A short sale needs `locate = true` on the order."""
    hard_to_borrow: Names = ()
    """Symbols whose short sales need it in any case."""
    ssr: Literal["flagged", "computed", "off"] = "flagged"
    """What restricts short sales (Rule 201): a status that says so, also a fall of 10 % in a day, or nothing."""
    margin_call: Literal["liquidate", "warn"] = "liquidate"
    """What follows where equity of account `margin` falls below maintenance: `liquidate` reduces positions."""


class AlerterSettings(Section):
    """When an alert is raised. Losses, breakers and risk limits speak for themselves in [risk]."""

    large_move: LossShare = Decimal("0.05")
    """Move of a held symbol since the last close that is told, again at each multiple of it."""
    milestone_step: LossShare = Decimal("0.1")
    """Growth over deposits between two milestones that are told."""
    stop_losses: bool = True
    """Tell automatic stop-loss exits."""
    trading_state: bool = True
    """Tell changes of the trading state."""
    console: Literal["off", "info", "warning", "critical"] = "off"
    """Print alerts from this severity upwards to standard error as they are committed."""
    file: str = ""
    """Append every alert to this file as JSON lines; empty for none."""


class ReporterSettings(Section):
    """What the run folder and the report say."""

    equity: Literal["session", "bar"] = "session"
    """Rows of equity.csv: one at each session's close, or one for each bar."""
    risk_free_rate: Annotated[Decimal, Bounds("0", "0.5")] = Decimal("0.02")
    """Risk-free rate a year behind Sharpe and the scoreboard."""


class Settings(BaseSettings):
    """All sections. Built by :func:`config.sources.load_settings`, which knows where each value came from."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    paths: PathsSettings = PathsSettings()
    universe: UniverseSettings = UniverseSettings()
    feed: FeedSettings = FeedSettings()
    portfolio: tuple[PortfolioSettings, ...] = (PortfolioSettings(),)
    predictor: PredictorSettings = PredictorSettings()
    risk: RiskSettings = RiskSettings()
    broker: BrokerSettings = BrokerSettings()
    alerter: AlerterSettings = AlerterSettings()
    reporter: ReporterSettings = ReporterSettings()
    control: ControlSettings = ControlSettings()
    journal: JournalSettings = JournalSettings()
    retention: RetentionSettings = RetentionSettings()
    service: ServiceSettings = ServiceSettings()
    inference: InferenceSettings = InferenceSettings()
    logging: LoggingSettings = LoggingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the loader alone: it layers the sources itself, to keep origins and refuse unknown names."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="after")
    def _portfolios_agree(self) -> Self:
        names = [p.name for p in self.portfolio]
        twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
        if twice is not None:
            raise PydanticCustomError("twice", "two portfolios are named {name}", {"name": twice})
        if not names:
            raise PydanticCustomError("none", "there is no portfolio")
        if any(p.lot_size != self.portfolio[0].lot_size for p in self.portfolio):
            raise PydanticCustomError("lots", "lot_size differs between portfolios; one market has one lot size")
        cap = self.risk.max_position
        for portfolio in self.portfolio:
            if cap and portfolio.min_weight > cap:
                raise PydanticCustomError(
                    "floor",
                    "portfolio.{name}.min_weight ({floor}) is above risk.max_position ({cap}), so no entry could pass",
                    {"name": portfolio.name, "floor": plain(portfolio.min_weight), "cap": plain(cap)},
                )
        return self


def reference_aliases(reference: str) -> tuple[str, ...]:
    """Return the names a strategy's reference may be called by: itself, without its folders, its function or file."""
    name = PurePath(reference).name
    short = name.partition(".py:")[2] if ".py:" in name else name.removesuffix(".py")
    return tuple(dict.fromkeys((reference, name, short)))


_WITHOUT_EFFECT: Final[dict[str, Any]] = {
    "paths": True,
    "feed": {"staleness_ms", "playback"},
    "control": True,
    "journal": True,
    "retention": True,
    "service": True,
    "inference": True,
    "logging": True,
    "alerter": {"console", "file"},
    "predictor": {"call_budget_ms", "call_overruns_max", "pool", "host_socket", "deadline_ms", "host_fallback"},
    "risk": {"scenarios"},
}
"""Where things are kept and told, how data come in, and what is measured in wall time: what that causes is recorded."""

_LATER: Final[dict[str, frozenset[str] | set[str]]] = {
    "feed": {"max_jump", "jump_confirmations"},
    "predictor": {"warmup", "sentiment"},
    "risk": LATER,
    "broker": {
        "latency_jitter_ms",
        "spread_model",
        "slippage_volume_share",
        "impact_permanent",
        "queue",
        "borrow_rate",
        "margin_rate",
        "require_locate",
        "hard_to_borrow",
        "ssr",
        "margin_call",
    },
}
"""Keys that came after the first ledgers, by section."""

_LATER_OF_PORTFOLIO: Final = {"stop", "stop_multiple", "stop_lookback", "trail_percent", "time_stop_sessions"}
"""The same of each portfolio."""


def settings_tree(settings: Settings) -> dict[str, Any]:
    """Return everything that can change a result as plain values for JSON, decimals as their text.

    How the daemon runs and alert channels are left out and strategy files count by name (their content is the
    manifest's business), so that the same run in another folder or home, and a replay and a playback of the same data,
    have the same tree. A key that came later (:data:`_LATER`, :data:`_LATER_OF_PORTFOLIO`) is there only where it is
    set, so that earlier runs keep their digest.
    """
    tree: dict[str, Any] = json.loads(
        json.dumps(settings.model_dump(mode="python", exclude=_WITHOUT_EFFECT), default=_canonical)
    )
    predictor = tree["predictor"]
    predictor["strategies"] = [PurePath(reference).name for reference in predictor["strategies"]]
    predictor["params"] = {PurePath(name).name: values for name, values in predictor["params"].items()}
    for section, names in _LATER.items():
        default = json.loads(json.dumps(getattr(Settings(), section).model_dump(include=names), default=_canonical))
        for name in names:
            if tree[section][name] == default[name]:
                del tree[section][name]
        if not tree[section]:
            del tree[section]
    first = json.loads(json.dumps(PortfolioSettings().model_dump(include=_LATER_OF_PORTFOLIO), default=_canonical))
    for portfolio in tree["portfolio"]:
        for name, value in first.items():
            if portfolio[name] == value:
                del portfolio[name]
        if portfolio["strategies"] is not None:
            portfolio["strategies"] = [PurePath(reference).name for reference in portfolio["strategies"]]
    return tree


def playback_tree(settings: Settings) -> dict[str, Any]:
    """Return what of ``[feed.playback]`` decides which data are seen and how they are stamped, for the manifest.

    Files count by name: their content's digests stand in the manifest beside it. The speed is left out: it changes
    when things happen on the wall, not what happens.
    """
    playback = settings.feed.playback
    files = {name: [path.name for path in getattr(playback, name)] for name in ("bars", "quotes", "trades", "news")}
    later = ("status", "actions")  # where there are none, digests of earlier versions hold
    files |= {name: [path.name for path in paths] for name in later if (paths := getattr(playback, name))}
    return files | playback.model_dump(mode="json", by_alias=True, exclude={*files, *later, "speed"})


def settings_digest(settings: Settings) -> str:
    """Return the SHA-256 of :func:`settings_tree`."""
    text = json.dumps(settings_tree(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    message = f"{type(value).__name__} has no canonical form"
    raise TypeError(message)
