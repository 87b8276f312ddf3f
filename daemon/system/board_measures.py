"""Measures of risk on a board: the core's thread copies what they need, whoever looks at the board computes them.

So they cost the core's path a few copies of arrays, and nothing where nobody looks. What was computed for a board is
kept with it, what depends on the session closes alone with them; a board is renewed at most every 100 ms.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.portfolio.state import PortfolioState
from actors.risk.limits import PortfolioTerms, compiled
from actors.risk.measures import Basis, Facts, Measures, basis, measure
from actors.risk.params import RiskLimits
from actors.risk.stress import Scenario
from actors.values import Universe
from actors.values.fixed import SCALE
from daemon.system.composition import Core

F64 = npt.NDArray[np.float64]

DRAWS: Final = 2_500
"""Draws of Monte Carlo, each with its mirror image: the 95 % quantile of a normal is known to about 1.3 % of itself."""


MATCHED_MAX: Final = 600
"""Sessions up to which draws are made orthogonal: it takes the square of them, some 100 ms for as many."""
REFRESH_NS: Final = 100_000_000
"""What measures are made of is copied at most this often, however often boards are taken."""
HEAT_MAX: Final = 50_000
"""Portfolios times working orders beyond which the loss down to the stops is left out: the core would stand still."""


class Observed(msgspec.Struct, frozen=True):
    """What the core had when a board was taken.

    Attributes:
        returns: ``[T, N]`` of sessions, never changed: another array is another history.
        facts: one a portfolio.
        limits: of the run.
        seq: the last input it is of.
    """

    returns: F64
    facts: tuple[Facts, ...]
    limits: RiskLimits
    seq: int


def observe(core: Core) -> Observed:
    """Copy what measures are made of; on the core's thread, between two inputs."""
    risk, marks = core.risk, core.portfolio.marks
    in_session = risk.prices.in_session
    tells_heat = len(core.portfolio.portfolios) * len(risk.exposure.working) <= HEAT_MAX
    facts = []
    for pf in core.portfolio.portfolios:
        track = risk.tracks.of[pf.name]
        ids, values = _held(pf, marks.px_f)
        equity = pf.equity(marks.px, marks.px_f)
        at_risk = risk.heat.of_portfolio(pf.name) if tells_heat and equity > 0 else None
        facts.append(
            Facts(
                portfolio=pf.name,
                equity=equity / SCALE,
                peak=pf.peak / SCALE,
                ids=ids,
                values=values,
                places=risk.exposure.books[pf.name].names,
                returns=tuple(track.returns),
                day=msgspec.structs.replace(track.today if in_session else track.before),
                heat=None if at_risk is None else at_risk / (SCALE * equity),  # a product of price and quantity
            )
        )
    return Observed(risk.history.returns(), tuple(facts), risk.limits, core.sequencer.seq)


def _held(pf: PortfolioState, px: F64) -> tuple[npt.NDArray[np.intp], F64]:
    """Return the symbols held and their signed values in money, NaN for those without a price."""
    ids = np.flatnonzero(pf.holding)
    prices = px[ids]
    return ids, pf.qty_f[ids] * np.where(prices > 0, prices, np.nan)


class Measurer:
    """Computes measures of boards, for any thread."""

    def __init__(self, universe: Universe, scenarios: Sequence[Scenario], seed: int, rf: float, sessions: int) -> None:
        """Draw for Monte Carlo, which takes longest, and compute nothing else yet.

        Args:
            universe: of the run.
            scenarios: for stress.
            seed: of Monte Carlo.
            rf: annual risk-free rate of the rolling Sharpe ratio.
            sessions: looked back on at most, ``risk.var_sessions``.
        """
        self._universe = universe
        self._scenarios = tuple(scenarios)
        self._seed = seed
        self._draws = _drawn(seed, sessions)
        self._rf = rf
        self._lock = threading.Lock()
        self._bases: dict[str, tuple[F64, bytes, int, Basis]] = {}
        """By portfolio: the history, the symbols held and the sessions it is of, and the basis."""
        self._limits: RiskLimits | None = None
        self._terms: dict[str, PortfolioTerms] = {}
        self._last: tuple[Observed, tuple[Measures, ...]] | None = None
        self._seen: tuple[Core, int, Observed] | None = None

    def observe(self, core: Core, now_ns: int) -> Observed:
        """Return what a board of now is measured from: copied anew where the last copy is 100 ms old.

        Other limits are seen at once. On the core's thread, between two inputs; ``now_ns`` is monotonic.
        """
        seen = self._seen
        if (
            seen is None
            or seen[0] is not core
            or seen[2].limits is not core.risk.limits
            or not 0 <= now_ns - seen[1] < REFRESH_NS
        ):
            seen = self._seen = core, now_ns, observe(core)
        return seen[2]

    def of(self, observed: Observed) -> tuple[Measures, ...]:
        """Return the measures of each portfolio; computed once for the newest board."""
        with self._lock:
            if self._last is None or self._last[0] is not observed:
                if self._limits is not observed.limits:
                    self._limits = observed.limits
                    self._terms = compiled(observed.limits, self._universe, [f.portfolio for f in observed.facts])
                self._last = observed, tuple(self._measured(observed, facts) for facts in observed.facts)
            return self._last[1]

    def _measured(self, observed: Observed, facts: Facts) -> Measures:
        limits, ids = observed.limits, facts.ids.tobytes()
        kept = self._bases.get(facts.portfolio)
        if kept is not None and kept[0] is observed.returns and kept[1:3] == (ids, limits.var_sessions):
            held = kept[3]
        else:
            held = basis(
                observed.returns, facts.ids, facts.values, self._universe, limits, self._scenarios, self._normals
            )
            self._bases[facts.portfolio] = observed.returns, ids, limits.var_sessions, held
        return measure(facts, held, limits, self._terms[facts.portfolio], self._rf)

    def _normals(self, sessions: int) -> F64:
        """Return ``[DRAWS, sessions]`` normals: the first columns of what was drawn once."""
        if sessions > self._draws.shape[1]:  # limits of a ledger look further back than the configuration does
            self._draws = _drawn(self._seed, sessions)
        return self._draws[:, :sessions]


def _drawn(seed: int, sessions: int) -> F64:
    """Return ``[DRAWS, sessions]`` normals, the same for the same seed.

    Unless there are very many, their columns are made orthogonal and of one length, so that every portfolio's draws
    have exactly its deviation (moment matching), and only their shape is left to chance.
    """
    found = np.random.default_rng(seed).standard_normal((DRAWS, sessions))
    return np.linalg.qr(found)[0] * math.sqrt(DRAWS) if sessions <= MATCHED_MAX else found
