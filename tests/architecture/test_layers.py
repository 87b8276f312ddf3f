"""What the import contracts cannot say: the kernel's one dependency, and what importing a room may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ACTORS = sorted(path.parent.name for path in (ROOT / "actors").glob("*/actor.py"))
# Each costs tenths of a second or tens of megabytes (design section 8); rooms import them inside functions or ports.
HEAVY = [
    "aiosqlite",
    "alpaca",
    "anyio",
    "cvxpy",
    "exchange_calendars",
    "matplotlib",
    "onnxruntime",
    "pandas",
    "polars",
    "polygon",
    "pydantic",
    "ray",
    "requests",
    "rich",
    "scipy",
    "skfolio",
    "sklearn",
    "slack_sdk",
    "structlog",
    "transformers",
    "typer",
    "websockets",
]

# Of the standard library, what computes from its arguments alone. The module time is in one place, SystemClock, and
# random makes ctx.rng: test_tidy.py holds both to it.
PURE = {
    "__future__",
    "collections",
    "enum",
    "hashlib",
    "heapq",
    "random",
    "struct",
    "traceback",
    "typing",
}


def top_level_imports(path: Path) -> set[str]:
    """Return the first parts of everything a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_kernel_needs_nothing_but_msgspec() -> None:
    """Of our own packages it knows daemon.kernel only; of others msgspec only; of the standard library pure parts."""
    allowed = PURE | {"daemon", "msgspec"}
    paths = sorted((ROOT / "daemon" / "kernel").rglob("*.py"))
    foreign = {path.name: sorted(top_level_imports(path) - allowed) for path in paths}
    assert {name: found for name, found in foreign.items() if found} == {"clock.py": ["time"]}


@pytest.mark.parametrize("room", ACTORS)
def test_importing_an_actor_is_light(room: str) -> None:
    """A daemon that starts must not pay for libraries that only one command or port uses."""
    code = f"import sys, actors.{room}.actor; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def test_there_are_actors() -> None:
    """The parametrised test above would pass on none."""
    assert set(ACTORS) >= {"broker", "portfolio", "predictor", "risk"}
