"""What the gate lets pass: limits of orders, positions and losses, and the breakers behind them."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from config.breakers import BreakersSettings
from config.fields import (
    Amount,
    Bounds,
    Count,
    LossShare,
    Millis,
    Names,
    Paths,
    PositionShare,
    Reloadable,
    Section,
    Share,
)

Shares = Annotated[Decimal, Bounds("0", "1000000000")]
SectorShare = Annotated[Decimal, Bounds("0.1", "0.8", off=True)]
VarShare = Annotated[Decimal, Bounds("0.01", "0.1", off=True)]
Multiple = Annotated[Decimal, Bounds("0", "100", decimals=4)]
PerSecond = Annotated[Decimal, Bounds("0", "1000000", decimals=3)]
Sessions = Annotated[int, Bounds("0", "10000", decimals=0)]
Level = Annotated[Decimal, Bounds("0.5", "0.999", decimals=4)]

NAMED: Final = ("symbols", "sectors", "portfolios")
"""Tables of [risk] whose keys are names, written as they are."""


class SymbolLimitsSettings(Section):
    """Limits of one symbol; each binds beside the general one where it is tighter. 0 leaves it to that."""

    max_order_qty: Shares = Decimal(0)
    """Largest number of shares an order may have."""
    max_order_value: Amount = Decimal(0)
    """Largest value of an order."""
    max_order_adv: Share = Decimal(0)
    """Largest share of average daily volume an order may have."""
    max_position: PositionShare = Decimal(0)
    """Largest share of equity in the symbol."""


class PortfolioLimitsSettings(Section):
    """Limits of one portfolio; each binds beside the general one where it is tighter. 0 leaves it to that."""

    max_order_value: Amount = Decimal(0)
    """Largest value of an order."""
    max_position: PositionShare = Decimal(0)
    """Largest share of equity in one symbol."""
    max_positions: Count = 0
    """Symbols held or being entered."""
    max_gross_value: Amount = Decimal(0)
    """Largest sum of all positions' values."""
    max_leverage: Multiple = Decimal(0)
    """Largest gross exposure, a multiple of equity."""
    max_net: Multiple = Decimal(0)
    """Largest net exposure, a multiple of equity."""
    max_sector: SectorShare = Decimal(0)
    """Largest share of equity in one sector."""
    daily_loss_block: LossShare = Decimal(0)
    """Day loss that blocks entries."""
    daily_loss_halt: LossShare = Decimal(0)
    """Day loss that halts."""
    max_drawdown: LossShare = Decimal(0)
    """Loss from the high-water mark that halts and latches."""


class RiskSettings(Section):
    """Limits of the one gate before the broker, and the breakers. 0 switches a limit off."""

    min_order_value: Reloadable[Amount] = Decimal(100)
    """Smallest order that is no pure reduction."""
    max_order_value: Reloadable[Amount] = Decimal(50_000)
    """Largest order."""
    max_order_fraction: Reloadable[Share] = Decimal("0.2")
    """The largest order grows to this share of equity where that is more."""
    max_order_qty: Reloadable[Annotated[Decimal, Bounds("0", "1000000000")]] = Decimal(0)
    """Largest number of shares an order may have."""
    max_position: Reloadable[PositionShare] = Decimal("0.2")
    """Largest share of equity in one symbol, working orders included."""
    max_positions: Reloadable[Count] = 10
    """Symbols held or being entered."""
    price_collar: Reloadable[Share] = Decimal("0.1")
    """Largest distance of a limit or stop price from the reference."""
    min_confidence_buy: Reloadable[Share] = Decimal("0.65")
    """Signals to buy below this confidence are cut, in the sizing and in the gate."""
    min_confidence_sell: Reloadable[Share] = Decimal("0.6")
    """The same for signals to sell."""
    cash_reserve: Annotated[Decimal, Bounds("1", "2", off=True)] = Decimal("1.02")
    """What a buy reserves, as a multiple of its reference value; fees come on top. Off: the broker cuts to cash."""
    stale_ms: Reloadable[Millis] = 5_000
    """Largest age of a symbol's last price for an entry on intraday data."""
    stale_sessions: Reloadable[Annotated[int, Bounds("0", "1000", decimals=0)]] = 1
    """The same on daily data."""
    duplicate_window_ms: Reloadable[Millis] = 1_000
    """Equal orders of one strategy within this time are duplicates unless another decision made them."""
    require_reference: Reloadable[bool] = True
    """Deny orders in symbols that have no price yet."""
    daily_loss_warn: Reloadable[LossShare] = Decimal("0.018")
    """Day loss that warns."""
    daily_loss_block: Reloadable[LossShare] = Decimal("0.02")
    """Day loss that blocks entries for the rest of the session."""
    daily_loss_halt: Reloadable[LossShare] = Decimal("0.05")
    """Day loss that halts."""
    max_drawdown: Reloadable[LossShare] = Decimal("0.2")
    """Loss from the high-water mark that halts and latches."""
    replay_resume_sessions: Annotated[int, Bounds("0", "10000", decimals=0)] = 0
    """In a replay, sessions after which a drawdown halt is lifted and the mark restarts; 0 for never."""

    max_order_adv: Reloadable[Share] = Decimal("0.05")
    """Largest share of its symbol's average daily volume (20 sessions) an entry may have."""
    unknown_adv: Literal["auto", "allow", "deny"] = "auto"
    """Entries in symbols whose average volume is unknown; `auto` denies them on a live feed, allows recorded ones."""
    unusual_size: Reloadable[Multiple] = Decimal(10)
    """Entries so many times larger than what is normal for their strategy and purpose are denied."""
    unusual_size_orders: Reloadable[Annotated[int, Bounds("5", "1000", decimals=0)]] = 20
    """Earlier orders that say what is normal (nine in ten are at most that); with fewer nothing is unusual."""
    nbbo_tolerance: Reloadable[Share] = Decimal("0.05")
    """With a quote: how far a price may lie beyond the opposite touch, how wide a market order's spread may be."""
    order_rate: Reloadable[PerSecond] = Decimal(100)
    """New orders a second, of all portfolios; behind a burst so many pass."""
    order_burst: Reloadable[Count] = 2_000
    """New orders that may come at once."""
    symbol_order_rate: Reloadable[PerSecond] = Decimal(10)
    """The same for one symbol."""
    symbol_order_burst: Reloadable[Count] = 100
    """The same for one symbol."""
    message_rate: Reloadable[PerSecond] = Decimal(200)
    """New orders and replaces a second; cancels count and always pass."""
    message_burst: Reloadable[Count] = 4_000
    """New orders and replaces that may come at once."""
    collar_period_ms: Reloadable[Millis] = 10_000
    """Within this time of a symbol's first fill its price may not walk further than price_collar, or entries end."""
    max_executions: Reloadable[Count] = 20
    """Executed orders of one strategy in one symbol within the window; one more switches the strategy off."""
    executions_window_ms: Reloadable[Millis] = 60_000
    """That window."""
    self_match_prevention: Reloadable[bool] = True
    """Deny an order that would trade with a working one of our own."""
    restricted: Reloadable[Names] = ()
    """Symbols in which nothing is entered; what is held may be closed."""
    no_entry_before_close_ms: Reloadable[Millis] = 0
    """No entries in the last part of a session."""
    pattern_day_trader: Reloadable[Literal["dated", "off"]] = "dated"
    """FINRA's rule for margin accounts below $25,000 (three day trades in five sessions), on dates it was in force."""
    max_gross_value: Reloadable[Amount] = Decimal(0)
    """Largest sum of all positions' values in a portfolio, working orders included."""
    max_leverage: Reloadable[Multiple] = Decimal(2)
    """Largest gross exposure of a portfolio, a multiple of its equity, working orders included."""
    max_net: Reloadable[Multiple] = Decimal(0)
    """Largest net exposure of a portfolio, long or short, a multiple of its equity, working orders included."""
    book_max_gross_value: Reloadable[Amount] = Decimal(0)
    """Largest sum of all positions' values of all portfolios together."""
    book_max_leverage: Reloadable[Multiple] = Decimal(0)
    """Largest gross exposure of all portfolios together, a multiple of their equity."""
    book_max_position: Reloadable[PositionShare] = Decimal(0)
    """Largest share of all portfolios' equity in one symbol."""
    max_sector: Reloadable[SectorShare] = Decimal("0.4")
    """Largest share of equity in one sector of [universe.sectors]; symbols without one are one sector together."""
    max_correlation: Reloadable[Share] = Decimal("0.8")
    """Entries this correlated with what is held (value-weighted, signed) are denied."""
    correlation_shrink: Reloadable[Share] = Decimal("0.7")
    """From here on sizes shrink, to nothing at max_correlation."""
    correlation_sessions: Annotated[int, Bounds("10", "1000", decimals=0)] = 60
    """Sessions of returns behind correlations; two thirds of them must be common."""
    max_cluster: Reloadable[SectorShare] = Decimal("0.3")
    """Largest share of equity in names correlated with an entry by correlation_shrink or more, itself included."""
    risk_per_trade: Reloadable[Annotated[Decimal, Bounds("0.001", "0.5", off=True)]] = Decimal(0)
    """Largest loss of an entry down to its stop, a share of equity; without a stop its whole value is at risk."""
    max_heat: Reloadable[Annotated[Decimal, Bounds("0.001", "1", off=True)]] = Decimal(0)
    """Largest loss of all positions down to their stops, a share of equity, working orders included."""
    max_var: Reloadable[VarShare] = Decimal(0)
    """Largest one-day value at risk (historical, 95 %) of a portfolio for entries, a share of equity."""
    var_sessions: Annotated[int, Bounds("60", "2000", decimals=0)] = 252
    """Sessions of returns behind value at risk, beta and stress."""
    utilization_warn: Reloadable[Share] = Decimal("0.9")
    """Use of a limit that is told once, and again only behind a session that ended with less."""
    cooldown_sessions: Reloadable[Sessions] = 0
    """Sessions in which a symbol is not entered again after a losing exit."""
    cooldown_ms: Reloadable[Annotated[int, Bounds("0", "2592000000", decimals=0)]] = 0
    """The same in time."""
    stop_guard: Reloadable[Count] = 0
    """Stop-loss exits of a portfolio within stop_guard_sessions after which it enters nothing for a while."""
    stop_guard_sessions: Reloadable[Annotated[int, Bounds("1", "1000", decimals=0)]] = 5
    """The sessions looked back on."""
    stop_guard_lock_sessions: Reloadable[Annotated[int, Bounds("1", "1000", decimals=0)]] = 1
    """How long nothing is entered then."""
    symbols: Reloadable[dict[str, SymbolLimitsSettings]] = Field(default_factory=dict)
    """Tighter limits by symbol, [risk.symbols.AAPL]."""
    sectors: Reloadable[dict[str, SectorShare]] = Field(default_factory=dict)
    """Tighter limits by sector, [risk.sectors]: largest share of equity."""
    portfolios: Reloadable[dict[str, PortfolioLimitsSettings]] = Field(default_factory=dict)
    """Tighter limits by portfolio, [risk.portfolios.main]."""
    scenarios: Paths = ()
    """Files of stress scenarios beside the program's own; one called like those replaces it."""
    breakers: BreakersSettings = BreakersSettings()
    """Breakers beside the day's loss and the drawdown."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_order_value and self.min_order_value > self.max_order_value:
            raise PydanticCustomError("order", "min_order_value is above max_order_value")
        steps = [
            (name, value)
            for name in ("daily_loss_warn", "daily_loss_block", "daily_loss_halt")
            if (value := getattr(self, name))
        ]
        for (lower, a), (upper, b) in pairwise(steps):
            if a > b:
                raise PydanticCustomError("order", "{lower} is above {upper}", {"lower": lower, "upper": upper})
        if self.max_correlation and self.correlation_shrink > self.max_correlation:
            raise PydanticCustomError("order", "correlation_shrink is above max_correlation")
        return self


_FIRST: Final = frozenset(
    {
        "min_order_value",
        "max_order_value",
        "max_order_fraction",
        "max_order_qty",
        "max_position",
        "max_positions",
        "price_collar",
        "min_confidence_buy",
        "min_confidence_sell",
        "cash_reserve",
        "stale_ms",
        "stale_sessions",
        "duplicate_window_ms",
        "require_reference",
        "daily_loss_warn",
        "daily_loss_block",
        "daily_loss_halt",
        "max_drawdown",
        "replay_resume_sessions",
    }
)
LATER: Final = frozenset(RiskSettings.model_fields) - _FIRST - {"scenarios"}
"""Keys that came after the first ledgers; scenarios only look, and are in no digest."""
