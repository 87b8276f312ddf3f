"""Quality: what cannot be a bar is counted by kind and symbol with its place; nothing vanishes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.feed.history import HistorySpec, open_history
from actors.messages.market import BarPanel
from actors.values.fixed import PRICE_MAX, to_fixed
from daemon.kernel.errors import OperatorError

HEAD = "ts,symbol,open,high,low,close,volume,suspicious\n"
GOOD = "2020-01-02,OK,10,11,9,10,5,\n"

ROWS = {
    "suspicious": "2020-01-03,A,10,11,9,10,5,true\n2020-01-06,A,10,11,9,10,5,1\n2020-01-07,A,10,11,9,10,5,0\n",
    "not_a_session": "2020-01-04,A,10,11,9,10,5,\n2020-01-20,A,10,11,9,10,5,\n2020-01-21,A,10,11,9,10,5,\n",
    "non_finite": "2020-01-03,A,10,11,9,nan,5,\n2020-01-06,A,10,inf,9,10,5,\n2020-01-07,A,,11,9,10,5,\n"
    "2020-01-08,A,10,11,x,10,5,\n2020-01-09,A,10,11,-inf,10,5,\n",
    "not_positive": "2020-01-03,A,10,11,0,10,5,\n2020-01-06,A,10,11,-9,10,5,\n2020-01-07,A,1e-9,1e-9,1e-9,1e-9,5,\n",
    "too_large": "2020-01-03,A,1e8,1e8,1e8,1e8,5,\n",
    "high_below_low": "2020-01-03,A,10,9,11,10,5,\n",
    "outside_range": "2020-01-03,A,12,11,9,10,5,\n2020-01-06,A,10,11,9,8,5,\n",
    "bad_volume": "2020-01-03,A,10,11,9,10,-5,\n2020-01-06,A,10,11,9,10,inf,\n2020-01-07,A,10,11,9,10,many,\n",
    "duplicate": "2020-01-02,OK,20,21,19,20,5,\n2020-01-02,OK,30,31,29,30,5,\n",
}


def test_every_kind_of_bad_row_is_counted_with_its_first_place(write):
    """Each kind by itself: count, symbol, file and line; the good rows stay."""
    for kind, rows in ROWS.items():
        path = write(HEAD + GOOD + rows)
        history = open_history(HistorySpec(bars=(path,)))
        (reject,) = history.quality.rejects
        expected = rows.count("\n") - (1 if kind in ("suspicious", "not_a_session") else 0)
        symbol = "OK" if kind == "duplicate" else "A"
        assert (reject.kind, reject.symbol, reject.count, reject.line) == (kind, symbol, expected, 3), kind
        assert reject.where == f"{path} line 3"
        assert history.quality.rows_rejected == expected
        assert any(n.startswith(f"{expected} row") and kind in n and "line 3" in n for n in history.notices)


def test_the_first_of_two_equal_times_is_kept(write):
    """A duplicate never replaces a good bar, and a bad row does not make the good one behind it a duplicate."""
    path = write(HEAD + "2020-01-02,A,10,11,9,nan,5,\n2020-01-02,A,10,11,9,10.25,5,\n2020-01-02,A,10,11,9,10.5,5,\n")
    history = open_history(HistorySpec(bars=(path,)))
    assert history.quality.by_kind() == {"non_finite": 1, "duplicate": 1}
    (panel,) = (m for m in history.inputs() if isinstance(m, BarPanel))
    assert panel.close.tolist() == [10.25]


def test_duplicates_across_files_are_counted_against_the_later_file(write):
    """Overlapping files are reported, not silently joined."""
    one = write(HEAD + GOOD, "one.csv")
    two = write(HEAD + GOOD + "2020-01-03,OK,10,11,9,10,5,\n", "two.csv")
    history = open_history(HistorySpec(bars=(one, two)))
    (reject,) = history.quality.rejects
    assert (reject.kind, reject.file, reject.line) == ("duplicate", two, 2)
    assert history.n_bars == 2


def test_bars_outside_the_session_are_dropped_and_counted(write):
    """Before the open, at the close and later, and on a holiday: not marks, not fills, but a notice."""
    times = ["14:29", "14:30", "14:31", "20:59", "21:00", "22:00"]
    rows = "".join(f"2020-01-02T{t}:00Z,A,10,11,9,10,5,\n" for t in times) + "2020-01-04T15:00:00Z,A,10,11,9,10,5,\n"
    history = open_history(HistorySpec(bars=(write(HEAD + rows),)))
    assert history.n_bars == 3
    assert history.quality.by_kind() == {"outside_session": 4}
    assert any("outside the regular session" in notice for notice in history.notices)


def test_smallest_and_largest_prices_have_exact_fixed_point_closes(write):
    """From 1e-8 to the largest price a float holds to its eighth decimal."""
    largest = ",".join([repr(PRICE_MAX)] * 4)
    text = HEAD + f"2020-01-02,A,1e-8,1e-8,1e-8,1e-8,5,\n2020-01-03,A,{largest},5,\n2020-01-06,A,1,1,0.1,0.29,5,\n"
    history = open_history(HistorySpec(bars=(write(text),)))
    fixed = [m.close_fx[0] for m in history.inputs() if isinstance(m, BarPanel)]
    assert fixed == [to_fixed(1e-8), to_fixed(PRICE_MAX), 29_000_000]


CELL = st.sampled_from(["10", "9", "11", "12", "", "nan", "inf", "-1", "0", "abc", "10.5"])
ROW = st.tuples(
    st.sampled_from(["2020-01-02", "2020-01-03", "2020-01-04", "2020-01-06"]),
    st.sampled_from(["A", "B", "C"]),
    CELL,
    CELL,
    CELL,
    CELL,
    st.sampled_from(["5", "", "0", "-1", "x"]),
    st.sampled_from(["", "true", "0"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from([(), ("A",), ("A", "B")]), st.booleans())
def test_every_row_is_accounted_for(rows: list[tuple[str, ...]], symbols: tuple[str, ...], ranged: bool):
    """Read = used + filtered + rejected, whatever stands in the file; and what is used is a possible bar."""
    rows = sorted(rows, key=lambda row: row[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.csv"
        path.write_text(HEAD + "".join(",".join(row) + "\n" for row in rows))
        spec = HistorySpec(bars=(str(path),), symbols=symbols, from_date=20200103 if ranged else None)
        try:
            history = open_history(spec)
        except OperatorError as error:
            refusal = error.code
            history = None
    if history is None:
        assert refusal in ("ALL_REJECTED", "NO_DATA", "UNKNOWN_SYMBOL")
        return
    quality = history.quality
    wanted = [r for r in rows if (not symbols or r[1] in symbols) and (not ranged or r[0] >= "2020-01-03")]
    assert quality.rows_read == len(rows)
    assert quality.rows_filtered == len(rows) - len(wanted)
    assert quality.rows_used + quality.rows_rejected == len(wanted)
    assert sum(quality.by_kind().values()) == quality.rows_rejected
    assert quality.rows_used == history.n_bars
    seen = 0
    for panel in history.inputs():
        if isinstance(panel, BarPanel):
            seen += len(panel.ids)
            for o, h, low, c in zip(panel.open, panel.high, panel.low, panel.close, strict=True):
                assert 0 < low <= min(o, c) <= max(o, c) <= h < 1e9
    assert seen == history.n_bars
