"""The ten checks of ``tradingd strategy check``: what a strategy must be so that a backtest of it means something.

They run on made-up prices, and headlines where it reads them, and prove nothing about profit. The I/O check listens to
the interpreter's audit events: it is a lint that catches honest mistakes, not a sandbox against malice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from actors.api import FIELDS, StrategySpec
from actors.predictor.bars import BarSeries
from actors.predictor.binding import StrategyBinding
from actors.predictor.evaluate import evaluate
from actors.predictor.outcome import Outcome, Scope
from actors.predictor.registry import bind_spec, resolve
from actors.predictor.runner import Runner
from actors.predictor.sentiment.made_up import MadeUpNews
from actors.values.time import DAY_NS, Interval, parse_interval
from daemon.kernel.errors import OperatorError

F64 = npt.NDArray[np.float64]

SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
INSTANTS: Final = 24
"""Decisions looked at per check."""
LATENCY_CALLS: Final = 200
_START_TS: Final = 1_700_000_000 * 1_000_000_000


class CheckResult(Struct, frozen=True):
    """One check's verdict; ``detail`` is for people."""

    name: str
    ok: bool
    detail: str


def check_strategy(strategy: str | StrategySpec, params: str | Mapping[str, Any] | None = None) -> list[CheckResult]:
    """Put a strategy through the ten checks.

    Args:
        strategy: reference as in ``registry.resolve``, or a spec at hand.
        params: JSON or mapping; default: the strategy's own defaults.

    Returns:
        Ten results, in order; if the first fails for bad parameters, only that one.

    Raises:
        OperatorError: the strategy cannot be found or imported.
    """
    spec = strategy if isinstance(strategy, StrategySpec) else resolve(strategy)[0]
    try:
        binding = bind_spec(spec, params)
        lab = _Lab(binding)
        msgspec.json.schema(spec.params)
    except (OperatorError, TypeError) as error:
        return [CheckResult("signature and parameters", ok=False, detail=str(error))]
    count = len(msgspec.structs.fields(spec.params))
    first = f"{spec.form} form, lookback {lab.lookback}, {count} parameter{'s' * (count != 1)}"
    results = [CheckResult("signature and parameters", ok=True, detail=first)]
    checks: tuple[tuple[str, Callable[[_Lab], str]], ...] = (
        ("deterministic", _deterministic),
        ("order of symbols does not matter", _order),
        ("no files, processes, sockets or sleep", _no_io),
        ("inputs are left alone", _read_only),
        ("answers are within bounds", _bounds),
        ("gaps and short windows", _gaps),
        ("latency", _latency),
        ("the future does not matter", _causal),
        ("same answer through the rings", _ring_path),
    )
    for name, check in checks:
        try:
            trouble = check(lab)
        except OperatorError as error:
            trouble = str(error)
        ok = not trouble.startswith("!")
        results.append(CheckResult(name, ok=ok, detail=trouble.removeprefix("!")))
    return results


class _Lab:
    """Made-up prices and ways to ask the strategy about them."""

    def __init__(self, binding: StrategyBinding) -> None:
        self.binding = binding
        self.interval: Interval = parse_interval(binding.spec.bar or "1d")
        self.lookback = Runner(binding, self.interval, 1).lookback
        self.rows = self.lookback + INSTANTS
        self.fields = tuple(f for f in FIELDS if f in binding.spec.fields)
        self.prices = _prices(self.rows, len(SYMBOLS), seed=7)

    def runner(self, n: int, symbols: tuple[str, ...] = SYMBOLS) -> tuple[Runner, BarSeries, Scope]:
        """Return a fresh place for the strategy."""
        runner = Runner(self.binding, self.interval, n)
        series = BarSeries(n, self.lookback, self.fields, self.interval)
        runner.series = series
        news = MadeUpNews(symbols, series, _START_TS, self.rows) if self.binding.spec.news else None
        return runner, series, Scope(symbols, np.ones(n, dtype=np.bool_), all_tradable=True, news=news)

    def play(
        self,
        prices: dict[str, F64],
        order: npt.NDArray[np.int64] | None = None,
        stop: int | None = None,
        ids: Callable[[int], npt.NDArray[np.int32] | None] = lambda _: None,
    ) -> list[Outcome]:
        """Push row by row and ask after each, from the first row on; columns in ``order``."""
        n = len(SYMBOLS)
        names = SYMBOLS if order is None else tuple(SYMBOLS[i] for i in order)
        runner, series, scope = self.runner(n, names)
        outcomes = []
        for row in range(self.rows if stop is None else stop):
            ts = _START_TS + row * DAY_NS
            present = ids(row)
            columns: dict[str, F64 | None] = {
                f: prices[f][row] if order is None else prices[f][row][order] for f in self.fields
            }
            if present is not None:
                columns = {f: None if c is None else c[present] for f, c in columns.items()}
            series.push(ts, row + 1, present, columns)
            with np.errstate(all="ignore"):
                outcomes.append(evaluate(runner, scope, ts))
        return outcomes


def _prices(rows: int, n: int, seed: int) -> dict[str, F64]:
    """Return plausible OHLCV [rows, n]: fat-tailed log returns, each column with a drift of its own."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_t(4, (rows, n)) * 0.01 + np.linspace(-0.003, 0.003, n)
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    start = close * np.exp(rng.normal(0.0, 0.004, (rows, n)))
    high = np.maximum(start, close) * np.exp(np.abs(rng.normal(0.0, 0.003, (rows, n))))
    low = np.minimum(start, close) * np.exp(-np.abs(rng.normal(0.0, 0.003, (rows, n))))
    volume = np.round(rng.lognormal(12.0, 0.5, (rows, n)))
    return {"open": start, "high": high, "low": low, "close": close, "volume": volume}


def answers(outcome: Outcome, symbols: tuple[str, ...] = SYMBOLS) -> dict[str, tuple[Any, ...]]:
    """Return what an outcome says per symbol, in a form that can be compared."""
    said: dict[str, tuple[Any, ...]] = {}
    for batch in outcome.batches:
        ids = range(len(symbols)) if batch.ids is None else batch.ids.tolist()
        for at, i in enumerate(ids):
            extra = [None if c is None else repr(float(c[at])) for c in (batch.p_up, batch.expected_bps)]
            reason = batch.reasons[at] if batch.reasons else ""
            row = (batch.horizon, float(batch.score[at]), float(batch.confidence[at]), *extra, reason)
            said[symbols[i]] = row
    if outcome.features is not None:
        ids_given, rows = outcome.features
        for at, i in enumerate(ids_given.tolist()):
            said[symbols[i]] = tuple(rows[at].tolist())
    for failure in outcome.failures:
        said[f"failed {failure.symbol}"] = (failure.error,)
    return said


def _first_failure(outcomes: list[Outcome]) -> str:
    return next((failure.sentence for outcome in outcomes for failure in outcome.failures), "")


def _differs(a: list[Outcome], b: list[Outcome]) -> int | None:
    """Return the first instant at which two plays differ."""
    pairs = zip(a, b, strict=True)
    return next((i for i, (x, y) in enumerate(pairs) if answers(x) != answers(y)), None)


# -- the checks: a sentence, with "!" in front where it failed ---------------------------------------------------------


def _deterministic(lab: _Lab) -> str:
    first = lab.play(lab.prices)
    second = lab.play(lab.prices)
    at = _differs(first, second)
    if at is not None:
        return (
            f"!the same prices gave another answer the second time (instant {at}): it remembers, draws or reads a clock"
        )
    return f"two passes over {len(first)} instants agree"


def _order(lab: _Lab) -> str:
    order = np.array([3, 0, 7, 5, 1, 6, 2, 4])
    names = tuple(SYMBOLS[i] for i in order)
    plain = lab.play(lab.prices)
    shuffled = lab.play(lab.prices, order)
    for at, (a, b) in enumerate(zip(plain, shuffled, strict=True)):
        one, two = answers(a), answers(b, names)
        if one.keys() != two.keys() or any(not _close(one[s], two[s]) for s in one):
            return f"!with the symbols in another order the answers differ (instant {at})"
    return "shuffled symbols give the same answers"


def _close(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether answers agree to nine digits: sums over symbols may round differently in another order."""
    return len(a) == len(b) and all(
        abs(x - y) <= 1e-9 * max(1.0, abs(x)) if isinstance(x, float) and isinstance(y, float) else x == y
        for x, y in zip(a, b, strict=True)
    )


_WATCHED: Final = ("open", "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn")
_WATCHED_MORE: Final = (
    "time.sleep",
    "shutil.",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "urllib.",
    "ftplib.",
    "os.listdir",
)
_recording: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _recording and event.startswith((*_WATCHED, *_WATCHED_MORE)):
        _recording[-1].append(f"{event}{arguments[:1]!r}")


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Gather watched audit events; a hook cannot be removed, so one is added once and sleeps between uses."""
    if not getattr(sys, "_tradingd_audit", False):
        sys.addaudithook(_audit)
        sys._tradingd_audit = True  # type: ignore[attr-defined]  # noqa: SLF001 - the hook lives as long as the process
    heard: list[str] = []
    real_sleep = time.sleep
    # time.sleep raises an audit event from Python 3.11 on; the delay itself is not needed.
    time.sleep = lambda seconds: heard.append(f"time.sleep({seconds!r})")
    _recording.append(heard)
    try:
        yield heard
    finally:
        _recording.pop()
        time.sleep = real_sleep


def _no_io(lab: _Lab) -> str:
    with _listening() as heard:
        lab.play(lab.prices)
    if heard:
        return f"!it calls {heard[0]} while deciding; what a decision needs must be in its window"
    return "none seen (a lint, not a sandbox)"


def _read_only(lab: _Lab) -> str:
    """Hand out windows over memory that knows whether anyone still holds on to it."""
    n = len(SYMBOLS)
    runner, series, scope = lab.runner(n)
    before = {f: lab.prices[f].copy() for f in lab.fields}
    for row in range(lab.rows - 1):
        series.push(_START_TS + row * DAY_NS, row + 1, None, {f: lab.prices[f][row] for f in lab.fields})
    # A bytearray refuses to grow while anyone holds a view of it.
    buffers = {f: bytearray(series.ring.view(f).tobytes()) for f in lab.fields}
    views: dict[str, F64] = {}
    for name, buffer in buffers.items():
        views[name] = np.frombuffer(memoryview(buffer).toreadonly(), dtype=np.float64).reshape(-1, n)
    runner.series = _Loan(series, views)  # type: ignore[assignment]
    with np.errstate(all="ignore"):
        outcome = evaluate(runner, scope, _START_TS + lab.rows * DAY_NS)
    del runner
    views.clear()
    for name, buffer in buffers.items():
        try:
            buffer.append(0)
        except BufferError:
            return f"!it keeps w.{name} (or a view of it) after the call; keep numbers, not views: write .copy()"
    if any(not np.array_equal(before[f], lab.prices[f]) for f in lab.fields):
        return "!it changed its input"
    trouble = [f.sentence for f in outcome.failures if "read-only" in f.sentence or "WRITEABLE" in f.sentence]
    return f"!it writes into its window: {trouble[0]}" if trouble else "not written to, not kept"


class _Loan:
    """A series whose columns lie in memory lent for one call."""

    def __init__(self, series: BarSeries, views: dict[str, F64]) -> None:
        self._series = series
        self._views = views
        self.fresh_ids = None
        self.ring = self

    @property
    def rows(self) -> int:
        """Rows held."""
        return self._series.ring.rows

    def view(self, field: str, rows: int | None = None) -> F64:
        """Return a lent column."""
        block = self._views[field]
        return block if rows is None else block[-rows:]

    def stamps(self, rows: int) -> npt.NDArray[np.int64]:
        """Return the times."""
        return self._series.stamps(rows)


def _bounds(lab: _Lab) -> str:
    outcomes = lab.play(lab.prices)
    trouble = _first_failure(outcomes)
    if trouble:
        return f"!{trouble}"
    said = sum(len(answers(outcome)) for outcome in outcomes)
    if not said:
        return f"!it never gave an answer in {len(outcomes)} instants with a full window; is the lookback long enough?"
    for outcome in outcomes:
        rows = answers(outcome)
        if msgspec.json.decode(msgspec.json.encode(rows)) != {s: list(row) for s, row in rows.items()}:
            return "!its answers do not survive JSON"
    return f"{said} answers, all finite and within bounds"


def _gaps(lab: _Lab) -> str:
    rng = np.random.default_rng(11)
    holes = {row: np.flatnonzero(rng.random(len(SYMBOLS)) < 0.7).astype(np.int32) for row in range(lab.rows)}
    trouble = _first_failure(lab.play(lab.prices, ids=lambda row: holes[row]))
    if trouble:
        return f"!{trouble}"
    if lab.binding.spec.form == "fold":
        return "missing bars and short windows are survived"
    for row in range(min(lab.lookback, 5)):
        trouble = _first_failure(lab.play(lab.prices, stop=row + 1))
        if trouble:
            return f"!{trouble}"
    return "missing bars and short windows are survived"


def _latency(lab: _Lab) -> str:
    n = len(SYMBOLS)
    runner, series, scope = lab.runner(n)
    for row in range(lab.rows):
        series.push(_START_TS + row * DAY_NS, row + 1, None, {f: lab.prices[f][row] for f in lab.fields})
    took = []
    with np.errstate(all="ignore"):
        for _ in range(LATENCY_CALLS):
            start = time.perf_counter_ns()
            evaluate(runner, scope, _START_TS)
            took.append((time.perf_counter_ns() - start) / 1e6)
    took.sort()
    half, most = took[len(took) // 2], took[int(len(took) * 0.99)]
    budget = lab.binding.spec.budget_ms
    text = f"{n} symbols: p50 {half:.3f} ms, p99 {most:.3f} ms, budget {budget:g} ms"
    # The middle call is judged: a neighbour's load must not fail an innocent strategy.
    return f"!{text}" if half > budget else text


def _causal(lab: _Lab) -> str:
    """Change every value after an instant, and whatever the rings hold outside the window: no answer may change."""
    plain = lab.play(lab.prices)
    other = _prices(lab.rows, len(SYMBOLS), seed=99)
    for cut in (lab.lookback, lab.lookback + INSTANTS // 2, lab.rows - 1):
        changed = {f: np.concatenate([lab.prices[f][:cut], other[f][cut:] * 3.0]) for f in FIELDS}
        at = _differs(plain[:cut], lab.play(changed)[:cut])
        if at is not None:
            return f"!the answer at instant {at} depends on prices from instant {cut} on"
    if lab.binding.spec.form != "fold":
        begin = lab.rows - lab.lookback
        changed = {f: np.concatenate([other[f][:begin] * 3.0, lab.prices[f][begin:]]) for f in FIELDS}
        if answers(plain[-1]) != answers(lab.play(changed)[-1]):
            return (
                f"!the answer depends on prices older than its lookback of {lab.lookback}: through .base, or by memory"
            )
    return "prices after the decision and before the window changed, no answer did"


def _ring_path(lab: _Lab) -> str:
    """The answer must not depend on how often the rings have turned before."""
    plain = lab.play(lab.prices)
    if lab.binding.spec.form == "fold":
        at = _differs(plain, lab.play(lab.prices))
        return f"!the second pass differs at instant {at}" if at is not None else "two passes agree"
    for cut in (lab.lookback + 1, lab.lookback + INSTANTS // 2):
        begin = cut - lab.lookback
        runner, series, scope = lab.runner(len(SYMBOLS))
        for row in range(begin, cut):
            series.push(_START_TS + row * DAY_NS, row + 1, None, {f: lab.prices[f][row] for f in lab.fields})
        with np.errstate(all="ignore"):
            alone = evaluate(runner, scope, _START_TS + (cut - 1) * DAY_NS)
        if answers(alone) != answers(plain[cut - 1]):
            return f"!asked afresh at instant {cut - 1} it answers otherwise than in a running replay"
    return "asked afresh it answers as in a running replay"
