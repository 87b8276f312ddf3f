"""What each number means. The id goes into JSON beside the value, the text into the report's tooltips."""

# ruff: noqa: E501 - one metric a line reads as a table

from __future__ import annotations

from typing import Final

import msgspec


class Definition(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        id: stable; the number behind the slash grows when the formula changes.
        label: for people.
        formula: in words and symbols. r: session-to-session simple returns net of costs and external flows, n of them;
            E: session-close equity with the starting cash as E_0; A: sessions a year; rf: annual risk-free rate.
        source: where the definition comes from.
        unit: ``ratio``, ``percent`` (a fraction shown in percent), ``money``, ``count``, ``sessions``, ``days``.
        group: heading in the report.
    """

    id: str
    label: str
    formula: str
    source: str
    unit: str
    group: str


_GROUPS: Final = {
    "Return": """
total_return|Total return|E_n / E_0 - 1, external flows removed (time-weighted, Modified Dietz within a session)|GIPS 2020|percent
cagr|CAGR|(1 + total return)^(A/n) - 1; n sessions, so that it shares its clock with the Sharpe ratio|standard|percent
cagr_calendar|CAGR, calendar|(1 + total return)^(365.25/days) - 1 over calendar days from E_0 to E_n|standard|percent
annual_return_arithmetic|Mean return a year|mean(r) * A|standard|percent
""",
    "Risk": """
volatility|Volatility|std(r, ddof=1) * sqrt(A)|standard|percent
downside_deviation|Downside deviation|sqrt(mean over all n of min(r - T, 0)^2) * sqrt(A), T = 0|Sortino and van der Meer 1991|percent
max_drawdown|Maximum drawdown|min over t of E_t / max(E_0..E_t) - 1 on session closes, starting cash included|standard|percent
max_drawdown_intraday|Maximum drawdown, every mark|as the maximum drawdown, over every equity mark instead of session closes only|standard|percent
max_drawdown_sessions|Maximum drawdown, sessions|sessions from the peak of the deepest drawdown to its recovery, or to the end of the data if it is ongoing|standard|sessions
max_drawdown_days|Maximum drawdown, days|calendar days from the peak of the deepest drawdown to its recovery, or to the end of the data if it is ongoing|standard|days
time_under_water|Time under water|share of sessions that closed below the running maximum|standard|percent
ulcer_index|Ulcer index|sqrt(mean(drawdown_t^2)), t = 1..n, as a fraction|Martin and McCann 1989|percent
var_95|VaR 95 %|minus the 5 % quantile of r (linear); one session, positive = loss, historical|standard|percent
cvar_95|CVaR 95 %|mean loss of the worst 5 % of sessions, the last one in part|Rockafellar and Uryasev 2002|percent
var_99|VaR 99 %|minus the 1 % quantile of r (linear); one session, positive = loss, historical|standard|percent
cvar_99|CVaR 99 %|mean loss of the worst 1 % of sessions, the last one in part|Rockafellar and Uryasev 2002|percent
var_95_normal|VaR 95 %, normal|-(mean(r) + z_0.05 * std(r, ddof=1))|standard|percent
cvar_95_normal|CVaR 95 %, normal|-mean(r) + std(r, ddof=1) * phi(z_0.05) / 0.05|standard|percent
skew|Skewness|population g1 = m3 / m2^1.5|standard|ratio
kurtosis_excess|Excess kurtosis|population g2 = m4 / m2^2 - 3|standard|ratio
tail_ratio|Tail ratio|abs(95 % quantile of r) / abs(5 % quantile of r)|standard|ratio
""",
    "Risk-adjusted": """
sharpe|Sharpe ratio|mean(r - rf') / std(r - rf', ddof=1) * sqrt(A), rf' = (1 + rf)^(1/A) - 1|Sharpe 1994|ratio
sharpe_ci_low|Sharpe, 95 % low|(sr - 1.96 * se) * sqrt(A), se = sqrt((1 - g1 sr + (g4 - 1)/4 sr^2) / (n - 1)), g4 raw kurtosis|Mertens 2002|ratio
sharpe_ci_high|Sharpe, 95 % high|(sr + 1.96 * se) * sqrt(A), se as for the low end|Mertens 2002|ratio
sharpe_lo|Sharpe, autocorrelation-adjusted|sr * A / sqrt(A + 2 sum (A - k) rho_k), k up to the Newey-West bandwidth|Lo 2002|ratio
sortino|Sortino ratio|mean(r - T) / TDD * sqrt(A), T = 0, TDD over all n|Sortino and Price 1994|ratio
calmar|Calmar ratio|CAGR / abs(maximum drawdown), whole window|Young 1991|ratio
upi|Ulcer performance index|(CAGR - rf) / ulcer index|Martin and McCann 1989|ratio
omega|Omega|sum of max(r, 0) / sum of max(-r, 0)|Keating and Shadwick 2002|ratio
recovery_factor|Recovery factor|total return / abs(maximum drawdown)|standard|ratio
psr|Probabilistic Sharpe ratio|Phi(sr * sqrt(n - 1) / sqrt(1 - g1 sr + (g4 - 1)/4 sr^2)), against a Sharpe ratio of 0|Bailey and Lopez de Prado 2012|percent
dsr|Deflated Sharpe ratio|PSR against the best Sharpe ratio expected of N trials without skill; undefined without trials|Bailey and Lopez de Prado 2014|percent
min_trl|Minimum track record|1 + (1 - g1 sr + (g4 - 1)/4 sr^2) * (z_0.95 / sr)^2 observations|Bailey and Lopez de Prado 2012|sessions
""",
    "Against the benchmark": """
alpha|Alpha a year|intercept of r - rf' on b - rf' by least squares, times A|Jensen 1968|percent
alpha_t|Alpha, t-statistic|alpha over its Newey-West error (Bartlett, floor(4 (n/100)^(2/9)) lags)|Newey and West 1987|ratio
beta|Beta|slope of r - rf' on b - rf' by least squares|standard|ratio
r_squared|R squared|correlation squared|standard|ratio
correlation|Correlation|Pearson, r with b|standard|ratio
tracking_error|Tracking error|std(r - b, ddof=1) * sqrt(A)|standard|percent
information_ratio|Information ratio, annual|mean(r - b) * A / tracking error|Goodwin 1998, annualised|ratio
treynor|Treynor ratio|mean(r - rf') * A / beta|Treynor 1965|percent
""",
    "Trades": """
num_trades|Trades closed|FIFO round trips, partial closes counted each|standard|count
win_rate|Win rate|share of trades with net profit above zero; zero is no win|standard|percent
profit_factor|Profit factor|sum of winning profits / abs(sum of losing profits)|standard|ratio
payoff_ratio|Payoff ratio|average win / abs(average loss)|standard|ratio
expectancy|Expectancy|win rate * average win + loss rate * average loss, money a trade, net of fees|standard|money
expectancy_return|Expectancy, return|mean of net profit over entry value|standard|percent
avg_win|Average win|mean net profit of winning trades|standard|money
avg_loss|Average loss|mean net profit of losing trades (negative)|standard|money
avg_trade|Average trade|mean net profit of all trades|standard|money
largest_win|Largest win|highest net profit of a trade|standard|money
largest_loss|Largest loss|lowest net profit of a trade (negative)|standard|money
max_consecutive_wins|Longest winning run|most wins in a row by time of exit|standard|count
max_consecutive_losses|Longest losing run|most losses in a row by time of exit|standard|count
avg_holding_sessions|Average holding|mean number of session closes after the entry up to the exit|standard|sessions
""",
    "Activity and costs": """
turnover|Turnover a year|sum of abs(fill value) / 2 / mean session-close equity, times A/n|pyfolio, equity as denominator|ratio
exposure_gross|Mean gross exposure|mean of gross / equity at session closes|standard|percent
exposure_net|Mean net exposure|mean of net / equity at session closes|standard|percent
time_in_market|Time in the market|share of session closes with a position open|standard|percent
commission_total|Commission|sum of commissions of all fills|standard|money
slippage_total|Slippage|sum of slippage cost of all fills, spread and impact apart|Perold 1988|money
""",
}


def _parse() -> dict[str, Definition]:
    table = {}
    for group, text in _GROUPS.items():
        for line in text.strip().splitlines():
            name, label, formula, source, unit = line.split("|")
            table[name] = Definition(f"{name}/1", label, formula, source, unit, group)
    return table


DEFINITIONS: Final[dict[str, Definition]] = _parse()
"""Metric name -> definition, in the order they are shown."""

EXTRA: Final = ("sharpe_lo", "alpha_t", "expectancy_return", "max_drawdown_intraday")
"""Names beyond the list of the contract."""
