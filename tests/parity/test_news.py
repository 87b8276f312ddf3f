"""News in runs of the whole system: replay, playback and forensic replay agree, and nothing later changes what was.

Also where the daemon is killed at the steps of its commits, or between a question about headlines and its answer.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from actors.messages.catalogue import codec
from actors.messages.columns import unpack_f64
from actors.messages.portfolio import SignalsReady
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from daemon.journal.sqlite import open_readonly, read_frames
from daemon.system.replay import ReplayResult
from tests.faults.meddling import PROGRAM, meddled
from tests.live_support import daemon
from tests.parity.test_live import forensic, free, play, seeds
from tests.parity.worlds import SYMBOLS, _instants, _stamp, replay_of, world

READERS: Final = '''\
"""Strategies that read the news."""

import numpy as np

from actors.api import PanelWindow, Params, Scores, Signal, Struct, Window, strategy


@strategy(lookback=2, horizon=3, fields=("close", "sentiment", "news"))
def reads(w: Window, p: Params) -> Signal | None:
    """With the tone."""
    if not w.sentiment.n:
        return None
    reason = f"{w.sentiment.n} of {len(w.news)}, last {w.news[-1].tone:.2f} {w.news[-1].text[:30]}"
    return Signal(w.sentiment.score, confidence=0.9, reason=reason)


@strategy(lookback=2, horizon=2, fields=("close", "sentiment"))
def reads_all(w: PanelWindow, p: Params) -> Scores:
    """With the change, against the divergence."""
    s = w.sentiment
    return Scores(np.clip(np.nan_to_num(s.change) - np.nan_to_num(s.divergence) / 2, -1, 1) + 0.01 * (s.volume > 0))


class Memory(Struct):
    """What the fold keeps."""

    tone: float = 0.0


@strategy(horizon=1, fields=("close", "sentiment"))
def remembers(state: Memory, w: Window, p: Params) -> tuple[Memory, Signal]:
    """With an average of tones that never forgets."""
    score = w.sentiment.score if w.sentiment.n else 0.0
    tone = 0.8 * state.tone + 0.2 * score
    return Memory(tone), Signal(tone, confidence=0.8)
'''
SAID: Final = (
    "{} shares plunge after profit warning",
    "{} beats estimates and raises outlook",
    "{} holds its annual meeting",
    "Analyst upgrades {} to strong buy",
    "{} sued over defective products",
    "株価 {}",
)


def headlines(draw: random.Random, calendar: str = "XNYS") -> list[str]:
    """Return lines of headlines over the sessions, several at one instant now and then, some in the night."""
    lines = []
    for at in _instants(calendar, 60, 2, 0):
        when = at - timedelta(minutes=draw.randint(1, 90))
        for n in range(25):
            if draw.random() < 0.7:
                when += timedelta(seconds=draw.randint(1, 400), milliseconds=draw.choice((0, 0, 250)))
            symbols = draw.sample(SYMBOLS, draw.randint(1, 2))
            text = draw.choice(SAID).format(symbols[0])
            lines.append(f"{_stamp(when)},{'|'.join(symbols)},{text},{n}{when:%d%H%M},{draw.choice(('wire', 'blog'))}")
    return sorted(lines)


def news_world(folder: Path, seed: int, lines: Sequence[str] | None = None, kind: str = "minutes") -> str:
    """Write a world whose strategies read the news; return its settings."""
    draw = random.Random(seed)  # noqa: S311 - test data
    settings = world(folder, seed, kind).settings
    chosen = headlines(draw, "XTKS" if kind == "tokyo" else "XNYS") if lines is None else lines
    (folder / "news.csv").write_text("ts,symbols,headline,id,source\n" + "\n".join(chosen) + "\n", "utf-8")
    (folder / "readers.py").write_text(READERS, "utf-8")
    named = ", ".join(f'"readers.py:{name}"' for name in ("reads", "reads_all", "remembers"))
    settings = re.sub(r"strategies = \[.*\]", f"strategies = [{named}]", settings, count=1)
    settings = re.sub(r'news = \[".*"\]\n', "", settings)
    settings = settings.replace('adjustment = "split"\n', 'adjustment = "split"\nnews = ["news.csv"]\n')
    return settings + (
        '[predictor.sentiment]\nmodel = "lexicon"\nhalf_life_hours = 2\nwindow_hours = 30\n'
        "[predictor.sentiment.source_weights]\nblog = 0.5\n"
    )


def of(result: ReplayResult) -> list[Any]:
    """Return the frames of a replay."""
    db = open_readonly(result.folder / "ledger.db")
    try:
        return list(read_frames(db, codec()))
    finally:
        db.close()


@seeds((0, 2), total=6)
def test_replay_playback_and_forensic_replay_have_one_digest(tmp_path: Path, seed: int) -> None:
    """Whatever the edges' jitter; and the news were in it."""
    kind = ("minutes", "tokyo", "ticks")[seed % 3]
    with daemon(tmp_path, news_world(tmp_path, seed, kind=kind)) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        again = replay_of(d.config, tmp_path / "again")
        assert wanted.digest == again.digest
        for name in ("headlines.csv", "sentiment.csv", "signals.csv"):
            assert (wanted.folder / name).read_bytes() == (again.folder / name).read_bytes()
        play(d, seed)
        assert forensic(d).digest == wanted.digest
        assert len(d.events(NewsSeen)) > 20
        assert d.events(SentimentMeasured)
        assert {event.strategy for event in d.events(SignalsReady)} == {"reads", "reads_all", "remembers"}
        assert {event.reason for event in d.events(NewsScored)} == {""}


@seeds((1,), total=4)
def test_sigkills_change_nothing(tmp_path: Path, seed: int) -> None:
    """A playback that is killed again and again goes on exactly where its ledger stands, news and all."""
    settings = news_world(tmp_path, seed) + "[journal]\nsnapshot_events = 100\n"
    with daemon(tmp_path, settings) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        assert play(d, seed, kills=3)
        assert forensic(d).digest == wanted.digest


@seeds((3,), total=5)
def test_a_free_running_daemon_equals_its_own_forensic_replay(tmp_path: Path, seed: int) -> None:
    """Headlines are stamped when they arrive: that is their time."""
    with daemon(tmp_path, free(news_world(tmp_path, seed), '"max"')) as d:
        play(d, seed, kills=seed % 3)
        forensic(d)
        assert d.events(NewsScored)


def test_a_question_about_headlines_that_died_with_the_process_is_asked_again(tmp_path: Path) -> None:
    """It was committed and never answered; nothing later may pass before its answer. The end is that of a replay."""
    later = {"daemon__supervision__supervisor__Backoff": {"first_s": 2.0, "cap_s": 2.0}}
    with meddled(tmp_path, news_world(tmp_path, 4), **later) as d:
        wanted = replay_of(d.config, tmp_path / "replay")
        d.begin_broken("feed", lambda: d.meddle("tell", child="pool", what="deadlock"))
        deadline = time.monotonic() + 20
        while not (asked := d.events(SentimentRequested)):
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        assert d.events(NewsScored) == []
        d.kill()
        d.start(until_end=True)
        assert d.wait(60) == 0, d.tail()
        scored = d.events(NewsScored)
        assert scored[0].request_id == asked[0].request_id
        assert scored[0].reason == ""
        assert len(d.events(SentimentRequested)) == len(scored) > len(asked)
        assert forensic(d).digest == wanted.digest


def test_a_pool_that_is_gone_leaves_headlines_without_scores(tmp_path: Path) -> None:
    """Its child gives up: every question is answered with why, and strategies see volume and no tone."""
    with meddled(tmp_path, news_world(tmp_path, 6)) as d:
        broken = {"MEDDLE_SOCKET": str(d.hand), "MEDDLE_SET": "{}", "MEDDLE_BROKEN": json.dumps({"pool": "gone"})}
        d.spawn(program=PROGRAM, env=broken, until_end=True)
        assert d.wait(90) == 0, d.tail()
        scored = d.events(NewsScored)
        assert {event.reason for event in scored} == {"unavailable: the model pool failed again and again"}
        measured = d.events(SentimentMeasured)
        assert any(unpack_f64(event.volume).any() for event in measured)
        assert not any(unpack_f64(event.n).any() for event in measured)
        assert not any(event.strategy == "reads" for event in d.events(SignalsReady))
        told = [line for line in d.logged() if line["event"] == "headlines without scores"]
        assert {line["detail"] for line in told} == {scored[0].reason}  # repeated lines are thinned out
        forensic(d)


def _changed(lines: list[str], at: int) -> list[str]:
    """Return the same lines up to one, and from there on other words at other symbols."""
    rest = [line.split(",") for line in lines[at:]]
    return lines[:at] + [
        f"{stamp},{SYMBOLS[n % 3]},{SAID[n % 5].format('Nobody')},x{n},blog" for n, (stamp, *_) in enumerate(rest)
    ]


@pytest.mark.parametrize("how", [lambda lines, at: lines[:at], _changed], ids=["removed", "changed"])
@pytest.mark.parametrize("kind", ["minutes", "ticks"])
def test_a_headline_dated_later_never_changes_an_earlier_value(
    tmp_path: Path, kind: str, how: Callable[[list[str], int], list[str]]
) -> None:
    """Over a whole replay: remove or change all headlines from some point on, and all before is the same bytes."""
    lines = headlines(random.Random(11))  # noqa: S311 - test data
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "config.toml").write_text(news_world(whole, 11, lines, kind), "utf-8")
    frames = of(replay_of(whole / "config.toml", whole / "run"))
    for at in (1, len(lines) // 3, 2 * len(lines) // 3):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "config.toml").write_text(news_world(folder, 11, how(lines, at), kind), "utf-8")
        other = of(replay_of(folder / "config.toml", folder / "run"))
        first = min(frame.ts for frame in frames if _tells(frame, lines[at].split(",")[3]))
        mine = [(f.ts, [codec().encode(e) for e in f.events]) for f in frames if f.ts < first]
        theirs = [(f.ts, [codec().encode(e) for e in f.events]) for f in other if f.ts < first]
        assert mine == theirs
        assert len(mine) < len(frames)
        assert (
            any(isinstance(event, SentimentMeasured | NewsSeen) for f in frames if f.ts < first for event in f.events)
            or at == 1
        )
        assert [e for f in frames if f.ts >= first for e in f.events] != [
            e for f in other if f.ts >= first for e in f.events
        ]


def _tells(frame: Any, news_id: str) -> bool:
    return any(isinstance(event, NewsSeen) and event.news_id == news_id for event in frame.events)
