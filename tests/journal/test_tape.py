"""The tape: what was synced is read back, what was cut is gone, and nothing that was changed passes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import BarPanel, NewsItem
from daemon.journal.batch import TapeRow
from daemon.journal.tape import FILES_MAX, TapeWriter, day_of_session, read_tape, rows_after, rows_before, utc_day
from daemon.journal.tape_format import HEAD, TapeError, TapeReader, tape_days, tape_path
from tests.journal.tape_support import CODEC, FIRST_TS, UNIVERSE, bar, equal_rows, session_rows, writer

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, rows: list[TapeRow], per: int = 3) -> list[tuple[int, int, int]]:
    """Append rows a few at a time; return the position behind each append."""
    tape = writer(folder)
    places = [tape.append(rows[at : at + per]) for at in range(0, len(rows), per)]
    tape.sync()
    tape.close()
    return places


# -- writing and reading -----------------------------------------------------------------------------------------------


def test_a_session_has_one_file_and_comes_back(tmp_path: Path) -> None:
    """Rows that name no session, such as news after the close, go to the day that is being written."""
    rows = session_rows(3)
    places = write(tmp_path, rows)
    assert tape_days(tmp_path) == [20240102, 20240103, 20240104]
    assert places[-1][0] == 20240104
    back = [list(read_tape(tape_path(tmp_path, day), CODEC)) for day in tape_days(tmp_path)]
    assert [len(part) for part in back] == [7, 7, 7]
    assert equal_rows([row for part in back for row in part], rows)


def test_days_never_go_back(tmp_path: Path) -> None:
    """A latecomer of yesterday's session stands where it was stamped: files in order are rows in order."""
    rows = [
        TapeRow(1, 10, bar(20240102, 10)),
        TapeRow(2, 20, bar(20240103, 20)),
        TapeRow(3, 30, bar(20240102, 15)),
    ]
    write(tmp_path, rows, per=1)
    assert tape_days(tmp_path) == [20240102, 20240103]
    assert [row.seq for row in read_tape(tape_path(tmp_path, 20240103), CODEC)] == [2, 3]


def test_the_first_row_without_a_session_goes_to_the_utc_date_of_its_stamp(tmp_path: Path) -> None:
    """News before anything else has no day to go to."""
    write(tmp_path, [TapeRow(1, FIRST_TS, NewsItem(FIRST_TS, "n", (), "early"))])
    assert tape_days(tmp_path) == [20240102]


def test_the_day_is_decided_by_the_function_given(tmp_path: Path) -> None:
    """A writer can be told another rule."""
    tape = TapeWriter(tmp_path, CODEC, UNIVERSE, day_of=lambda row: utc_day(row.ts))
    tape.append([TapeRow(1, FIRST_TS, bar(20200101, FIRST_TS))])
    tape.close()
    assert tape_days(tmp_path) == [20240102]
    assert day_of_session(TapeRow(1, FIRST_TS, bar(20200101, FIRST_TS))) == 20200101


@given(st.integers(0, 4_102_444_800 * 10**9))
def test_the_utc_date_is_the_calendars(ts: int) -> None:
    """From 1970 to 2100."""
    assert utc_day(ts) == int(str(np.datetime64(ts, "ns").astype("datetime64[D]")).replace("-", ""))


def test_a_file_says_what_it_belongs_to(tmp_path: Path) -> None:
    """Its header has day, universe and where the file before it ended."""
    places = write(tmp_path, session_rows(2), per=7)
    with TapeReader(tape_path(tmp_path, 20240102)) as first, TapeReader(tape_path(tmp_path, 20240103)) as second:
        assert first.header.previous is None
        assert second.header.previous == places[0]
        assert second.header.day == 20240103
        assert second.header.universe == UNIVERSE


def test_a_reader_stops_at_a_position(tmp_path: Path) -> None:
    """What stands behind it was not committed yet."""
    rows = session_rows(1)
    places = write(tmp_path, rows)
    path = tape_path(tmp_path, 20240102)
    assert [row.seq for row in read_tape(path, CODEC, places[0][1])] == [1, 2, 3]
    assert [row.seq for row in rows_after(tmp_path, CODEC, 0, places[1][:2])] == [1, 2, 3, 4, 5, 6]
    assert [row.seq for row in rows_before(tmp_path, CODEC, 99, 2, upto=places[1][:2])] == [5, 6]
    with pytest.raises(TapeError, match="no block ends") as caught:
        list(read_tape(path, CODEC, places[0][1] - 1))
    assert caught.value.code == "TAPE_DAMAGED"
    with pytest.raises(TapeError, match="written up to") as caught:
        list(read_tape(path, CODEC, places[-1][1] + 1))
    assert caught.value.code == "TAPE_SHORT"


def test_a_writer_goes_on_where_the_one_before_stopped(tmp_path: Path) -> None:
    """Same file, chain unbroken, also into the next day."""
    rows = session_rows(2)
    write(tmp_path, rows[:4])
    write(tmp_path, rows[4:])
    assert equal_rows(list(rows_after(tmp_path, CODEC, 0)), rows)


def test_appending_nothing_makes_nothing(tmp_path: Path) -> None:
    """A commit without market data covers what was there before."""
    tape = writer(tmp_path / "tape")
    assert tape.append([]) == (0, 0, 0)
    tape.sync()
    assert not (tmp_path / "tape").exists()


def test_a_large_batch_is_cut_into_blocks(tmp_path: Path) -> None:
    """A reader never needs to hold more than some thousand rows at once."""
    rows = [TapeRow(i + 1, i, NewsItem(i, str(i), (), "h")) for i in range(5000)]
    write(tmp_path, rows, per=5000)
    with TapeReader(tape_path(tmp_path, 19700101)) as reader:
        assert [block.rows for block in reader.blocks()] == [4096, 904]
    assert equal_rows(list(rows_after(tmp_path, CODEC, 0)), rows)


def test_another_universe_is_refused_within_a_file(tmp_path: Path) -> None:
    """Ids would mean other symbols from one block to the next; a new day may have a new universe."""
    write(tmp_path, session_rows(1))
    other = TapeWriter(tmp_path, CODEC, {"symbols": ["ZZZ"]})
    with pytest.raises(TapeError, match="another universe"):
        other.append(session_rows(1, first_seq=100))
    other.append([row for row in session_rows(2, first_seq=100) if "20240103" in repr(row)][:1])
    other.close()
    assert tape_days(tmp_path) == [20240102, 20240103]


def test_the_newest_file_must_be_whole_before_more_is_written(tmp_path: Path) -> None:
    """The writer does not guess where the last commit was; after truncating it goes on."""
    rows = session_rows(1)
    places = write(tmp_path, rows)
    path = tape_path(tmp_path, 20240102)
    with path.open("ab") as file:
        file.write(b"half a block")
    tape = writer(tmp_path)
    with pytest.raises(TapeError, match="ends within a block"):
        tape.append(session_rows(1))
    assert tape.truncate(*places[-1][:2]) == places[-1][2]
    tape.append([TapeRow(99, FIRST_TS, bar(20240102, FIRST_TS))])
    tape.close()
    assert [row.seq for row in read_tape(path, CODEC)] == [*range(1, 8), 99]


# -- cutting back ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_after_cutting_back_the_tape_is_as_if_the_rest_had_never_been(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """At any position of any day; files that are written then are equal to the byte."""
    folder, twin = tmp_path_factory.mktemp("cut"), tmp_path_factory.mktemp("twin")
    rows = session_rows(3)
    per = data.draw(st.integers(1, 9))
    batches = [rows[at : at + per] for at in range(0, len(rows), per)]
    cut = data.draw(st.integers(0, len(batches)))
    tape, straight = writer(folder), writer(twin)
    places = [(0, 0, 0)] + [tape.append(batch) for batch in batches]
    if data.draw(st.booleans()):
        tape.sync()
    assert tape.truncate(*places[cut][:2]) == places[cut][2]
    assert tape.position == places[cut]
    again = [tape.append(batch) for batch in batches[cut:]]
    assert again == places[cut + 1 :]
    tape.sync()
    tape.close()
    for batch in batches:
        straight.append(batch)
    straight.close()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in twin.iterdir()}


def test_a_tape_that_ends_before_the_position_is_refused(tmp_path: Path) -> None:
    """The ledger covers more than there is: start-up must not go on, and nothing is changed."""
    places = write(tmp_path, session_rows(2))
    path = tape_path(tmp_path, 20240103)
    os.truncate(path, path.stat().st_size - 1)
    before = path.read_bytes()
    with pytest.raises(TapeError) as caught:
        writer(tmp_path).truncate(*places[-1][:2])
    assert caught.value.code == "TAPE_SHORT"
    assert str(path) in caught.value.message
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(TapeError) as caught:
        writer(tmp_path).truncate(*places[-1][:2])
    assert caught.value.code == "TAPE_MISSING"


def test_a_failed_append_leaves_the_tape_as_it_was(tmp_path: Path) -> None:
    """Room for half of it only: what was written of the batch is gone again, and the next one can follow."""
    rows = session_rows(3)
    tape = writer(tmp_path)
    place = tape.append(rows[:2])
    tape.sync()
    noise = np.random.default_rng(3).integers(0, 1 << 30, 20_000)
    large = NewsItem(FIRST_TS, "large", tuple(noise.tolist()), "does not fit")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (place[1] + 4000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            tape.append([*rows[2:8], TapeRow(9, FIRST_TS, large)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert tape.position == place
    assert [row.seq for row in rows_after(tmp_path, CODEC, 0)] == [1, 2]
    tape.append(rows[2:])
    tape.close()
    assert equal_rows(list(rows_after(tmp_path, CODEC, 0)), rows)


def open_below(folder: Path) -> int:
    """Return how many files of a folder this process holds open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += link.readlink().is_relative_to(folder)
        except OSError:  # closed meanwhile: the one that lists them
            continue
    return found


def test_many_days_in_one_append_need_few_files(tmp_path: Path) -> None:
    """A playback of daily bars at full speed commits years at once, and a process may open some hundred files."""
    rows = session_rows(29)
    tape = writer(tmp_path)
    tape.append(rows)
    assert open_below(tmp_path) <= FILES_MAX + 1
    tape.sync()
    assert open_below(tmp_path) == 1
    tape.close()
    assert not open_below(tmp_path)
    assert equal_rows(list(rows_after(tmp_path, CODEC, 0)), rows)


def test_what_could_not_be_made_durable_early_is_told_by_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by every one after it: nothing is tried again as if it had not happened, cut back or not."""
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    tape = writer(tmp_path)
    tape.append(session_rows(29))
    assert calls
    with pytest.raises(OSError, match="Input/output error"):
        tape.sync()
    tape.truncate(0, 0)
    tape.append(session_rows(1))
    with pytest.raises(OSError, match="Input/output error"):
        tape.sync()
    tape.close()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("what", ["file", "folder", "other"])
def test_a_tape_that_is_taken_away_is_noticed(tmp_path: Path, what: str, *, fresh: bool) -> None:
    """No second one is begun in its place: back where it was, it goes on as if nothing had been."""
    folder, away, rows = tmp_path / "tape", tmp_path / "away", session_rows(3)
    tape = writer(folder)
    tape.append(rows[:5])
    tape.sync()
    if fresh and what != "other":  # which cannot be told from the one that the ledger knows, but by its contents
        tape.close()
        tape = writer(folder)
        assert tape.position
    taken = folder if what == "folder" else tape_path(folder, tape_days(folder)[-1])
    taken.rename(away)
    if what == "other":
        taken.write_bytes(away.read_bytes())
    with pytest.raises(TapeError, match="moved, replaced or removed") as caught:
        tape.append(rows[5:])
    assert caught.value.code == "TAPE_GONE"
    tape.close()
    assert what != "folder" or not folder.exists()
    away.rename(taken)
    again = writer(folder)
    again.append(rows[5:])
    again.sync()
    again.close()
    assert equal_rows(list(rows_after(folder, CODEC, 0)), rows)


KILLED = """
import sys
from pathlib import Path
from tests.journal.tape_support import session_rows, writer
tape = writer(Path(sys.argv[1]))
for row in session_rows(30, bars=20):
    day, pos, crc = tape.append([row])
    tape.sync()
    print(row.seq, day, pos, crc, flush=True)
"""


def test_f45_the_name_of_a_new_day_is_durable_before_its_rows_are_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was synced in a folder that was not is gone with the power; a start would miss the whole day."""
    synced: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    rows = session_rows(2)
    per = len(rows) // 2
    state = tmp_path / "state"
    state.mkdir()
    tape = writer(state / "tape")
    tape.append(rows[:2])
    tape.sync()
    assert synced == ["state", "tape"]
    tape.append(rows[2:per])
    tape.sync()
    assert synced == ["state", "tape"]
    tape.append(rows[per:])
    tape.sync()
    assert synced == ["state", "tape", "tape"]
    tape.close()


@pytest.mark.parametrize("acknowledged", [1, 40, 333])
def test_what_was_synced_survives_a_kill(tmp_path: Path, acknowledged: int) -> None:
    """A process is killed as it writes; cut to the last position it told, the tape has every row up to there."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(acknowledged)]
    process.kill()
    told += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    whole = [line for line in told if line.endswith("\n")]
    seq, day, pos, crc = map(int, whole[-1].split())
    assert seq >= acknowledged
    assert writer(tmp_path).truncate(day, pos) == crc
    assert equal_rows(list(rows_after(tmp_path, CODEC, 0)), session_rows(30, bars=20)[:seq])


# -- damage ------------------------------------------------------------------------------------------------------------


def damaged(path: Path, data: bytes) -> TapeError | None:
    """Read a file with other content; return the error, or None where the rows are the ones that were written."""
    rows = session_rows(1)
    path.write_bytes(data)
    try:
        back = list(read_tape(path, CODEC))
    except TapeError as error:
        return error
    assert equal_rows(back, rows), "changed rows were given as if they were good"
    return None


def test_every_byte_that_flips_is_found(tmp_path: Path) -> None:
    """In magic, header, heads and bodies; the error names the file and where the block begins."""
    write(tmp_path, session_rows(1))
    path = tape_path(tmp_path, 20240102)
    good = path.read_bytes()
    with TapeReader(path) as reader:
        starts = [0, *(block.offset for block in reader.blocks())]
    for at in range(len(good)):
        for mask in (0x01, 0xFF) if at % 7 else (0x01, 0x80, 0xFF):
            error = damaged(path, good[:at] + bytes([good[at] ^ mask]) + good[at + 1 :])
            assert error is not None, at
            assert error.code == ("TAPE_FOREIGN" if at < 8 else "TAPE_DAMAGED"), at
            assert error.offset == max(start for start in starts if start <= at)
            assert str(path) in str(error)


def test_every_tail_that_is_missing_is_found_unless_it_is_whole_blocks(tmp_path: Path) -> None:
    """A torn tail is told from damage, and from a good end, which only the ledger's position can tell."""
    write(tmp_path, session_rows(1))
    path = tape_path(tmp_path, 20240102)
    good = path.read_bytes()
    with TapeReader(path) as reader:
        ends = [reader.start.end, *(block.end for block in reader.blocks())]
    for length in range(len(good)):
        path.write_bytes(good[:length])
        if length in ends:
            assert len(list(read_tape(path, CODEC))) == min(3 * ends.index(length), 7)
            continue
        with pytest.raises(TapeError) as caught:
            list(read_tape(path, CODEC))
        assert caught.value.code == "TAPE_TORN", length
        assert caught.value.offset == max([end for end in ends if end <= length], default=0)


def test_blocks_that_were_exchanged_or_left_out_are_found(tmp_path: Path) -> None:
    """Each is whole in itself; the chain is not."""
    write(tmp_path, session_rows(1))
    path = tape_path(tmp_path, 20240102)
    good = path.read_bytes()
    with TapeReader(path) as reader:
        start = reader.start.end
        first, second, third = (good[block.offset : block.end] for block in reader.blocks())
    head = good[:start]
    for blocks in (second + first + third, first + third, second + third, first + first + second + third):
        error = damaged(path, head + blocks)
        assert error is not None
        assert error.code == "TAPE_DAMAGED"


def test_a_day_that_was_exchanged_or_left_out_is_found(tmp_path: Path) -> None:
    """A file's header says where the one before it ended."""
    write(tmp_path / "a", session_rows(3))
    write(tmp_path / "b", session_rows(3, bars=5))
    folder = tmp_path / "a"
    middle = tape_path(folder, 20240103)
    kept = middle.read_bytes()
    middle.unlink()
    for reading in (lambda: list(rows_after(folder, CODEC, 0)), lambda: rows_before(folder, CODEC, 99, 99)):
        with pytest.raises(TapeError, match="does not follow the tape of 20240102"):
            reading()
    middle.write_bytes(tape_path(tmp_path / "b", 20240103).read_bytes())
    for reading in (lambda: list(rows_after(folder, CODEC, 0)), lambda: rows_before(folder, CODEC, 99, 99)):
        with pytest.raises(TapeError, match="does not follow"):
            reading()
    middle.write_bytes(kept)
    assert len(list(rows_after(folder, CODEC, 0))) == 21


def test_a_tape_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """Nothing of it is guessed at."""
    write(tmp_path, session_rows(1))
    path = tape_path(tmp_path, 20240102)
    good = path.read_bytes()
    with TapeReader(path) as reader:
        end = reader.start.end
    body = good[20:end].replace(b'"schema":1', b'"schema":2')
    start = good[:12] + zlib.crc32(body).to_bytes(4, "little")
    path.write_bytes(start + zlib.crc32(start).to_bytes(4, "little") + body + good[end:])
    with pytest.raises(TapeError, match="format 2, newer than the 1") as caught:
        list(read_tape(path, CODEC))
    assert caught.value.code == "TAPE_NEWER"


def test_a_block_whose_count_is_wrong_but_vouched_for_is_found(tmp_path: Path) -> None:
    """A fault of the writer's, not of the disk's, is found as well."""
    write(tmp_path, session_rows(1), per=7)
    path = tape_path(tmp_path, 20240102)
    with TapeReader(path) as reader:
        (block,) = reader.blocks()
        before = reader.start.crc
    data = path.read_bytes()
    head = HEAD.pack(block.end - block.offset - HEAD.size, 6, 1, 7, block.body_crc, 0)[:-4]
    crc = zlib.crc32(head, before).to_bytes(4, "little")
    path.write_bytes(data[: block.offset] + head + crc + data[block.offset + HEAD.size :])
    with pytest.raises(TapeError, match="holds 7 rows where it speaks of 6"):
        list(read_tape(path, CODEC))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """One sentence, no traceback."""
    (tmp_path / "20240102.tape").mkdir()
    with pytest.raises(TapeError) as caught:
        list(read_tape(tmp_path / "20240102.tape" / "x", CODEC))
    assert caught.value.code == "TAPE_MISSING"
    loop = tmp_path / "20240103.tape"
    loop.symlink_to(loop)
    with pytest.raises(TapeError, match="cannot be opened") as caught:
        list(read_tape(loop, CODEC))
    assert caught.value.code == "TAPE_UNREADABLE"


# -- reading parts -----------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    per=st.integers(1, 12), seq=st.integers(0, 60), count=st.integers(0, 60), warm=st.integers(0, 9), bars=st.booleans()
)
def test_parts_are_what_a_look_at_everything_would_give(
    tmp_path_factory: pytest.TempPathFactory, per: int, seq: int, count: int, warm: int, bars: bool
) -> None:
    """After a seq, before a seq, some kinds only; warm-up history (seq 0) stands before everything."""
    folder = tmp_path_factory.mktemp("parts")
    rows = session_rows(5, bars=3)
    rows = [TapeRow(0 if i < warm else row.seq * 2, row.ts, row.body) for i, row in enumerate(rows)]
    write(folder, rows, per)
    assert equal_rows(list(rows_after(folder, CODEC, seq)), [row for row in rows if row.seq > seq])
    kinds = (BarPanel,) if bars else ()
    wanted = [row for row in rows if row.seq < seq and (not kinds or isinstance(row.body, kinds))]
    assert equal_rows(
        rows_before(folder, CODEC, seq, count, kinds=kinds),
        wanted[len(wanted) - count :] if count < len(wanted) else wanted,
    )


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    """Neither has one that is not there; files that are no tapes are not looked at."""
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "1.tape").write_text("x")
    for folder in (tmp_path, tmp_path / "none"):
        assert list(rows_after(folder, CODEC, 0)) == []
        assert rows_before(folder, CODEC, 5, 5) == []


def test_a_year_of_daily_bars_warms_up_quickly(tmp_path: Path) -> None:
    """One tiny file a session: what is read grows with the rows wanted, not with the years there are."""
    folder = tmp_path / "tape"
    tape = writer(folder)
    for n in range(300):
        ts = FIRST_TS + n * 86_400_000_000_000
        tape.append([TapeRow(n + 1, ts, bar(utc_day(ts), ts))])
    tape.close()
    opened: list[str] = []
    sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
    began = time.perf_counter()
    rows = rows_before(folder, CODEC, 10**9, 253, kinds=(BarPanel,))
    took = time.perf_counter() - began
    assert [row.seq for row in rows] == list(range(48, 301))
    assert sum(name.endswith(".tape") for name in opened) == 253
    assert took < 2, "the budget is 0.1 s on an idle machine; this bound only catches another order of growth"
