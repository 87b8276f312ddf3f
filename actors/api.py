"""What authors of strategies import: ``from actors.api import Signal, Window, strategy``.

A strategy is a pure function of what is known now. It never sees an order, a quantity or the future: it looks at a
window of bars that ends at ``now`` and says what it expects. Three forms, told apart by the signature:

======== =================================================== =======================================
form     signature                                           use
======== =================================================== =======================================
symbol   ``f(w: Window, p) -> Signal | None``                one symbol at a time; the easiest to write
panel    ``f(w: PanelWindow, p) -> Scores``                  arrays in, arrays out; wide universes; fastest
fold     ``f(state, w: Window, p) -> (state, Signal)``       remembers a msgspec ``Struct`` per symbol
======== =================================================== =======================================

``None`` (or NaN in a panel) means: abstain. Windows and everything in them are valid during the call only; keep
numbers, not views.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from actors.values.time import parse_interval
from daemon.kernel.errors import OperatorError

API: Final = 1
"""Version of this module's promises; ``@strategy(api=...)`` of another major version is refused."""

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Form = Literal["symbol", "panel", "fold", "model"]

FIELDS: Final = ("open", "high", "low", "close", "volume")
NEWS_FIELDS: Final = ("sentiment", "news")
LOOKBACK_MAX: Final = 20_000
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}")
SPEC_ATTRIBUTE: Final = "__tradingd_strategy__"

__all__ = [
    "API",
    "FIELDS",
    "NEWS_FIELDS",
    "Features",
    "Headline",
    "Meta",
    "PanelSentiment",
    "PanelWindow",
    "Params",
    "Scores",
    "Sentiment",
    "Signal",
    "StrategySpec",
    "Struct",
    "Window",
    "spec_of",
    "strategy",
]


if typing.TYPE_CHECKING:
    # A checker would want every subclass to repeat frozen=True; at run time it is inherited.
    class Params(Struct):
        """Base of a strategy's parameters."""
else:

    class Params(Struct, frozen=True, forbid_unknown_fields=True):
        """Base of a strategy's parameters: immutable, and a misspelt name is an error.

        Bounds go into the type: ``fast: Annotated[int, Meta(ge=2, le=60)] = 10``. Every field needs a default.
        """


class Headline(Struct, frozen=True, gc=False):
    """A headline as it was known at ``now``.

    Attributes:
        ts: when it came in, nanoseconds UTC; what its publisher dates it is of no account.
        text: headline and summary, bounded.
        source: who published it.
        flags: what it is about, such as ``earnings`` or ``merger``, by rules on its words.
        negative, neutral, positive: probabilities of its tone; NaN while, or where, there is no score.
    """

    ts: int
    text: str
    source: str
    flags: tuple[str, ...]
    negative: float
    neutral: float
    positive: float

    @property
    def tone(self) -> float:
        """``positive`` less ``negative``; NaN where there is no score."""
        return self.positive - self.negative


class Sentiment(Struct, frozen=True, gc=False):
    """What the news say of a symbol; formulas in ``ops/sentiment.md``. Without news: as it stands here.

    Attributes:
        score: mean tone in [-1, 1], weighted by source and recency; NaN where too few headlines are scored.
        change: score less the one at the last session's end; NaN where either is unknown.
        dispersion: weighted standard deviation of the tones; NaN below two.
        divergence: score less the price move of the last sessions on the same scale; NaN where either is unknown.
        n: scored headlines behind the score.
        volume: headlines within the window, scored or not.
        today: headlines since the last session's end.
        norm: their mean over earlier sessions; NaN where there are too few of them.
        unusual: whether ``today`` is far above that norm.
        flags: what the headlines within the window are about.
    """

    score: float = float("nan")
    change: float = float("nan")
    dispersion: float = float("nan")
    divergence: float = float("nan")
    n: int = 0
    volume: int = 0
    today: int = 0
    norm: float = float("nan")
    unusual: bool = False
    flags: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a score; without one there is nothing to go by."""
        return bool(np.isfinite(self.score))


class PanelSentiment(Struct, frozen=True, gc=False):
    """The same of every symbol: float64 [N] columns, read-only, NaN as in :class:`Sentiment`; ``unusual`` is bool [N].

    ``n``, ``volume`` and ``today`` are 0 where there is no headline; ``flags`` has one tuple per symbol.
    """

    score: F64
    change: F64
    dispersion: F64
    divergence: F64
    n: F64
    volume: F64
    today: F64
    unusual: Bools
    flags: tuple[tuple[str, ...], ...]


NO_SENTIMENT: Final = Sentiment()


def no_panel_sentiment(n: int) -> PanelSentiment:
    """Return what a panel of ``n`` symbols sees where there are no news."""
    unknown, none, usual = np.full(n, np.nan), np.zeros(n), np.zeros(n, dtype=np.bool_)
    for column in (unknown, none, usual):
        column.setflags(write=False)
    return PanelSentiment(unknown, unknown, unknown, unknown, none, none, none, usual, ((),) * n)


NO_PANEL_SENTIMENT: Final = no_panel_sentiment(0)


class Window(Struct, frozen=True, gc=False):
    """What a symbol-form or fold-form strategy sees: one symbol's last bars, ending at ``now``.

    Gaps are dropped, never filled: row ``-1`` is the bar that just closed, row ``-2`` the symbol's bar before it.
    A symbol whose bar is missing at ``now`` is not asked at all. There may be fewer rows than ``lookback``.

    Attributes:
        symbol: ticker.
        now: end of the last bar, nanoseconds UTC.
        interval: of the bars, such as ``1d`` or ``5m``.
        ts: int64 [T], when each bar became known, nanoseconds UTC.
        open, high, low, close, volume: float64 [T], read-only; volume is NaN where the source has none.
        sentiment: what the news say of the symbol now; to be declared in ``fields``.
        news: its headlines within the window of ``[predictor.sentiment]``, oldest first; to be declared in ``fields``.
    """

    symbol: str
    now: int
    interval: str
    ts: I64
    open: F64
    high: F64
    low: F64
    close: F64
    volume: F64
    sentiment: Sentiment = NO_SENTIMENT
    news: tuple[Headline, ...] = ()

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.ts)


class PanelWindow(Struct, frozen=True, gc=False):
    """What a panel-form strategy sees: the whole universe, rows are time (oldest first), columns are symbols.

    Attributes:
        symbols: tickers, one per column.
        now: end of the last bar, nanoseconds UTC.
        interval: of the bars, such as ``1d`` or ``5m``.
        ts: int64 [T].
        fresh: bool [N], symbols that may be predicted now: tradable and with a bar in the last row. Answers for
            others are ignored.
        open, high, low, close, volume: float64 [T, N], read-only; NaN where a symbol had no bar.
        sentiment: what the news say of each symbol now; to be declared in ``fields``.
        news: headlines of each symbol, oldest first; to be declared in ``fields``.
    """

    symbols: tuple[str, ...]
    now: int
    interval: str
    ts: I64
    fresh: Bools
    open: F64
    high: F64
    low: F64
    close: F64
    volume: F64
    sentiment: PanelSentiment = NO_PANEL_SENTIMENT
    news: tuple[tuple[Headline, ...], ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ts)


class Signal(Struct, frozen=True, gc=False):
    """What a strategy expects of a symbol. No quantity, no order: those are others' decisions.

    Attributes:
        score: direction and strength in [-1, 1].
        horizon: until when: ``30m`` (minutes), ``1d`` (sessions); None takes the strategy's default.
        confidence: strength on the scale of the portfolio's gate, [0, 1]; None means ``abs(score)``.
        p_up: calibrated probability of a rise over the horizon, or None; feeds Kelly, Brier and calibration only.
        expected_bps: expected return in basis points, or None.
        reason: one short text for the record.
    """

    score: float
    horizon: str | None = None
    confidence: float | None = None
    p_up: float | None = None
    expected_bps: float | None = None
    reason: str = ""


class Scores(Struct, frozen=True, gc=False):
    """What a panel strategy expects: float64 [N] columns, NaN in ``score`` = abstain. Meaning as in :class:`Signal`."""

    score: F64
    confidence: F64 | None = None
    p_up: F64 | None = None
    expected_bps: F64 | None = None
    horizon: str | None = None


class Features(Struct, frozen=True, gc=False):
    """What a model strategy hands to its model: float64 [N, n_features]; a row with a NaN abstains."""

    rows: F64


class StrategySpec(Struct, frozen=True):
    """All that :func:`strategy` learned of a function."""

    name: str
    function: Callable[..., Any]
    form: Form
    params: type[Struct]
    lookback: int | Callable[[Any], int]
    bar: str | None
    fields: tuple[str, ...]
    horizon: str | int
    buy_and_hold: bool
    budget_ms: float
    doc: str
    state: type[Struct] | None = None
    model: str | None = None
    news: tuple[str, ...] = ()

    def rows(self, params: Struct) -> int:
        """Return the lookback for these parameters.

        Raises:
            OperatorError: it is not a whole number from 1 to 20,000.
        """
        try:
            rows = self.lookback(params) if callable(self.lookback) else self.lookback
        except Exception as error:
            message = f"strategy {self.name}: its lookback cannot be computed: {type(error).__name__}: {error}"
            raise OperatorError(message, code="BAD_STRATEGY", remedy="write it for every parameter allowed") from error
        if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= LOOKBACK_MAX:
            message = f"strategy {self.name}: lookback must be a whole number from 1 to {LOOKBACK_MAX:,}, not {rows!r}"
            raise OperatorError(message, code="BAD_STRATEGY")
        return rows


FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def strategy(
    *,
    name: str | None = None,
    params: type[Struct] = Params,
    lookback: int | Callable[[Any], int] = 1,
    bar: str | None = None,
    fields: tuple[str, ...] | None = None,
    horizon: str | int = 1,
    api: int = API,
    buy_and_hold: bool = False,
    budget_ms: float = 5.0,
    model: str | None = None,
) -> Callable[[FunctionT], FunctionT]:
    """Make a function a strategy; the function itself stays as it is and can be called in tests.

    Args:
        name: as registered; default: the function's name.
        params: a ``Params`` subclass; each field with a default.
        lookback: bars wanted in the window, or a function of the parameters.
        bar: bar interval such as ``5m`` or ``1d``; None: the run's own. Coarser than the run's is aggregated
            from the session's open on; finer is refused when the run starts.
        fields: which of open, high, low, close, volume the window shall have, and whether ``sentiment`` and ``news``.
            Default: ``close`` for the panel form (each further field costs about a microsecond an instant), the five of
            bars for the others.
        horizon: default horizon of signals: ``30m``, ``5d``, or a number of the strategy's own bars.
        api: version of this interface the strategy was written for.
        buy_and_hold: ask to be exempt from automatic exits.
        budget_ms: what one decision may take; measured by the live daemon and by ``tradingd strategy check``.
        model: name of a model; the function then returns :class:`Features` and the model's answer is the signal.

    Raises:
        OperatorError: the signature or an argument makes no sense; raised when the file is imported.
    """

    def decorate(function: FunctionT) -> FunctionT:
        label: str = getattr(function, "__name__", "strategy") if name is None else name
        label = "strategy" if label == "<lambda>" else label
        if api != API:
            remedy = "install a tradingd of that version, or port the strategy and say api=1"
            message = f"strategy {label} was written for API {api}, this tradingd speaks API {API}"
            raise OperatorError(message, code="BAD_STRATEGY", remedy=remedy)
        if not (isinstance(label, str) and _NAME.fullmatch(label)):
            remedy = "give it one that starts with a letter and has up to 64 letters, digits and . - _"
            message = f"{label!r} cannot be a strategy's name"
            raise OperatorError(message, code="BAD_STRATEGY", remedy=remedy)
        if isinstance(fields, str):
            message = f"strategy {label}: fields must be a tuple such as ({fields!r},), not the text {fields!r}"
            raise OperatorError(message, code="BAD_STRATEGY")
        form, state = _form_of(function, label, model)
        chosen = fields if fields is not None else (("close",) if form in ("panel", "model") else FIELDS)
        spec = StrategySpec(
            name=label,
            function=function,
            form=form,
            params=params,
            lookback=lookback,
            bar=bar,
            fields=tuple(f for f in FIELDS if f in chosen or f == "close"),
            news=tuple(f for f in NEWS_FIELDS if f in chosen),
            horizon=horizon,
            buy_and_hold=buy_and_hold,
            budget_ms=float(budget_ms),
            doc=inspect.getdoc(function) or "",
            state=state,
            model=model,
        )
        _validate(spec, chosen)
        setattr(function, SPEC_ATTRIBUTE, spec)
        return function

    return decorate


def spec_of(function: object) -> StrategySpec | None:
    """Return what :func:`strategy` noted on a function, or None where it is no strategy."""
    found = getattr(function, SPEC_ATTRIBUTE, None)
    return found if isinstance(found, StrategySpec) else None


def _validate(spec: StrategySpec, chosen: tuple[str, ...]) -> None:
    def refuse(what: str) -> OperatorError:
        return OperatorError(f"strategy {spec.name}: {what}", code="BAD_STRATEGY")

    unknown = [f for f in chosen if f not in FIELDS and f not in NEWS_FIELDS]
    if unknown:
        message = f"unknown field {unknown[0]!r}; choose from {', '.join((*FIELDS, *NEWS_FIELDS))}"
        raise refuse(message)
    if not (isinstance(spec.params, type) and issubclass(spec.params, Struct)):
        message = f"params must be a class derived from Params, not {spec.params!r}"
        raise refuse(message)
    required = [f.name for f in msgspec.structs.fields(spec.params) if f.required]
    if required:
        message = f"parameter {required[0]!r} needs a default, so that the strategy runs without configuration"
        raise refuse(message)
    try:
        msgspec.convert(msgspec.to_builtins(spec.params()), type=spec.params)
    except (TypeError, msgspec.ValidationError) as error:
        message = f"the defaults of its parameters do not hold: {error}"
        raise refuse(message) from None
    spec.rows(spec.params())
    if not (spec.bar is None or isinstance(spec.bar, str)):
        message = f"bar must be text such as '5m' or '1d', not {spec.bar!r}"
        raise refuse(message)
    if (
        isinstance(spec.horizon, bool)
        or not isinstance(spec.horizon, (int, str))
        or (isinstance(spec.horizon, int) and spec.horizon < 1)
    ):
        message = f"horizon must be text such as '30m' or '5d', or a number of bars from 1, not {spec.horizon!r}"
        raise refuse(message)
    for what, text in (("bar", spec.bar), ("horizon", spec.horizon)):
        if isinstance(text, str):
            try:
                parse_interval(text)
            except ValueError as error:
                message = f"{what}: {error}"
                raise refuse(message) from None
    if not spec.budget_ms > 0:
        message = f"budget_ms must be positive, not {spec.budget_ms}"
        raise refuse(message)


def _form_of(function: Callable[..., Any], label: str, model: str | None) -> tuple[Form, type[Struct] | None]:
    """Tell the form by the signature: annotations where there are any, else the number of arguments."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(kind(function) for kind in kinds):
        message = f"strategy {label} is a coroutine or generator"
        raise OperatorError(message, code="BAD_STRATEGY", remedy="write a plain function that returns its answer")
    arguments = list(inspect.signature(function).parameters.values())
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        message = f"strategy {label}: its annotations cannot be read: {error}"
        raise OperatorError(message, code="BAD_STRATEGY") from None
    hinted = [hints.get(a.name) for a in arguments]
    if len(arguments) == 3:
        state = hinted[0]
        if not (isinstance(state, type) and issubclass(state, Struct)):
            remedy = "annotate the first argument with your state class (a msgspec Struct with defaults)"
            message = f"strategy {label} takes three arguments but its state is not a Struct"
            raise OperatorError(message, code="BAD_STRATEGY", remedy=remedy)
        if hinted[1] not in (None, Window) or model is not None:
            message = f"strategy {label}: the fold form takes (state, w: Window, p) and no model"
            raise OperatorError(message, code="BAD_STRATEGY")
        return "fold", state
    if len(arguments) != 2 or hinted[0] not in (None, Window, PanelWindow):
        remedy = "write f(w: Window, p), f(w: PanelWindow, p) or f(state, w: Window, p)"
        message = f"strategy {label} has the signature {inspect.signature(function)}, which is none of the three forms"
        raise OperatorError(message, code="BAD_STRATEGY", remedy=remedy)
    if model is not None:
        if hinted[0] is not PanelWindow:
            message = f"strategy {label} names a model, so its first argument must be w: PanelWindow"
            raise OperatorError(message, code="BAD_STRATEGY")
        return "model", None
    return ("panel" if hinted[0] is PanelWindow else "symbol"), None
