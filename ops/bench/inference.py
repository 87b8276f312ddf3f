"""What an inference costs: models in eight bits in process, on threads and behind Ray, beside transformers' pipeline.

    python ops/bench/inference.py                      # ten minutes
    python ops/bench/inference.py --quick              # shows that it works
    python ops/bench/inference.py --torch PYTHON       # an interpreter with torch and transformers, for the pipeline
    python ops/bench/inference.py --json               # figures instead of tables

*Texts.* Made-up headlines of 8 to 40 words, no two alike, so that nothing is remembered. Two models: BERT-base (12
layers of 768) of random weights, written here, for the speed of FinBERT, and the sentiment model that ships. *In
process* is one thread that does nothing else. *Host* is ``tradingd inference`` on its socket: ``p50`` and ``p99`` are
of one text at a time, ``texts/s`` of eight texts a request with two requests for each worker under way.

*Tables.* The price model that ships, 500 symbols a call; predictions a second.

*Pipeline.* ``transformers.pipeline`` on torch with a BERT-base of random weights and the same tokenizer, in batches of
eight and one at a time, in float32 and in torch's own eight bits; in this interpreter if it has torch, or in the one
that ``--torch`` names, or not at all, which is said.

*Core.* A core of 500 symbols steps every 5 ms in a process of its own: idle, then while the host computes BERT-base on
all cores. The host is niced by five, as its service is; both share the same cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[:0] = [str(HERE), str(ROOT)]

import hashlib  # noqa: E402

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
import table  # noqa: E402

from actors.messages.columns import pack_f64, pack_i32  # noqa: E402
from actors.messages.inference import InferenceRequested, PredictionReady  # noqa: E402
from actors.messages.sentiment import SentimentReady, SentimentRequested  # noqa: E402
from actors.predictor.models.manifest import load_manifest  # noqa: E402
from actors.predictor.pool.host import HostPool, quantile  # noqa: E402
from actors.predictor.pool.inprocess import InProcessPool  # noqa: E402
from actors.predictor.text.bert import INPUTS, OPSET, OUTPUT, BertConfig, random_weights, write_bert  # noqa: E402
from actors.predictor.text.manifest import MANIFEST, MODEL, TOKENIZER, TextManifest, read_text_manifest  # noqa: E402
from actors.predictor.text.model import TextModel, load_text_model  # noqa: E402
from actors.predictor.text.store import SHIPPED, ModelStore  # noqa: E402

BATCH = 8
SYMBOLS = 500
NICE = 5
WORDS = (
    "shares of the company rise fall after it beats misses estimates for the quarter and raises cuts its outlook while "
    "analysts expect revenue margin growth to slow as demand weakens strengthens in europe asia the regulator approves "
    "rejects deal merger offer dividend buyback bank oil chip maker retailer reports profit loss"
)
BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}


def headlines(n: int, seed: int) -> list[str]:
    """Return made-up headlines, no two alike."""
    words = WORDS.split()
    rng = random.Random(seed)  # noqa: S311 - texts to be fast on, not secrets
    return [f"{i} {' '.join(rng.choices(words, k=rng.randint(8, 40)))}" for i in range(n)]


# -- models ------------------------------------------------------------------------------------------------------------


def lay_bert(store: ModelStore, layers: int) -> tuple[str, dict[str, Any]]:
    """Write a BERT-base of random weights into a store; return its id and what its configuration says."""
    shipped = store.find("sentiment")
    manifest = read_text_manifest(shipped)
    vocabulary = json.loads((shipped / TOKENIZER).read_text("utf-8"))["model"]["vocab"]
    said = BASE | {"num_hidden_layers": layers, "vocab_size": len(vocabulary)}
    config = BertConfig(model_type="bert", **said)
    data = write_bert(random_weights(config, 3, seed=1), config, 3, "random weights", int8=True)
    with store.staging() as stage:
        (stage / MODEL).write_bytes(data)
        (stage / TOKENIZER).write_bytes((shipped / TOKENIZER).read_bytes())
        files = {name: hashlib.sha256((stage / name).read_bytes()).hexdigest() for name in (MODEL, TOKENIZER)}
        made = msgspec.structs.replace(
            manifest, name="bert-base", files=files, opset=OPSET, inputs=INPUTS, output=OUTPUT, max_tokens=64
        )
        (stage / MANIFEST).write_bytes(msgspec.json.encode(made))
        found: TextManifest | None = store.add(stage).manifest
    if found is None:
        message = "the model that was just made cannot be read"
        raise SystemExit(message)
    return found.model_id, said


# -- hosts -------------------------------------------------------------------------------------------------------------


@contextmanager
def host(folder: Path, state: Path, pool: str, workers: int) -> Iterator[HostPool]:
    """Run a host; give a client of it without a fallback."""
    socket = folder / f"{pool}-{workers}.sock"
    options = {"socket": str(socket), "pool": pool, "workers": workers, "state_dir": str(state), "probe": False}
    code = (
        "import os, sys, msgspec\n"
        "from daemon.inference.host import run_host\n"
        "from daemon.inference.options import HostOptions\n"
        f"os.nice({NICE})\n"
        "sys.exit(run_host(msgspec.json.decode(sys.argv[1], type=HostOptions), 'bench', os.environ))\n"
    )
    with (folder / f"{pool}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(options)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    client = HostPool(str(socket), deadline_s=120.0, fallback=None, taken_s=30.0)
    client.start()
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(60)


def first(client: HostPool, request: SentimentRequested | InferenceRequested) -> None:
    """Wait for the first answer, which loads the model in a worker."""
    began = time.monotonic()
    while time.monotonic() - began < 180:
        answer = client.predict(request) if isinstance(request, InferenceRequested) else client.sentiment(request)
        if isinstance(answer, PredictionReady | SentimentReady):
            return
        time.sleep(0.2)
    message = f"the host does not answer: {answer.reason}"
    raise SystemExit(message)


def asked(model_id: str, texts: list[str]) -> SentimentRequested:
    """Return a request."""
    return SentimentRequested(f"b-{texts[0]}", model_id, tuple(map(str, range(len(texts)))), tuple(texts), 0)


class Texts:
    """Headlines that nobody has been asked about, for any number of threads."""

    def __init__(self) -> None:
        self._n = 0
        self._lock = threading.Lock()

    def take(self, n: int) -> list[str]:
        """Return the next ``n``."""
        with self._lock:
            self._n += 1
            return headlines(n, self._n)


def one_at_a_time(ask: Callable[[list[str]], Any], texts: Texts, seconds: float) -> dict[str, float]:
    """Return p50 and p99 of single texts, milliseconds."""
    times = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        given = texts.take(1)
        at = time.perf_counter()
        ask(given)
        times.append((time.perf_counter() - at) * 1e3)
    times.sort()
    return {"p50_ms": quantile(times, 0.5), "p99_ms": quantile(times, 0.99)}


def all_at_once(ask: Callable[[list[str]], Any], texts: Texts, seconds: float, under_way: int) -> float:
    """Return texts a second with so many requests of eight under way."""
    done = [0] * under_way
    stop = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < stop:
            ask(texts.take(BATCH))
            done[number] += BATCH

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(under_way)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - began)


def scored(client: HostPool, model_id: str) -> Callable[[list[str]], None]:
    """Return what asks a host and accepts nothing but scores."""

    def ask(texts: list[str]) -> None:
        answer = client.sentiment(asked(model_id, texts))
        if not isinstance(answer, SentimentReady):
            raise SystemExit(answer.reason)

    return ask


# -- what is measured --------------------------------------------------------------------------------------------------


def measure_here(models: dict[str, str], state: Path, seconds: float) -> list[Any]:
    """Return a row for each model on one thread of this process."""
    texts, store, rows = Texts(), ModelStore(state), []
    for name, model_id in models.items():
        model: TextModel = load_text_model(store.find(model_id), probe=False)
        model.score(texts.take(BATCH))
        row = one_at_a_time(model.score, texts, seconds) | {"per_s": all_at_once(model.score, texts, seconds, 1)}
        rows.append({"model": name, "who": "in process, 1 thread"} | row)
    return rows


def measure_hosts(
    folder: Path, state: Path, models: dict[str, str], sizes: dict[str, list[int]], seconds: float
) -> tuple[list[Any], list[Any]]:
    """Return rows of texts and of tables; ``sizes`` are numbers of workers by pool, the last for tables, too."""
    texts, rows, tables = Texts(), [], []
    for pool, counts in sizes.items():
        for count in counts:
            who = f"host, {pool}, {count} worker{'s'[: count > 1]}"
            with host(folder, state, pool, count) as client:
                for name, model_id in models.items():
                    ask = scored(client, model_id)
                    first(client, asked(model_id, texts.take(BATCH)))
                    all_at_once(ask, texts, seconds / 4, 2 * count)  # every worker loads it
                    row = one_at_a_time(ask, texts, seconds)
                    row |= {"per_s": all_at_once(ask, texts, seconds, 2 * count)}
                    rows.append({"model": name, "who": who} | row)
                if count == counts[-1]:
                    first(client, table_request())
                    tables.append({"model": "price_5d", "who": who} | table_rate(client.predict, 2 * count, seconds))
    return rows, tables


def table_request() -> InferenceRequested:
    """Return a request for 500 predictions of the price model that ships."""
    manifest = load_manifest("price_5d")
    rows = np.random.default_rng(1).normal(scale=0.02, size=SYMBOLS * len(manifest.features))
    return InferenceRequested("b", manifest.model_id, "b", 1, pack_i32(range(SYMBOLS)), pack_f64(rows), 0)


class Nothing(Texts):
    """Stands for texts where tables are asked."""

    def take(self, n: int) -> list[str]:
        """Return as many empty ones."""
        return [""] * n


def table_rate(predict: Callable[[InferenceRequested], Any], under_way: int, seconds: float) -> dict[str, float]:
    """Return p50 and p99 of a call, and predictions a second."""
    request = table_request()

    def ask(_: list[str]) -> None:
        answer = predict(request)
        if not isinstance(answer, PredictionReady):
            raise SystemExit(answer.reason)

    all_at_once(ask, Nothing(), seconds / 4, under_way)
    calls = all_at_once(ask, Nothing(), seconds, under_way) / BATCH
    return one_at_a_time(ask, Nothing(), seconds) | {"per_s": calls * SYMBOLS}


def tables_here(seconds: float) -> dict[str, Any]:
    """Return the row of the price model on one thread of this process."""
    pool = InProcessPool([load_manifest("price_5d")])
    return {"model": "price_5d", "who": "in process, 1 thread"} | table_rate(pool.predict, 1, seconds)


def measure_pipeline(python: str, config: dict[str, Any], state: Path, seconds: float) -> dict[str, Any]:
    """Return the figures of transformers' pipeline, or why there are none."""
    if not python:
        return {"problem": "this interpreter has no torch; name one that has with --torch"}
    tokenizer = ModelStore(state).find("sentiment") / TOKENIZER
    asking = {"config": config, "texts": headlines(512, 7), "tokenizer": str(tokenizer), "batch": BATCH}
    environ = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS") and k != "PYTHONPATH"}
    answer = subprocess.run(
        [python, str(HERE / "peer_transformers.py")],
        input=json.dumps(asking | {"seconds": seconds}),
        capture_output=True,
        text=True,
        check=False,
        env=environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
    )
    if answer.returncode:
        return {"problem": (answer.stderr.strip().splitlines() or ["it failed"])[-1][:200]}
    found: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return found


def measure_core(folder: Path, state: Path, model_id: str, workers: int, seconds: float) -> dict[str, Any]:
    """Return the core's steps, idle and while a host computes as much as it can."""

    def steps() -> dict[str, Any]:
        command = [sys.executable, str(HERE / "inference_core.py"), str(seconds)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    found = {"idle": steps()}
    texts, stop = Texts(), threading.Event()
    with host(folder, state, "threads", workers) as client:
        first(client, asked(model_id, texts.take(1)))
        ask = scored(client, model_id)

        def load() -> None:
            while not stop.is_set():
                ask(texts.take(BATCH))

        threads = [threading.Thread(target=load) for _ in range(2 * workers)]
        for thread in threads:
            thread.start()
        try:
            found["host saturated"] = steps()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    return found


# -- telling -----------------------------------------------------------------------------------------------------------


def render(answer: dict[str, Any]) -> str:
    """Return everything as text."""
    rows = [
        [row["model"], row["who"], f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['per_s']:,.0f}"]
        for row in answer["texts"]
    ]
    peer = answer["pipeline"]
    for name in ("float32", "int8"):
        if name in peer:
            row = peer[name]
            who = f"transformers.pipeline, torch {name}, {peer['threads']} threads"
            rows.append(["bert-base", who, f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['per_s']:,.0f}"])
    tables = [
        [row["model"], row["who"], f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['per_s']:,.0f}"]
        for row in answer["tables"]
    ]
    core = [
        [
            what,
            f"{row['steps']:,}",
            *(f"{row[part][q]:,.0f}" for part in ("step_us", "late_us") for q in ("p50", "p99")),
        ]
        for what, row in answer["core"].items()
    ]
    head = ("model", "who", "p50 ms", "p99 ms")
    parts = [
        f"Python {answer['python']}, {answer['cores']} cores, load {answer['load']:.1f} before",
        "",
        table.grid((*head, "texts/s"), rows),
    ]
    if "problem" in peer:
        parts.append(f"transformers.pipeline: not measured, {peer['problem']}")
    else:
        parts.append(f"transformers {peer['transformers']}, torch {peer['torch']}")
    parts += ["", f"{SYMBOLS} symbols a call", table.grid((*head, "predictions/s"), tables), ""]
    parts += [
        "The core's steps of 500 symbols, one each 5 ms, us",
        table.grid(("", "steps", "step p50", "step p99", "woken late p50", "late p99"), core),
    ]
    return "\n".join(parts)


def main() -> None:
    """Measure everything and tell it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short rounds and two layers: shows that it works")
    parser.add_argument("--torch", metavar="PYTHON", default="", help="an interpreter with torch and transformers")
    parser.add_argument("--json", action="store_true", help="figures instead of tables")
    arguments = parser.parse_args()
    here = sys.executable if importlib.util.find_spec("torch") else ""
    seconds = 1.0 if arguments.quick else 10.0
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="tb-") as name:
        folder, state = Path(name), Path(name) / "state"
        model_id, config = lay_bert(ModelStore(state), 2 if arguments.quick else 12)
        shipped = read_text_manifest(SHIPPED / "sentiment").model_id
        models = {"bert-base": model_id, "sentiment": shipped}
        sizes = {"threads": sorted({1, cores}), "ray": [cores] if arguments.quick else sorted({1, cores})}
        texts, tables = measure_hosts(folder, state, models, sizes, seconds)
        answer = {
            "python": platform.python_version(),
            "cores": cores,
            "load": os.getloadavg()[0],
            "config": config,
            "texts": measure_here(models, state, seconds) + texts,
            "tables": [tables_here(seconds), *tables],
            "pipeline": measure_pipeline(arguments.torch or here, config, state, seconds),
            "core": measure_core(folder, state, model_id, cores, seconds),
        }
    print(json.dumps(answer) if arguments.json else render(answer))


if __name__ == "__main__":
    main()
