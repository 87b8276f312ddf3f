"""``tradingd calc``: every number a report shows, recomputed from files. JSON on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import costs, risk_calc
from daemon.cli.render import say_json
from daemon.kernel.errors import UsageError
from daemon.system.options import DEFAULT_SEED

if TYPE_CHECKING:
    from actors.reporter.calc import Moments

app = typer.Typer(
    help="Recompute the numbers of a report from files; JSON on stdout.", no_args_is_help=True, rich_markup_mode=None
)

app.command("cost", short_help="What a trade would cost, part by part.", epilog=costs.COST_EXAMPLE)(costs.cost)
app.command("tca", short_help="What trades cost against the price they were decided on.", epilog=costs.TCA_EXAMPLE)(
    costs.tca
)
app.command("var", short_help="Value at risk and expected shortfall.", epilog=risk_calc.VAR_EXAMPLE)(risk_calc.var)
app.command("stress", short_help="What crises would cost.", epilog=risk_calc.STRESS_EXAMPLE)(risk_calc.stress)
app.command("correlation", short_help="Correlations of return series.", epilog=risk_calc.CORRELATION_EXAMPLE)(
    risk_calc.correlation
)

Json = Annotated[bool, typer.Option("--json", help="JSON is the only output; accepted for symmetry.")]
ReturnsFile = Annotated[
    Path | None, typer.Option("--returns", metavar="FILE", help="CSV ts,return, or one column per symbol or trial.")
]
SharpeRatio = Annotated[float | None, typer.Option("--sr", help="Sharpe ratio per period, not annualised.")]
Observations = Annotated[int | None, typer.Option("--n", help="Number of returns behind it.")]
Skew = Annotated[float, typer.Option(help="Skewness of the returns.")]
Kurt = Annotated[float, typer.Option(help="Raw kurtosis of the returns; 3 for a normal.")]
BenchmarkSr = Annotated[float, typer.Option("--benchmark-sr", help="Sharpe ratio per period to beat.")]


@app.command(
    epilog="Example: tradingd calc metrics --equity demo/equity.csv --benchmark demo/benchmark.csv"
    " --trades demo/trades.csv --rf 0.02"
)
def metrics(
    *,
    equity: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV ts,equity.")] = None,
    returns: ReturnsFile = None,
    benchmark: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV ts,return to compare with.")] = None,
    trades: Annotated[Path | None, typer.Option(metavar="FILE", help="trades.csv of a run folder.")] = None,
    periods: Annotated[float, typer.Option(help="Returns a year.")] = 252.0,
    rf: Annotated[float, typer.Option(help="Risk-free rate a year, a fraction.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap; that of the run.")] = DEFAULT_SEED,
    definitions: Annotated[
        bool, typer.Option("--definitions", help="Print every metric's id, formula and source instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute the metrics of an equity curve or a return series."""
    del as_json
    if definitions:
        import msgspec

        from actors.reporter.analytics.definitions import DEFINITIONS

        rows = [{"name": name, **msgspec.to_builtins(found)} for name, found in DEFINITIONS.items()]
        say_json({"schema": "tradingd.definitions/1", "rows": rows})
        return
    from actors.reporter.calc import calc_metrics

    say_json(calc_metrics(equity, returns, benchmark, trades, periods, rf, seed))


@app.command(
    short_help="Probability that the true Sharpe ratio beats a benchmark.",
    epilog="Example: tradingd calc psr --sr 0.08 --n 1250 --skew -0.4 --kurt 6",
)
def psr(
    *,
    returns: ReturnsFile = None,
    sr: SharpeRatio = None,
    n: Observations = None,
    skew: Skew = 0.0,
    kurt: Kurt = 3.0,
    benchmark_sr: BenchmarkSr = 0.0,
    as_json: Json = False,
) -> None:
    """Probability that the true Sharpe ratio is above a benchmark (probabilistic Sharpe ratio)."""
    from actors.reporter.calc import calc_psr

    del as_json
    say_json(calc_psr(returns, _moments(sr, n, skew, kurt), benchmark_sr))


@app.command(
    short_help="Deflated Sharpe ratio, for the best of many trials.",
    epilog="Example: tradingd calc dsr --sr 0.08 --n 1250 --trials 40 --trials-variance 0.0004",
)
def dsr(
    *,
    returns: ReturnsFile = None,
    sr: SharpeRatio = None,
    n: Observations = None,
    skew: Skew = 0.0,
    kurt: Kurt = 3.0,
    trials: Annotated[int | None, typer.Option(help="How many were tried; a wide file says so itself.")] = None,
    trials_variance: Annotated[
        float | None, typer.Option("--trials-variance", help="Variance of the trials' Sharpe ratios per period.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Deflated Sharpe ratio: the same against the best of so many trials that chance alone would give."""
    from actors.reporter.calc import calc_dsr

    del as_json
    say_json(calc_dsr(returns, _moments(sr, n, skew, kurt), trials, trials_variance))


@app.command(
    short_help="Shortest track record that would prove a Sharpe ratio.",
    epilog="Example: tradingd calc mintrl --returns demo/benchmark.csv --level 0.95",
)
def mintrl(
    *,
    returns: ReturnsFile = None,
    sr: SharpeRatio = None,
    n: Observations = None,
    skew: Skew = 0.0,
    kurt: Kurt = 3.0,
    benchmark_sr: BenchmarkSr = 0.0,
    level: Annotated[float, typer.Option(help="Confidence wanted.")] = 0.95,
    as_json: Json = False,
) -> None:
    """Shortest track record that would prove the Sharpe ratio above a benchmark, in observations."""
    from actors.reporter.calc import calc_mintrl

    del as_json
    say_json(calc_mintrl(returns, _moments(sr, n, skew, kurt), benchmark_sr, level))


def _moments(sr: float | None, n: int | None, skew: float, kurt: float) -> Moments | None:
    if sr is None and n is None:
        return None
    if sr is None or n is None:
        message = "--sr and --n belong together"
        raise UsageError(message, code="MOMENTS", remedy="give both, or --returns FILE")
    from actors.reporter.calc import Moments

    return Moments(sr, n, skew, kurt)
