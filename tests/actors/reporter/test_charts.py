"""Pictures: readable axes, well-formed for every kind of run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.reporter import charts, pictures, svg
from actors.reporter.charts import Line, Marks, TimeAxis


def dates(count: int, start: str = "2015-01-05") -> np.ndarray:
    """Weekdays as YYYYMMDD."""
    days = np.busday_offset(np.datetime64(start), np.arange(count), roll="forward")
    return np.array([int(str(day).replace("-", "")) for day in days.tolist()])


def texts(picture: str) -> list[str]:
    """Every text of a picture; fails where it is not XML."""
    root = ET.fromstring(picture)  # noqa: S314 - our own output
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("count", "wanted"), [(2000, "2017"), (120, "Mar 2015"), (12, "5 Jan"), (1, "5 Jan"), (12_000, "2031")]
)
def test_time_axis_fits_the_length_of_the_run(count: int, wanted: str) -> None:
    """Years, months or days, whichever can be read."""
    labels = [label for _, label in TimeAxis(dates(count)).ticks()]
    assert wanted in labels
    assert len(labels) <= 15


def test_long_lines_keep_their_extremes() -> None:
    """Thinning drops points, not peaks and troughs."""
    values = np.random.default_rng(1).normal(0, 1, 50_000).cumsum()
    keep = svg.thin(values)
    assert keep.size <= svg.POINTS_MAX + 2
    assert values[keep].max() == values.max()
    assert values[keep].min() == values.min()
    assert (keep[0], keep[-1]) == (0, values.size - 1)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    """Between two and a dozen ticks, all inside the axis."""
    high = low + span
    ticks = svg.nice_ticks(low, high)
    assert 1 <= len(ticks) <= 12
    assert all(low - 1e-6 * span - 1e-9 <= t <= high + 1e-6 * span + 1e-9 for t in ticks)


def test_gaps_lift_the_pen() -> None:
    """A missing value starts a new stroke, and no NaN reaches the picture."""
    data = svg.points(np.arange(4.0), np.array([1.0, np.nan, 2.0, 3.0]))
    assert data == "M0 1M2 2L3 3"


def test_wide_and_narrow_ranges_choose_their_scale() -> None:
    """Equity that doubles twice is drawn on a logarithmic axis, a quiet one on a linear one."""
    axis = TimeAxis(dates(100))
    wide = charts.equity_chart(axis, [Line("a", np.linspace(100, 900, 101), svg.BLUE)], None, Marks())
    narrow = charts.equity_chart(axis, [Line("a", np.linspace(100, 110, 101), svg.BLUE)], None, Marks())
    assert "log scale" in texts(wide)
    assert "log scale" not in texts(narrow)


def test_flat_equity_can_be_drawn() -> None:
    """A strategy that never traded has a picture too."""
    axis = TimeAxis(dates(30))
    flat = np.full(31, 100.0)
    texts(charts.equity_chart(axis, [Line("a", flat, svg.BLUE)], None, Marks()))
    texts(charts.underwater_chart(axis, flat, None, Marks()))
    assert "every session returned the same: nothing to draw" in texts(pictures.distribution(np.zeros(30)))
    assert "no trade was closed" in texts(pictures.trades_chart(np.zeros(0), []))


def test_shorts_show_net_beside_gross() -> None:
    """Where net and gross differ both are drawn."""
    axis, gross = TimeAxis(dates(50)), np.full(50, 0.8)
    drawn = texts(charts.exposure_chart(axis, gross, -gross, np.full(50, 3.0), Marks()))
    assert "net exposure" in drawn
    assert "net exposure" not in texts(charts.exposure_chart(axis, gross, gross, np.full(50, 3.0), Marks()))


def test_halts_and_alerts_are_marked() -> None:
    """A halt is a band with its reason; of very many alerts the critical ones stay triangles."""
    axis, line = TimeAxis(dates(200)), Line("a", np.linspace(100, 110, 201), svg.BLUE)
    alerts = [(float(i), "warning", f"w{i}") for i in range(1, 200)] + [(50.0, "critical", "loss <5 %>")]
    drawn = charts.equity_chart(axis, [line], None, Marks([(20.0, 40.0, "drawdown")], alerts))
    assert "halted" in texts(drawn)
    assert "<title>drawdown</title>" in drawn
    assert "loss &lt;5 %&gt;" in drawn
    assert "w7" not in drawn
    few = charts.equity_chart(axis, [line], None, Marks((), alerts[:5]))
    assert "w1" in few


def test_months_compound_to_the_year() -> None:
    """The heatmap's year is the product of its months."""
    sessions = dates(400)
    table = pictures.monthly_returns(sessions, np.full(400, 0.001))
    for row in table.values():
        months = np.prod([1 + v for month, v in row.items() if month])
        assert row[0] == pytest.approx(months - 1)
    shown = texts(pictures.heatmap(sessions, np.full(400, 0.001)))
    assert {"2015", "2016", "Jan", "Year"} <= set(shown)


def test_legends_stay_inside_the_picture() -> None:
    """Long benchmark names are shortened rather than pushed over the edge; short ones stay whole."""
    canvas = svg.Canvas(900, 40, "legend")
    names = ["strategy", "Equal-weight buy and hold", "S&P 500 index, price only (without dividends)", "halted"]
    canvas.legend(62, 16, [(name, svg.RED, "box") for name in [*names, "random portfolios, 5-95 %"]])
    root = ET.fromstring(canvas.done())  # noqa: S314 - our own output
    nodes = list(root.iter("{http://www.w3.org/2000/svg}text"))
    ends = [float(node.get("x", "0")) + 6.2 * len(node.text or "") for node in nodes]
    assert max(ends) <= 900
    shown = [node.text for node in nodes]
    assert {"strategy", "Equal-weight buy and hold", "halted"} <= set(shown)
    assert str(shown[2]).startswith("S&P 500 index")


@pytest.mark.parametrize(
    ("ticks", "wanted"),
    [
        ([0.0, 0.025, 0.05], ["0 %", "2.5 %", "5 %"]),
        ([-0.0001, 0.0, 0.0001], ["−0.01 %", "0 %", "0.01 %"]),  # noqa: RUF001 - a minus sign
        ([0.0, 0.5], ["0 %", "50 %"]),
    ],
)
def test_percent_ticks_have_the_decimals_their_step_needs(ticks: list[float], wanted: list[str]) -> None:
    """Neighbouring ticks never read the same."""
    assert svg.percent_ticks(ticks) == wanted


def test_one_trade_is_a_bar_and_not_a_wall() -> None:
    """A run with a single trade draws it no wider than any."""
    root = ET.fromstring(pictures.trades_chart(np.array([-5.0]), ["only"]))  # noqa: S314 - our own output
    bars = [node for node in root.iter("{http://www.w3.org/2000/svg}rect") if node.find("{*}title") is not None]
    assert [float(node.get("width", "0")) <= pictures.BAR_MAX for node in bars] == [True]
