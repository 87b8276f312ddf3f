"""``tradingd strategy new``: a strategy that runs, its test and its parameters, to start from."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Final

from daemon.kernel.errors import OperatorError, UsageError

_STRATEGY: Final = '''"""{name}: say here in one sentence what it believes about prices."""

from typing import Annotated

from actors.api import Meta, Params, Signal, Window, strategy


class {title}Params(Params):
    """What can be tuned; bounds are checked before a run starts."""

    fast: Annotated[int, Meta(ge=2, le=60)] = 10
    slow: Annotated[int, Meta(ge=5, le=240)] = 30


@strategy(name="{name}", params={title}Params, lookback=lambda p: max(p.fast, p.slow), horizon=5)
def {name}(w: Window, p: {title}Params) -> Signal | None:
    """Buy when the fast average is above the slow one."""
    if len(w) < max(p.fast, p.slow):
        return None
    edge = w.close[-p.fast :].mean() / w.close[-p.slow :].mean() - 1
    return Signal(score=max(-1.0, min(1.0, edge * 20)), reason=f"edge={{edge:+.4f}}")
'''

_TEST: Final = '''"""Tests of {name}: run with pytest."""

from pathlib import Path

from actors.predictor.check import check_strategy

FILE = Path(__file__).with_name("{name}.py")


def test_passes_the_ten_checks() -> None:
    """It is deterministic, causal, within bounds and fast enough."""
    failed = [result for result in check_strategy(f"{{FILE}}:{name}") if not result.ok]
    assert failed == []
'''

_PARAMS: Final = '{"fast": 10, "slow": 30}\n'


def new_strategy(name: str, folder: Path) -> list[Path]:
    """Write ``name.py``, ``test_name.py`` and ``name.params.json``; nothing is overwritten.

    Returns:
        The files written.

    Raises:
        UsageError: the name is no Python name.
        OperatorError: a file is there already, or the folder cannot be written.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise UsageError(
            f"{name!r} cannot be a strategy's name", code="BAD_NAME", remedy="use lower-case letters, digits and _"
        )
    title = "".join(part.capitalize() for part in name.split("_"))
    contents = {
        folder / f"{name}.py": _STRATEGY.format(name=name, title=title),
        folder / f"test_{name}.py": _TEST.format(name=name),
        folder / f"{name}.params.json": _PARAMS,
    }
    taken = [path for path in contents if path.exists()]
    if taken:
        raise OperatorError(f"{taken[0]} is there already", code="FILE_EXISTS", remedy="choose another name or folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in contents.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{error.filename} cannot be written: {error.strerror}", code="UNWRITABLE") from None
    return list(contents)
