"""Between columns and messages: batches become ``SignalsReady``, models' answers become batches."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from actors.messages.columns import pack_i32, pack_i64, unpack_f64, unpack_i32
from actors.messages.inference import PredictionReady
from actors.messages.portfolio import SignalsReady
from actors.predictor.models.manifest import ModelManifest
from actors.predictor.outcome import Batch, RefusalError

I64 = npt.NDArray[np.int64]

_SCALE: Final = 1e9  # nine digits, as columns.SCORE_DIGITS


def pack_signals(
    strategy: str, decision: int, batch: Batch, *, model: str, last_fx: I64, all_ids: bytes, buy_and_hold: bool
) -> SignalsReady:
    """Pack a batch; all float columns are rounded to nine digits in one go, to the bytes ``pack_f64`` would give.

    Args:
        strategy: its name in the run.
        decision: its number.
        batch: valid columns.
        model: what predicted.
        last_fx: int64 [N], last known closes of the universe in units of 1e-8.
        all_ids: the packed ids of the whole universe.
        buy_and_hold: whether the strategy asks to be spared automatic exits.
    """
    p_up, expected = batch.p_up, batch.expected_bps
    block = np.empty((2 + (p_up is not None) + (expected is not None), len(batch.score)), dtype="<f8")
    block[0] = batch.score
    block[1] = batch.confidence
    if p_up is not None:
        block[2] = p_up
    if expected is not None:
        block[-1] = expected
    np.multiply(block, _SCALE, out=block)
    np.rint(block, out=block)
    np.divide(block, _SCALE, out=block)
    np.add(block, 0.0, out=block)  # no negative zero
    ids = batch.ids
    return SignalsReady(
        strategy,
        decision,
        batch.horizon,
        all_ids if ids is None else pack_i32(ids),
        block[0].tobytes(),
        block[1].tobytes(),
        b"" if p_up is None else block[2].tobytes(),
        pack_i64(last_fx if ids is None else last_fx[ids]),
        b"" if expected is None else block[-1].tobytes(),
        model,
        batch.reasons,
        buy_and_hold,
    )


def answered(message: PredictionReady, model: ModelManifest, asked: bytes) -> Batch | None:
    """Turn a model's answer into signals; None where it has nothing to say about any symbol.

    ``score = 2 * p_up - 1``; the confidence is the share of calibration-period predictions that were less certain.

    Raises:
        RefusalError: the answer does not fit the question or is not made of probabilities.
    """
    ids = unpack_i32(asked)
    if message.ids != asked or len(message.p_up) != 8 * len(ids) or message.horizon != model.horizon:
        raise RefusalError("bad_prediction", "gave an answer that does not fit the question")
    p_up = unpack_f64(message.p_up)
    if ((p_up < 0.0) | (p_up > 1.0)).any():
        raise RefusalError("bad_prediction", "answered something other than probabilities")
    known = ~np.isnan(p_up)
    if not known.any():
        return None
    p_up = p_up[known]
    levels = np.linspace(0.0, 1.0, len(model.confidence))
    confidence = np.interp(np.abs(p_up - 0.5), np.asarray(model.confidence), levels)
    return Batch(model.horizon, ids[known], 2.0 * p_up - 1.0, confidence, p_up)
