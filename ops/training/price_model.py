"""Train the shipped price model and write it with its manifest.

    python ops/training/price_model.py [--out FOLDER]

Data: the 20 stocks embedded in skfolio, daily closes adjusted for splits and dividends, strictly before 2015-01-01,
so that a replay of 2015-2022 is out of sample. Features, horizon and settings were fixed by hand; the one choice made
here, between logistic regression and boosted trees, falls on the lower mean log loss of expanding-window folds inside
the training part. Labels overlap by the horizon: between any two parts the horizon is purged and an embargo added.
Deterministic: same data and libraries, same file.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from actors.predictor.features.prices import LOOKBACK, NAMES, price_features  # noqa: E402 - after the path
from actors.predictor.models.manifest import Metrics, ModelManifest  # noqa: E402

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HORIZON: Final = 5
EMBARGO: Final = 3
NAME: Final = "price_5d"
OPSET: Final = 17
OPSET_ML: Final = 3
TRAIN_TO: Final = 20111231
CALIBRATE_TO: Final = 20130630
DATA_END: Final = 20141231
FOLD_YEARS: Final = (2000, 2003, 2006, 2009)
FOLD_SPAN: Final = 3


def read_closes() -> tuple[npt.NDArray[np.int64], F64]:
    """Return dates ``YYYYMMDD`` [T] and closes [T, 20] of the embedded data before 2015, without importing skfolio."""
    spec = importlib.util.find_spec("skfolio")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("skfolio is not installed; pip install 'tradingd[training]'")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "sp500_dataset.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.reader(file))[1:]
    dates = np.array([int(row[0][:10].replace("-", "")) for row in rows])
    closes = np.array([[float(x) for x in row[1:]] for row in rows])
    keep = dates <= DATA_END
    return dates[keep], closes[keep]


def build(closes: F64) -> tuple[F64, F64]:
    """Return features [T, N, F] as float32 values and forward returns [T, N]; NaN where there is none."""
    t, n = closes.shape
    features = np.full((t, n, len(NAMES)), np.nan)
    for row in range(LOOKBACK - 1, t):
        features[row] = price_features(closes[row + 1 - LOOKBACK : row + 1])
    forward = np.full((t, n), np.nan)
    forward[:-HORIZON] = closes[HORIZON:] / closes[:-HORIZON] - 1.0
    return features.astype(np.float32).astype(np.float64), forward


class Sample:
    """Rows of some decision dates, flattened."""

    def __init__(self, features: F64, forward: F64, rows: npt.NDArray[np.int64]) -> None:
        x = features[rows].reshape(-1, features.shape[2])
        y = forward[rows].reshape(-1)
        day = np.repeat(rows, features.shape[1])
        ok = np.isfinite(x).all(axis=1) & np.isfinite(y)
        self.x: F64 = x[ok]
        self.forward: F64 = y[ok]
        self.up: Mask = y[ok] > 0
        self.day = day[ok]


def between(dates: npt.NDArray[np.int64], date_from: int, date_to: int, *, purge: bool) -> npt.NDArray[np.int64]:
    """Return rows of the dates; with ``purge`` less the last ones, whose labels or embargo reach beyond ``date_to``."""
    rows = np.flatnonzero((dates >= date_from) & (dates <= date_to))
    return rows[: -(HORIZON + EMBARGO)] if purge else rows[:-HORIZON]


def candidates() -> dict[str, Callable[[], Any]]:
    """Return the model classes to choose from; settings fixed beforehand, heavily regularised."""
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415 - a second to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    return {
        "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
        "gradient-boosted trees": lambda: GradientBoostingClassifier(
            n_estimators=60, learning_rate=0.05, max_depth=3, min_samples_leaf=500, subsample=0.5, random_state=0
        ),
    }


def log_loss(p: F64, up: Mask) -> float:
    """Return the mean log loss."""
    q = np.clip(np.where(up, p, 1.0 - p), 1e-12, 1.0)
    return float(-np.log(q).mean())


def choose(dates: npt.NDArray[np.int64], features: F64, forward: F64) -> dict[str, float]:
    """Return the mean log loss of each class over the folds inside the training part."""
    scores: dict[str, list[float]] = {name: [] for name in candidates()}
    for year in FOLD_YEARS:
        fit = Sample(features, forward, between(dates, 0, year * 10000, purge=True))
        end = min((year + FOLD_SPAN) * 10000, TRAIN_TO)
        test = Sample(features, forward, between(dates, year * 10000, end, purge=True))
        for name, make in candidates().items():
            p = make().fit(fit.x, fit.up).predict_proba(test.x)[:, 1]
            scores[name].append(log_loss(p, test.up))
        scores.setdefault("constant base rate", []).append(log_loss(np.full(len(test.up), fit.up.mean()), test.up))
    return {name: round(float(np.mean(values)), 6) for name, values in scores.items()}


def to_onnx(model: Any) -> bytes:
    """Return the model as ONNX: float32 [n, features] in, probabilities [n, 2] out."""
    from skl2onnx import to_onnx as convert  # noqa: PLC0415
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    graph = convert(
        model,
        initial_types=[("features", FloatTensorType([None, len(NAMES)]))],
        target_opset={"": OPSET, "ai.onnx.ml": OPSET_ML},
        options={id(model): {"zipmap": False}},
        name=NAME,
    )
    graph.producer_version = ""
    graph.doc_string = ""
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def raw_predictions(onnx: bytes, x: F64) -> F64:
    """Return P(up) before calibration from the ONNX graph itself, so that what is calibrated is what ships."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    answer: F64 = session.run(["probabilities"], {"features": x.astype(np.float32)})[0][:, -1].astype(np.float64)
    return answer


def calibrate(p: F64, up: Mask) -> tuple[float, float]:
    """Return (a, b) of Platt's ``sigmoid(a * logit(p) + b)`` by Newton's method on the log loss."""
    z = np.log(p / (1.0 - p))
    design = np.stack([z, np.ones_like(z)], axis=1)
    beta = np.array([1.0, 0.0])
    # A ridge of one pseudo-observation per 1000 keeps the slope sane where the scores carry next to nothing.
    prior = np.array([1.0, 0.0])
    ridge = np.diag([len(z) * np.var(z) * 0.25 * 0.001, 0.0])
    for _ in range(50):
        q = 1.0 / (1.0 + np.exp(-design @ beta))
        gradient = design.T @ (up - q) - ridge @ (beta - prior)
        hessian = design.T @ (design * (q * (1.0 - q))[:, None]) + ridge
        beta = beta + np.linalg.solve(hessian, gradient)
    return round(float(beta[0]), 6), round(float(beta[1]), 6)


def ranks(x: F64) -> F64:
    """Return average ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    average: F64 = (last - (counts - 1) / 2.0)[inverse]
    return average


def correlation(a: F64, b: F64) -> float:
    """Return Spearman's rank correlation."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def measure(p: F64, sample: Sample, dates: npt.NDArray[np.int64], base: float) -> Metrics:
    """Return the out-of-sample metrics."""
    up = sample.up
    positive, negative = int(up.sum()), int((~up).sum())
    auc = (ranks(p)[up].sum() - positive * (positive + 1) / 2.0) / (positive * negative)
    days = np.unique(sample.day)[::HORIZON]
    daily = np.array([correlation(p[sample.day == d], sample.forward[sample.day == d]) for d in days])
    moved = sample.forward != 0
    constant = np.full(len(p), base)
    return Metrics(
        date_from=int(dates[sample.day.min()]),
        date_to=int(dates[sample.day.max()]),
        n=len(p),
        n_independent=len(p) // HORIZON,
        base_rate=round(float(up.mean()), 4),
        hit_rate=round(float(((p > 0.5) == up)[moved].mean()), 4),
        hit_rate_base=round(float(up[moved].mean()), 4),
        auc=round(float(auc), 4),
        brier=round(float(((p - up) ** 2).mean()), 5),
        brier_base=round(float(((constant - up) ** 2).mean()), 5),
        log_loss=round(log_loss(p, up), 5),
        log_loss_base=round(log_loss(constant, up), 5),
        ic=round(correlation(p, sample.forward), 4),
        ic_daily=round(float(daily.mean()), 4),
        ic_daily_se=round(float(daily.std(ddof=1) / np.sqrt(len(daily))), 4),
    )


def honesty(metrics: Metrics) -> str:
    """Say in words what the figures allow."""
    gain = 1.0 - metrics.brier / metrics.brier_base
    t = metrics.ic_daily / metrics.ic_daily_se
    return (
        f"Out of sample {metrics.date_from}..{metrics.date_to} the Brier score is {metrics.brier:.5f} against "
        f"{metrics.brier_base:.5f} of a constant (a skill of {gain:+.2%}), AUC {metrics.auc:.3f} where 0.5 "
        f"is a coin, hit rate {metrics.hit_rate:.3f} against {metrics.hit_rate_base:.3f} of always saying up. "
        f"The daily rank correlation across stocks is {metrics.ic_daily:+.3f} with t = {t:.1f}. "
        f"Predictions of {HORIZON} days overlap "
        f"and 20 stocks move together, so {metrics.n} predictions are worth far fewer independent ones. "
        "Treat it as a working example of the machinery, not as an edge."
    )


def train() -> tuple[bytes, ModelManifest]:
    """Train, calibrate, measure."""
    dates, closes = read_closes()
    features, forward = build(closes)
    scores = choose(dates, features, forward)
    kind = min(candidates(), key=lambda name: scores[name])
    fit = Sample(features, forward, between(dates, 0, TRAIN_TO, purge=True))
    onnx = to_onnx(candidates()[kind]().fit(fit.x, fit.up))
    tune = Sample(features, forward, between(dates, TRAIN_TO + 1, CALIBRATE_TO, purge=True))
    calibration = calibrate(raw_predictions(onnx, tune.x), tune.up)
    test = Sample(features, forward, between(dates, CALIBRATE_TO + 1, DATA_END, purge=False))
    digest = hashlib.sha256(onnx).hexdigest()

    def calibrated(x: F64) -> F64:
        p = raw_predictions(onnx, x)
        q: F64 = 1.0 / (1.0 + np.exp(-(calibration[0] * np.log(p / (1.0 - p)) + calibration[1])))
        return q

    quantiles = np.quantile(np.abs(calibrated(tune.x) - 0.5), np.linspace(0.0, 1.0, 101))
    metrics = measure(calibrated(test.x), test, dates, float(tune.up.mean()))
    manifest = ModelManifest(
        name=NAME,
        kind=f"{kind} on {len(NAMES)} scale-invariant features of {LOOKBACK} daily closes",
        sha256=digest,
        opset=OPSET,
        opset_ml=OPSET_ML,
        input="features",
        output="probabilities",
        features=NAMES,
        lookback=LOOKBACK,
        bar="1d",
        horizon=f"{HORIZON}d",
        train_from=int(dates[fit.day.min()]),
        train_to=int(dates[fit.day.max()]),
        calibrate_from=int(dates[tune.day.min()]),
        calibrate_to=int(dates[tune.day.max()]),
        test_from=metrics.date_from,
        test_to=metrics.date_to,
        blocked_from=int(dates[0]),
        blocked_to=DATA_END,
        embargo_sessions=EMBARGO,
        calibration=calibration,
        confidence=tuple(round(float(q), 6) for q in quantiles),
        metrics=metrics,
        selection=scores,
        data="skfolio.datasets load_sp500_dataset: 20 S&P 500 stocks, daily closes, before 2015-01-01",
        adjustment="total (splits and dividends folded into the closes)",
        survivorship="the 20 companies were chosen knowing that they survived to 2022; base rates are flattered",
        honesty=honesty(metrics),
        regenerate="pip install 'tradingd[training]' && python ops/training/price_model.py",
    )
    return onnx, manifest


def main() -> None:
    """Train and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = ROOT / "actors" / "predictor" / "models" / "shipped"
    parser.add_argument("--out", type=Path, default=default, help="folder for the .onnx and the .json")
    folder: Path = parser.parse_args().out
    onnx, manifest = train()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.onnx").write_bytes(onnx)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / f"{NAME}.json").write_bytes(text + b"\n")
    print(f"{NAME}: {manifest.kind}, {len(onnx):,} bytes, sha256 {manifest.sha256}")
    for name, value in manifest.selection.items():
        print(f"  folds before 2012, mean log loss {value:.6f}  {name}")
    print(f"  calibration sigmoid({manifest.calibration[0]} * logit(p) + {manifest.calibration[1]})")
    for field, value in msgspec.structs.asdict(manifest.metrics).items():
        print(f"  {field:<14} {value}")
    print(manifest.honesty)


if __name__ == "__main__":
    main()
