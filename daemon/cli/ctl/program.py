"""``tradingctl``: from a command line to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from daemon.cli.ctl import options
from daemon.cli.ctl.options import PROGRAM
from daemon.kernel.errors import OperatorError, UsageError

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
_DESCRIPTION: Final = "Talk to the trading daemon: stop it in one step, look at it, trade, administer."

Command = Callable[[list[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one sentence on stderr."""
    words = _readable(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what the terminal has no letter for is shown, not fatal
    try:
        return _run(words)
    except KeyboardInterrupt:
        options.note(f"{PROGRAM}: interrupted")
        return INTERRUPTED
    except OperatorError as error:
        if "--debug" in words:
            raise
        options.note(f"{PROGRAM}: {_sentence(error)}")
        return error.exit_code


def _readable(words: Sequence[str]) -> list[str]:
    """Replace bytes of a reason that are no UTF-8: they must not keep a kill or a halt from being sent.

    Elsewhere they are refused in a sentence, or name a file.
    """
    found: list[str] = []
    for word in words:
        reason = found[-1:] == ["--reason"] or word.startswith("--reason=")
        found.append(word.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if reason else word)
    return found


def _sentence(error: OperatorError) -> str:
    from daemon.cli.ctl.text import clean

    return clean(f"{error} ({error.code})" if error.code else str(error))


def _run(words: list[str]) -> int:
    before, rest = options.split(words)
    if rest[:1] == ["kill"]:  # first, and with the least that can break
        from daemon.cli.ctl import kill

        return kill.run([*before, *rest[1:]])
    if not rest:
        return _without_verb(before)
    own = _own(rest[0])
    if own is not None:
        return own([*before, *rest[1:]])
    from daemon.cli.ctl import verbs

    found = verbs.find(rest)
    if found is None:
        return _unknown(before, rest)
    from daemon.cli.ctl import calls

    method, arguments = found
    return calls.run(method, [*before, *arguments])


def _own(verb: str) -> Command | None:
    """Return a verb that is more than one call."""
    if verb in {"tail", "subscribe"}:
        from daemon.cli.ctl import tail

        return tail.follow if verb == "subscribe" else tail.run
    if verb == "top":
        from daemon.cli.ctl import top

        return top.run
    if verb == "version":
        from daemon.cli.ctl import version

        return version.run
    return None


def _without_verb(before: list[str]) -> int:
    parser = options.Parser(prog=PROGRAM, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    options.add_common(parser)
    known = parser.parse_args(before)
    if known.version:
        from daemon.cli.ctl import version

        return version.run(["--json"] if known.json else [])
    if not known.help:
        options.note(f"{PROGRAM}: say what to do; `{PROGRAM} --help` lists the verbs, `{PROGRAM} status` is a good one")
        return UsageError.exit_code
    options.say(overview())
    return 0


def overview(group: str = "") -> list[str]:
    """Return the list of verbs by group; with ``group`` only those that begin with that word."""
    from daemon.cli.ctl import verbs, words

    own = {
        "tail": "the last events, one line each; -f goes on as they happen",
        "top": "status, positions, orders and events on one refreshing screen",
        "version": "of this program, and of the daemon where one runs",
    }
    known = {**verbs.verbs(), **own}
    chosen = {verb: doc for verb, doc in known.items() if not group or verb.split()[0] == group}
    width = max(len(verb) for verb in chosen)
    lines = [] if group else [f"usage: {PROGRAM} [--socket PATH] [--json] [--timeout S] VERB ...", "", _DESCRIPTION]
    for name in [*words.GROUPS, words.LAST_GROUP]:
        members = [verb for verb in chosen if words.group_of(verb) == name]
        order = words.GROUPS.get(name, ())
        members.sort(key=lambda verb: (order.index(verb) if verb in order else len(order), verb))
        if members:
            lines += ["", f"{name}:", *(f"  {verb.ljust(width)}  {chosen[verb]}" for verb in members)]
    if group:
        return lines[1:]
    return [
        *lines,
        "",
        f"`{PROGRAM} VERB --help` shows a verb's options, an example and what it answers.",
        "Halting needs no confirmation; what loosens asks first, or wants --yes.",
        "exit codes: 0 ok, 1 failed, 2 usage, 3 daemon not running, 4 unknown or unreachable, 5 refused, 6 incomplete",
    ]


def _unknown(before: list[str], words: list[str]) -> int:
    """Explain a verb that does not exist, or one of which only the first word was said."""
    from daemon.cli.ctl import verbs

    known = [*verbs.verbs(), "tail", "top", "version"]
    first = words[0]
    family = [verb for verb in known if verb.split()[0] == first and " " in verb]
    if family and (len(words) == 1 or words[1].startswith("-")):
        help_wanted = {"-h", "--help"} & {*before, *words}
        lines = [
            f"usage: {PROGRAM} {first} {{{','.join(verb.split()[1] for verb in family)}}} ...",
            "",
            *overview(first),
        ]
        if help_wanted:
            options.say(lines)
            return 0
        raise UsageError(f"say what to do with {first}: {', '.join(family)}", remedy=f"see {PROGRAM} {first} --help")
    import difflib

    typed = " ".join(words[:2]) if family else first
    near = difflib.get_close_matches(typed, known, n=1) or difflib.get_close_matches(first, known, n=1)
    hint = f"did you mean `{PROGRAM} {near[0]}`?" if near else f"see {PROGRAM} --help"
    raise UsageError(f"there is no verb {typed!r}", remedy=hint)


def room(stream: Any = None) -> int | None:
    """Return the columns of the terminal, None where the output is none."""
    size = _size(sys.stdout if stream is None else stream)
    return (size.columns or None) if size else None


def height(stream: Any = None) -> int | None:
    """Return the lines of the terminal, None where the output is none."""
    size = _size(sys.stdout if stream is None else stream)
    return (size.lines or None) if size else None


def _size(stream: Any) -> os.terminal_size | None:
    try:
        return os.get_terminal_size(stream.fileno()) if stream is not None and stream.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None


if __name__ == "__main__":
    sys.exit(main())
