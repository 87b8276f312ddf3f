"""An inference host with models of a test's own: ``python -m tests.inference.serve OPTIONS`` (JSON)."""

from __future__ import annotations

import os
import sys

import msgspec

from daemon.inference.host import run_host
from daemon.inference.options import HostOptions

if __name__ == "__main__":
    sys.exit(run_host(msgspec.json.decode(sys.argv[1], type=HostOptions), "a test", os.environ))
