"""Options that several commands share, and their parsers."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.kernel.errors import UsageError

if TYPE_CHECKING:
    from actors.values.time import Interval
    from actors.values.universe import Adjustment

StatusFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="Halts, LULD bands, SSR: ts symbol state, optional lower upper reason."),
]
ActionFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="Splits, dividends, renames, delistings: ex_date symbol kind value pay_date."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file (TOML).")]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Ground to build on: plan (unless the file says else), frictionless, alpaca, ibkr, institutional, swing.",
        show_default=False,
    ),
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set one key; may be repeated.")
]


def check_profile(name: str | None) -> str | None:
    """Return a profile's name, or refuse it; None leaves the choice to the configuration file."""
    from config.settings import PROFILES

    if name is not None and name not in PROFILES:
        message = f"--profile {name} is unknown"
        raise UsageError(message, code="PROFILE", remedy=f"choose from {', '.join(PROFILES)}")
    return name


def parse_date(flag: str, text: str | None) -> int | None:
    """Return ``YYYY-MM-DD`` as the int ``YYYYMMDD``."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        message = f"{flag} {text} is not a date"
        raise UsageError(message, code="DATE", remedy="write YYYY-MM-DD") from None
    return day.year * 10_000 + day.month * 100 + day.day


def parse_zone(text: str | None) -> str | None:
    """Return the name of a time zone, or refuse it, whether or not the data will need it."""
    if text is None:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"--tz {text} is no time zone"
        raise UsageError(message, code="UNKNOWN_ZONE", remedy="use a name such as America/New_York or UTC") from None


def parse_interval_option(text: str | None) -> Interval | None:
    """Return the interval an option names."""
    if text is None:
        return None
    from actors.values.time import parse_interval

    try:
        return parse_interval(text)
    except ValueError as error:
        message = f"--interval: {error}"
        raise UsageError(message, code="INTERVAL") from None


def parse_adjustment(text: str | None) -> Adjustment | None:
    """Return the adjustment an option names."""
    if text is None:
        return None
    from actors.values.universe import Adjustment

    try:
        return Adjustment(text)
    except ValueError:
        message = f"--adjustment {text} is unknown"
        raise UsageError(message, code="ADJUSTMENT", remedy="choose raw, split or total") from None


def parse_json_object(flag: str, text: str) -> dict[str, Any]:
    """Return the JSON object an option holds, or that the file behind ``@`` holds."""
    where = flag
    if text.startswith("@"):
        where = f"{flag} {text}"
        try:
            text = Path(text[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            message = f"{where} cannot be read: {reason}"
            raise UsageError(message, code="PARAMS") from None
    remedy = """write an object such as '{"fast": 5}'"""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        message = f"{where} is not JSON: {error.msg} at character {error.pos + 1}"
        raise UsageError(message, code="PARAMS", remedy=remedy) from None
    except UnicodeEncodeError:  # half of a surrogate pair, which no file of ours could keep
        message = f"{where} holds text that is no Unicode"
        raise UsageError(message, code="PARAMS", remedy=remedy) from None
    except (RecursionError, ValueError):
        message = f"{where} is nested too deep or has a number too long"
        raise UsageError(message, code="PARAMS", remedy=remedy) from None
    if not isinstance(found, dict):
        message = f"{where} is not a JSON object"
        raise UsageError(message, code="PARAMS", remedy=remedy)
    return found
