"""Stress: what is held through a scenario, and scenarios as data (``actors/risk/scenarios``, and the user's own).

A symbol falls by the shock it is named with, else by that of its sector or asset class (``[universe.sectors]``), else
by its beta times the market's; a beta that is not known counts as 1, and nobody loses more than all. A scenario of
``each_sector`` shocks one sector at a time and tells the worst; where no symbol has a sector it is unknown. A scenario
of ``correlation`` has no direction: it is the loss of so many deviations of the portfolio, after correlations have gone
so far of the way to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

LEAST_SHOCK: Final = -1.0
"""Nobody loses more than everything."""
MOST_SHOCK: Final = 1.0
"""Of a market or a sector; above it percent were written where fractions are meant."""
MOST_OF_SYMBOL: Final = 10.0
"""Of a single symbol: one may be squeezed, and shorts pay for it."""
DEVIATIONS_MAX: Final = 100.0
TITLE_MAX: Final = 100
NO_SECTOR: Final = "none"
"""How symbols without a sector are told; together they are one."""
NO_SECTORS: Final = "no symbol held has a sector"
SECTORS_UNUSED: Final = "no symbol held has a sector: those of the scenario touch none"
SOME_WITHOUT: Final = "symbols without a sector count as one"
NO_DEVIATIONS: Final = "deviations are not known: too few sessions"
NO_VALUE: Final = "the value of something held is not known"

_NUMBERS: Final = ("market", "each_sector", "correlation", "deviations")
_TABLES: Final = ("sectors", "symbols")
_TEXTS: Final = ("title", "description", "source")
REMEDY: Final = "see the files in actors/risk/scenarios for examples"


class Scenario(msgspec.Struct, frozen=True):
    """A scenario; shocks are fractions, -0.2 for a fall of 20 %.

    Attributes:
        name: of its file.
        title, description, source: for people; where the figures come from.
        market: what the market does, None where it says nothing of it.
        sectors, symbols: shocks by name.
        each_sector: a shock for one sector at a time, None for none.
        correlation: how far of the way to 1 correlations go, None for a scenario of shocks.
        deviations: of the portfolio that are lost then.
    """

    name: str
    title: str
    description: str = ""
    source: str = ""
    market: float | None = None
    sectors: dict[str, float] = {}
    symbols: dict[str, float] = {}
    each_sector: float | None = None
    correlation: float | None = None
    deviations: float = 0.0


class Impact(msgspec.Struct, frozen=True):
    """What a scenario does to a portfolio.

    Attributes:
        scenario, title: which one.
        loss: positive = loss, a fraction of equity; None where it cannot be computed.
        worst: the symbol that loses most, and its loss as a fraction of equity; "" where none does.
        worst_loss: that loss.
        sector: the worst one of a scenario of ``each_sector``, "" else.
        by_name, by_sector, by_beta, assumed: how many symbols had their own shock, their sector's, beta times the
            market's, and of the latter a beta of 1 because none is known.
        note: why the loss is unknown, or what it leaves out; "" for nothing.
    """

    scenario: str
    title: str
    loss: float | None
    worst: str = ""
    worst_loss: float = 0.0
    sector: str = ""
    by_name: int = 0
    by_sector: int = 0
    by_beta: int = 0
    assumed: int = 0
    note: str = ""


def parse_scenario(name: str, data: Mapping[str, Any]) -> Scenario:
    """Read a scenario from the contents of its file.

    Raises:
        OperatorError: one sentence naming the file and the key.
    """
    for key in data:
        if key not in (*_NUMBERS, *_TABLES, *_TEXTS):
            raise _bad(name, f"{key} is no key of a scenario")
    numbers = {key: _number(name, key, data[key]) for key in _NUMBERS if key in data}
    tables: dict[str, dict[str, float]] = {}
    for key in _TABLES:
        table = data.get(key, {})
        if not isinstance(table, Mapping):
            raise _bad(name, f"{key} is not a table of names and shocks")
        most = MOST_OF_SYMBOL if key == "symbols" else MOST_SHOCK
        tables[key] = {k: _shock(name, f"{key}.{k}", _number(name, f"{key}.{k}", v), most) for k, v in table.items()}
    _once(name, tables["sectors"])
    texts = {key: _text(name, key, data[key]) for key in _TEXTS if key in data}
    for key in ("market", "each_sector"):
        if key in numbers:
            _shock(name, key, numbers[key], MOST_SHOCK)
    kinds = [
        "market" in numbers or any(tables.values()),
        "each_sector" in numbers,
        "correlation" in numbers,
    ]
    if sum(kinds) != 1:
        raise _bad(name, "it needs one of: market, sectors and symbols; each_sector; correlation with deviations")
    if "correlation" in numbers and not (
        0.0 <= numbers["correlation"] <= 1.0 and 0.0 < numbers.get("deviations", 0.0) <= DEVIATIONS_MAX
    ):
        raise _bad(name, f"correlation must be 0 to 1, and deviations above 0, at most {DEVIATIONS_MAX:g}")
    if "deviations" in numbers and "correlation" not in numbers:
        raise _bad(name, "deviations belong to a correlation")
    return Scenario(
        name=name,
        title=texts.get("title", name),
        description=texts.get("description", ""),
        source=texts.get("source", ""),
        market=numbers.get("market"),
        sectors=tables["sectors"],
        symbols=tables["symbols"],
        each_sector=numbers.get("each_sector"),
        correlation=numbers.get("correlation"),
        deviations=numbers.get("deviations", 0.0),
    )


def _bad(name: str, what: str) -> OperatorError:
    return OperatorError(f"scenario {name}: {what}", code="BAD_SCENARIO", remedy=REMEDY)


def _number(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(name, f"{key} = {value!r} is not a finite number")
    return float(value)


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _bad(name, f"{key} = {value!r} is not text")
    if key == "title" and (not value.isprintable() or len(value) > TITLE_MAX):
        raise _bad(name, f"title is not one line of at most {TITLE_MAX} characters")
    return value


def _once(name: str, sectors: Mapping[str, float]) -> None:
    found: dict[str, str] = {}
    for sector in sectors:
        before = found.setdefault(_folded(sector), sector)
        if before != sector:
            raise _bad(name, f"sectors.{before} and sectors.{sector} are one sector, which has one shock")


def _shock(name: str, key: str, value: float, most: float) -> float:
    text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if value < LEAST_SHOCK:
        raise _bad(name, f"{key} = {text} is no shock: nothing falls by more than everything, which is -1")
    if value > most:
        raise _bad(name, f"{key} = {text} is no shock: {key} may rise by {most:g} at most (0.03 is 3 %)")
    return value


class Prepared(msgspec.Struct, frozen=True):
    """What stress needs of the symbols held that does not depend on how much of each is held; arrays ``[H]``.

    Attributes:
        names: of the symbols.
        deviations: of each symbol's session returns, NaN where not known.
        sector_names, sector_of: sectors, and the place of each symbol's in them.
        scenarios: what they are put through.
        shocks: of each symbol by scenario; None for one without shocks by symbol.
        counts: (by name, by sector, by beta, of these with an assumed beta) by scenario.
    """

    names: tuple[str, ...]
    deviations: F64
    sector_names: tuple[str, ...]
    sector_of: Ids
    scenarios: tuple[Scenario, ...]
    shocks: tuple[F64 | None, ...]
    counts: tuple[tuple[int, int, int, int], ...]


def prepare(
    names: Sequence[str], sectors: Sequence[str], betas: F64, deviations: F64, scenarios: Sequence[Scenario]
) -> Prepared:
    """Look up each symbol's shock in each scenario.

    Args:
        names: of the symbols held.
        sectors: theirs, "" for one that is not known.
        betas: ``[H]`` to the benchmark, NaN where not known.
        deviations: ``[H]`` of session returns, NaN where not known.
        scenarios: what they are put through.
    """
    found = tuple(dict.fromkeys(sectors))
    places = {sector: i for i, sector in enumerate(found)}
    sector_of = np.array([places[sector] for sector in sectors], dtype=np.intp)
    shocked = [_shocks(names, found, sector_of, betas, scenario) for scenario in scenarios]
    return Prepared(
        names=tuple(names),
        deviations=deviations,
        sector_names=found,
        sector_of=sector_of,
        scenarios=tuple(scenarios),
        shocks=tuple(shocks for shocks, _ in shocked),
        counts=tuple(counts for _, counts in shocked),
    )


def _shocks(
    names: Sequence[str], sectors: Sequence[str], sector_of: Ids, betas: F64, scenario: Scenario
) -> tuple[F64 | None, tuple[int, int, int, int]]:
    if scenario.correlation is not None or scenario.each_sector is not None:
        return None, (0, 0, 0, 0)
    known = np.isfinite(betas)
    market = 0.0 if scenario.market is None else scenario.market
    shocks = np.clip(np.where(known, betas, 1.0) * market, LEAST_SHOCK, MOST_SHOCK)
    source = np.zeros(len(names), dtype=np.intp)  # 0 by beta, 1 by sector, 2 by name
    if scenario.sectors and sectors:
        by_sector = {_folded(name): shock for name, shock in scenario.sectors.items()}
        of_sector = np.array([by_sector.get(_folded(sector), math.nan) for sector in sectors])[sector_of]
        source[np.isfinite(of_sector)] = 1
        shocks = np.where(source == 1, of_sector, shocks)
    for i, name in enumerate(names) if scenario.symbols else ():
        shock = scenario.symbols.get(name)
        if shock is not None:
            shocks[i], source[i] = shock, 2
    named, by_sectors, by_beta = (int((source == kind).sum()) for kind in (2, 1, 0))
    if scenario.market is None:  # what is not named stands still, whatever its beta
        return shocks, (named, by_sectors, 0, 0)
    return shocks, (named, by_sectors, by_beta, int(((source == 0) & ~known).sum()))


def _folded(sector: str) -> str:
    return sector.strip().casefold()


def stress(held: Prepared, weights: F64, deviation: float | None) -> list[Impact]:
    """Return what each scenario does to what is held.

    Args:
        held: the symbols.
        weights: ``[H]`` signed values over equity; where one is not finite every loss is unknown, and is None.
        deviation: of the whole portfolio's session returns, None where not known.
    """
    if not np.isfinite(weights).all():
        return [Impact(scenario.name, scenario.title, None, note=NO_VALUE) for scenario in held.scenarios]
    out = []
    placed = not held.names or any(held.sector_names)
    for scenario, shocks, counts in zip(held.scenarios, held.shocks, held.counts, strict=True):
        if shocks is not None:
            losses = -weights * shocks
            worst, worst_loss = _worst(held, losses)
            loss = float(losses.sum()) + 0.0
            note = SECTORS_UNUSED if scenario.sectors and not placed else ""
            out.append(Impact(scenario.name, scenario.title, loss, worst, worst_loss, "", *counts, note=note))
        elif scenario.each_sector is not None and not placed:
            out.append(Impact(scenario.name, scenario.title, None, note=NO_SECTORS))
        elif scenario.each_sector is not None:
            out.append(_each_sector(held, weights, scenario, scenario.each_sector))
        else:
            out.append(_together(held, weights, scenario, deviation))
    return out


def _worst(held: Prepared, losses: F64) -> tuple[str, float]:
    if not losses.size:
        return "", 0.0
    at = int(losses.argmax())
    return (held.names[at], float(losses[at])) if losses[at] > 0.0 else ("", 0.0)


def _each_sector(held: Prepared, weights: F64, scenario: Scenario, shock: float) -> Impact:
    if not weights.size:
        return Impact(scenario.name, scenario.title, 0.0)
    losses = -weights * shock
    sums = np.bincount(held.sector_of, losses, len(held.sector_names))
    at = int(sums.argmax())
    inside = held.sector_of == at
    worst, worst_loss = _worst(held, np.where(inside, losses, 0.0))
    sector, loss = held.sector_names[at] or NO_SECTOR, float(sums[at]) + 0.0
    note = SOME_WITHOUT if sector == NO_SECTOR else ""
    count = int(inside.sum())
    return Impact(scenario.name, scenario.title, loss, worst, worst_loss, sector, by_sector=count, note=note)


def _together(held: Prepared, weights: F64, scenario: Scenario, deviation: float | None) -> Impact:
    """Return the loss of so many deviations, each covariance moved so far of the way to the product of deviations."""
    if not weights.size:
        return Impact(scenario.name, scenario.title, 0.0)
    each = weights * held.deviations
    together = float(each.sum())
    if deviation is None or scenario.correlation is None or not math.isfinite(together):
        return Impact(scenario.name, scenario.title, None, note=NO_DEVIATIONS)
    part = scenario.correlation
    loss = scenario.deviations * math.sqrt((1.0 - part) * deviation**2 + part * together**2)
    worst, worst_loss = _worst(held, scenario.deviations * each * math.copysign(1.0, together))
    return Impact(scenario.name, scenario.title, loss, worst, worst_loss)


def unmatched(scenario: Scenario, names: Sequence[str], sectors: Sequence[str]) -> list[str]:
    """Return what a scenario names and nothing held is, such as ``sectors.Enegry``: a typo looks like that."""
    of = {_folded(sector) for sector in sectors}
    out = [f"sectors.{sector}" for sector in scenario.sectors if _folded(sector) not in of]
    return out + [f"symbols.{symbol}" for symbol in scenario.symbols if symbol not in names]
