"""The embedded data: 20 S&P 500 stocks, daily, 1990 to 2022, out of the installed package ``skfolio``.

The package is never imported (2.9 s, 233 MB): its data files are found beside it and read as text. The prices are
closes adjusted for splits and dividends; the index is the S&P 500 without dividends. The 20 companies were chosen
knowing that they survived to 2022, which everything built on them must say.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from actors.feed.bars import F64, I64, PRICES, RawBars, SourceFile
from daemon.kernel.errors import OperatorError

NAME: Final = "sp500"
PACKAGE: Final = "skfolio"
FOLDER: Final = "datasets/data"
STOCKS: Final = "sp500_dataset.csv.gz"
INDEX: Final = "sp500_index.csv.gz"
INDEX_SYMBOL: Final = "SP500"
INDEX_LABEL: Final = "S&P 500 index, price only (without dividends)"

SECTORS: Final[dict[str, str]] = {
    "AAPL": "Information Technology",
    "AMD": "Information Technology",
    "BAC": "Financials",
    "BBY": "Consumer Discretionary",
    "CVX": "Energy",
    "GE": "Industrials",
    "HD": "Consumer Discretionary",
    "JNJ": "Health Care",
    "JPM": "Financials",
    "KO": "Consumer Staples",
    "LLY": "Health Care",
    "MRK": "Health Care",
    "MSFT": "Information Technology",
    "PEP": "Consumer Staples",
    "PFE": "Health Care",
    "PG": "Consumer Staples",
    "RRC": "Energy",
    "UNH": "Health Care",
    "WMT": "Consumer Staples",
    "XOM": "Energy",
}
"""GICS sectors of the twenty, as of 2022."""


class Embedded(msgspec.Struct, eq=False):
    """The data set.

    Attributes:
        raw: its bars, closes only, in order of date, then symbol.
        index_days: [D] days since 1970-01-01.
        index_closes: [D].
        label: what it is, for people.
        digests: SHA-256 by resource.
    """

    raw: RawBars
    index_days: I64
    index_closes: F64
    label: str
    digests: dict[str, str]


def read_embedded() -> Embedded:
    """Read the data set.

    Raises:
        OperatorError: the package or its files are missing or changed.
    """
    folder = _folder()
    stocks, stocks_digest = _resource(folder, STOCKS)
    index, index_digest = _resource(folder, INDEX)
    symbols, days, prices = _wide(stocks, STOCKS)
    index_names, index_days, levels = _wide(index, INDEX)
    if index_names != (INDEX_SYMBOL,) or symbols != tuple(sorted(SECTORS)):
        message = f"the data of {PACKAGE} hold other symbols than expected"
        raise OperatorError(message, code="EMBEDDED_DATA", remedy=f"install the version of {PACKAGE} named in the lock")
    count = len(symbols)
    close = prices.ravel()
    raw = RawBars(
        files=(SourceFile(f"{PACKAGE}/{FOLDER}/{STOCKS}", "line", close_only=True, has_volume=False),),
        symbols=symbols,
        ids=np.tile(np.arange(count, dtype=np.int32), len(days)),
        file=np.zeros(len(close), dtype=np.int16),
        line=np.repeat(np.arange(2, len(days) + 2, dtype=np.int64), count),
        day=np.repeat(days, count),
        ts=None,
        cols=dict.fromkeys(PRICES, close),
    )
    version = importlib.metadata.version(PACKAGE)
    return Embedded(
        raw=raw,
        index_days=index_days,
        index_closes=levels[:, 0],
        label=f"20 S&P 500 stocks that survived to 2022, daily closes, total-adjusted ({PACKAGE} {version})",
        digests={f"{PACKAGE}/{FOLDER}/{STOCKS}": stocks_digest, f"{PACKAGE}/{FOLDER}/{INDEX}": index_digest},
    )


def _folder() -> Path:
    """Find the package's data without running any of its code."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(location) / FOLDER
        if folder.is_dir():
            return folder
    message = f"the embedded data are missing: the package {PACKAGE} is not installed"
    raise OperatorError(message, code="EMBEDDED_DATA", remedy=f"install it with: pip install {PACKAGE}")


def _resource(folder: Path, name: str) -> tuple[bytes, str]:
    try:
        packed = (folder / name).read_bytes()
        return gzip.decompress(packed), hashlib.sha256(packed).hexdigest()
    except (OSError, EOFError) as error:
        message = f"the embedded data are damaged: cannot read {name} of {PACKAGE}: {error}"
        raise OperatorError(
            message, code="EMBEDDED_DATA", remedy=f"reinstall it with: pip install {PACKAGE}"
        ) from error


def _wide(data: bytes, name: str) -> tuple[tuple[str, ...], I64, F64]:
    """Read a table with dates down and symbols across."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"))))
    try:
        days = np.array([row[0] for row in rows[1:]], dtype="datetime64[D]").astype(np.int64)
        values = np.array([row[1:] for row in rows[1:]], dtype=np.float64)
    except ValueError as error:
        message = f"the embedded data are damaged: {name} of {PACKAGE} holds something that is no number: {error}"
        raise OperatorError(
            message, code="EMBEDDED_DATA", remedy=f"reinstall it with: pip install {PACKAGE}"
        ) from error
    return tuple(rows[0][1:]), days, values
