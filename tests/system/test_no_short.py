"""In an account without shorts nothing is ever sold that is not held, whatever is sent: gate and broker together."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests_support import replay

BARS = "ts,symbol,open,high,low,close,volume\n" + "".join(
    f"2024-03-{day:02},ABC,{50 + day % 3},54,47,{50 + day % 2},1000000\n" for day in (4, 5, 6, 7, 8, 11, 12, 13)
)
DAYS = ("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11")
orders = st.fixed_dictionaries(
    {"day": st.sampled_from(DAYS), "side": st.sampled_from(["buy", "sell"]), "qty": st.integers(1, 5)},
    optional={
        "limit_px": st.sampled_from([48, 50, 52, 53]),
        "reduce_only": st.booleans(),
        "replace": st.integers(1, 6),
        "tif": st.sampled_from(["day", "gtc"]),
    },
)


def script(steps: list[dict[str, Any]]) -> str:
    """Return the orders file of some steps."""
    lines = []
    for n, step in enumerate(steps):
        body = {"id": f"o{n}", "symbol": "ABC", "side": step["side"], "qty": step["qty"]}
        body |= {key: step[key] for key in ("reduce_only", "tif") if key in step}
        if "limit_px" in step:
            body |= {"type": "limit", "limit_px": step["limit_px"]}
        lines.append({"at": step["day"], "submit": body})
        if "replace" in step:
            lines.append({"at": step["day"], "replace": {"id": f"o{n}", "qty": step["replace"]}})
    return "\n".join(json.dumps(line) for line in lines)


@settings(max_examples=25, deadline=None)
@given(st.lists(orders, min_size=2, max_size=10))
@example(
    [
        {"day": "2024-03-04", "side": "buy", "qty": 2},
        {"day": "2024-03-06", "side": "sell", "qty": 1, "reduce_only": True, "replace": 2},
        {"day": "2024-03-06", "side": "sell", "qty": 1},
    ]
)
def test_no_fill_ever_takes_the_position_below_zero(steps: list[dict[str, Any]]) -> None:
    """Buys, sells, limits, reduce-only and replaces in any mixture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bars.csv").write_text(BARS)
        (folder / "orders.jsonl").write_text(script(steps))
        replay(folder / "run", profile="frictionless", bars=(folder / "bars.csv",), orders=folder / "orders.jsonl")
        held = 0
        with (folder / "run" / "fills.csv").open(newline="") as handle:
            for row in csv.DictReader(handle):
                held += int(row["qty"]) * (1 if row["side"] == "buy" else -1)
                assert held >= 0
