"""What strategies think of each symbol, after the confidence gates, kept until they say otherwise.

A signal counts if its confidence reaches the gate of its direction: ``min_confidence_buy`` above a score of 0,
``min_confidence_sell`` at or below. A signal that is cut is as good as none, and none (the strategy abstained) changes
nothing: the view held before stands. A score of 0 that passes is a view, namely to hold nothing; one that does not
pass says nothing at all and is not counted as cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.messages.columns import F64, I32, unpack_f64, unpack_i32
from actors.messages.portfolio import SignalsReady
from actors.portfolio.params import PortfolioSpec

Mask = npt.NDArray[np.bool_]


def gate(event: SignalsReady, spec: PortfolioSpec) -> tuple[I32, F64, F64, int, int]:
    """Return (ids, scores, confidences) of the signals that pass, and how many buys and sells were cut."""
    ids = unpack_i32(event.ids)
    scores = unpack_f64(event.score)
    confidences = unpack_f64(event.confidence)
    buys = scores > 0.0
    passed = confidences >= np.where(buys, spec.min_confidence_buy, spec.min_confidence_sell)
    passed &= scores == scores  # noqa: PLR0124 - NaN differs from itself; a NaN confidence has not passed anyway
    if np.count_nonzero(passed) == len(passed):  # a fifth of what all() costs
        return ids, scores, confidences, 0, 0
    cut = ~passed & np.isfinite(confidences)
    cut_buy = int(np.count_nonzero(buys & cut))
    cut_sell = int(np.count_nonzero((scores < 0.0) & cut))
    return ids[passed], scores[passed], confidences[passed], cut_buy, cut_sell


class Views:
    """One strategy's standing views: arrays over the universe, NaN where it has none.

    Attributes:
        hold: symbols whose view came from a strategy that buys and holds.
        rebalanced: session (YYYYMMDD) of the last rebalance on this strategy's account, 0 for none.
        stated: ids of the newest signals that passed.
        cut_buy, cut_sell: how many of the newest did not.
    """

    __slots__ = ("confidence", "cut_buy", "cut_sell", "hold", "rebalanced", "score", "stated", "strategy")

    def __init__(self, strategy: str, n_symbols: int) -> None:
        self.strategy = strategy
        self.score: F64 = np.full(n_symbols, np.nan)
        self.confidence: F64 = np.full(n_symbols, np.nan)
        self.hold: Mask = np.zeros(n_symbols, dtype=bool)
        self.rebalanced = 0
        self.stated: I32 = np.zeros(0, dtype=np.int32)
        self.cut_buy = self.cut_sell = 0

    def fold(self, event: SignalsReady, spec: PortfolioSpec) -> None:
        """Take over the signals that pass the gates."""
        ids, scores, confidences, self.cut_buy, self.cut_sell = gate(event, spec)
        self.stated = ids
        self.score[ids] = scores
        self.confidence[ids] = confidences
        self.hold[ids] = event.buy_and_hold

    def forget(self, symbol: int) -> None:
        """Drop the view of a symbol."""
        self.score[symbol] = np.nan
        self.confidence[symbol] = np.nan
        self.hold[symbol] = False

    def move(self, symbol: int, new: int) -> None:
        """Let the view of a symbol, if there is one, be that of another, as a rename does."""
        if np.isfinite(self.score.item(symbol)):
            self.score[new] = self.score[symbol]
            self.confidence[new] = self.confidence[symbol]
            self.hold[new] = self.hold[symbol]
        self.forget(symbol)

    def snapshot(self) -> list[Any]:
        """Return plain values."""
        return [self.rebalanced, self.score.tobytes(), self.confidence.tobytes(), self.hold.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.rebalanced = state[0]
        self.score = np.frombuffer(state[1], dtype=np.float64).copy()
        self.confidence = np.frombuffer(state[2], dtype=np.float64).copy()
        self.hold = np.frombuffer(state[3], dtype=np.bool_).copy()


def combine(views: tuple[Views, ...]) -> tuple[F64, F64, Mask]:
    """Return (score, confidence, hold) over the universe for several strategies at once.

    One strategy: its own. Several: the sum of the scores of those with a view, the largest confidence among those who
    share its sign, and hold only where all of those do; NaN where nobody has a view.
    """
    first = views[0]
    if len(views) == 1:
        return first.score, first.confidence, first.hold
    total = np.zeros(len(first.score))
    anyone = np.zeros(len(first.score), dtype=bool)
    for v in views:
        known = np.isfinite(v.score)
        anyone |= known
        total += np.where(known, v.score, 0.0)
    confidence = np.zeros(len(total))
    hold = anyone.copy()
    for v in views:
        agrees = np.isfinite(v.score) & (np.sign(v.score) == np.sign(total))
        confidence = np.where(agrees & (v.confidence > confidence), v.confidence, confidence)
        hold &= v.hold | ~agrees
    nothing = ~anyone
    total[nothing] = np.nan
    confidence[nothing] = np.nan
    return total, confidence, hold
