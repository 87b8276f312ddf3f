"""The shipped model: what it answers, when it must not, and what happens when no answer comes."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest

from actors.messages.columns import pack_f64, pack_i32, unpack_f64, unpack_i32
from actors.messages.inference import (
    InferenceRequested,
    PredictionReady,
    PredictionUnavailable,
    StrategyDisabled,
    StrategyEnabled,
    StrategyFailed,
)
from actors.messages.portfolio import SignalsReady
from actors.predictor.features.prices import LOOKBACK, NAMES, price_features
from actors.predictor.models.manifest import SHIPPED, load_manifest, refuse_seen_period
from actors.predictor.pool.inprocess import InProcessPool, load_session, run_model
from actors.predictor.registry import bind
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import CommandRejected

NAME = "price_5d"


@pytest.fixture(scope="module")
def manifest():
    """Return the shipped manifest, verified."""
    return load_manifest(NAME)


@pytest.fixture
def model_run(make_run):
    """Return a maker of runs of the price model."""

    def make(*, pool=True, **options):
        binding = bind("price_model")
        return make_run([binding], symbols=3, pool=InProcessPool([binding.model]) if pool else None, **options)

    return make


def request(manifest, rows):
    """Return a request for feature rows."""
    ids = pack_i32(range(len(rows)))
    return InferenceRequested("r-1", manifest.model_id, "price_model", 1, ids, pack_f64(rows), 0)


def test_the_manifest_says_what_the_file_is(manifest) -> None:
    """Names, windows in order, metrics with n, and the size of a thing that ships."""
    assert manifest.features == NAMES
    assert manifest.lookback == LOOKBACK
    assert (
        manifest.train_from < manifest.train_to < manifest.calibrate_from < manifest.calibrate_to < manifest.test_from
    )
    assert manifest.blocked_from <= manifest.train_from
    assert manifest.test_to <= manifest.blocked_to == 20141231
    assert manifest.metrics.n > 1000
    assert 0.4 < manifest.metrics.auc < 0.6
    assert len(manifest.confidence) == 101
    assert (SHIPPED / f"{NAME}.onnx").stat().st_size < 1_000_000


def test_the_parts_are_purged_and_embargoed(manifest) -> None:
    """Between training and calibration lie the label horizon and the embargo."""
    days = np.busday_count(
        *(f"{d // 10000}-{d // 100 % 100:02}-{d % 100:02}" for d in (manifest.train_to, manifest.calibrate_from))
    )
    assert days >= 5 + manifest.embargo_sessions


def test_answers_of_the_shipped_file_are_what_they_were(manifest) -> None:
    """Recorded with onnxruntime 1.31; a tolerance because another machine may round a float32 otherwise."""
    rows = np.array(
        [[0.0] * 9, [2.0, 1.5, 1.0, 1.0, 0.2, 0.1, -4.0, 3.0, 0.0], [-3, -3, -2, -1, 0.9, 0.5, -3.5, -6, -9]]
    )
    rows[0, 6] = -4.0
    answer = InProcessPool([manifest]).predict(request(manifest, rows))
    assert isinstance(answer, PredictionReady)
    assert answer.horizon == "5d"
    p_up = unpack_f64(answer.p_up)
    assert np.allclose(p_up, GOLDEN, atol=2e-5)
    assert np.allclose(unpack_f64(answer.score), 2 * p_up - 1, atol=1e-6)


GOLDEN = (0.559028, 0.56721, 0.584146)


def test_a_row_is_answered_alike_whoever_is_asked_with_it(manifest, prices) -> None:
    """Fixed batch shapes: 1, 64, 65 or 200 rows make no difference."""
    rows = price_features(prices(80, 200))
    session = load_session(manifest)
    whole = run_model(session, manifest, rows)
    assert np.array_equal(run_model(session, manifest, rows[:65]), whole[:65])
    assert np.array_equal(
        np.concatenate([run_model(session, manifest, rows[i : i + 1]) for i in range(70)]), whole[:70]
    )
    assert np.isfinite(whole).all()
    assert ((whole > 0) & (whole < 1)).all()


def test_a_nan_row_is_answered_with_nan_or_a_number_but_no_exception(manifest) -> None:
    """The core abstains on rows with gaps anyway."""
    answer = run_model(load_session(manifest), manifest, np.full((2, 9), np.nan))
    assert answer.shape == (2,)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a copy of the shipped model."""
    for suffix in ("onnx", "json"):
        shutil.copy(SHIPPED / f"{NAME}.{suffix}", tmp_path / f"{NAME}.{suffix}")
    return tmp_path


def test_a_file_that_is_not_what_the_manifest_says_is_never_parsed(folder, manifest) -> None:
    """One byte is enough, at bind and at load."""
    path = folder / f"{NAME}.onnx"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(OperatorError, match="SHA-256") as caught:
        load_manifest(NAME, folder)
    assert caught.value.code == "MODEL_DIGEST"
    with pytest.raises(OperatorError, match="SHA-256"):
        load_session(manifest, folder)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda f: (f / f"{NAME}.onnx").unlink(), "cannot be read"),
        (lambda f: (f / f"{NAME}.onnx").write_bytes(b""), "is empty"),
        (lambda f: (f / f"{NAME}.json").write_text("{"), "manifest price_5d.json cannot be used"),
        (lambda f: (f / f"{NAME}.json").write_text('{"name": "x", "surprise": 1}'), "cannot be used"),
        (lambda f: (f / f"{NAME}.json").unlink(), "there is no model 'price_5d'"),
    ],
)
def test_broken_models_are_refused_in_a_sentence(folder, damage, match) -> None:
    """Missing, empty, unreadable."""
    damage(folder)
    with pytest.raises(OperatorError, match=match):
        load_manifest(NAME, folder)


def test_a_graph_with_other_inputs_than_the_manifest_is_refused(manifest) -> None:
    """The feature names are the schema."""
    other = msgspec.structs.replace(manifest, features=NAMES[:-1])
    with pytest.raises(OperatorError, match=r"takes .* not features with 8 features"):
        load_session(other)


def test_the_pool_says_why_it_has_no_answer(manifest) -> None:
    """Unknown model, features that do not fit."""
    pool = InProcessPool([None, manifest])
    rows = np.zeros((2, 9))
    unknown = msgspec.structs.replace(request(manifest, rows), model_id="other@1")
    assert pool.predict(unknown) == PredictionUnavailable("r-1", "other@1", "no such model in this run")
    short = msgspec.structs.replace(request(manifest, rows), features=b"\0" * 8)
    assert isinstance(pool.predict(short), PredictionUnavailable)


def test_a_decision_asks_and_the_answer_becomes_signals(model_run, feeds, prices, manifest) -> None:
    """p_up, score = 2 p - 1, confidence by the calibration period's quantiles; one gap abstains."""
    closes = prices(70, 3)
    present = [None] * 70
    present[30] = [0, 2]
    run = model_run().feed(feeds.daily(closes, present=present, close_only=True))
    asked = run.events(InferenceRequested)
    assert [e.decision for e in asked] == list(range(1, 8))
    event = run.events(SignalsReady)[-1]
    assert (event.decision, event.horizon, event.model) == (7, "5d", manifest.model_id)
    assert unpack_i32(event.ids).tolist() == [0, 2]
    p_up, score, confidence = (unpack_f64(c) for c in (event.p_up, event.score, event.confidence))
    direct = run_model(load_session(manifest), manifest, price_features(closes)[[0, 2]])
    assert np.allclose(p_up, direct, atol=1e-6)
    assert np.allclose(score, 2 * p_up - 1)
    table = np.asarray(manifest.confidence)
    assert np.allclose(confidence, [np.interp(abs(p - 0.5), table, np.linspace(0, 1, 101)) for p in p_up])


def test_decisions_the_model_has_seen_are_refused_and_recorded(model_run, feeds, prices) -> None:
    """Off with a reason inside the window, on again on the first date outside; never a prediction in between."""
    # Made-up dates count up by one: 20141232 is the first outside the window, and comes after 64 closes.
    run = model_run().feed(feeds.daily(prices(110, 3), first_date=20141151))
    (off,), (on,) = run.events(StrategyDisabled), run.events(StrategyEnabled)
    assert (off.by, on.by) == ("training-window", "training-window")
    assert "would be look-ahead" in off.reason
    first = next(f for f in run.frames if any(type(e) is InferenceRequested for e in f.events))
    assert first.envelope.body.session.date == 20141232
    assert run.events(SignalsReady)


def test_a_run_wholly_inside_the_window_is_refused_at_the_start(manifest) -> None:
    """Partly inside is allowed: those decisions are refused one by one."""
    with pytest.raises(OperatorError, match="lies wholly inside") as caught:
        refuse_seen_period([None, manifest], 20050101, 20141231)
    assert caught.value.code == "TRAINING_WINDOW"
    refuse_seen_period([manifest], 20140101, 20150105)
    refuse_seen_period([manifest], 20150102, 20221228)
    refuse_seen_period([None], 20050101, 20101231)


def asking(model_run, feeds, prices, **options):
    """Return a run that waits for the answer to its only question, and the question."""
    run = model_run(pool=False, **options).feed(feeds.daily(prices(LOOKBACK, 3)))
    (question,) = run.events(InferenceRequested)
    return run, question


def answer(question, **changes):
    """Return a proper answer, changed."""
    p = pack_f64([0.6, 0.5, 0.4])
    good = PredictionReady(question.request_id, question.model_id, "5d", question.ids, pack_f64([0.2, 0.0, -0.2]), p)
    return msgspec.structs.replace(good, **changes)


def test_an_answer_in_time_counts_and_a_second_one_does_not(model_run, feeds, prices) -> None:
    """Each question is answered once."""
    run, question = asking(model_run, feeds, prices)
    run.feed([answer(question), answer(question)])
    (event,) = run.events(SignalsReady)
    assert unpack_f64(event.score).tolist() == [0.2, 0.0, -0.2]
    assert [e.code for e in run.events(CommandRejected)] == ["PREDICTION_STALE"]


def test_a_late_answer_is_dropped_and_recorded(model_run, feeds, prices) -> None:
    """No prediction means hold."""
    run, question = asking(model_run, feeds, prices, deadline_ns=1_000_000)
    run.clock.advance_to(question.deadline + 2_000_000)
    run.feed([answer(question)])
    assert run.events(SignalsReady) == []
    (rejected,) = run.events(CommandRejected)
    assert rejected.code == "PREDICTION_LATE"
    assert "2 ms after its deadline" in rejected.reason


def test_no_answer_means_hold_and_is_recorded(model_run, feeds, prices) -> None:
    """The strategy stays on and asks again at the next decision; the old question is given up."""
    run, question = asking(model_run, feeds, prices)
    run.feed([PredictionUnavailable(question.request_id, question.model_id, "breaker open")])
    assert [(e.code, "breaker open" in e.reason) for e in run.events(CommandRejected)] == [
        ("PREDICTION_UNAVAILABLE", True)
    ]
    run.feed(feeds.daily(prices(LOOKBACK + 1, 3)[-1:], first=LOOKBACK))
    assert [e.decision for e in run.events(InferenceRequested)] == [1, 2]
    run.feed([answer(question)])
    assert run.events(SignalsReady) == []
    assert run.events(CommandRejected)[-1].code == "PREDICTION_STALE"


@pytest.mark.parametrize(
    "changes",
    [
        {"p_up": pack_f64([0.6, 0.5])},
        {"p_up": b"\0" * 13},
        {"p_up": pack_f64([0.6, 0.5, 1.4])},
        {"ids": pack_i32([0, 2, 1])},
        {"horizon": "1d"},
    ],
)
def test_an_answer_that_does_not_fit_is_a_failed_decision(model_run, feeds, prices, changes) -> None:
    """Wrong length, no probabilities, other symbols, another horizon."""
    run, question = asking(model_run, feeds, prices)
    run.feed([answer(question, **changes)])
    assert [(e.decision, e.error) for e in run.events(StrategyFailed)] == [(1, "bad_prediction")]
    assert run.events(SignalsReady) == []


def test_an_answer_of_another_model_is_refused(model_run, feeds, prices) -> None:
    """Name and version must match."""
    run, question = asking(model_run, feeds, prices)
    run.feed([answer(question, model_id="price_5d@000000000000")])
    assert [e.code for e in run.events(CommandRejected)] == ["PREDICTION_WRONG_MODEL"]


def test_a_row_the_model_cannot_answer_is_held(model_run, feeds, prices) -> None:
    """NaN abstains for that symbol; all NaN says nothing at all."""
    run, question = asking(model_run, feeds, prices)
    run.feed([answer(question, p_up=pack_f64([0.6, np.nan, 0.4]))])
    assert unpack_i32(run.events(SignalsReady)[0].ids).tolist() == [0, 2]
    run, question = asking(model_run, feeds, prices)
    run.feed([answer(question, p_up=pack_f64([np.nan] * 3))])
    assert run.events(SignalsReady) == []


def test_an_inference_is_switched_off_with_its_strategy(model_run, feeds, prices) -> None:
    """An answer for a strategy that was switched off in the meantime is not wanted."""
    from actors.messages.control import DisableStrategy  # noqa: PLC0415 - only here

    run, question = asking(model_run, feeds, prices)
    run.feed([DisableStrategy("price_model", "pause", "ann"), answer(question)])
    assert run.events(SignalsReady) == []
