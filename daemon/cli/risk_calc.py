"""``tradingd calc var``, ``calc stress`` and ``calc correlation``: the measures of risk, recomputed from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from daemon.cli.render import say_json
from daemon.system.options import DEFAULT_SEED

VAR_EXAMPLE: Final = (
    "Example: tradingd calc var --returns demo/benchmark.csv --method historical --level 0.99 --horizon 10;"
    " of several series: tradingd calc var --returns wide.csv --weights weights.csv --method normal"
)
STRESS_EXAMPLE: Final = (
    "Example: tradingd calc stress --weights weights.csv --returns wide.csv --benchmark SPY --scenario my-crash.toml"
)
CORRELATION_EXAMPLE: Final = "Example: tradingd calc correlation --returns wide.csv --least 40"

Json = Annotated[bool, typer.Option("--json", help="JSON is the only output; accepted for symmetry.")]


def var(
    *,
    returns: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV ts,return, or one column per symbol; a cell may be empty.")
    ],
    method: Annotated[str, typer.Option(help="historical, normal or montecarlo.")] = "historical",
    level: Annotated[float, typer.Option(help="0.95: the loss exceeded in 5 % of cases.")] = 0.95,
    horizon: Annotated[int, typer.Option(help="Sessions.")] = 1,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV symbol,value: signed values over equity; adds components."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Of montecarlo.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of montecarlo.")] = DEFAULT_SEED,
    as_json: Json = False,
) -> None:
    """Value at risk and expected shortfall of a return series, or of weights on several."""
    from daemon.system.risk_calc import calc_var

    del as_json
    say_json(calc_var(returns, method=method, level=level, horizon=horizon, weights=weights, draws=draws, seed=seed))


def stress(
    *,
    weights: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV symbol,value and optionally sector: signed values over equity.")
    ],
    returns: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with one column per symbol, for betas and deviations.")
    ] = None,
    benchmark: Annotated[str, typer.Option(metavar="SYMBOL", help="Its column that is the market.")] = "",
    scenario: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A further scenario, TOML; may be repeated.")
    ] = None,
    own_only: Annotated[bool, typer.Option("--own-only", help="Leave the program's own scenarios out.")] = False,
    as_json: Json = False,
) -> None:
    """What 2008, 2020, 2022, a rate shock, a sector's fall and your own scenarios would cost."""
    from daemon.system.risk_calc import calc_stress

    del as_json
    say_json(calc_stress(weights, returns=returns, benchmark=benchmark, scenarios=scenario or (), own_only=own_only))


def correlation(
    *,
    returns: Annotated[Path, typer.Option(metavar="FILE", help="CSV with one column per symbol; a cell may be empty.")],
    least: Annotated[int, typer.Option(help="Common sessions without which a pair is unknown.")] = 40,
    as_json: Json = False,
) -> None:
    """Correlations of all pairs of return series over their common sessions."""
    from daemon.system.risk_calc import calc_correlation

    del as_json
    say_json(calc_correlation(returns, least=least))
