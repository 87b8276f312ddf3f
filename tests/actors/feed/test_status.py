"""Files of trading status."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from actors.feed.recording import Recording, RecordingSpec, Resume, open_recording
from actors.messages.market import BarPanel, SessionOpened, TradePanel, TradingStatus
from actors.values.time import format_ts, parse_interval
from actors.values.universe import Adjustment
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market

TRADES = "ts,symbol,price,size\n2013-10-07T14:00:00Z,A,1,1\n2013-10-08T13:30:00Z,A,1,1\n2013-10-09T14:00:00Z,B,1,1\n"
HEAD = "ts,symbol,state,lower,upper,reason\n"


def with_status(write, *texts: str, name: str = "s.csv", **options: object) -> Recording:
    """Open a recording of two symbols over three sessions with files of status."""
    paths = tuple(write(text, f"{i}{name}") for i, text in enumerate(texts))
    return open_recording(RecordingSpec(trades=(write(TRADES, "t.csv"),), status=paths, **options))  # type: ignore[arg-type]


def statuses(recording: Recording) -> list[TradingStatus]:
    """Return the changes of status that are played."""
    return [message for message in recording.inputs() if isinstance(message, TradingStatus)]


def told(recording: Recording) -> list[tuple[str, int, str]]:
    """Return (time, symbol id, state) of what is played."""
    return [(format_ts(s.ts)[5:19], s.symbol, s.state) for s in statuses(recording)]


def test_statuses_come_at_their_time_with_bands_and_reasons(write) -> None:
    """A star is the whole market; symbols outside the universe are nobody's; bands are exact prices."""
    recording = with_status(
        write,
        HEAD
        + "2013-10-07T15:00:00Z,A,halted,,,T12\n"
        + "2013-10-07T15:00:00Z,ZZZ,halted,,,\n"
        + "2013-10-07T16:00:00Z, * , Halted ,,,MWC1\n"
        + "2013-10-08T15:00:00Z,B,luld,9.01,11.33333333,\n"
        + "2013-10-08T16:00:00Z,B,SSR,,,\n"
        + "2013-10-09T20:00:01Z,A,trading,,,too late\n",
    )
    assert statuses(recording) == [
        TradingStatus(1_381_158_000_000_000_000, 0, "halted", None, None, "T12"),
        TradingStatus(1_381_161_600_000_000_000, -1, "halted", None, None, "MWC1"),
        TradingStatus(1_381_244_400_000_000_000, 1, "luld", 901_000_000, 1_133_333_333, ""),
        TradingStatus(1_381_248_000_000_000_000, 1, "ssr", None, None, ""),
    ]
    quality = recording.quality
    assert (quality.rows_read, quality.rows_used, quality.rows_filtered) == (3 + 6, 3 + 4, 2)
    assert len(recording.digests) == 2
    assert "0s.csv" not in recording.label


def test_at_one_instant_a_status_stands_behind_the_opening_and_before_prices(write) -> None:
    """13:30 UTC is the opening of 2013-10-08: whoever is halted from then on does not trade at it."""
    recording = with_status(write, HEAD + "2013-10-08T13:30:00Z,A,halted,,,\n2013-10-07T15:00:00Z,A,halted,,,\n")
    at_open = [m for m in recording.inputs() if format_ts(m.ts).startswith("2013-10-08T13:30:00.000")]
    assert [type(message) for message in at_open] == [SessionOpened, TradingStatus, TradePanel]


def test_bars_and_statuses_need_no_ticks(write) -> None:
    """A halt that begins as a bar ends stands before that bar."""
    bars = write(
        "ts,symbol,open,high,low,close,volume\n2013-10-07T13:30:00Z,A,1,1,1,1,1\n2013-10-07T13:31:00Z,A,1,1,1,1,1\n"
    )
    path = write(HEAD + "2013-10-07T13:31:00Z,A,halted,,,\n", "s.csv")
    spec = RecordingSpec(bars=(bars,), status=(path,), adjustment=Adjustment.RAW, interval=parse_interval("1m"))
    kinds = [type(message) for message in open_recording(spec).inputs()]
    assert kinds[:4] == [SessionOpened, TradingStatus, BarPanel, BarPanel]


def test_what_was_said_before_the_first_day_and_still_holds_is_told_behind_the_first_opening(write) -> None:
    """A halt that was lifted is over, and so is a pause; halts stay, a restriction holds for one more session.

    2013-10-04 is the Friday before the first session, 2013-10-07; a restriction of the third was over by then, and the
    bands of each day ended with it.
    """
    recording = with_status(
        write,
        HEAD
        + "2013-10-01T15:00:00Z,A,halted,,,old\n"
        + "2013-10-01T16:00:00Z,A,trading,,,\n"
        + "2013-10-02T15:00:00Z,A,luld,,,\n"
        + "2013-10-02T15:30:00Z,A,luld,1,3,\n"
        + "2013-10-03T15:00:00Z,B,halted,,,T1\n"
        + "2013-10-03T15:00:00Z,A,ssr,,,\n"
        + "2013-10-03T15:01:00Z,B,luld,1,2,\n"
        + "2013-10-04T15:00:00Z,B,luld,,,pause\n"
        + "2013-10-04T15:00:00Z,B,ssr,,,\n",
    )
    opened = 1_381_152_600_000_000_000
    assert statuses(recording) == [
        TradingStatus(opened, 1, "halted", None, None, "T1"),
        TradingStatus(opened, 1, "ssr", None, None, "", carried=True),
    ]


def test_an_unknown_state_is_kept_with_a_notice(write) -> None:
    """What it means, the broker says: nobody trades on a status that nobody understands."""
    recording = with_status(write, HEAD + "2013-10-07T15:00:00Z,A,H5,,,\n2013-10-07T16:00:00Z,A,trading,,,\n")
    assert told(recording) == [("10-07T15:00:00", 0, "h5"), ("10-07T16:00:00", 0, "trading")]
    assert any(
        "1 row of unknown state ('h5') count as halted, such as line 2" in n.replace("0s.csv: ", "")
        for n in recording.notices
    )


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("2013-10-07T15:00:00Z,A,,,,", "BAD_STATE", "line 3: the state is missing"),
        ("2013-10-07T15:00:00Z,,halted,,,", "BAD_SYMBOL", "line 3: the symbol is missing"),
        ("2013-10-07T15:00:00Z,=A,halted,,,", "BAD_SYMBOL", "line 3: '=A' is no symbol"),
        ("yesterday,A,halted,,,", "BAD_TIME", "line 3: 'yesterday' is"),
        ("2013-10-07,A,halted,,,", "MIXED_TIMES", "line 3"),
        ("2013-10-07T15:00:00Z,A,luld,x,11,", "BAD_BAND", "line 3: lower is no number"),
        ("2013-10-07T15:00:00Z,A,luld,9,nan,", "BAD_BAND", "line 3: upper is no number"),
        ("2013-10-07T15:00:00Z,A,luld,9,-1,", "BAD_BAND", "line 3: upper is no price"),
        ("2013-10-07T15:00:00Z,A,luld,9,inf,", "BAD_BAND", "line 3: upper is no price"),
        ("2013-10-07T15:00:00Z,A,luld,0,11,", "BAD_BAND", "line 3: lower is no price"),
        ("2013-10-07T15:00:00Z,A,luld,11,9,", "BAD_BAND", "line 3: lower is above upper"),
        ("2013-10-07T15:00:00Z,*,luld,9,11,", "BAD_BAND", "line 3: the whole market has no price bands"),
        ("2013-10-07T15:00:00Z,A,halted,,,,,", "RAGGED_ROW", "line 3 has more cells"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(write, row: str, code: str, said: str) -> None:
    """One bad line refuses the file: nobody can say what it would have halted."""
    with pytest.raises(OperatorError) as caught:
        with_status(write, HEAD + "2013-10-07T14:00:00Z,B,halted,,,\n" + row + "\n")
    assert (caught.value.code, said in caught.value.message) == (code, True), caught.value.message


@pytest.mark.parametrize(
    ("text", "code"),
    [("ts,symbol\n2013-10-07T15:00:00Z,A\n", "MISSING_COLUMN"), (HEAD, "EMPTY_FILE"), ("", "EMPTY_FILE")],
)
def test_a_file_that_is_none_is_refused(write, text: str, code: str) -> None:
    """As any other file of a recording."""
    with pytest.raises(OperatorError) as caught:
        with_status(write, text)
    assert caught.value.code == code


def test_parquet_and_gzip_are_read_as_csv_is(write, tmp_path: Path) -> None:
    """Bands of Parquet are numbers, null where there are none."""
    pl.DataFrame(
        {
            "ts": ["2013-10-07T15:00:00Z", "2013-10-07T16:00:00Z"],
            "ticker": ["A", "*"],
            "status": ["luld", "halted"],
            "limit_down": [9.5, None],
            "limit_up": [10.5, float("nan")],
        }
    ).write_parquet(tmp_path / "s.parquet")
    trades = write(TRADES, "t.csv")
    parquet = open_recording(RecordingSpec(trades=(trades,), status=(str(tmp_path / "s.parquet"),)))
    text = "ts,symbol,state,lower,upper\n2013-10-07T15:00:00Z,A,luld,9.5,10.5\n2013-10-07T16:00:00Z,*,halted,,\n"
    zipped = open_recording(RecordingSpec(trades=(trades,), status=(write(text, "s.csv.gz"),)))
    assert statuses(parquet) == statuses(zipped)
    assert [s.upper for s in statuses(parquet)] == [1_050_000_000, None]


def test_a_file_named_twice_is_refused(write) -> None:
    """It would say everything twice."""
    path = write(HEAD + "2013-10-07T15:00:00Z,A,halted,,,\n", "s.csv")
    with pytest.raises(OperatorError, match="given twice"):
        open_recording(RecordingSpec(trades=(write(TRADES, "t.csv"),), status=(path, path)))


def test_a_recording_with_statuses_goes_on_behind_any_place(write) -> None:
    """From every place the rest is what it was: also from within an instant of several statuses."""
    rows = "2013-10-04T15:00:00Z,A,halted,,,\n2013-10-07T14:00:00Z,A,trading,,,\n2013-10-07T14:00:00Z,B,halted,,,\n"
    recording = with_status(write, HEAD + rows, HEAD + "2013-10-07T14:00:00Z,B,trading,,,\n")
    whole = list(recording.inputs())
    for place, message in enumerate(whole):
        before = sum(other.ts == message.ts for other in whole[: place + 1])
        rest = [_shown(m) for m in recording.inputs(Resume(message.ts, before))]
        assert rest == [_shown(m) for m in whole[place + 1 :]]


def test_a_looped_recording_lifts_what_the_pass_before_left_halted(write) -> None:
    """The second pass begins as the first did: a halt at the end of the recording is none at its beginning."""
    rows = "2013-10-08T15:00:00Z,A,halted,,,\n2013-10-08T15:00:00Z,B,luld,1,2,\n2013-10-09T15:00:00Z,B,ssr,,,\n"
    recording = with_status(write, HEAD + rows, loop=True)
    found = []
    for message in recording.inputs():
        if isinstance(message, TradingStatus):
            found.append((format_ts(message.ts)[5:19], message.symbol, message.state))
        if len(found) == 10:
            break
    first = [
        ("10-07T13:30:00", 0, "trading"),
        ("10-07T13:30:00", 1, "trading"),
        ("10-08T15:00:00", 0, "halted"),
        ("10-08T15:00:00", 1, "luld"),
        ("10-09T15:00:00", 1, "ssr"),
    ]
    assert found == [*first, *(("10-" + str(int(ts[3:5]) + 7) + ts[5:], symbol, state) for ts, symbol, state in first)]


def _shown(message: Market) -> object:
    return message if isinstance(message, TradingStatus) else (type(message).__name__, message.ts)
