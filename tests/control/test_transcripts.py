"""Golden transcripts: what a client says and, to the byte, what the daemon answers.

Each line of a transcript is one of ``{"note": ...}``, ``{"client": request}``, ``{"raw": "a line"}``, ``{"daemon":
answer}``, ``{"daemon": "closes"}``, or, at the head, what is different from an admin at a daemon that is ready:
``role``, ``attached``, ``problems``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.control import server
from daemon.control.calls import Peer, Role
from daemon.control.methods import METHODS
from tests.control.parts import running

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))
DAEMON = '{"daemon": '


def setting(lines: list[str], name: str, default: Any) -> Any:
    """Return what the head of a transcript says."""
    return next((entry[name] for line in lines if name in (entry := json.loads(line))), default)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation takes place exactly so."""
    lines = path.read_text("utf-8").splitlines()
    role = Role[setting(lines, "role", "admin").upper()]
    monkeypatch.setattr(server, "peer_of", lambda *_: Peer(1000, 1000, 4711, role))
    with running(attach=setting(lines, "attached", True)) as daemon:
        with daemon.client(hello=False) as client:
            for line in lines:
                _play(client, line)
        assert daemon.problems == setting(lines, "problems", [])
        daemon.problems.clear()


def _play(client: Any, line: str) -> None:
    entry = json.loads(line)
    if "client" in entry:
        client.send(line.removeprefix('{"client": ')[:-1].encode() + b"\n")
    elif "raw" in entry:
        client.send(entry["raw"].encode() + b"\n")
    elif entry.get("daemon") == "closes":
        assert client.text() is None
    elif "daemon" in entry:
        assert client.text() == line.removeprefix(DAEMON)[:-1]


def test_every_family_and_every_kind_of_error_has_a_transcript() -> None:
    """The files show all of the protocol, not the easy half."""
    text = "".join(path.read_text("utf-8") for path in TRANSCRIPTS)
    families = {name.partition(".")[0] for name, method in METHODS.items() if method.mutating}
    assert {family for family in families if f'"method":"{family}' not in text} == set()
    reasons = ["NOT_JSON", "INVALID_REQUEST", "BATCH", "NOTIFICATION", "BAD_ID", "PARAMS_BY_NAME", "NEEDS_HELLO"]
    reasons += ["HELLO_TWICE", "UNSUPPORTED_API", "UNKNOWN_METHOD", "UNKNOWN_PARAM", "MISSING_PARAM"]
    reasons += ["BAD_PARAM", "FORBIDDEN", "STARTING", "INTERNAL", "IDEMPOTENCY_MISMATCH", "SUBSCRIBED_ALREADY"]
    assert [reason for reason in reasons if f'"reason":"{reason}"' not in text] == []
