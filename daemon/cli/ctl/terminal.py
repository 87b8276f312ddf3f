"""A full screen by ANSI sequences and termios: taken over, drawn, and given back whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Any, Final, Self

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, no cursor, no wrapping
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # terminals that know it show the frame at once, others ignore it


class Quit(BaseException):
    """The process was asked to end."""


class Screen:
    """The terminal as a screen; a context manager. Ctrl-Z gives it back and ``fg`` takes it again."""

    def __init__(self) -> None:
        """Find the terminal; nothing is changed yet."""
        self._in = sys.stdin.fileno()
        self._out = sys.stdout
        self._modes: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def __enter__(self) -> Self:
        """Take the terminal over."""
        self._modes = termios.tcgetattr(self._in)
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _quit)
        for number, handler in ((signal.SIGTSTP, self._suspend), (signal.SIGWINCH, self._resized)):
            self._handlers[number] = signal.signal(number, handler)
        self._take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give it back as it was."""
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_read)
        os.close(self._wake_write)

    @property
    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        size = os.get_terminal_size(self._out.fileno())
        return (size.columns or 80, size.lines or 24)

    def draw(self, lines: list[str]) -> None:
        """Show lines, as many as there is room for; nothing is cleared before it is written, so nothing flickers."""
        body = "".join(f"{line}{_LINE_END}\n" for line in lines[: self.size[1] - 1])
        self._write(f"{_BEGIN}{_HOME}{body}{_BELOW}{_END}")

    def wait(self, seconds: float, *others: int) -> tuple[str, list[int]]:
        """Wait for a key, a descriptor that can be read, a new size, or the time.

        Returns:
            The key, "" where none was pressed, and the descriptors that can be read.
        """
        ready, _, _ = select.select([self._in, self._wake_read, *others], [], [], max(seconds, 0.0))
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        key = os.read(self._in, 64).decode("utf-8", "replace") if self._in in ready else ""
        if self._in in ready and not key:
            raise Quit  # the terminal is gone
        return key, [one for one in ready if one in others]

    def _take(self) -> None:
        tty.setcbreak(self._in)
        self._write(_ENTER)

    def _give_back(self) -> None:
        try:
            self._write(_LEAVE)
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._modes)
        except (OSError, termios.error):
            return  # the terminal went away before us, and took its modes with it

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._resized(signal.SIGWINCH, None)

    def _resized(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            return  # a redraw is already due


def _quit(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Quit
