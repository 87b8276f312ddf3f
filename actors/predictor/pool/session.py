"""How a graph is computed: on one thread, sequentially, so that the same rows give the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from daemon.kernel.errors import OperatorError

SAID_MAX: Final = 250
"""Characters of a library's error that are told."""


def open_session(data: bytes, path: Path) -> Any:
    """Return an onnxruntime session of checked bytes: one thread, sequential, deterministic.

    Given bytes and no path, it has no folder in which external data could be looked for.

    Raises:
        OperatorError: ``MODEL_FORMAT``, onnxruntime does not take it.
    """
    import onnxruntime  # noqa: PLC0415 - 0.2 s and 50 MB that only who has a model pays

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen kinds that share no parent
        raise OperatorError(f"{path} is not taken by onnxruntime: {said_by(error)}", code="MODEL_FORMAT") from None


def said_by(error: Exception) -> str:
    """Return what a library said, in one line: where it failed stands at its beginning, of what at its end."""
    line = (str(error).splitlines() or [type(error).__name__])[0].strip()
    return line if len(line) <= SAID_MAX else f"{line[: SAID_MAX // 2]} … {line[-SAID_MAX // 2 :]}"
