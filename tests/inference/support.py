"""Inference hosts for tests: real ones, in processes of their own, and requests to ask them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actors.messages.columns import pack_f64, pack_i32
from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.models.manifest import ModelManifest, load_manifest
from actors.predictor.pool.breaker import BreakerState
from actors.predictor.pool.host import HostPool

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
MODEL: ModelManifest = load_manifest("price_5d")


def table(n: int, number: int = 0, *, model_id: str = MODEL.model_id, seed: int = 1) -> InferenceRequested:
    """Return a request for ``n`` symbols with features as of daily returns."""
    rows = np.random.default_rng([seed, number]).normal(scale=0.02, size=n * len(MODEL.features))
    return InferenceRequested(f"a-{number}", model_id, "a", number, pack_i32(range(n)), pack_f64(rows), 0)


class Elsewhere:
    """A fallback that says who answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, request: InferenceRequested) -> PredictionReady | PredictionUnavailable:
        """Answer one half for everything."""
        self.asked.append(request.request_id)
        half = pack_f64([0.5] * (len(request.ids) // 4))
        return PredictionReady(request.request_id, request.model_id, "5d", request.ids, half, half)

    def sentiment(self, request: SentimentRequested) -> SentimentReady | PredictionUnavailable:
        """Answer neutral."""
        self.asked.append(request.request_id)
        p = pack_f64([0.0, 1.0, 0.0] * len(request.texts))
        return SentimentReady(request.request_id, request.model_id, request.news_ids, p)


class Host:
    """A host's process, which can be started again on the same socket."""

    def __init__(self, folder: Path, sets: Sequence[str], options: dict[str, Any] | None = None) -> None:
        """Write nothing; ``folder`` is short enough for a socket. ``options`` start it without a configuration."""
        self.folder = folder
        self.socket = folder / "inference.sock"
        self.sets = [f"paths.state_dir={folder}/state", f"paths.runtime_dir={folder}", *sets]
        self.options = options
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.preexec: Callable[[], None] | None = None
        """Called in the child before it becomes the host."""

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        if self.options is None:
            config = self.folder / "host.toml"
            config.touch()
            command = [sys.executable, "-m", "daemon", "inference", "--config", str(config)]
            for item in self.sets:
                command += ["--set", item]
        else:
            told = msgspec.json.encode({"socket": str(self.socket)} | self.options).decode()
            command = [sys.executable, "-m", "tests.inference.serve", told]
        env = {k: v for k, v in os.environ.items() if not k.startswith("TRADINGD_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=env | {"PYTHONPATH": str(ROOT)} | environ,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=self.preexec,  # noqa: PLW1509 - confine the child
            )
        return self.process

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process is not None
        return self.process.pid

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(START_S)

    def close(self) -> None:
        """End it however it stands."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)


@contextmanager
def running(*sets: str, start: bool = True, options: dict[str, Any] | None = None, **environ: str) -> Iterator[Host]:
    """Run a host."""
    with tempfile.TemporaryDirectory(prefix="td-") as name:
        host = Host(Path(name), sets, options)
        try:
            if start:
                host.start(**environ)
            yield host
        finally:
            host.close()


@contextmanager
def asking(host: Host, **options: Any) -> Iterator[HostPool]:
    """Run a client of a host, which may not be there yet."""
    options = {"deadline_s": 5.0, "fallback": None, "taken_s": 5.0} | options
    pool = HostPool(str(host.socket), **options)
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def until(holds: Callable[[], bool], what: str, seconds: float = START_S) -> float:
    """Wait until something holds that no descriptor tells of; return the seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"{what} did not come about within {seconds:g} s"
        time.sleep(0.005)
    return time.monotonic() - began


def reachable(pool: HostPool) -> float:
    """Wait until the breaker lets requests through; return the seconds it took."""
    return until(lambda: pool.facts().breaker != BreakerState.OPEN, "a host that answers")
