"""The host's socket: takes clients, reads their frames, writes their answers. Nothing is computed here.

Who may connect is the file system's business: the socket's mode and its folder's. What a client can do is ask.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
import anyio.abc
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from actors.predictor.pool.frames import (
    CHUNK_BYTES,
    VERSION,
    Answered,
    Ask,
    Begun,
    Frame,
    FrameError,
    Hello,
    Look,
    Refused,
    Taken,
    Unpacker,
    Welcome,
    pack,
)
from daemon.inference.crew import Crew

CONNECTIONS_MAX: Final = 16
UNREAD_MAX: Final = 4_096
"""Frames that wait for a client to read them; a client that reads nothing is hung up on."""
HELLO_S: Final = 5.0
REFUSED_S: Final = 1.0
"""How long a client that is refused may take to read it, and keep its place."""
BUDGET_MS_MAX: Final = 600_000


class Server:
    """See the module."""

    def __init__(self, crew: Crew, program: str) -> None:
        """Put what is asked before ``crew``."""
        self._crew = crew
        self._program = program
        self._open = 0
        self._log = structlog.get_logger("inference")

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Take clients until cancelled."""
        async with await anyio.abc.SocketListener.from_socket(listener) as stream:
            ready()
            await stream.serve(self._client)

    async def _client(self, stream: anyio.abc.ByteStream) -> None:
        async with stream:
            if self._open >= CONNECTIONS_MAX:
                with suppress(anyio.BrokenResourceError):
                    await stream.send(pack(Refused("BUSY", f"{CONNECTIONS_MAX} connections are open already")))
                return
            self._open += 1
            try:
                await self._converse(stream)
            except FrameError as error:
                self._log.warning("client refused", detail=str(error))
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError), anyio.move_on_after(REFUSED_S):
                    await stream.send(pack(Refused(error.code, error.message)))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._log.info("client gone")
            finally:
                self._open -= 1

    async def _converse(self, stream: anyio.abc.ByteStream) -> None:
        unpacker = Unpacker()
        first: list[Frame] = []
        with anyio.move_on_after(HELLO_S):
            while not first:
                first += unpacker.feed(await stream.receive(CHUNK_BYTES))
        if not first or not isinstance(first[0], Hello):
            raise FrameError("a client says hello first", code="HELLO")
        if VERSION not in first[0].versions:
            raise FrameError(f"this host speaks version {VERSION}", code="VERSION")
        self._log.info("client", program=first[0].program[:64])
        crew = self._crew
        welcome = Welcome(VERSION, self._program, crew.backend.name, crew.backend.workers, os.getpid())
        await stream.send(pack(welcome))
        send, receive = anyio.create_memory_object_stream[Frame](UNREAD_MAX)
        client = _Client(crew, send)
        try:
            async with anyio.create_task_group() as group:
                client.deaf = group.cancel_scope.cancel
                group.start_soon(_write, stream, receive)
                for frame in first[1:]:
                    client.heard(frame)
                while True:
                    for frame in unpacker.feed(await stream.receive(CHUNK_BYTES)):
                        client.heard(frame)
            self._log.warning("client hung up on", detail=f"{UNREAD_MAX:,} frames wait for it to be read")
        except BaseExceptionGroup as group_error:
            raise _only(group_error) from None
        finally:
            crew.forget(client.answer)
            send.close()


class _Client:
    """One client's side of the crew."""

    def __init__(self, crew: Crew, send: MemoryObjectSendStream[Frame]) -> None:
        self._crew = crew
        self._send = send
        self.answer = self._answer  # one object, by which the crew knows the client
        self.deaf: Callable[[], object] = lambda: None
        """Ends the conversation with a client that reads nothing; whoever writes to it waits for it, for ever."""

    def heard(self, frame: Frame) -> None:
        """Act on a frame.

        Raises:
            FrameError: nothing that a client says.
        """
        if isinstance(frame, Ask):
            self._say(Taken(frame.number))
            self._crew.ask(frame.number, frame.request, min(frame.budget_ms, BUDGET_MS_MAX) / 1000, self.answer)
        elif isinstance(frame, Look):
            self._say(self._crew.standing(frame.number))
        else:
            raise FrameError(f"a {type(frame).__name__} is nothing that a client says", code="FRAME")

    def _answer(self, said: Begun | Answered) -> None:
        self._say(said)

    def _say(self, frame: Frame) -> None:
        try:
            self._send.send_nowait(frame)
        except anyio.WouldBlock:
            self.deaf()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # it has gone meanwhile


async def _write(stream: anyio.abc.ByteStream, receive: MemoryObjectReceiveStream[Frame]) -> None:
    """Write until there is nothing more to come; then the connection is of no use."""
    async with receive:
        async for frame in receive:
            await stream.send(pack(frame))
    raise anyio.ClosedResourceError


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of a group that says most: what a client did wrong before that it has gone."""
    errors = list(group.exceptions)
    return next((error for error in errors if isinstance(error, FrameError)), errors[0])
