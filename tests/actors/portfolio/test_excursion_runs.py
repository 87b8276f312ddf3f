"""However many lots there are, each has the extremes that a list of the prices it has seen has."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import BarPanel
from actors.portfolio.excursions import Excursions
from actors.portfolio.positions import Lot
from actors.values.fixed import SCALE

PX = st.integers(50, 60).map(float)
SOURCES = ("open", "intrabar", "close")
"""Of a bar's fills, in the order in which they come."""
FILLS = st.lists(st.tuples(PX, st.sampled_from(SOURCES), st.integers(0, 3)), max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bar"), st.tuples(PX, PX, PX), FILLS),
        st.tuples(st.just("tick"), PX),
        st.tuples(st.just("open"), PX),
        st.tuples(st.just("close"), st.integers(0, 9)),
        st.tuples(st.just("snapshot")),
    ),
    min_size=1,
    max_size=40,
)


def panel(open_: float, close: float, other: float) -> BarPanel:
    """Return a bar of one symbol that goes from one price to another, or beyond both of them."""
    columns = [np.array([px]) for px in (open_, max(open_, close, other), min(open_, close, other), close)]
    fixed = np.rint(columns[3] * SCALE).astype(np.int64)
    ids = np.zeros(1, dtype=np.int32)
    return BarPanel(2, 1, 20200102, False, ids, True, *columns, fixed, None)


class Plain:
    """Every lot's extremes kept by themselves: what has run is handed to each of them whenever a run ends."""

    def __init__(self) -> None:
        """Begin with no lots."""
        self.lots: dict[str, list[float]] = {}
        self.run = [0.0, 0.0]
        self.late: dict[str, list[float]] = {}

    def hand(self, name: str, high: float, low: float) -> None:
        """Let a lot know of prices."""
        own = self.lots[name]
        own[:] = [max(own[0], high), min(own[1], low)]

    def opened(self, name: str, px: float, source: str) -> None:
        """Begin a run with a new lot."""
        for other in self.lots:
            self.hand(other, *self.run)
        self.lots[name] = [px, px]
        self.run = [px, px]
        if source != "open":
            self.late[name] = self.lots[name]

    def seal(self, bar: BarPanel) -> None:
        """Know a bar; who came inside it knows no more of it than its close."""
        top, bottom, close = bar.high.item(0), bar.low.item(0), bar.close.item(0)
        late, self.late = self.late, {}
        if late:
            for name in self.lots:
                if name in late:
                    self.hand(name, close, close)
                else:
                    self.hand(name, *self.run)
                    self.hand(name, top, bottom)
            self.run = list([*late.values()][-1])
        else:
            self.run = [max(self.run[0], top), min(self.run[1], bottom)]

    def range_of(self, name: str) -> tuple[float, float]:
        """Return the (lowest, highest) price a lot has seen."""
        high, low = self.lots[name]
        return min(low, self.run[1]), max(high, self.run[0])


class Both:
    """The program's way and the plain one side by side."""

    def __init__(self) -> None:
        """Begin with no lots."""
        self.excursions = Excursions(1)
        self.plain = Plain()
        self.lots: list[Lot] = []
        self.count = 0

    def open(self, px: float, source: str) -> None:
        """Open a lot."""
        self.count += 1
        lot = Lot(f"x{self.count}", 0, SCALE, round(px * SCALE), 0, 0, 0, "", None, False, px, px)
        self.lots.append(lot)
        self.excursions.opened(lot, source, alone=len(self.lots) == 1)
        self.plain.opened(lot.lot_id, px, source)

    def bar(self, bar: BarPanel, fills: list[tuple[float, str, int]]) -> None:
        """Play a bar in which lots are opened, behind others that are closed."""
        self.excursions.begin(bar)
        for px, source, closes in sorted(fills, key=lambda fill: SOURCES.index(fill[1])):
            for _ in range(closes):
                self.close(0)
            self.open(px, source)
            self.judge()
        self.excursions.seal(bar, held=bool(self.lots))
        self.plain.seal(bar)

    def tick(self, px: float) -> None:
        """Play a tick."""
        self.excursions.touch(np.zeros(1, dtype=np.int32), np.array([px]))
        run = self.plain.run
        run[:] = [max(run[0], px), min(run[1], px)]

    def close(self, at: int) -> None:
        """Close a lot."""
        if self.lots:
            del self.plain.lots[self.lots.pop(at % len(self.lots)).lot_id]

    def judge(self) -> None:
        """Compare every lot."""
        for lot in self.lots:
            assert self.excursions.range_of(lot, lot.px / SCALE, "open", 1) == self.plain.range_of(lot.lot_id)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_a_lots_extremes_are_those_of_the_prices_that_came_while_it_was_held(steps):
    """Bars with lots opened at their open or inside, ticks, closes in between, and snapshots that change nothing."""
    both = Both()
    for kind, *rest in steps:
        if kind == "bar":
            both.bar(panel(*rest[0]), rest[1])
        elif kind == "tick":
            both.tick(rest[0])
        elif kind == "open":
            both.open(rest[0], "open")
        elif kind == "close":
            both.close(rest[0])
        else:
            both.excursions.fold_runs(lambda _symbol: both.lots)
            assert all([lot.high, lot.low] == both.plain.lots[lot.lot_id] for lot in both.lots)
        both.judge()
