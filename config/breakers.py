"""Trading breakers: what each measures, from where on it trips, what it does then, and how it is armed again.

A breaker whose limit is 0 is off. What it measures, over which window and with how many observations at least, is said
at each; a measure that cannot be computed never trips anything. The day's loss and the drawdown have their limits in
[risk] itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from config.fields import Bounds, LossShare, Reloadable, Section, Share

Action = Literal["warn", "block", "reduce", "deleverage", "halt", "flatten"]
Reset = Literal["operator", "cooling"]
Number = Annotated[Decimal, Bounds("0", "1000000", decimals=4)]
Window = Annotated[Decimal, Bounds("0", "86400", decimals=3)]
Sessions = Annotated[int, Bounds("0", "10000", decimals=0)]
Least = Annotated[int, Bounds("1", "1000000", decimals=0)]
Part = Annotated[Decimal, Bounds("0.01", "1", decimals=4)]


class BreakerSettings(Section):
    """What all breakers have in common."""

    action: Reloadable[Action] = "halt"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "operator"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""
    cooling_s: Reloadable[Window] = Decimal(0)
    """Seconds the cause must be over before it is armed again."""
    cooling_sessions: Reloadable[Sessions] = 0
    """Sessions to wait before it is armed again; both waits must be over."""
    fraction: Reloadable[Part] = Decimal("0.5")
    """Part of every position that `deleverage` closes."""


class WeeklyLossBreaker(BreakerSettings):
    """Loss since the last close of the week before."""

    limit: Reloadable[LossShare] = Decimal(0)
    """Share of that close's equity."""


class MonthlyLossBreaker(BreakerSettings):
    """Loss since the last close of the month before."""

    limit: Reloadable[LossShare] = Decimal(0)
    """Share of that close's equity."""


class LossStreakBreaker(BreakerSettings):
    """Round trips in a row that lost money, of one portfolio."""

    limit: Reloadable[Annotated[int, Bounds("0", "10000", decimals=0)]] = 0
    """How many."""
    action: Reloadable[Action] = "block"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""
    cooling_sessions: Reloadable[Sessions] = 1
    """Sessions to wait before it is armed again."""


class OrderRateBreaker(BreakerSettings):
    """Orders that passed the gate, of all portfolios together."""

    limit: Reloadable[Number] = Decimal(0)
    """Orders within the window."""
    window_s: Reloadable[Window] = Decimal(1)
    """Length of the window."""


class RejectRateBreaker(BreakerSettings):
    """Orders that were denied or rejected, as a share of all in the window."""

    limit: Reloadable[Share] = Decimal("0.5")
    """That share."""
    window_s: Reloadable[Window] = Decimal(60)
    """Length of the window."""
    min_count: Reloadable[Least] = 20
    """Orders in the window before it is judged."""
    action: Reloadable[Action] = "warn"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""
    cooling_s: Reloadable[Window] = Decimal(60)
    """Seconds the share must be below the limit before it is armed again."""


class FillSanityBreaker(BreakerSettings):
    """A fill that cannot be true: far from the market's price, beyond its limit, more than was open."""

    limit: Reloadable[Share] = Decimal("0.2")
    """Distance of a fill's price from the market's at that moment, a share of the latter."""


class SlippageBreaker(BreakerSettings):
    """What a fill cost in its price: spread, slippage and impact together."""

    limit: Reloadable[Share] = Decimal("0.01")
    """A share of the price before them."""
    action: Reloadable[Action] = "block"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""
    cooling_sessions: Reloadable[Sessions] = 1
    """Sessions to wait before it is armed again."""


class StaleDataBreaker(BreakerSettings):
    """No price of any symbol while the market is open; a bar may be as old as it is long."""

    limit: Reloadable[Window] = Decimal(60)
    """Seconds. On daily data nothing is stale within a session."""
    action: Reloadable[Action] = "reduce"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""


class ConnectivityBreaker(BreakerSettings):
    """A feed that is lost and does not come back; working entries are cancelled, exits stay."""

    limit: Reloadable[Window] = Decimal(30)
    """Seconds."""
    action: Reloadable[Action] = "reduce"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""


class ClockSkewBreaker(BreakerSettings):
    """A jump of the wall clock against the monotonic one, while the daemon runs."""

    limit: Reloadable[Window] = Decimal(5)
    """Seconds."""
    action: Reloadable[Action] = "reduce"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""


class ExposureBreaker(BreakerSettings):
    """Gross exposure over equity of one portfolio, however it came about."""

    limit: Reloadable[Number] = Decimal(0)
    """That multiple; `deleverage` cuts every position to be back at it."""
    action: Reloadable[Action] = "deleverage"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""


class VolatilityBreaker(BreakerSettings):
    """Annual volatility of the benchmark (without one, of the universe's mean return) over the last 20 sessions."""

    limit: Reloadable[Number] = Decimal(0)
    """That volatility: 0.4 for 40 % a year."""
    action: Reloadable[Action] = "block"
    """`warn` tells; `block` denies entries; `reduce`, `halt` set the state; `deleverage` cuts positions, too."""
    reset: Reloadable[Reset] = "cooling"
    """`operator` latches until somebody arms it again; `cooling` arms it once well and cooled down."""
    cooling_sessions: Reloadable[Sessions] = 5
    """Sessions in a row it must be below the limit before it is armed again."""


class PredictionDriftBreaker(BreakerSettings):
    """Hit rate of one strategy's last predictions that came due; an action other than `warn` switches it off."""

    limit: Reloadable[Share] = Decimal(0)
    """Hit rate below which it trips."""
    min_count: Reloadable[Least] = 100
    """Predictions the rate is of; with fewer it is not known."""
    action: Reloadable[Action] = "block"
    """`warn` tells; anything else switches the strategy off until an operator enables it."""


class BreakersSettings(Section):
    """Breakers beside the day's loss and the drawdown; a limit of 0 switches one off."""

    weekly_loss: WeeklyLossBreaker = WeeklyLossBreaker()
    """Loss of the week."""
    monthly_loss: MonthlyLossBreaker = MonthlyLossBreaker()
    """Loss of the month."""
    loss_streak: LossStreakBreaker = LossStreakBreaker()
    """Losing trades in a row."""
    order_rate: OrderRateBreaker = OrderRateBreaker()
    """Too many orders."""
    reject_rate: RejectRateBreaker = RejectRateBreaker()
    """Too many orders refused."""
    fill_sanity: FillSanityBreaker = FillSanityBreaker()
    """A fill that cannot be true."""
    slippage: SlippageBreaker = SlippageBreaker()
    """Fills that cost too much."""
    stale_data: StaleDataBreaker = StaleDataBreaker()
    """A market that is silent."""
    connectivity: ConnectivityBreaker = ConnectivityBreaker()
    """A feed that is lost."""
    clock_skew: ClockSkewBreaker = ClockSkewBreaker()
    """A clock that jumps."""
    exposure: ExposureBreaker = ExposureBreaker()
    """Too much at risk."""
    volatility: VolatilityBreaker = VolatilityBreaker()
    """A market that is too wild."""
    prediction_drift: PredictionDriftBreaker = PredictionDriftBreaker()
    """Predictions that went wrong."""
