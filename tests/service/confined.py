"""The system calls that a unit leaves a program, laid upon a test's child as the service manager would."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from daemon.service.installation import template

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EPERM = 1

needs_seccomp = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
    reason="systemd-analyze or libseccomp is not here",
)


@cache
def _calls(name: str) -> frozenset[str]:
    """Return the calls of one of systemd's own sets, ``@chown`` among them."""
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = [line.strip() for line in answer.stdout.splitlines()[1:]]
    return frozenset(call for line in lines if line and not line.startswith("#") for call in _named(line))


def _named(text: str) -> Iterator[str]:
    for name in text.split():
        yield from _calls(name) if name.startswith("@") else [name]


def allowed(unit: str) -> set[str]:
    """Return the calls a unit allows, systemd.exec(5): the first line begins a list, the others add and take away."""
    found: set[str] = set(_calls("@default"))
    for line in re.findall(r"^SystemCallFilter=(.*)$", template(unit), re.MULTILINE):
        if line.startswith("~"):
            found -= set(_named(line[1:]))
        else:
            found |= set(_named(line))
    return found


def confinement(unit: str) -> Callable[[], None]:
    """Return what a child calls before it becomes a program: other calls than its unit's answer EPERM from then on."""
    lib = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    resolved = [lib.seccomp_syscall_resolve_name(name.encode()) for name in sorted(allowed(unit))]
    numbers = [number for number in resolved if number >= 0]  # others are of another machine

    def confine() -> None:
        context = ctypes.c_void_p(lib.seccomp_init(_ERRNO | _EPERM))
        for number in numbers:
            lib.seccomp_rule_add(context, _ALLOW, ctypes.c_int(number), 0)
        if lib.seccomp_load(context):
            os._exit(99)

    return confine
