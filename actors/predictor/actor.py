"""The predictor actor: closed bars in, signals out; every signal is scored when its horizon is over.

Market state (rings, last prices, fold-form states, first tradable prices) is folded in ``observe``; what strategies
made of it and what was done about their mistakes are events. Intraday strategies decide on the panel that closes
their bar, daily ones on ``SessionClosed``. A strategy without anything to say leaves no event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import msgspec
import numpy as np

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.control import DisableStrategy, EnableStrategy
from actors.messages.inference import (
    InferenceRequested,
    PredictionReady,
    PredictionsScored,
    PredictionUnavailable,
    StrategyDisabled,
    StrategyEnabled,
    StrategyFailed,
)
from actors.messages.market import BarPanel, CorporateAction, SessionClosed, SessionOpened
from actors.messages.portfolio import SignalsReady
from actors.messages.sentiment import NewsScored, NewsSeen, SentimentMeasured, SentimentRequested
from actors.predictor.bars import SessionClock
from actors.predictor.binding import StrategyBinding
from actors.predictor.corporate_desk import Acted, CorporateDesk
from actors.predictor.evaluate import evaluate
from actors.predictor.ledger import PredictionLedger
from actors.predictor.models.manifest import date_text
from actors.predictor.outcome import WHOLE_CALL, Batch, Failure, Outcome, RefusalError, Scope
from actors.predictor.packing import answered, pack_signals
from actors.predictor.runner import TRAINING_WINDOW, Parked, Runner, build_bars, decides_at_close
from actors.predictor.sentiment.desk import SentimentDesk
from actors.predictor.sentiment.params import SentimentParams
from actors.values.time import MINUTE_NS, Interval
from actors.values.universe import Universe
from daemon.kernel.actor import Context, Health, decides, evolves, observes
from daemon.kernel.errors import OperatorError, VenueError
from daemon.kernel.message import Command, Event, Message

FAILURES_KEPT: Final = 100
MAX_ERRORS: Final = 3
DEADLINE_NS: Final = 5 * MINUTE_NS


class PredictorActor(CorporateDesk, SentimentDesk):
    """Runs strategies.

    Attributes:
        failures: the latest failed calls as sentences with file and line, for people; never in an event.
        ledger: predictions that wait for their horizon.
        clock, on_call: where a shell measures decisions: ``on_call(strategy, nanoseconds)`` after each, by its
            ``clock``. Both None unless a shell sets them; nothing here looks at what they say.
    """

    name: ClassVar[str] = "predictor"
    sends: ClassVar[tuple[type[Command], ...]] = ()
    emits: ClassVar[tuple[type[Event], ...]] = (
        SignalsReady,
        InferenceRequested,
        PredictionsScored,
        StrategyFailed,
        StrategyDisabled,
        StrategyEnabled,
        NewsSeen,
        SentimentRequested,
        NewsScored,
        SentimentMeasured,
    )

    def __init__(
        self,
        universe: Universe,
        bindings: Sequence[StrategyBinding],
        *,
        interval: Interval,
        decision_interval: Interval | None = None,
        max_errors: int = MAX_ERRORS,
        deadline_ns: int = DEADLINE_NS,
        sentiment: SentimentParams | None = None,
    ) -> None:
        """Build for a run.

        Args:
            universe: the run's symbols.
            bindings: strategies with parameters, each under a name of its own.
            interval: of the run's bars.
            decision_interval: decide no more often than this, counted from the session's open; None: every closed bar.
            max_errors: failed decisions in a row after which a strategy is switched off.
            deadline_ns: how long an inference may take.
            sentiment: what is made of headlines; None: nothing.

        Raises:
            OperatorError: two bindings share a name, or a strategy's bars or horizon do not fit the run.
        """
        n = len(universe)
        names = [binding.name for binding in bindings]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise OperatorError(
                    f"the strategy {name} is there twice", code="DUPLICATE_STRATEGY", remedy="give one of them an alias"
                )
        tradable = np.array([universe.is_tradable(i) for i in range(n)], dtype=np.bool_)
        # Strategies get to see the mask: backed by bytes it cannot be made writable.
        mask = np.frombuffer(tradable.tobytes(), dtype=np.bool_)
        self._open_newsroom(sentiment)
        self._scope = Scope(universe.symbols, mask, bool(tradable.all()), self.newsroom)
        self._daily = interval.is_daily
        self._decision = decision_interval
        self._max_errors = max_errors
        self._deadline_ns = deadline_ns
        self._runners = {b.name: Runner(b, interval, n) for b in bindings}
        self._bars = build_bars(list(self._runners.values()), interval, n)
        self._all_ids = pack_i32(range(n))
        self._clock = SessionClock()
        self._last_ts = 0
        self._closed_date = 0
        self._due: Sequence[Runner] = ()
        self._acted = Acted()
        self.ledger = PredictionLedger(n)
        self.failures: deque[str] = deque(maxlen=FAILURES_KEPT)
        self._parked: dict[str, Parked] = {}
        """What strategies that are not in this run have left: their next decision must not repeat an order id."""
        self.clock: Callable[[], int] | None = None
        self.on_call: Callable[[str, int], None] | None = None

    def health(self) -> Health:
        """Say how many strategies run and how many predictions wait; which failed last, if any."""
        off = [f"{runner.name} (by {runner.off})" for runner in self._runners.values() if runner.off]
        failing = [runner.name for runner in self._runners.values() if runner.failed and not runner.off]
        parts = [f"{len(self._runners) - len(off)} of {len(self._runners)} strategies on"]
        parts += [f"off: {', '.join(off)}"] if off else []
        parts += [f"failed last: {', '.join(failing)}"] if failing else []
        parts.append(f"{len(self.ledger)} predictions wait to be scored")
        if self.book is not None and self.book.totals.seen:
            seen, scored, abstained, unanswered = msgspec.structs.astuple(self.book.totals)
            parts.append(f"{seen} headlines: {scored} scored, {abstained} abstained from, {unanswered} unanswered")
        return Health(ok=not failing, detail="; ".join(parts))

    @property
    def runners(self) -> tuple[Runner, ...]:
        """The strategies of the run; look, do not touch."""
        return tuple(self._runners.values())

    # -- market ----------------------------------------------------------------------------------------------------

    @observes(SessionOpened)
    def fold_open(self, message: SessionOpened) -> None:
        """Enter a session."""
        session = message.session
        if session.date > self._clock.date:
            self._clock.enter(session)
            self._new_session()

    def _new_session(self) -> None:
        for runner in self._runners.values():
            runner.bucket = 0

    @observes(BarPanel)
    def fold_bar(self, panel: BarPanel) -> None:
        """Append a panel to the rings and find out who decides on it.

        A revision corrects the newest row of the run's own bars where it is of that bar, for decisions to come; one
        already made on the first version stands, and older rows stay what they were. After a restore, panels from
        before the snapshot only warm the rings.
        """
        self._due = ()
        ts = panel.ts
        if panel.daily is not self._daily:
            return
        if panel.revision:
            for bars in self._bars:
                bars.amend(panel)
            return
        if ts <= self._last_ts:
            self._warm(panel)
            return
        self._last_ts = ts
        clock = self._clock
        if panel.session != clock.date:
            clock.meet(panel)
            self._new_session()
        self.ledger.observe(panel)
        due: list[Runner] | None = None
        for bars in self._bars:
            if bars.add(panel, clock):
                for runner in bars.runners:
                    if runner.due(ts, clock.open_ts, self._decision) and self._prepare(runner, ts):
                        if due is None:
                            due = [runner]
                        else:
                            due.append(runner)
        if due is not None:
            self._due = due

    @observes(SessionClosed)
    def fold_close(self, message: SessionClosed) -> None:
        """Close what ends with the session and find out who decides on it."""
        self._due = ()
        session = message.session
        if session.date <= self._closed_date:
            return
        self._closed_date = session.date
        self._clock.enter(session)
        if self._book is not None:
            self._book.close(session.date, self.ledger.last)
        at_close = decides_at_close(self._decision, session.number)
        due: list[Runner] = []
        for bars in self._bars:
            closed = bars.session_closed(session)
            if bars.bar.is_daily:
                decide = closed and at_close
            elif self._decision is not None and self._decision.is_daily:
                decide = at_close and bars.series.session == session.date
            else:
                decide = closed
            if decide:
                due += [runner for runner in bars.runners if self._prepare(runner, message.ts)]
        self._due = due

    def _prepare(self, runner: Runner, ts: int) -> bool:
        """Begin a decision: settle the last one's success, advance fold states; False where the strategy is off."""
        if runner.off and runner.off != TRAINING_WINDOW:
            return False
        if runner.failed:
            runner.failed = False
        else:
            runner.streak = 0
        if runner.states is not None:
            with np.errstate(all="ignore"):
                runner.outcome = self._evaluate(runner, ts)
        return True

    def _evaluate(self, runner: Runner, ts: int) -> Outcome:
        """Call a strategy; where a shell measures, tell it how long it took."""
        on_call, clock = self.on_call, self.clock
        if on_call is None or clock is None:
            return evaluate(runner, self._scope, ts)
        begun = clock()
        outcome = evaluate(runner, self._scope, ts)
        on_call(runner.name, clock() - begun)
        return outcome

    def _warm(self, panel: BarPanel) -> None:
        for bars in self._bars:
            if bars.aggregator is None and panel.ts > bars.series.last_ts:
                bars.push(panel)

    # -- decisions -------------------------------------------------------------------------------------------------

    @decides(BarPanel)
    def decide_bar(self, panel: BarPanel, ctx: Context) -> None:
        """Score what is over, then let intraday strategies decide."""
        for scored in self.ledger.due_at(panel.ts):
            ctx.emit(scored)
        if self._due:
            with np.errstate(all="ignore"):
                for runner in self._due:
                    self._decide(runner, panel.ts, ctx)

    @decides(SessionClosed)
    def decide_close(self, message: SessionClosed, ctx: Context) -> None:
        """Score what is over, then let daily strategies decide."""
        for scored in self.ledger.due_in(message.session.number):
            ctx.emit(scored)
        self._measure_session(message.session.date, ctx)
        if self._due:
            with np.errstate(all="ignore"):
                for runner in self._due:
                    self._decide(runner, message.ts, ctx)

    def _decide(self, runner: Runner, ts: int, ctx: Context) -> None:
        model = runner.binding.model
        if model is not None:
            date = self._clock.date
            if model.blocks(date):
                if not runner.off:
                    reason = (
                        f"the model {model.model_id} has seen {date_text(model.blocked_from)}.."
                        f"{date_text(model.blocked_to)}; predictions on {date_text(date)} would be look-ahead"
                    )
                    ctx.emit(StrategyDisabled(runner.name, reason, TRAINING_WINDOW))
                return
            if runner.off:
                reason = f"{date_text(date)} lies outside what the model {model.model_id} has seen"
                ctx.emit(StrategyEnabled(runner.name, reason, TRAINING_WINDOW))
        outcome = runner.outcome if runner.states is not None else self._evaluate(runner, ts)
        decision = runner.decisions + 1
        if outcome.failures:
            self._fail(runner, decision, outcome, ctx)
        for batch in outcome.batches:
            ctx.emit(self._signals(runner, decision, batch, runner.name))
        if outcome.features is not None and model is not None:
            ids, rows = outcome.features
            ctx.emit(
                InferenceRequested(
                    request_id=f"{runner.name}-{decision}",
                    model_id=model.model_id,
                    strategy=runner.name,
                    decision=decision,
                    ids=pack_i32(ids),
                    features=pack_f64(rows),
                    deadline=ctx.now + self._deadline_ns,
                )
            )

    def _fail(self, runner: Runner, decision: int, outcome: Outcome, ctx: Context) -> None:
        for failure in outcome.failures:
            ctx.emit(StrategyFailed(runner.name, decision, failure.symbol, failure.error))
            self.failures.append(failure.sentence)
        streak = runner.streak + (not runner.failed)
        if streak >= self._max_errors:
            last = outcome.failures[-1].error
            reason = f"{streak} failed decisions in a row, the last: {last}"
            ctx.emit(StrategyDisabled(runner.name, reason, self.name))

    def _signals(self, runner: Runner, decision: int, batch: Batch, model: str) -> SignalsReady:
        return pack_signals(
            runner.name,
            decision,
            batch,
            model=model,
            last_fx=self.ledger.last_fx,
            all_ids=self._all_ids,
            buy_and_hold=runner.binding.spec.buy_and_hold,
        )

    # -- inference -------------------------------------------------------------------------------------------------

    @decides(PredictionReady)
    def decide_prediction(self, message: PredictionReady, ctx: Context) -> None:
        """Turn a model's answer into signals; an answer too late or to no open question is dropped and recorded."""
        runner, decision, deadline, asked = self._request(message.request_id)
        model = runner.binding.model
        if model is None or message.model_id != model.model_id:
            raise VenueError(
                f"the answer to {message.request_id} comes from {message.model_id}", code="PREDICTION_WRONG_MODEL"
            )
        if ctx.now > deadline:
            late_ms = (ctx.now - deadline) // 1_000_000
            raise VenueError(
                f"the answer to {message.request_id} came {late_ms} ms after its deadline; holding",
                code="PREDICTION_LATE",
            )
        try:
            batch = answered(message, model, asked)
        except RefusalError as refusal:
            sentence = f"strategy {runner.name}: the model {model.model_id} {refusal.what} to {message.request_id}"
            failure = Failure(WHOLE_CALL, refusal.error, sentence)
            self._fail(runner, decision, Outcome(failures=(failure,)), ctx)
            return
        if batch is not None:
            ctx.emit(self._signals(runner, decision, batch, model.model_id))

    @decides(PredictionUnavailable)
    def decide_unavailable(self, message: PredictionUnavailable, ctx: Context) -> None:
        """Hold, and put on record why."""
        if self._without_answer(message, ctx):
            return
        runner, decision, _, _ = self._request(message.request_id)
        raise VenueError(
            f"{message.model_id} gave no prediction for decision {decision} of {runner.name}: "
            f"{message.reason}; holding",
            code="PREDICTION_UNAVAILABLE",
        )

    def _request(self, request_id: str) -> tuple[Runner, int, int, bytes]:
        for runner in self._runners.values():
            if runner.request is not None and runner.request[0] == request_id:
                return runner, *runner.request[1:]
        raise VenueError(f"no strategy waits for the answer to {request_id}", code="PREDICTION_STALE")

    # -- operators -------------------------------------------------------------------------------------------------

    @decides(DisableStrategy)
    def decide_disable(self, message: DisableStrategy, ctx: Context) -> None:
        """Switch a strategy off; its positions stay, its fold state stands still."""
        runner = self._known(message.strategy)
        if runner.off:
            raise OperatorError(f"the strategy {runner.name} is off already, by {runner.off}", code="STRATEGY_OFF")
        ctx.emit(StrategyDisabled(runner.name, message.reason, message.by or "operator"))

    @decides(EnableStrategy)
    def decide_enable(self, message: EnableStrategy, ctx: Context) -> None:
        """Switch a strategy on again, with a clean record."""
        runner = self._known(message.strategy)
        if not runner.off:
            raise OperatorError(f"the strategy {runner.name} is on already", code="STRATEGY_ON")
        if runner.off == TRAINING_WINDOW:
            raise OperatorError(
                f"the strategy {runner.name} is off because its model has seen this period",
                code="TRAINING_WINDOW",
                remedy="it comes back by itself on the first date it has not seen",
            )
        ctx.emit(StrategyEnabled(runner.name, message.reason, message.by or "operator"))

    def _known(self, name: str) -> Runner:
        runner = self._runners.get(name)
        if runner is None:
            known = ", ".join(self._runners) or "none"
            raise OperatorError(f"this run has no strategy {name!r}", code="NO_STRATEGY", remedy=f"it has: {known}")
        return runner

    # -- facts -----------------------------------------------------------------------------------------------------

    @evolves(SignalsReady)
    def fold_signals(self, event: SignalsReady) -> None:
        """Count the decision and remember its predictions."""
        runner = self._runners.get(event.strategy)
        if runner is None:
            self._park(event.strategy).decided(event.decision)
            return
        runner.decisions = max(runner.decisions, event.decision)
        if runner.request is not None and runner.request[1] == event.decision:
            runner.request = None
        self.ledger.add(event, self._last_ts, self._clock.number)

    @evolves(PredictionsScored)
    def fold_scored(self, event: PredictionsScored) -> None:
        """Forget what has been scored."""
        self.ledger.drop(event)

    @evolves(InferenceRequested)
    def fold_requested(self, event: InferenceRequested) -> None:
        """Wait for an answer; an older question of the strategy is given up."""
        runner = self._runners.get(event.strategy)
        if runner is None:
            self._park(event.strategy).decided(event.decision)
        else:
            runner.decisions = event.decision
            runner.request = (event.request_id, event.decision, event.deadline, event.ids)

    @evolves(StrategyFailed)
    def fold_failed(self, event: StrategyFailed) -> None:
        """Count failed decisions in a row."""
        runner = self._runners.get(event.strategy)
        if runner is None:
            self._park(event.strategy).decided(event.decision)
            return
        runner.decisions = max(runner.decisions, event.decision)
        if not runner.failed:
            runner.failed = True
            runner.streak += 1
        if runner.request is not None and runner.request[1] == event.decision:
            runner.request = None

    @evolves(StrategyDisabled)
    def fold_disabled(self, event: StrategyDisabled) -> None:
        """Note who switched it off."""
        runner = self._runners.get(event.strategy)
        if runner is None:
            self._park(event.strategy).off = event.by
        else:
            runner.off = event.by
            runner.request = None

    @evolves(StrategyEnabled)
    def fold_enabled(self, event: StrategyEnabled) -> None:
        """Start over with a clean record."""
        runner = self._runners.get(event.strategy)
        if runner is None:
            self._park(event.strategy).off = ""
        else:
            runner.off = ""
            runner.streak = 0
            runner.failed = False

    def _park(self, strategy: str) -> Parked:
        return self._parked.setdefault(strategy, Parked())

    # -- news ------------------------------------------------------------------------------------------------------

    def _session_date(self) -> int:
        return self._clock.date

    def _news_acted(self, action: CorporateAction) -> None:
        if self._book is None:
            return
        if action.renamed_to is None:
            self._book.split(action.symbol, action.numerator, action.denominator)
        else:
            self._book.move(action.symbol, action.renamed_to, self.frame_ts)

    def rearm(self, ctx: Context) -> None:
        """Set the timer that headlines wait for; nothing else of this room waits for one."""
        self._rearm_news(ctx)

    # -- snapshots -------------------------------------------------------------------------------------------------

    def warmup_rows(self) -> int:
        """Return the longest lookback on the run's own bars; aggregated bars travel in the snapshot."""
        return max((bars.series.ring.length for bars in self._bars if bars.aggregator is None), default=0)

    def warms(self, row: Message) -> bool:
        """Tell whether a row is one of the rings' own: a first version of a bar of the run's interval."""
        return type(row) is BarPanel and not row.revision and row.daily is self._daily

    def snapshot(self) -> dict[str, Any]:
        """Return everything but the rings of the run's own bars."""
        return {
            "last_ts": self._last_ts,
            "closed_date": self._closed_date,
            "clock": self._clock.snapshot(),
            "acted": [self._acted.ts, self._acted.keys],
            "ledger": self.ledger.snapshot(),
            "runners": {name: runner.snapshot() for name, runner in self._runners.items()},
            "parked": [[name, parked.decisions, parked.off] for name, parked in self._parked.items()],
            "aggregators": [[b.bar.text, b.aggregator.snapshot()] for b in self._bars if b.aggregator is not None],
            **self._news_snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave; rings fill when the rows before it are observed again.

        Strategies may have come and gone since: a new one starts fresh, one that is gone leaves how far it had counted
        and whether it was off, in case it comes back.
        """
        self._last_ts = state["last_ts"]
        self._closed_date = state["closed_date"]
        self._clock.restore(state["clock"])
        ts, keys = state.get("acted", (0, ()))  # a snapshot of an older version has seen none
        self._acted.ts, self._acted.keys = ts, [(symbol, kind, value) for symbol, kind, value in keys]
        self.ledger.restore(state["ledger"])
        self._restore_news(state)
        self._parked = {name: Parked(decisions, off) for name, decisions, off in state["parked"]}
        for name, saved in state["runners"].items():
            runner = self._runners.get(name)
            if runner is None:
                self._parked[name] = Parked(saved["decisions"], saved["off"])
            else:
                runner.restore(saved)
        for name, runner in self._runners.items():
            parked = self._parked.pop(name, None)
            if parked is not None:
                runner.decisions, runner.off = parked.decisions, parked.off
        aggregators = {text: saved for text, saved in state["aggregators"]}  # noqa: C416 - pairs come back as lists
        for bars in self._bars:
            if bars.aggregator is not None and bars.bar.text in aggregators:
                bars.aggregator.restore(aggregators[bars.bar.text])
