"""The peer of ``inference.py``: ``transformers.pipeline`` on torch, over the same texts, where an interpreter has both.

Reads JSON from standard input: ``{"config": {...}, "texts": [...], "tokenizer": PATH, "batch": 8, "seconds": 5}``; the
network is a BertForSequenceClassification of that configuration with random weights, in float32, and quantised
dynamically to eight bits as torch does it. Writes one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

MAX_TOKENS = 64


def measured(classify: Any, texts: list[str], batch: int, seconds: float) -> dict[str, float]:
    """Return texts a second in batches, and p50 and p99 of one text at a time, milliseconds."""
    options = {"truncation": True, "max_length": MAX_TOKENS}
    classify(texts[:batch], batch_size=batch, **options)
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        start = done % (len(texts) - batch)
        classify(texts[start : start + batch], batch_size=batch, **options)
        done += batch
    rate = done / took
    times = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        at = time.perf_counter()
        classify([texts[len(times) % len(texts)]], **options)
        times.append((time.perf_counter() - at) * 1e3)
    times.sort()
    return {"per_s": rate, "p50_ms": times[len(times) // 2], "p99_ms": times[int(0.99 * len(times))]}


def main() -> None:
    """Measure what standard input asks for."""
    warnings.filterwarnings("ignore")
    import torch  # noqa: PLC0415 - in this interpreter alone
    import transformers  # noqa: PLC0415

    transformers.logging.set_verbosity_error()
    asked = json.load(sys.stdin)
    config = transformers.BertConfig(num_labels=3, **asked["config"])
    torch.manual_seed(1)
    model = transformers.BertForSequenceClassification(config).eval()
    marks = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep")}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=asked["tokenizer"], **marks)
    answer: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
    for name in ("float32", "int8"):
        if name == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        classify = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device=-1)
        answer[name] = measured(classify, asked["texts"], asked["batch"], asked["seconds"])
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
