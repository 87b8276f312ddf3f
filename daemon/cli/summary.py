"""The result block: what a run came to, in a dozen lines, the alerts that fired and where everything is."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon.cli.render import GAP, is_fancy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages.alerts import AlertRaised
    from daemon.system.replay import ReplayResult

ALERTS_SHOWN: Final = 8
SEVERITIES: Final = ("critical", "warning", "info")


def result_block(result: ReplayResult) -> str:
    """Return the block for a finished run; its figures are those of ``metrics.json``."""
    from actors.reporter.summary import LABEL, summary_lines, wrapped

    width = shutil.get_terminal_size((100, 24)).columns
    seconds = sum(result.phases.values())
    phases = ", ".join(f"{name} {spent:.1f} s" for name, spent in result.phases.items())
    folder = shown(result.folder)
    fancy = is_fancy(sys.stdout)
    played = [f"{result.bars:,} bars in {result.instants:,} instants"] if result.bars else []
    played += [f"{result.ticks:,} quotes and prints"] if result.ticks else []
    speed = f"{' and '.join(played)}, {seconds:.1f} s ({phases})"
    lines = [
        *wrapped("replayed", speed, width, fancy),
        *summary_lines(result.run, width=width, color=fancy),
        *alert_lines(result.alerts, LABEL, width),
        f"{'report':<{LABEL}}{folder / 'report.html'}",
        f"{'next':<{LABEL}}tradingd verify {folder}",
    ]
    return "\n".join(lines)


def alert_lines(alerts: Sequence[AlertRaised], label: int, width: int = 1000) -> list[str]:
    """Return each kind of alert with its count and its last case, the gravest first, behind a label of that width.

    Lines longer than ``width`` are broken under their text.

    The kind is what stands before the first colon of an alert's key: ``stop_loss:main:GE`` is a ``stop_loss``.
    """
    from actors.values.time import format_ts

    kinds: dict[tuple[str, str], list[AlertRaised]] = {}
    for alert in alerts:
        kinds.setdefault((str(alert.severity), alert.key.partition(":")[0]), []).append(alert)
    ranked = sorted(kinds.items(), key=lambda item: (SEVERITIES.index(item[0][0]), -len(item[1])))
    texts = [f"{len(alerts):,} fired" if alerts else "none fired"]
    for (severity, kind), cases in ranked[:ALERTS_SHOWN]:
        last = f"{format_ts(cases[-1].ts)[:10]} {cases[-1].title}"
        several = f"{kind.replace('_', ' ')}, {len(cases):,} times, last: "
        texts.append(f"{GAP}{severity}: {several if len(cases) > 1 else ''}{last}")
    if len(ranked) > ALERTS_SHOWN:
        texts.append(f"{GAP}and {len(ranked) - ALERTS_SHOWN} more kinds: see alerts.csv")
    lines = [f"{'alerts' if i == 0 else '':<{label}}{text}" for i, text in enumerate(texts)]
    under = " " * (label + 2 * len(GAP))
    return [part for line in lines for part in textwrap.wrap(line, max(width, label + 40), subsequent_indent=under)]


def shown(path: Path) -> Path:
    """Return the path as one would type it here."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody removed the folder one is in
        return path
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
