"""``tradingd calc cost`` and ``tradingd calc tca``: what a trade would cost, and what trades did."""

from __future__ import annotations

import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from daemon.cli.options import ConfigFile, Profile, Sets, check_profile, parse_date, parse_zone
from daemon.cli.render import is_fancy, note, pairs, say, say_json, table
from daemon.kernel.errors import UsageError

if TYPE_CHECKING:
    from actors.broker.costs import Estimate
    from actors.broker.params import BrokerParams

COST_EXAMPLE: Final = (
    "Example: tradingd calc cost --side buy --qty 1000 --px 50 --adv 2000000 --vol 0.02 --profile ibkr"
)
TCA_EXAMPLE: Final = "Example: tradingd calc tca --orders o.csv --fills f.csv --quotes q.csv"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON also on a terminal.")]


def cost(
    *,
    side: Annotated[str, typer.Option(help="buy or sell.")],
    qty: Annotated[str, typer.Option(metavar="SHARES", help="Quantity to trade.")],
    px: Annotated[str, typer.Option(metavar="PRICE", help="Price of the market: mid of the quote, or last trade.")],
    adv: Annotated[
        str, typer.Option(metavar="SHARES", help="Average daily volume; without it impact is the linear one.")
    ] = "0",
    vol: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION",
            help="Daily volatility: `sqrt` impact is this times the root of qty/adv. Default: broker.impact_sqrt_rate.",
        ),
    ] = None,
    spread_bps: Annotated[
        str | None, typer.Option(metavar="BPS", help="Quoted spread; without it the modelled one.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Limit; beyond the market's price the order rests.")
    ] = None,
    bar_volume: Annotated[
        str, typer.Option(metavar="SHARES", help="Volume of the bar or print, for broker.slippage_volume_share.")
    ] = "0",
    at: Annotated[
        str | None, typer.Option("--time", metavar="HH:MM", help="Exchange time, for broker.spread_model=dynamic.")
    ] = None,
    vol_ratio: Annotated[
        str, typer.Option(metavar="X", help="Recent range of the symbol over its average, for the dynamic spread.")
    ] = "1",
    on: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="Trade date of regulatory fees. Default: today.")
    ] = None,
    profile: Profile = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Estimate what a trade costs, with the simulated broker's own model."""
    from config.params import broker_params
    from config.sources import load_settings

    loaded = load_settings(file=config, profile=check_profile(profile), sets=sets or (), environ=os.environ)
    document = estimate(
        broker_params(loaded.settings),
        side=side,
        qty=qty,
        px=px,
        adv=adv,
        vol=vol,
        spread_bps=spread_bps,
        limit=limit,
        bar_volume=bar_volume,
        at=at,
        vol_ratio=vol_ratio,
        on=parse_date("--date", on),
    )
    inputs = document["inputs"] | {"profile": loaded.profile}
    document["inputs"] = inputs
    given = {"--vol": vol, "--time": at, "--vol-ratio": vol_ratio, "--bar-volume": bar_volume, "--date": on}
    for sentence in _without_effect(given, inputs, broker_params(loaded.settings)):
        note(f"note: {sentence}")
    if as_json or not is_fancy(sys.stdout):
        say_json(document)
        return
    value = inputs["qty"] * inputs["px"]
    rows = [[name, f"{money:,.4f}", f"{1e4 * money / value:.3f}"] for name, money in document["parts"].items()]
    rows.append(["total", f"{document['total']:,.4f}", f"{document['bps']:.3f}"])
    say(table(["part", "money", "bps"], rows, right=["money", "bps"]))
    impact = inputs["impact"] + ("" if inputs["adv"] else ", as no --adv was given")
    model = f"profile {inputs['profile']}, impact {impact}"
    say(pairs({"expected price": f"{document['px']:.8f}", "liquidity": document["liquidity"], "model": model}))


def _without_effect(given: dict[str, Any], inputs: dict[str, Any], params: BrokerParams) -> list[str]:
    """Say which options changed nothing, and why: nobody shall believe that they did."""
    why = {
        "--vol": "impact is the square-root one only with broker.impact=sqrt and --adv" * (inputs["impact"] != "sqrt"),
        "--time": "the spread is fixed unless broker.spread_model=dynamic" * (params.spread_model != "dynamic"),
        "--bar-volume": "broker.slippage_volume_share is 0" * (not params.slippage_volume_share),
        "--date": "only a sale with broker.regulatory_fees has a date" * (inputs["date"] is None),
    }
    why["--vol-ratio"] = why["--time"]
    unused = {"--vol-ratio": "1", "--bar-volume": "0"}
    return [
        f"{flag} changed nothing: {reason}"
        for flag, reason in why.items()
        if reason and given[flag] != unused.get(flag)
    ]


def estimate(
    params: BrokerParams,
    *,
    side: str,
    qty: str,
    px: str,
    adv: str,
    vol: str | None,
    spread_bps: str | None,
    limit: str | None,
    bar_volume: str,
    at: str | None,
    vol_ratio: str,
    on: int | None,
) -> dict[str, Any]:
    """Return the document of ``calc cost``.

    Raises:
        UsageError: an option that is no number, not positive, or not known.
        FeeScheduleError: regulatory fees on a date outside the tables.
    """
    import msgspec

    from actors.broker.costs import CostModel
    from actors.values.fixed import SCALE, div_round

    sign = {"buy": 1, "sell": -1}.get(side)
    if sign is None:
        message = f"--side {side} is neither buy nor sell"
        raise UsageError(message, code="SIDE")
    shares, ref = _positive("--qty", qty), _positive("--px", px)
    volume, daily = _number("--bar-volume", bar_volume), _number("--adv", adv)
    bound = None if limit is None else _positive("--limit", limit)
    if vol is not None:
        daily_vol = _number("--vol", vol)
        if daily_vol > SCALE:
            message = f"--vol {vol} is more than 1, which is 100 % a day; it is a fraction, such as 0.02 for 2 %"
            raise UsageError(message, code="NUMBER")
        params = msgspec.structs.replace(params, impact_sqrt_rate=daily_vol)
    half = None if spread_bps is None else div_round(ref * _number("--spread-bps", spread_bps), 20_000 * SCALE)
    dynamic = _spread_rate(params, at, _positive("--vol-ratio", vol_ratio))
    rate = dynamic if params.spread_model == "dynamic" else None
    found = CostModel(params).estimate(
        sign, shares, ref, daily, limit=bound, half_quoted=half, volume=volume, spread_rate=rate
    )
    rests = bound is not None and sign * (bound - ref) < 0
    regulatory, day = _regulatory(params, sign, shares, found.px, on)
    impact = "linear" if params.impact == "sqrt" and not daily else params.impact
    rates = {"sqrt": params.impact_sqrt_rate, "linear": params.impact_linear_rate, "none": 0}
    inputs = {
        "side": side,
        "qty": shares / SCALE,
        "px": ref / SCALE,
        "adv": daily / SCALE or None,
        "spread_bps": None if spread_bps is None else float(spread_bps),
        "limit": None if bound is None else bound / SCALE,
        "bar_volume": volume / SCALE or None,
        "date": day,
        "impact": impact,
        "impact_rate": rates[impact] / SCALE,
    }
    return _document(inputs, found, regulatory) | {"liquidity": "maker" if rests else "taker"}


def _document(inputs: dict[str, Any], found: Estimate, regulatory: int) -> dict[str, Any]:
    from actors.values.fixed import SCALE

    total = (found.total + regulatory) / SCALE
    parts = {name: getattr(found, name) / SCALE for name in ("commission", "spread", "slippage", "impact")}
    return {
        "schema": "tradingd.cost/1",
        "inputs": inputs,
        "parts": parts | {"regulatory": regulatory / SCALE},
        "of_impact": {
            "temporary": (found.impact - found.permanent) / SCALE,
            "permanent": found.permanent / SCALE,
        },
        "total": total,
        "bps": 1e4 * total / (inputs["qty"] * inputs["px"]),
        "px": found.px / SCALE,
    }


def _regulatory(params: BrokerParams, sign: int, shares: int, px: int, on: int | None) -> tuple[int, str | None]:
    """Return the fees of a sale and the date they are of."""
    from zoneinfo import ZoneInfo

    from actors.broker import fees
    from actors.values.fixed import mul

    if sign > 0 or not params.regulatory_fees:
        return 0, None
    today = datetime.now(UTC).astimezone(ZoneInfo("America/New_York")).date()
    day = on if on is not None else today.year * 10_000 + today.month * 100 + today.day
    rates = fees.rates_on(day)
    due = fees.due(mul(shares, px) * rates.section_31, shares * rates.taf, rates)
    return due, date(day // 10_000, day // 100 % 100, day % 100).isoformat()


def _spread_rate(params: BrokerParams, at: str | None, ratio: int) -> int:
    """Return the dynamic spread of an exchange time in regular hours; without one, of an average time."""
    from actors.broker.spreads import FACTOR_MAX, FACTOR_MIN, time_factor
    from actors.values.fixed import SCALE, div_round

    shape = SCALE
    if at is not None:
        try:
            moment = datetime.strptime(at, "%H:%M").replace(tzinfo=UTC)
        except ValueError:
            message = f"--time {at} is no time of day"
            raise UsageError(message, code="TIME", remedy="write HH:MM, such as 09:35") from None
        shape = time_factor(moment.hour * 60 + moment.minute, 9 * 60 + 30, 16 * 60)
    factor = min(max(ratio, FACTOR_MIN), FACTOR_MAX)
    return div_round(params.spread_rate * factor * shape, SCALE * SCALE)


def _number(flag: str, text: str) -> int:
    from actors.values.fixed import FixedPointError, parse_fixed

    try:
        value = parse_fixed(text)
    except FixedPointError as error:
        message = f"{flag}: {error}"
        raise UsageError(message, code="NUMBER") from None
    if value < 0:
        message = f"{flag} {text} is below zero"
        raise UsageError(message, code="NUMBER")
    return value


def _positive(flag: str, text: str) -> int:
    value = _number(flag, text)
    if not value:
        message = f"{flag} {text} must be above zero"
        raise UsageError(message, code="NUMBER")
    return value


def tca(
    *,
    orders: Annotated[Path, typer.Option(metavar="FILE", help="CSV of orders, as in a run folder.")],
    fills: Annotated[Path, typer.Option(metavar="FILE", help="CSV of their fills.")],
    quotes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV ts symbol bid_px ask_px: prices that the orders do not say themselves."),
    ] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of times that state no offset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take trades apart into delay, execution, opportunity and fees (implementation shortfall)."""
    from zoneinfo import ZoneInfo

    from actors.reporter.tca_files import calc_tca

    zone = parse_zone(tz)
    document = calc_tca(orders, fills, quotes, None if zone is None else ZoneInfo(zone))
    if as_json or not is_fancy(sys.stdout):
        say_json(document)
        return
    columns = [
        "order",
        "symbol",
        "side",
        "status",
        "filled",
        "delay",
        "execution",
        "opportunity",
        "fees",
        "total",
        "bps",
    ]
    rows = [
        [
            row["order_id"] or row["client_order_id"],
            row["symbol"],
            row["side"],
            row["status"].replace("_", " "),
            f"{_shares(row['filled_qty'])}/{_shares(row['qty'])}",
            *(_money(row[name]) for name in columns[5:]),
        ]
        for row in document["rows"]
    ]
    rows.append(["all", "", "", "", "", *(_money(document[name]) for name in columns[5:])])
    say(table(columns, rows, right=columns[4:]))
    told = {"analysed": f"{document['analysed']:,} of {document['orders']:,} orders"}
    say(pairs(told | {f"{name}, of execution": _money(value) for name, value in document["of_execution"].items()}))


def _shares(value: float) -> str:
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"
