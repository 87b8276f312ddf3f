"""Write the session table of the New York Stock Exchange that ships with the feed.

Run it after an update of exchange_calendars changed a session (a test then fails) and commit the file:

    python ops/calendar/generate.py

The table holds, per session of 1990..2030, the date (days since 1970-01-01) and the minutes after UTC midnight at
which it opens and closes. Source: exchange_calendars, calendar XNYS.
"""

from __future__ import annotations

from pathlib import Path

import exchange_calendars
import numpy as np

TARGET = Path(__file__).resolve().parents[2] / "actors" / "feed" / "calendar_xnys.npz"


def table(first_year: int = 1990, last_year: int = 2030) -> dict[str, np.ndarray]:
    """Return the table's columns as exchange_calendars knows them."""
    schedule = exchange_calendars.get_calendar("XNYS", start=f"{first_year}-01-01", end=f"{last_year}-12-31").schedule
    days = schedule.index.to_numpy().astype("datetime64[D]").astype(np.int64)
    columns = {"day": days.astype(np.int32)}
    for name in ("open", "close"):
        instants = schedule[name].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[m]")
        columns[f"{name}_minute"] = (instants.astype(np.int64) - days * 1440).astype(np.int16)
    return columns


def main() -> None:
    """Write the file and say how large it is."""
    columns = table()
    np.savez_compressed(TARGET, **columns)
    print(f"{TARGET.name}: {len(columns['day'])} sessions, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
