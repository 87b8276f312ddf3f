"""A model nobody has loaded yet is loaded for the first time in a process of its own, with little to break.

The checks before a load are strict, but the file is a stranger's all the same: a graph may still ask for all the memory
there is, or compute for ever. Here that ends a child with bounded memory and time, not the program that was asked to
import it.

    python -m actors.predictor.text.trial FOLDER MEMORY CPU_S JUDGE PARENT   one line of JSON; 0: holds, 3: does not
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from actors.predictor.text.manifest import MODEL
from actors.predictor.text.model import load_text_model
from actors.predictor.text.parity import FULL, compare
from daemon.kernel.errors import OperatorError

MEMORY_MAX: Final = 8 * 1024**3
"""Bytes of address space: FinBERT in float32 and eight bits, one after the other, take about three."""
CPU_S: Final = 300
BASE_TOKENS: Final = 64
"""Tokens of a row for which these seconds are meant."""
WAIT: Final = 10
"""Seconds waited for one of computing: other work of the machine comes in between."""
_HOLDS, _FAILS = 0, 3
_PR_SET_PDEATHSIG: Final = 1


def try_model(
    folder: Path, *, memory: int = MEMORY_MAX, cpu_s: int = CPU_S, judge: bool = True
) -> dict[str, dict[str, float]]:
    """Load a model in a child process, ask it the sentences nobody doubts, and return what was measured.

    How much memory and time a text takes depends on the number of its tokens alone (``flow``), so every number is
    tried: what passed here does not end the program that uses it.

    Args:
        folder: of the model; beside ``model.onnx`` may lie ``model_fp32.onnx``, which is then compared.
        memory: most bytes of address space the child may take.
        cpu_s: most seconds it may compute, for each 64 tokens of its longest row.
        judge: refuse wrong answers, too; else it is only seen whether the model can be loaded and asked.

    Raises:
        OperatorError: what ``load_text_model`` says, or ``MODEL_TRIAL``: the child died of it.
    """
    command = [sys.executable, "-m", __name__, str(folder), str(memory), str(cpu_s), str(int(judge)), str(os.getpid())]
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if key in os.environ}
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - our own module, with a folder as its only argument
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT * cpu_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _ended(folder, f"no end after {WAIT * cpu_s} s", "nothing") from None
    if done.returncode == _HOLDS:
        measured: dict[str, dict[str, float]] = json.loads(done.stdout)
        return measured
    if done.returncode == _FAILS:
        said = json.loads(done.stdout)
        raise OperatorError(said["message"], code=said["code"], remedy=said["remedy"])
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
    raise _ended(folder, how, (done.stderr.strip().splitlines() or ["nothing"])[-1][:200])


def _ended(folder: Path, how: str, said: str) -> OperatorError:
    return OperatorError(
        f"{folder / MODEL} ended the process that tried to load it ({how}; it said: {said})",
        code="MODEL_TRIAL",
        remedy="it asks for more memory or time than a text model needs, and is not used",
    )


def _end_with(parent: int) -> None:
    """Have the kernel end this process with the one that wants to know; at once where that has gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _main(folder: str, memory: str, cpu_s: str, judge: str, parent: str) -> int:
    _end_with(int(parent))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), WAIT * int(cpu_s)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: Any
    try:
        model = load_text_model(Path(folder), probe=judge == "1")
        times = -(-model.manifest.max_tokens // BASE_TOKENS)
        resource.setrlimit(resource.RLIMIT_CPU, (times * int(cpu_s), WAIT * int(cpu_s)))
        model.check_lengths()
        answer = {}
        if judge == "1":
            model.check_independence()
            answer = compare(Path(folder), model) if FULL in model.manifest.files else {}
        code = _HOLDS
    except OperatorError as error:
        answer = {"message": error.message, "code": error.code, "remedy": error.remedy}
        code = _FAILS
    sys.stdout.write(json.dumps(answer))
    return code


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
