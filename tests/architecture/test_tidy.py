"""The source is read by a machine as strictly as by a person: what core rooms must not do, and how big things may be.

The core is deterministic: a clock, a random number, an address or the order of a set that reaches an event makes two
runs of the same inputs differ. Types and tests cannot see that; reading the source can. A line that must break a rule
says why: ``# nondeterminism-ok: <why>``.
"""

from __future__ import annotations

import ast
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.reading import read

ROOT = Path(__file__).resolve().parents[2]

CORE_FOLDERS = (
    "daemon/kernel",
    "actors/values",
    "actors/messages",
    "actors/predictor",
    "actors/portfolio",
    "actors/risk",
    "actors/broker",
)
# Code of core rooms that runs outside the core: ports and pools do I/O, the registry loads plug-ins, check and scaffold
# are commands, models are loaded once before a run, text models are asked by pools alone.
NOT_CORE = ("/ports/", "/pool/", "/registry.py", "/check.py", "/scaffold.py", "/models/", "/text/")

MODULE_LINES_MAX, MODULE_LINES_AIM, TEST_LINES_MAX = 600, 400, 800
FUNCTION_LINES_MAX, FUNCTION_LINES_AIM = 90, 60


def core_files() -> list[Path]:
    """Return the modules that make up the core."""
    files = [path for folder in CORE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if not any(part in f"/{path.relative_to(ROOT).as_posix()}" for part in NOT_CORE)]


def tracked() -> list[Path]:
    """Return the files under version control, or all there are where it is not at hand."""
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if answer.returncode == 0:
        return [path for name in answer.stdout.splitlines() if (path := ROOT / name).is_file()]
    folders = ("daemon", "actors", "config", "systemd", "tests", "ops", ".ci")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def python_files() -> Iterator[Path]:
    """Return the tracked Python modules."""
    return (path for path in tracked() if path.suffix == ".py")


def texts() -> Iterator[tuple[str, str]]:
    """Return name and content of each tracked text file."""
    for path in tracked():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


# ------------------------------------------------------------------------------------------- the check checks itself

CAUGHT = {
    "clock": "import time\nnow = time.time()",
    "clock under another name": "import time as t\nnow = t.monotonic()",
    "clock imported by name": "from time import perf_counter",
    "sleep": "from time import sleep",
    "datetime.now": "from datetime import datetime\nx = datetime.now()",
    "datetime.utcnow by module": "import datetime\nx = datetime.datetime.utcnow()",
    "date.today": "from datetime import date as d\nx = d.today()",
    "random": "import random\nx = random.random()",
    "random by name": "from random import shuffle",
    "a generator of one's own": "import random\nx = random.Random(1)",
    "a generator by name": "from random import Random\nx = Random(1)",
    "numpy.random": "import numpy as np\nx = np.random.default_rng()",
    "numpy.random imported": "from numpy.random import default_rng",
    "numpy.random as attribute": "from numpy import random",
    "uuid": "from uuid import uuid4",
    "secrets": "import secrets",
    "os": "import os",
    "os.path": "import os.path",
    "file": "x = open('f')",
    "path": "from pathlib import Path",
    "numpy file": "import numpy as np\nx = np.load('f')",
    "socket": "import socket",
    "process": "import subprocess",
    "thread": "import threading",
    "event loop": "import asyncio",
    "print": "print('x')",
    "hash": "x = hash('a')",
    "id": "x = id(object())",
    "loop over a literal": "for x in {1, 2}:\n    pass",
    "loop over set()": "for x in set(y):\n    pass",
    "comprehension over a set": "z = [x for x in {1, 2}]",
    "generator over a frozenset": "z = sum(x for x in frozenset(y))",
    "list of a set": "z = list({1, 2})",
    "tuple of a set": "z = tuple(set(y))",
    "sum of a set": "z = sum({0.1, 0.2})",
    "enumerate a set": "z = enumerate({1, 2})",
    "first of a set": "z = next(iter({1, 2}))",
    "unpacking a set": "z = [*{1, 2}]",
    "joining a set": "z = ','.join({'a', 'b'})",
    "pop from a set": "s = {1, 2}\ns.pop()",
    "a name bound to a set": "s = set()\nfor x in s:\n    pass",
    "an annotated attribute": "class A:\n    def f(self):\n        self.s: set[int] = g()\n        return list(self.s)",
    "a class annotation": "class A:\n    s: frozenset[str]\n    def f(self):\n        return tuple(self.s)",
    "an argument": "def f(s: set[int]):\n    return [x for x in s]",
    "a union": "a = {1}\nfor x in a | b:\n    pass",
    "a method's set": "a = {1}\nfor x in a.union(b):\n    pass",
    "an escape without a reason": "x = hash('a')  # nondeterminism-ok:",
}

ALLOWED = {
    "membership": "x = 1 in {1, 2}",
    "sorted": "for x in sorted({2, 1}):\n    pass",
    "length": "x = len(set(y))",
    "set from set": "x = {a for a in {1, 2}}",
    "dictionary": "for x in {1: 2}:\n    pass\nfor y in dict.fromkeys([1]):\n    pass",
    "pop from a list": "s = [1]\ns.pop()",
    "pop from a dict": "s = {}\ns.pop(1)",
    "an attribute called time": "x = order.time",
    "an argument called id": "def f(id):\n    return id + 1",
    "fixed dates": "from datetime import UTC, datetime\nx = datetime(1970, 1, 1, tzinfo=UTC)",
    "an escape with a reason": "x = hash('a')  # nondeterminism-ok: only compared inside one process",
    "a generator's type": "import random\ndef f(rng: random.Random):\n    return rng.random()",
    "a string": "x = 'import time; time.time()'",
}


@pytest.mark.parametrize("name", CAUGHT)
def test_the_check_catches(name: str) -> None:
    """Each banned thing is found, on its line."""
    findings = read(textwrap.dedent(CAUGHT[name]))
    assert findings, name
    assert all(finding.line > 0 for finding in findings)


@pytest.mark.parametrize("name", ALLOWED)
def test_the_check_allows(name: str) -> None:
    """What is harmless or explained passes."""
    assert read(textwrap.dedent(ALLOWED[name])) == []


# -------------------------------------------------------------------------------------------------------- the source


# What the kernel alone may do, because everybody else gets it from there.
EXCEPT = {
    "daemon/kernel/clock.py": "imports time:",  # SystemClock; the next test holds it to its class
    "daemon/kernel/ids.py": "makes a generator:",  # rng(seed, path) is where ctx.rng comes from
}


def test_core_rooms_have_no_clock_no_chance_no_io() -> None:
    """Clock, generator and ids come from the kernel, everything else from messages."""
    found = [
        f"{name}:{finding.line} {finding.what}"
        for path in core_files()
        for finding in read(path.read_text("utf-8"))
        if not finding.what.startswith(EXCEPT.get(name := path.relative_to(ROOT).as_posix(), "\0"))
    ]
    assert found == []


def _class_lines(source: str, name: str) -> range:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    message = f"there is no class {name}"
    raise AssertionError(message)


def test_the_clock_is_read_only_by_the_system_clock() -> None:
    """Outside SystemClock the kernel's clock module does not touch the time module it imports."""
    source = (ROOT / "daemon" / "kernel" / "clock.py").read_text("utf-8")
    allowed = _class_lines(source, "SystemClock")
    uses = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and n.id == "time"]
    assert uses
    assert [node.lineno for node in uses if node.lineno not in allowed] == []


def test_modules_are_of_readable_size() -> None:
    """At most 600 lines, a test module 800; what is above 400 is printed, to be looked at."""
    sizes = {p.relative_to(ROOT).as_posix(): len(p.read_text("utf-8").splitlines()) for p in python_files()}
    for name, lines in sorted(sizes.items(), key=lambda item: -item[1]):
        if lines > MODULE_LINES_AIM:
            print(f"{name} has {lines} lines; the aim is {MODULE_LINES_AIM}")  # noqa: T201 - shown by pytest -rP
    limits = {name: TEST_LINES_MAX if name.startswith("tests/") else MODULE_LINES_MAX for name in sizes}
    assert {name: lines for name, lines in sizes.items() if lines > limits[name]} == {}


def test_functions_are_of_readable_size() -> None:
    """At most 90 lines with docstring; what is above 60 is printed, to be looked at."""
    too_long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            where = f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name} has {lines} lines"
            if lines > FUNCTION_LINES_MAX:
                too_long.append(where)
            elif lines > FUNCTION_LINES_AIM:
                print(f"{where}; the aim is {FUNCTION_LINES_AIM}")  # noqa: T201 - shown by pytest -rP
    assert too_long == []


def test_no_marker_of_unfinished_work_is_left() -> None:
    """What is not done is an issue, not a comment."""
    words = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"])
    marker = re.compile(rf"\b({words})\b")
    assert [name for name, text in texts() if marker.search(text)] == []


def test_no_path_of_a_machine_and_no_registry_is_named() -> None:
    """A clone works anywhere: nothing names a developer's folder or a package index."""
    parts = ["/wo" + "rk/", "/ro" + "ot/", "/opt/whe" + "els", "/opt/py" + "pi", r"pyp" + r"i\.org"]
    parts += ["python" + "hosted", r"registry\." + "npmjs", r"deb\.deb" + "ian"]
    banned = re.compile("|".join(rf"(?<![A-Za-z0-9_.]){part}" for part in parts))
    assert [name for name, text in texts() if banned.search(text)] == []


def test_top_level_entries_are_the_agreed_ones() -> None:
    """The house has these rooms; a new one is a decision, not an accident."""
    agreed = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml", "requirements.lock"}
    agreed |= {"actors", "config", "daemon", "ops", "systemd", "tests"}
    entries = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert sorted(entry for entry in entries - agreed if not entry.startswith(".")) == []


@pytest.mark.parametrize("package", ["daemon", "actors", "config"])
def test_the_top_packages_say_nothing(package: str) -> None:
    """Importing one must not import what lies in it, and a merged foreign package would show here."""
    assert (ROOT / package / "__init__.py").read_text("utf-8").strip() == ""
