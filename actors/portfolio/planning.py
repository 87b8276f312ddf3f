"""From a strategy's signals to targets and orders: a pure reading of one portfolio's state.

A view above 0 wants the name, at or below 0 closes it (or shorts it, with ``allow_short``). A symbol without a view is
left as it is, and so is a wanted name for whose weight data are missing. Between rebalances only closes act
(:mod:`actors.portfolio.rebalance`). A name of a strategy that buys and holds is bought once and never trimmed or
topped up.

Orders of this portfolio's strategies that still work in a symbol are netted if they lead to the target, else
cancelled first. Sells go out before buys; the cash buys may use is a local of one decision.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.columns import F64, I32, I64, SCORE_DIGITS, pack_f64, pack_i32, unpack_f64, unpack_i32
from actors.messages.orders import BUY, SELL
from actors.messages.portfolio import EntriesCut, SignalsReady, TargetsProposed
from actors.portfolio.allocation import Candidate, equal_weight, propose, volatilities
from actors.portfolio.cutback import Cutback
from actors.portfolio.entry import Entry
from actors.portfolio.params import PortfolioSpec
from actors.portfolio.rebalance import has_drifted, is_due
from actors.portfolio.sizing import Want, bound_entries, need, proceeds, target_qty, tied_up
from actors.portfolio.state import PortfolioState, Working
from actors.portfolio.views import Mask, Views, combine
from actors.values.fixed import SCALE, mul

Symbols = npt.NDArray[np.intp]

CUT_DIGITS: Final = 9

CALM_MIN: Final = 4
"""Names held from which on it pays to sort out at once those that are near their target."""


class Draft(msgspec.Struct, frozen=True):
    """An order to send.

    ``leg`` tells several orders of one decision in one symbol apart; ``parent`` is the leg that closes what this one
    reverses, "" where it reverses nothing.
    """

    symbol: int
    side: int
    qty: int
    leg: str
    reason: str
    confidence: float | None
    reduce_only: bool
    exempt: bool
    parent: str


class Plan(msgspec.Struct, frozen=True):
    """What follows from a decision: targets to record, client order ids to cancel, orders in the order of sending.

    ``cut`` says which entries found too little room, where some did.
    """

    targets: TargetsProposed | None
    cancels: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()
    cut: EntriesCut | None = None


class Market(msgspec.Struct, frozen=True):
    """What of the market a plan may see.

    Attributes:
        marks: last prices by symbol in units of 1e-8, 0 where unknown.
        session: YYYYMMDD.
        number: of that session in the run.
        equity: of the portfolio at those prices.
        closes: ``[rows, N]`` closes for volatilities; None where no portfolio needs them.
        tradable: whether orders may be placed, by symbol.
        cutback: cuts entries back to what the gate will let pass; None where nothing asks for it.
    """

    marks: I64
    session: int
    number: int
    equity: int
    closes: F64 | None
    tradable: Mask
    cutback: Cutback | None = None


class _Targets(msgspec.Struct, frozen=True):
    """Signed weights by ascending symbol id as parallel arrays, and wanted names left alone for want of data."""

    symbols: Symbols
    weights: F64
    abstained: tuple[int, ...] = ()


class _Goal(msgspec.Struct, frozen=True):
    symbol: int
    weight: float
    reason: str
    confidence: float | None
    strength: float = 0.0


class _Step(msgspec.Struct):
    """Shares to move in one symbol: first towards flat, then away from it."""

    goal: _Goal
    side: int
    reduce: int
    extend: int
    px: int
    exempt: bool


def plan(pf: PortfolioState, views: Views, event: SignalsReady, market: Market) -> Plan:
    """Return what a decision of one of the portfolio's strategies leads to; the views hold its signals already."""
    cut_buy, cut_sell = views.cut_buy, views.cut_sell
    score, confidence, hold = combine(pf.views)
    reason = _reason(pf, views, market, hold)
    proposal: _Targets | None = None
    if reason:
        proposal = _propose(pf, market, score, confidence)
        if views.rebalanced == 0 and not len(proposal.symbols) and not pf.n_held:
            proposal = None  # the first rebalance waits for somebody to want something
    if proposal is not None:
        ids, weights = pack_i32(proposal.symbols), pack_f64(proposal.weights)
        goals = _goals(pf, proposal, score, confidence, _calm(pf, proposal, market, hold))
    else:
        reason = "signal"
        goals = _closes(pf, views.stated, score, confidence)
        if not goals and not cut_buy and not cut_sell:
            return Plan(None)
        closed = dict.fromkeys(goal.symbol for goal in goals)
        targets = {symbol: weight for symbol, weight in pf.targets.items() if symbol not in closed}
        ids, weights = pack_i32(list(targets)), pack_f64(list(targets.values()))
    cancels, steps = _steps(pf, goals, market, hold)
    drafts, entries = _drafts(pf, steps, market, cancels)
    cuts = [entry for entry in entries if entry.less_alike or entry.less_heat]
    bound = [entry for entry in entries if entry.less_room]
    if cuts or bound:
        weights = _reduced(ids, weights, entries)
    proposed = TargetsProposed(
        portfolio=pf.name,
        strategy=event.strategy,
        decision=event.decision,
        ids=ids,
        weights=weights,
        cut_buy=cut_buy,
        cut_sell=cut_sell,
        reason=reason,
        abstained=pack_i32(proposal.abstained) if proposal is not None else b"",
        cut_ids=pack_i32([e.symbol for e in cuts]) if cuts else b"",
        cut_correlation=pack_f64([round(e.less_alike, CUT_DIGITS) for e in cuts]) if cuts else b"",
        cut_heat=pack_f64([round(e.less_heat, CUT_DIGITS) for e in cuts]) if cuts else b"",
    )
    cut = None
    if bound:
        parts = pack_f64([round(entry.less_room, CUT_DIGITS) for entry in bound])
        limits = tuple(entry.bound for entry in bound)
        cut = EntriesCut(pf.name, event.strategy, event.decision, pack_i32([e.symbol for e in bound]), parts, limits)
    return Plan(proposed, tuple(w.client_order_id for w in cancels), tuple(drafts), cut)


def _reason(pf: PortfolioState, views: Views, market: Market, hold: Mask) -> str:
    """Return why this decision is a rebalance, "" if it is none."""
    spec = pf.spec
    if is_due(spec.rebalance, views.rebalanced, market.session):
        return "signal" if spec.rebalance == "signal" else "schedule"
    if spec.rebalance == "never" or market.equity <= 0:
        return ""
    invested = 1.0 - spec.cash_buffer
    pairs = [
        (mul(pf.qty(symbol), int(market.marks[symbol])) / market.equity, target * invested)
        for symbol, target in sorted(pf.targets.items())
        if pf.qty(symbol) and not hold[symbol]
    ]
    return "drift" if has_drifted(pairs, spec.drift) else ""


def _propose(pf: PortfolioState, market: Market, score: F64, confidence: F64) -> _Targets:
    spec = pf.spec
    wanted = score > 0.0
    if spec.allow_short:
        wanted |= score < 0.0
    wanted &= market.tradable
    wanted &= market.marks > 0
    symbols = wanted.nonzero()[0]
    slots = None
    if spec.max_positions and len(symbols) + pf.n_held > spec.max_positions:
        # Names held without anybody's view stay, and take up room.
        slots = spec.max_positions - int(np.count_nonzero(pf.holding & ~np.isfinite(score)))
    if spec.allocation == "equal":
        size = equal_weight(len(symbols), slots=slots, max_weight=spec.max_weight, min_weight=spec.min_weight)
        if size is not None:
            weights = np.full(len(symbols), size)
            if spec.allow_short:
                weights[score[symbols] < 0.0] = -size
            return _Targets(symbols, weights)
    names = symbols.tolist()
    sigmas = _sigmas(spec, names, market) if spec.allocation == "inverse_volatility" else None
    candidates = []
    for symbol in names:
        side = BUY if score[symbol] > 0.0 else SELL
        candidates.append(Candidate(symbol, side, float(confidence[symbol]), pf.qty(symbol) * side > 0))
    proposal = propose(
        spec.allocation,
        candidates,
        slots=slots,
        max_weight=spec.max_weight,
        min_weight=spec.min_weight,
        sigmas=sigmas,
    )
    return _Targets(
        np.array(proposal.symbols, dtype=np.intp), np.array(proposal.weights, dtype=np.float64), proposal.abstained
    )


def _sigmas(spec: PortfolioSpec, symbols: list[int], market: Market) -> dict[int, float]:
    if market.closes is None or not symbols:
        return {}
    sigma = volatilities(market.closes[:, symbols], spec.lookback)
    return {symbol: float(s) for symbol, s in zip(symbols, sigma, strict=True) if np.isfinite(s)}


def _calm(pf: PortfolioState, targets: _Targets, market: Market, hold: Mask) -> Symbols:
    """Return wanted symbols so near their target that :func:`_steps` would pass them over for certain.

    Floats decide only where they cannot be wrong: a lot and a rounding error further away is left to exact numbers.
    """
    spec = pf.spec
    symbols, weights = targets.symbols, targets.weights
    if market.equity <= 0 or pf.n_held < CALM_MIN:
        return symbols[:0]
    # Values are in units of 1e-8. No weight is above 1, so what is near a target is not much larger than equity.
    px = market.marks[symbols]
    held = pf.qty_f[symbols]
    gap = weights * ((1.0 - spec.cash_buffer) * market.equity)
    gap -= held * px
    np.abs(gap, out=gap)
    gap += px * (spec.lot_size / SCALE)
    near = gap < spec.min_order_value * (1.0 - 1e-8) - 1e-8 * market.equity - 100.0
    if np.count_nonzero(hold):
        near |= hold[symbols] & (held != 0.0)
    near &= weights != 0.0
    return symbols[near]


def _goals(pf: PortfolioState, targets: _Targets, score: F64, confidence: F64, calm: Symbols) -> list[_Goal]:
    """Return the weight every symbol with a view should have, ascending by symbol.

    Those that are ``calm`` are left out, unless an order works in them.
    """
    involved = pf.holding.copy()
    involved[targets.symbols] = True
    involved[calm] = False
    for working in pf.entries.values():
        involved[working.symbol] = True
    if targets.abstained:
        involved[list(targets.abstained)] = False
    involved &= np.isfinite(score)
    weights = np.zeros(len(score))
    weights[targets.symbols] = targets.weights
    goals = []
    positions = pf.positions
    for symbol in involved.nonzero()[0].tolist():
        weight = weights.item(symbol)
        if weight != 0.0:
            position = positions.get(symbol)
            asked = position is None or position.qty * weight <= 0
        else:
            asked = not _wants(pf.spec, score.item(symbol))
        trust = round(confidence.item(symbol), SCORE_DIGITS) if asked or weight != 0.0 else None
        strength = round(abs(score.item(symbol)), SCORE_DIGITS)
        goals.append(_Goal(symbol, weight, "signal" if asked else "rebalance", trust, strength))
    return goals


def _closes(pf: PortfolioState, stated: I32, score: F64, confidence: F64) -> list[_Goal]:
    """Return the symbols of this decision whose position or working entry the views now oppose."""
    entries = pf.entries_by_symbol()
    exposed = sorted(dict.fromkeys((*pf.held(), *entries)))
    if not exposed:
        return []
    spoken = np.zeros(len(score), dtype=bool)
    spoken[stated] = True
    goals = []
    for symbol in exposed:
        exposure = pf.qty(symbol) or sum(w.side * w.leaves for w in entries.get(symbol, ()))
        if spoken[symbol] and exposure and not score[symbol] * exposure > 0.0:
            goals.append(_Goal(symbol, 0.0, "signal", round(float(confidence[symbol]), SCORE_DIGITS)))
    return goals


def _wants(spec: PortfolioSpec, score: float) -> bool:
    return score > 0.0 or (spec.allow_short and score < 0.0)


def _steps(pf: PortfolioState, goals: list[_Goal], market: Market, hold: Mask) -> tuple[list[Working], list[_Step]]:
    """Return working orders to cancel and the shares to move to reach each goal."""
    spec = pf.spec
    cancels: list[Working] = []
    steps: list[_Step] = []
    entries = pf.entries_by_symbol()
    marks, equity, positions = market.marks, market.equity, pf.positions
    cash_buffer, lot_size, least = spec.cash_buffer, spec.lot_size, spec.min_order_value
    for goal in goals:
        symbol = goal.symbol
        px = marks.item(symbol)
        position = positions.get(symbol)
        held = position.qty if position is not None else 0
        working = entries.get(symbol)
        holds = hold.item(symbol)
        if holds and goal.weight != 0.0 and (held or working):
            continue
        want = target_qty(goal.weight, equity, cash_buffer, px, lot_size) if goal.weight else 0
        delta = want - held
        others: list[Working] = []
        if working:
            effective = delta - sum(w.side * w.leaves for w in working)
            if effective == 0 or (goal.weight and abs(mul(effective, px)) < least):
                continue
            cancels += [w for w in working if w.strategy in spec.strategies]
            others = [w for w in working if w.strategy not in spec.strategies]
            delta -= sum(w.side * w.leaves for w in others)
        size = delta if delta > 0 else -delta
        if size == 0 or (goal.weight and mul(size, px) < least):
            continue
        side = BUY if delta > 0 else SELL
        reduce = 0
        if held * side < 0:
            closing = abs(held) - sum([w.leaves for w in others if w.side == side])
            reduce = min(size, max(closing, 0))
        extend = size - reduce if want * side > 0 else 0
        if side == SELL and not spec.allow_short:
            extend = 0
        steps.append(_Step(goal, side, reduce, extend, px, holds))
    return cancels, steps


def _drafts(
    pf: PortfolioState, steps: list[_Step], market: Market, cancels: list[Working]
) -> tuple[list[Draft], list[Entry]]:
    """Return orders: what sells longs, what covers shorts, then what opens, the last within the cash at hand.

    And the entries, with what was cut of them before that.
    """
    spec = pf.spec
    sells = [s for s in steps if s.reduce and s.side == SELL]
    covers = [s for s in steps if s.reduce and s.side == BUY]
    opens = [s for s in steps if s.extend]
    closing = {s.goal.symbol: s.reduce for s in (*sells, *covers)}
    entries = _cut_back(pf, opens, market, cancels, closing) if opens and market.cutback is not None else []
    drafts = [_draft(s, s.reduce, "sell", reduce_only=True) for s in sells]
    drafts += [_draft(s, s.reduce, "cover", reduce_only=True) for s in covers]
    budget = _budget(pf, market, cancels)
    if spec.reuse_proceeds:
        budget += sum(proceeds(spec, s.px, s.reduce) for s in sells)
    if not spec.margin:
        # The gate reserves nothing for a cover, and what the short ties up stays so until it is bought back.
        budget -= sum(max(0, need(spec, s.px, s.reduce) - tied_up(mul(s.px, s.reduce))) for s in covers)
    wants = [Want(s.px, s.extend, s.side == SELL) for s in opens]
    for step, qty in zip(opens, bound_entries(spec, wants, budget), strict=True):
        if qty and mul(step.px, qty) >= spec.min_order_value:
            drafts.append(_draft(step, qty, "buy" if step.side == BUY else "short", reduce_only=False))
    return drafts, entries


def _cut_back(
    pf: PortfolioState, opens: list[_Step], market: Market, cancels: list[Working], closing: dict[int, int]
) -> list[Entry]:
    """Cut steps that open back, in place; return them as entries, which say what was cut."""
    if market.cutback is None:
        return []
    gone = dict.fromkeys(w.client_order_id for w in cancels)
    towards: dict[int, int] = {}
    for working in pf.entries.values():
        if working.client_order_id not in gone and not working.reduce_only:
            towards[working.symbol] = towards.get(working.symbol, 0) + working.side * working.leaves
    entries = []
    for step in opens:
        symbol, side = step.goal.symbol, step.side
        base = max(0, side * (pf.qty(symbol) + towards.get(symbol, 0)))
        entries.append(Entry(symbol, side, base, step.extend, step.px, step.exempt, strength=step.goal.strength))
    market.cutback.cut(pf, entries, market.marks, market.equity, gone, closing)
    for step, entry in zip(opens, entries, strict=True):
        step.extend = entry.qty
    return entries


def _reduced(ids: bytes, weights: bytes, entries: list[Entry]) -> bytes:
    """Return a column of weights, those of cut entries as far reduced as their whole positions."""
    reduced = unpack_f64(weights).copy()
    rows = {symbol: row for row, symbol in enumerate(unpack_i32(ids).tolist())}
    for entry in entries:
        left = (1.0 - entry.less_alike) * (1.0 - entry.less_heat)
        if entry.less_room:
            left *= 1.0 - entry.less_room
        if left != 1.0:
            row = rows[entry.symbol]
            reduced[row] = round(reduced.item(row) * left, CUT_DIGITS)
    return pack_f64(reduced)


def _draft(step: _Step, qty: int, leg: str, *, reduce_only: bool) -> Draft:
    goal = step.goal
    trims = reduce_only and goal.reason == "rebalance"
    confidence = None if trims else goal.confidence
    parent = "" if reduce_only or not step.reduce else "sell" if step.side == SELL else "cover"
    return Draft(goal.symbol, step.side, qty, leg, goal.reason, confidence, reduce_only, step.exempt, parent)


def _budget(pf: PortfolioState, market: Market, cancels: list[Working]) -> int:
    """Return the cash new entries may reserve.

    Cash, less what has not settled, working orders reserve and shorts tie up, plus what working sells will bring. In a
    margin account the equity beyond the initial requirement stands for the cash and what is tied up of it.
    """
    spec = pf.spec
    gone = dict.fromkeys(w.client_order_id for w in cancels)
    if spec.margin:
        budget = pf.entitled(market.marks)
    else:
        budget = pf.cash - sum(tied_up(mul(-pf.qty(s), int(market.marks[s]))) for s in pf.shorts())
        budget -= pf.unsettled.total(market.number)
    for working in pf.entries.values():
        if working.client_order_id in gone:
            continue
        budget -= working.reserved
        held = pf.qty(working.symbol)
        if spec.reuse_proceeds and working.market and working.side == SELL and held > 0:
            budget += proceeds(spec, int(market.marks[working.symbol]), min(working.leaves, held))
    return budget
