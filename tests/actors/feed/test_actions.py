"""Files of corporate actions, and their place in a recording."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from actors.feed.actions import inherited_sectors
from actors.feed.recording import Recording, RecordingSpec, Resume, open_recording
from actors.messages.market import BarPanel, CorporateAction, SessionOpened
from actors.values.time import format_ts
from actors.values.universe import Adjustment
from daemon.journal.market_codec import MarketCodec
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market

HEAD = "ex_date,symbol,kind,value,pay_date\n"
DAYS = ("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11")
"""A Monday to the Monday after."""
BARS = "ts,symbol,close,volume\n" + "".join(f"{day},{symbol},10,100\n" for day in DAYS for symbol in ("A", "B"))


def with_actions(write, *texts: str, bars: str = BARS, **options: object) -> Recording:
    """Open a recording of daily bars of A and B with files of actions."""
    paths = tuple(write(text, f"{i}a.csv") for i, text in enumerate(texts))
    fields = {"adjustment": Adjustment.RAW} | options
    return open_recording(RecordingSpec(bars=(write(bars, "b.csv"),), actions=paths, **fields))  # type: ignore[arg-type]


def played(recording: Recording) -> list[CorporateAction]:
    """Return the actions that are played."""
    return [message for message in recording.inputs() if isinstance(message, CorporateAction)]


def test_actions_come_before_the_opening_of_their_ex_dates_session(write) -> None:
    """One of a Saturday comes on the Monday; those of a day in order of lines; a ratio is exact, cash is, too."""
    recording = with_actions(
        write,
        HEAD
        + "2024-03-09,A,dividend,0.205,2024-03-15\n"
        + "2024-03-06,B,split,3/2,\n"
        + "2024-03-06,A,split,0.1,\n"
        + "2024-03-07,A,delist,,\n"
        + "2024-03-07,B,delist,1.5,\n"
        + "2024-03-06,ZZZ,split,2,\n"
        + "2023-03-06,A,split,2,\n"
        + "2025-03-06,A,split,2,\n",
    )
    assert [(a.symbol, a.kind, a.value, a.numerator, a.denominator, a.pay_date) for a in played(recording)] == [
        (1, "split", 150_000_000, 3, 2, None),
        (0, "split", 10_000_000, 1, 10, None),
        (0, "delist", -1, 0, 0, None),
        (1, "delist", 150_000_000, 0, 0, None),
        (0, "dividend", 20_500_000, 0, 0, 20240315),
    ]
    messages = list(recording.inputs())
    for at, message in enumerate(messages):
        if isinstance(message, CorporateAction):
            opened = next(m for m in messages[at:] if not isinstance(m, CorporateAction))
            assert isinstance(opened, SessionOpened)
            assert (message.ts, message.ex_date) == (opened.ts, opened.session.date)
    assert format_ts(played(recording)[-1].ts) == "2024-03-11T13:30:00.000Z"  # summer time begins on the Sunday
    assert recording.actions == tuple(played(recording))
    assert any("3 corporate actions of other symbols or dates" in notice for notice in recording.notices)
    assert len(recording.digests) == 2


@pytest.mark.parametrize(
    ("adjustment", "kinds"),
    [
        (Adjustment.RAW, ["split", "dividend", "delist"]),
        (Adjustment.SPLIT, ["dividend", "delist"]),
        (Adjustment.TOTAL, ["delist"]),
    ],
)
def test_what_prices_contain_already_is_not_played(write, adjustment: Adjustment, kinds: list[str]) -> None:
    """A symbol that ends does so whatever its prices contain."""
    text = HEAD + "2024-03-05,A,split,2,\n2024-03-06,A,dividend,1,\n2024-03-07,A,delist,,\n"
    assert [a.kind for a in played(with_actions(write, text, adjustment=adjustment))] == kinds


def test_new_names_join_the_universe_and_are_found_where_only_the_old_one_was_asked_for(write) -> None:
    """A is C from Wednesday on and D from Friday on; C has bars, D has none. Ids stay in alphabetical order."""
    bars = BARS + "".join(f"{day},C,10,100\n" for day in DAYS[2:4])
    text = HEAD + "2024-03-06,A,rename,C,\n2024-03-08,C,rename,D,\n"
    assert with_actions(write, text, bars=bars).universe.symbols == ("A", "B", "C", "D")
    recording = with_actions(write, text, bars=bars, symbols=("A",))
    assert recording.universe.symbols == ("A", "C", "D")
    assert [(a.symbol, a.renamed_to) for a in played(recording)] == [(0, 1), (1, 2)]
    assert not any(panel.dense for panel in recording.inputs() if isinstance(panel, BarPanel))


def test_prices_that_go_on_under_an_old_name_are_told(write) -> None:
    """A is C from Wednesday on, and the bars never say C; with bars of C, or none of A any more, nothing is wrong."""
    rename = HEAD + "2024-03-06,A,rename,C,\n"
    [told] = [notice for notice in with_actions(write, rename).notices if "goes on" in notice or "go on" in notice]
    assert told == (
        "A is C from 2024-03-06 on, but prices go on under A only: what is held and ordered in C stands at its last "
        "price and fills nothing; name it C in the data from that date on, or leave the rename out"
    )
    of_both = BARS + "".join(f"{day},C,10,100\n" for day in DAYS[2:])
    ended = "\n".join(line for line in BARS.splitlines() if ",A," not in line or line < "2024-03-06") + "\n"
    for bars in (of_both, ended):
        assert [n for n in with_actions(write, rename, bars=bars).notices if "go on under" in n] == []
    # B becomes C and A becomes B: what goes on as B was A.
    chain = rename + "2024-03-06,B,rename,A,\n"
    assert [n for n in with_actions(write, chain).notices if "go on under A" in n] == []


def test_prices_of_ticks_count_where_a_symbol_is_renamed(write) -> None:
    """Bars of B, quotes of A until Friday: they go on under the old name just so."""
    bars = "ts,symbol,close\n" + "".join(f"{day},B,10\n" for day in DAYS)
    ticks = write("ts,symbol,bid_px,ask_px\n" + "".join(f"{day}T15:00:00Z,A,9,11\n" for day in DAYS), "q.csv")
    recording = with_actions(write, HEAD + "2024-03-06,A,rename,C,\n", bars=bars, quotes=(ticks,))
    assert len([n for n in recording.notices if "go on under A only" in n]) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # The last close is 10; nine in new shares are more than a fifth of it.
        ("2024-03-06,A,dividend,9.99,", ""),
        ("2024-03-06,A,dividend,10,", "line 2: a dividend of 10 a share is no less than A's last price before it, 10"),
        ("2024-03-06,A,split,5,\n2024-03-06,A,dividend,9,", "line 3: a dividend of 9 a share is no less than A's last"),
        ("2024-03-06,A,dividend,9,\n2024-03-06,A,split,5,", ""),
        ("2024-03-06,A,dividend,6,\n2024-03-06,A,dividend,5,", "dividend of 5 a share is no less than A's last price"),
        # A new close of 10 on Wednesday; a name that comes later has the price of the old one.
        ("2024-03-06,A,dividend,6,\n2024-03-07,A,dividend,6,", ""),
        ("2024-03-06,A,rename,C,\n2024-03-06,C,dividend,11,", "line 3: a dividend of 11 a share is no less than C's"),
        # Before the first session nothing is known.
        ("2024-03-04,A,dividend,60,", ""),
    ],
)
def test_a_dividend_that_no_price_can_fall_by_is_refused(write, rows: str, said: str) -> None:
    """Its holders would be paid more than they had; the line is named."""
    if not said:
        assert len(played(with_actions(write, HEAD + rows + "\n"))) == rows.count("\n") + 1
        return
    with pytest.raises(OperatorError, match="leave the line out") as caught:
        with_actions(write, HEAD + rows + "\n")
    assert caught.value.code == "BAD_ACTION"
    assert said in str(caught.value)


def test_adjusted_prices_contain_dividends_of_any_size(write) -> None:
    """They are not booked, so nothing is judged."""
    recording = with_actions(write, HEAD + "2024-03-06,A,dividend,60,\n", adjustment=Adjustment.TOTAL)
    assert played(recording) == []


def test_a_name_that_is_taken_over_is_given_up_first(write) -> None:
    """Whatever the order of lines: B becomes C before A becomes B."""
    text = HEAD + "2024-03-06,A,rename,B,\n2024-03-06,B,rename,C,\n"
    assert [(a.symbol, a.renamed_to) for a in played(with_actions(write, text))] == [(1, 2), (0, 1)]


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("2024-03-06,A,merger,1,", "BAD_ACTION", "the kind 'merger' is unknown"),
        ("2024-03-06,A,,1,", "BAD_ACTION", "the kind is missing"),
        ("2024-03-06,A,split,0,", "BAD_ACTION", "'0' is no ratio of a split"),
        ("2024-03-06,A,split,-4,", "BAD_ACTION", "'-4' is no ratio of a split"),
        ("2024-03-06,A,split,4:0,", "BAD_ACTION", "'4:0' is no ratio of a split"),
        ("2024-03-06,A,split,1:1,", "BAD_ACTION", "'1:1' is no ratio of a split"),
        ("2024-03-06,A,split,nan,", "BAD_ACTION", "'nan' is no ratio of a split"),
        ("2024-03-06,A,split,,", "BAD_ACTION", "'' is no ratio of a split"),
        ("2024-03-06,A,split,1e999999999,", "BAD_ACTION", "'1e999999999' is no ratio of a split"),
        ("2024-03-06,A,split,100001,", "BAD_ACTION", "'100001' is no ratio of a split"),
        ("2024-03-06,A,split,1:100001,", "BAD_ACTION", "'1:100001' is no ratio of a split"),
        ("2024-03-06,B,rename,C,\n2024-03-06,C,rename,B,", "BAD_ACTION", "B is renamed in a circle"),
        ("2024-03-06,A,dividend,,", "BAD_ACTION", "is not a number"),
        ("2024-03-06,A,dividend,0,", "BAD_ACTION", "a dividend of 0 is none"),
        ("2024-03-06,A,dividend,-1,", "BAD_ACTION", "a dividend of -1 is none"),
        ("2024-03-06,A,dividend,0.123456789,", "BAD_ACTION", "more than 8 decimals"),
        ("2024-03-06,A,delist,-1,", "BAD_ACTION", "a delist of -1 is none"),
        ("2024-03-06,A,rename,A,", "BAD_ACTION", "A is renamed to itself"),
        ("2024-03-06,A,rename,,", "BAD_SYMBOL", "the symbol is missing"),
        ("2024-03-06,,split,2,", "BAD_SYMBOL", "the symbol is missing"),
        ("2024-02-30,A,split,2,", "BAD_TIME", ""),
        (",A,split,2,", "BAD_TIME", "the time is missing"),
        ("2024-03-06,A,dividend,1,soon", "BAD_TIME", "pay_date"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(write, row: str, code: str, said: str) -> None:
    """The file is refused as a whole, with the line, counting the header."""
    with pytest.raises(OperatorError) as caught:
        with_actions(write, HEAD + "2024-03-05,B,split,2,\n" + row + "\n")
    assert caught.value.code == code
    assert "a.csv line 3" in caught.value.message
    assert said in caught.value.message


def test_where_early_prices_are_played_an_action_comes_before_them(write) -> None:
    """A bar at 8:00 of the ex-date is in new terms: the action comes at midnight in New York, behind Monday's late bar.

    So does every place to go on behind find the same rest.
    """
    bars = "ts,symbol,close\n" + "".join(
        f"2024-03-{day}:00Z,A,{px}\n"
        for day, px in (("04T21:30", 40), ("05T13:00", 10), ("05T14:30", 10), ("05T14:31", 10), ("06T14:30", 10))
    )
    text = HEAD + "2024-03-05,A,split,4,\n"
    recording = with_actions(write, text, bars=bars, extended_hours=True)
    inputs = list(recording.inputs())
    told = [(format_ts(m.ts)[8:16], type(m).__name__) for m in inputs]
    at = told.index(("05T05:00", "CorporateAction"))
    assert told[at - 1 : at + 3] == [
        ("04T21:31", "BarPanel"),
        ("05T05:00", "CorporateAction"),
        ("05T13:01", "BarPanel"),
        ("05T14:30", "SessionOpened"),
    ]
    for place, message in enumerate(inputs):
        seen = sum(m.ts == message.ts for m in inputs[: place + 1])
        assert [_told(m) for m in recording.inputs(Resume(message.ts, seen))] == [_told(m) for m in inputs[place + 1 :]]


def test_an_action_that_is_stated_twice_is_refused(write) -> None:
    """Nobody is split twice because a line was copied."""
    with pytest.raises(OperatorError, match=r"line 3: it repeats line 2"):
        with_actions(write, HEAD + "2024-03-06,A,split,2,\n2024-03-06,A,split,2:1,\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "EMPTY_FILE"), (HEAD, "EMPTY_FILE"), ("symbol,kind,value\nA,split,2\n", "MISSING_COLUMN")],
)
def test_a_file_that_is_none_is_refused(write, text: str, code: str) -> None:
    """Nothing in it, nothing under its header, or no date."""
    with pytest.raises(OperatorError) as caught:
        with_actions(write, text)
    assert caught.value.code == code


def test_parquet_is_read_as_csv_is(write, tmp_path: Path) -> None:
    """Dates as dates, values as numbers or text."""
    frame = pl.DataFrame(
        {
            "ex_date": ["2024-03-06", "2024-03-07"],
            "symbol": ["A", "B"],
            "kind": ["split", "dividend"],
            "value": [4.0, 0.25],
        }
    ).with_columns(pl.col("ex_date").str.to_date())
    frame.write_parquet(tmp_path / "a.parquet")
    spec = RecordingSpec(
        bars=(write(BARS, "b.csv"),), actions=(str(tmp_path / "a.parquet"),), adjustment=Adjustment.RAW
    )
    assert [(a.kind, a.value, a.numerator) for a in played(open_recording(spec))] == [
        ("split", 400_000_000, 4),
        ("dividend", 25_000_000, 0),
    ]


TWO = HEAD + "2024-03-05,A,split,2,\n2024-03-06,A,dividend,1,2024-03-07\n2024-03-06,B,rename,Z,\n"


def test_a_recording_with_actions_goes_on_behind_any_place(write) -> None:
    """Also between the actions of one instant."""
    recording = with_actions(write, TWO)
    whole = [_told(message) for message in recording.inputs()]
    seen: dict[int, int] = {}
    for at, message in enumerate(list(recording.inputs())):
        seen[message.ts] = seen.get(message.ts, 0) + 1
        rest = [_told(m) for m in recording.inputs(Resume(message.ts, seen[message.ts]))]
        assert rest == whole[at + 1 :]


def test_a_looped_recording_repeats_its_actions_at_later_dates(write) -> None:
    """Eight days are two weeks: every date moves by fourteen days."""
    inputs = with_actions(write, TWO, loop=True).inputs()
    found: list[CorporateAction] = []
    while len(found) < 6:
        message = next(inputs)
        if isinstance(message, CorporateAction):
            found.append(message)
    assert [(a.ex_date, a.pay_date) for a in found[:3]] == [(20240305, None), (20240306, 20240307), (20240306, None)]
    assert [(a.ex_date, a.pay_date) for a in found[3:]] == [(20240319, None), (20240320, 20240321), (20240320, None)]


def test_history_that_warms_up_has_its_actions_under_the_runs_ids(write) -> None:
    """From Thursday on B is called Z; the split of Tuesday is history, and so is the rename."""
    bars = BARS + "".join(f"{day},Z,10,100\n" for day in DAYS[3:])
    recording = with_actions(write, TWO, bars=bars, symbols=("A", "Z"), from_date=20240307)
    assert recording.universe.symbols == ("A", "Z")
    warm = [m for m in recording.warm_rows(3) if isinstance(m, CorporateAction)]
    assert [(a.symbol, a.kind) for a in warm] == [(0, "split"), (0, "dividend")]


def test_actions_are_taped_as_they_are(write) -> None:
    """What stands on a tape comes back equal."""
    codec = MarketCodec((CorporateAction,))
    for action in played(with_actions(write, TWO)):
        assert codec.decode(codec.encode(action)) == action


def _told(message: Market) -> tuple[str, int, str]:
    return type(message).__name__, message.ts, str(getattr(message, "symbol", "")) + str(getattr(message, "kind", ""))


def test_a_new_name_without_a_sector_has_that_of_the_old_one() -> None:
    """A (tech) is B, which has none, and later C, which has its own; D was never one of them."""
    renames = [CorporateAction(0, 20240102, 0, "rename", 0, renamed_to=1)]
    renames.append(CorporateAction(0, 20240103, 1, "rename", 0, renamed_to=2))
    renames.append(CorporateAction(0, 20240103, 3, "delist", -1))
    assert inherited_sectors(renames, ("tech", "", "food", "")) == ("tech", "tech", "food", "")


def test_the_universe_of_a_recording_knows_what_sector_a_new_name_is_in(write) -> None:
    """A is C from Wednesday on; what the configuration says of no symbol it says of none."""
    text = HEAD + "2024-03-06,A,rename,C,\n"
    named = with_actions(write, text, sectors={"A": "tech"}).universe
    assert (named.symbols, named.sectors) == (("A", "B", "C"), ("tech", "", "tech"))
    assert not any(with_actions(write, text).universe.sectors)
