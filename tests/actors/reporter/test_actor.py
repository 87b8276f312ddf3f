"""The reporter at the edge counts progress and holds no truth."""

from __future__ import annotations

from actors.reporter.actor import ReporterActor
from daemon.kernel.message import Envelope


def test_progress_follows_committed_frames(make_run) -> None:
    """Sessions, last equity, fills, trades and denials are those of the frames."""
    _, frames = make_run(sessions=120)
    actor = ReporterActor()
    assert actor.progress().sessions == 0
    assert actor.health().detail == "no session yet"
    for f in frames:
        actor.consume(Envelope(f.seq, f.ts, f.ts, f.source, f.events[0]), f.events)
    found = actor.progress()
    names = [type(e).__name__ for f in frames for e in f.events]
    assert (found.frames, found.sessions) == (121, 120)
    assert found.fills == names.count("OrderFilled") > 0
    assert found.trades == names.count("TradeClosed")
    assert found.denials == names.count("OrderDenied")
    rolled = [e for f in frames for e in f.events if type(e).__name__ == "SessionRolled"]
    assert found.equity == rolled[-1].equity
    assert found.session == rolled[-1].session
