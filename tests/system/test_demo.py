"""The demo: the main job on the data in the package."""

from __future__ import annotations

from pathlib import Path

from daemon.system.demo import STRATEGIES, run_demo
from daemon.system.verify import verify_path


def test_the_demo_twice_is_equal_and_verifies(tmp_path: Path) -> None:
    """Eight years, 20 stocks, every actor: equal digests, byte-equal tables, every check holds."""
    seen: list[tuple[int, int]] = []
    first = run_demo(tmp_path / "first", lambda done, total: seen.append((done, total)))
    second = run_demo(tmp_path / "elsewhere" / "second")
    assert first.digest == second.digest
    for path in sorted(first.folder.glob("*.csv")):
        assert path.read_bytes() == (second.folder / path.name).read_bytes(), path.name
    assert verify_path(first.folder).ok
    assert seen[-1] == (first.instants, first.instants) == (2012, 2012)
    assert first.bars == 20 * 2012
    assert first.alerts
    rows = {name: len((first.folder / name).read_text().splitlines()) - 1 for name in ("fills.csv", "trades.csv")}
    assert (first.seen.fills, first.seen.trades) == (rows["fills.csv"], rows["trades.csv"])
    assert (first.seen.sessions, first.seen.session) == (2012, 20221228)
    models = {name.partition("@")[0] for name in first.run.metrics["predictions"]}
    assert len(models) == len(STRATEGIES)
    assert "survived to 2022" in first.run.metrics["survivorship"]
