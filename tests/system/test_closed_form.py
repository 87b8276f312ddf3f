"""Buy-and-hold of one symbol through the whole system equals the closed form, to the cent and beyond.

The closed form is computed here with ``Decimal`` from the definitions of ``semantics.md`` alone: the decision falls at
the first close, the order fills at the next bar's price, and the shares are what the cash rule allows.
"""

from __future__ import annotations

import csv
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest

from actors.feed.history import HistorySpec, open_history
from tests_support import replay

CASH = Decimal(100_000)
STEP = Decimal("0.00000001")
ONE = Decimal(1)


def rounded(value: Decimal) -> Decimal:
    """Round as the ledger does."""
    return value.quantize(STEP, ROUND_HALF_EVEN)


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def closes(symbol: str, first: int, last: int) -> list[Decimal]:
    """Return the embedded closes as exact decimals of 1e-8."""
    history = open_history(HistorySpec(source="sp500", symbols=(symbol,), from_date=first, to_date=last))
    return [rounded(Decimal(repr(float(value)))) for value in history.session_closes()[1][:, 0]]


@pytest.mark.parametrize("symbol", ["AAPL", "JPM", "XOM"])
def test_without_friction_on_embedded_data(tmp_path: Path, symbol: str) -> None:
    """Shares = floor(cash / decision close), cut to what the next close costs; nothing else moves the cash."""
    replay(
        tmp_path / "run",
        strategy="buy_and_hold",
        profile="frictionless",
        sets=[f'universe.symbols=["{symbol}"]'],
        date_from=20150101,
        date_to=20161231,
    )
    px = closes(symbol, 20150101, 20161231)
    shares = min((CASH / px[0]).to_integral_value(ROUND_FLOOR), (CASH / px[1]).to_integral_value(ROUND_FLOOR))
    cash = CASH - shares * px[1]
    [fill] = rows(tmp_path / "run" / "fills.csv")
    assert (Decimal(fill["qty"]), Decimal(fill["price"]), Decimal(fill["fee"])) == (shares, px[1], 0)
    equity = rows(tmp_path / "run" / "equity.csv")
    assert len(equity) == len(px) + 1
    assert Decimal(equity[0]["equity"]) == CASH
    for row, close in zip(equity[3:], px[2:], strict=True):
        assert Decimal(row["cash"]) == cash
        assert Decimal(row["equity"]) == cash + shares * close


def test_with_the_plans_costs_on_embedded_data(tmp_path: Path) -> None:
    """Half the spread, slippage and linear impact move the price, the commission moves the cash."""
    replay(
        tmp_path / "run",
        strategy="buy_and_hold",
        sets=['universe.symbols=["AAPL"]'],
        date_from=20150101,
        date_to=20151231,
    )
    px = closes("AAPL", 20150101, 20151231)
    shares = (CASH * Decimal("0.2") / px[0]).to_integral_value(ROUND_FLOOR)
    impact = Decimal("0.001") * shares * px[1] / 100_000
    paid = px[1] * (ONE + Decimal("0.000075") + Decimal("0.0005") + impact)
    [fill] = rows(tmp_path / "run" / "fills.csv")
    assert Decimal(fill["qty"]) == shares
    assert abs(Decimal(fill["price"]) - paid) <= 2 * STEP
    price = Decimal(fill["price"])
    commission = rounded(shares * price * Decimal("0.001"))
    assert Decimal(fill["fee"]) == commission
    last = rows(tmp_path / "run" / "equity.csv")[-1]
    assert Decimal(last["cash"]) == CASH - shares * price - commission
    assert Decimal(last["equity"]) == Decimal(last["cash"]) + shares * px[-1]


def test_with_ibkr_fees_on_a_bar_file(tmp_path: Path) -> None:
    """A file with opens: the order fills at the second bar's open; $0.005 a share, at least a dollar."""
    bars = tmp_path / "bars.csv"
    bars.write_text(
        "ts,symbol,open,high,low,close,volume\n"
        "2024-03-04,ABC,50.00,51.00,49.50,50.25,1000000\n"
        "2024-03-05,ABC,50.40,50.90,50.10,50.80,1000000\n"
        "2024-03-06,ABC,50.85,52.30,50.60,52.10,1000000\n"
    )
    replay(
        tmp_path / "run",
        strategy="buy_and_hold",
        profile="ibkr",
        bars=(bars,),
        sets=["broker.slippage_bps=0", "broker.spread_bps=0", 'broker.impact="none"'],
    )
    shares = (CASH * Decimal("0.2") / Decimal("50.25")).to_integral_value(ROUND_FLOOR)
    fee = max(shares * Decimal("0.005"), ONE)
    [fill] = rows(tmp_path / "run" / "fills.csv")
    assert fill["px_source"] == "open"
    assert (Decimal(fill["qty"]), Decimal(fill["price"]), Decimal(fill["fee"])) == (shares, Decimal("50.4"), fee)
    last = rows(tmp_path / "run" / "equity.csv")[-1]
    assert Decimal(last["equity"]) == CASH - shares * Decimal("50.4") - fee + shares * Decimal("52.1")
