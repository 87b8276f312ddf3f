"""The real daemon with a hand inside: children fail, hang or refuse to end when a test says so.

``python -m tests.faults.meddled_run ...`` is ``daemon.testing.faulty_run`` and nothing else, but that it listens on the
socket named by ``MEDDLE_SOCKET`` for one JSON object a line and answers each with one. ``MEDDLE_SET`` holds constants
to be shortened, as JSON: ``{"daemon.system.tree.EDGE_HEARTBEAT_S": 1.0}``; an object holds other defaults of a class.
``MEDDLE_BROKEN`` holds children that fail from the first start on, each with its reason.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import hashlib
import importlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from daemon.control.signals import block_signals
from daemon.supervision.child import ChildSpec, StartContext

Start = Callable[[StartContext], Awaitable[None]]


class Hand:
    """What the test wants of which child."""

    def __init__(self) -> None:
        """Want nothing."""
        self.running: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.broken: dict[str, str] = json.loads(os.environ.get("MEDDLE_BROKEN", "{}"))
        self.channels = threading.Event()
        self.channels.set()
        self.orders: dict[str, tuple[anyio.Event, list[str]]] = {}

    def build(self, real: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what builds the tree and remembers whose it is."""

        def build_tree(running: Any) -> Any:
            self.running = running
            self.loop = asyncio.get_running_loop()
            threading.Thread(target=self._listen, name="meddler", daemon=True).start()
            return real(running)

        return build_tree

    def spec(self, name: str, start: Start, **declared: Any) -> ChildSpec:
        """Declare a child that obeys."""

        async def begin(context: StartContext) -> None:
            if name in self.broken:
                raise RuntimeError(self.broken[name])
            await self._run(name, start, context)

        return ChildSpec(name, begin, **declared)

    async def _run(self, name: str, start: Start, context: StartContext) -> None:
        event, said = self.orders[name] = anyio.Event(), []
        async with anyio.create_task_group() as group:
            inner = anyio.CancelScope()

            async def work() -> None:
                with inner:
                    await start(context)
                if not said or said[0] == "return":
                    group.cancel_scope.cancel()

            group.start_soon(work)
            await event.wait()
            if said[0] == "raise":
                raise RuntimeError("broken on purpose")
            inner.cancel()
            if said[0] == "deadlock":
                await anyio.sleep_forever()
            if said[0] == "stuck":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep_forever()

    def deliver(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return what delivers alerts unless it hangs; runs on a worker thread."""

        def deliver(*values: Any) -> Any:
            self.channels.wait()
            return real(*values)

        return deliver

    # -- the other thread --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.environ["MEDDLE_SOCKET"])
        server.listen()
        while True:
            link, _ = server.accept()
            with link, link.makefile("rw") as stream:
                for line in stream:
                    stream.write(json.dumps(self._obey(json.loads(line))) + "\n")
                    stream.flush()

    def _obey(self, wish: dict[str, Any]) -> Any:
        assert self.loop is not None
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def do() -> None:
            try:
                done.set_result(getattr(self, f"do_{wish.pop('do')}")(**wish))
            except Exception as error:  # noqa: BLE001 - the test's to judge
                done.set_result({"error": repr(error)})

        if wish["do"] == "hang":  # answered before it does, for it cannot be afterwards
            self.loop.call_soon_threadsafe(time.sleep, wish["seconds"])
            return {}
        self.loop.call_soon_threadsafe(do)
        return done.result(60)

    # -- wishes (main loop) ------------------------------------------------------------------------------------------

    def do_tell(self, child: str, what: str) -> Any:
        """Let a child ``raise``, ``return``, ``deadlock`` or get ``stuck``."""
        event, said = self.orders[child]
        said.append(what)
        event.set()
        return {}

    def do_break(self, child: str, reason: str = "") -> Any:
        """Let a child fail whenever it starts; without a reason no more."""
        if reason:
            self.broken[child] = reason
        else:
            self.broken.pop(child, None)
        return {}

    def do_state(self) -> Any:
        """Return how far the core is and a digest of its whole state."""
        sequencer = self.running.loop.core.sequencer
        return {
            "seq": sequencer.seq,
            "depth": self.running.loop.depth,
            "state": hashlib.sha256(sequencer.snapshot()).hexdigest(),
            "events": sequencer.digest.hex(),
            "trading_state": str(self.running.loop.core.core.risk.trading_state),
            "reason": self.running.loop.core.core.risk.state_reason,
        }

    def do_refold(self) -> Any:
        """Return the same of a core folded from what is on disk now."""
        from daemon.system.start import Reader, read_ledger  # noqa: PLC0415 - not before the signals are blocked

        prepared = self.running.prepared
        ledger = read_ledger(prepared.state_dir)
        try:
            sequencer = prepared.factory.fold(Reader(ledger)).sequencer
        finally:
            ledger.close()
        live = self.running.loop.core.sequencer
        return {
            "live": [live.seq, live.digest.hex(), hashlib.sha256(live.snapshot()).hexdigest()],
            "folded": [sequencer.seq, sequencer.digest.hex(), hashlib.sha256(sequencer.snapshot()).hexdigest()],
        }

    def do_channels(self, *, hang: bool) -> Any:
        """Let whoever delivers alerts hang, or go on."""
        if hang:
            self.channels.clear()
        else:
            self.channels.set()
        return {}

    def do_cook(self) -> Any:
        """Give one room a cent that the others do not know of."""
        self.running.loop.core.core.portfolio.portfolios[0].cash += 10**6
        return {}

    def do_halt(self, reason: str) -> Any:
        """Let the daemon halt of its own accord."""
        from actors.messages.control import Halt  # noqa: PLC0415 - not before the signals are blocked

        self.running.command(Halt(reason, "daemon"))
        return {}

    def do_trouble(self, sentence: str) -> Any:
        """Let the daemon say that something is badly wrong."""
        self.running.trouble("on_purpose", sentence, critical=True)
        return {}

    def do_lose_control(self) -> Any:
        """Let the daemon believe that its control thread has ended."""
        self.running.lose_control("on purpose")
        return {}


def main() -> int:
    """Run the daemon; return its exit code."""
    block_signals()
    from daemon.system import edges, running, tree  # noqa: PLC0415 - after the signals
    from daemon.testing.faulty_run import main as run  # noqa: PLC0415

    for name, value in json.loads(os.environ.get("MEDDLE_SET", "{}")).items():
        module, _, constant = name.rpartition(".")
        place = importlib.import_module(module)
        real = getattr(place, constant)
        setattr(place, constant, functools.partial(real, **value) if isinstance(value, dict) else value)
    hand = Hand()
    running.build_tree = hand.build(running.build_tree)
    edges.deliver = hand.deliver(edges.deliver)
    tree.ChildSpec = hand.spec  # type: ignore[assignment,misc]
    return run()


if __name__ == "__main__":
    sys.exit(main())
