"""How the daemon runs: where it keeps things, what it plays, who may speak to it, when it gives up.

Nothing here changes what a decision is, so none of it is part of the configuration's digest; what of the playback
decides which data are seen is told by :func:`config.settings.playback_tree`.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from config.fields import Bounds, Day, Megabytes, Millis, Pace, Paths, Reloadable, Seconds, Section, Zone

Interval = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,4}[smhd])?$")]
Group = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_.-]{0,31})?$")]
Days = Annotated[int, Bounds("0", "36500", decimals=0)]


class PathsSettings(Section):
    """Where things are kept."""

    state_dir: Path = Path("~/.local/state/tradingd")
    """Folder of the ledger and of run folders made without --out; $STATE_DIRECTORY is its default under systemd."""
    runtime_dir: Path = Path("~/.local/state/tradingd/run")
    """Folder of control.sock; defaults: $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/tradingd, `run` in state_dir."""

    @model_validator(mode="before")
    @classmethod
    def _beside_the_state(cls, values: Any) -> Any:
        """A state folder elsewhere takes its runtime folder along."""
        if isinstance(values, dict) and "runtime_dir" not in values and isinstance(values.get("state_dir"), str | Path):
            return values | {"runtime_dir": Path(values["state_dir"]) / "run"}
        return values


class PlaybackSettings(Section):
    """Recorded data played into the daemon."""

    bars: Paths = ()
    """Files of bars (CSV, CSV.gz, Parquet), relative to the file that names them."""
    quotes: Paths = ()
    """Files of quotes."""
    trades: Paths = ()
    """Files of trades."""
    news: Paths = ()
    """Files of headlines."""
    status: Paths = ()
    """Files of trading status: halts, LULD bands, short-sale restrictions."""
    actions: Paths = ()
    """Files of corporate actions: splits, dividends, renames, delistings."""
    source: Literal["", "sp500"] = ""
    """Embedded data instead of files of bars."""
    speed: Annotated[Decimal | Literal["max"], Pace("1000000000")] = Decimal(1)
    """How many times faster than recorded; `max` waits for nothing."""
    from_date: Day = Field(default="", alias="from")
    """First exchange date played; empty for the data's first."""
    to_date: Day = Field(default="", alias="to")
    """Last exchange date played; empty for the data's last."""
    loop: bool = False
    """Begin again after the last instant, moved to later dates."""
    tz: Zone = ""
    """Time zone of times that state no offset; empty refuses them."""
    adjustment: Literal["", "raw", "split", "total"] = ""
    """What files' prices have folded in; empty where the source states it itself."""
    interval: Interval = ""
    """Bars to play (1d, 1m, 5m); empty for the data's own."""
    free_running: bool = False
    """Rehearse live: inputs are stamped when they arrive, and what falls due while the process is down is missed."""

    @property
    def from_day(self) -> int | None:
        """First exchange date as ``YYYYMMDD``; None for no bound."""
        return _number(self.from_date)

    @property
    def to_day(self) -> int | None:
        """Last exchange date as ``YYYYMMDD``; None for no bound."""
        return _number(self.to_date)

    @property
    def given(self) -> bool:
        """Whether there is anything to play."""
        return bool(self.source or self.bars or self.quotes or self.trades)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.bars and self.source:
            raise PydanticCustomError("source", "bars and source are both given; leave one out")
        if self.from_date and self.to_date and self.from_date > self.to_date:
            raise PydanticCustomError("order", "from is after to")
        return self


class FeedSettings(Section):
    """Where market data come from."""

    staleness_ms: Millis = 60_000
    """Silence of a feed while data are due, after which it is stale: told, and shown in its state; 0 for never."""
    max_jump: Annotated[Decimal, Bounds("0.05", "0.99", off=True)] = Decimal("0.5")
    """Move between two prices that is not believed at once: 0.5 for half or less, twice or more; 0 believes all."""
    jump_confirmations: Annotated[int, Bounds("1", "100", decimals=0)] = 3
    """Prices in a row that confirm such a move."""
    playback: PlaybackSettings = PlaybackSettings()
    """Recorded data played into the daemon."""


class ControlSettings(Section):
    """Who may speak to the daemon, and how much. Root and the daemon's own user are always admins."""

    admin_group: Group = ""
    """Members may do everything; empty for nobody."""
    operator_group: Group = ""
    """Members may also trade, halt and kill; empty for nobody."""
    viewer_group: Group = ""
    """Members may look; the socket is theirs, so operators and admins must be members, too; empty for nobody."""
    connections_max: Annotated[int, Bounds("4", "1000", decimals=0)] = 32
    """Connections open at once; some are kept for those who halt or kill."""
    requests_per_s: Annotated[int, Bounds("1", "100000", decimals=0)] = 200
    """Requests a second of one user, on all connections; halting has a budget of its own, killing none."""
    call_timeout_s: Seconds = 5
    """How long a call may wait for the core before it is answered with an error."""


class JournalSettings(Section):
    """How the ledger is written. Nothing here weakens what it promises."""

    snapshot_events: Annotated[int, Bounds("100", "10000000", decimals=0)] = 50_000
    """Events between two snapshots; fewer start faster, more write less."""
    commit_batch: Annotated[int, Bounds("1", "100000", decimals=0)] = 1_000
    """Inputs with consequences that one commit may hold; what is more goes into the next."""
    wal_max_mb: Annotated[int, Bounds("1", "100000", decimals=0)] = 64
    """Size of the write-ahead file that is told, because a reader holds it open."""


class RetentionSettings(Section):
    """How long records are kept. What a promise or an open position rests on is never pruned. 0 is for ever."""

    ledger_days: Reloadable[Days] = 90
    """Days a sealed run stays in the ledger before it moves to the archive."""
    tape_days: Reloadable[Days] = 30
    """Days a tape stays beside the ledger before it moves to the archive, compressed."""
    archive_days: Reloadable[Days] = 0
    """Days an archived file is kept."""


class ServiceSettings(Section):
    """When the process gives up, halts or complains. The watchdog's interval is the unit's WatchdogSec."""

    unclean_starts_max: Annotated[int, Bounds("0", "100", decimals=0)] = 3
    """Starts after a crash within the window from which on the daemon starts halted; 0 switches it off."""
    unclean_window_s: Annotated[int, Bounds("1", "86400", decimals=0)] = 600
    """The window of those starts."""
    shutdown_intake_s: Seconds = 5
    """Budget of the first stage of a shutdown: feeds and new requests stop."""
    shutdown_core_s: Seconds = 10
    """Budget of the second: what was taken in is decided and committed."""
    shutdown_outreach_s: Seconds = 10
    """Budget of the third: alerts and answers go out."""
    shutdown_ledger_s: Seconds = 20
    """Budget of the last: final snapshot, seal and close."""
    stall_ms: Annotated[int, Bounds("10", "60000", decimals=0)] = 100
    """A main loop that does not turn for this long is logged with its stack."""
    disk_halt_mb: Megabytes = 1_024
    """Free space under which entries are halted; 0 for never."""
    disk_reserve_mb: Megabytes = 64
    """Size of the reserve file that is freed when the disk is full, for what must still be written; 0 for none."""
    clock_step_ms: Annotated[int, Bounds("10", "86400000", decimals=0)] = 1_000
    """Jump of the wall clock against the monotonic one that is told."""


class RaySettings(Section):
    """Ray as the inference host's workers."""

    address: str = ""
    """Of a cluster, HOST:PORT; empty starts one on this machine for as long as the host lives."""
    token_file: str = ""
    """File of the cluster's token, readable by the host alone; empty where there is no cluster."""
    network: Literal["loopback", "private"] = "loopback"
    """`loopback`: Ray binds 127.0.0.1, which is checked; `private`: in a network of its own as well, or no start."""
    object_store_mb: Annotated[int, Bounds("80", "100000", decimals=0)] = 100
    """Ray's shared memory."""
    worker_mb: Annotated[int, Bounds("256", "1000000", decimals=0, off=True)] = 2048
    """Data a worker may allocate before it is refused more; 0 for no bound."""


class InferenceSettings(Section):
    """The inference host, `tradingd inference`: a process of its own that computes models for the daemon."""

    pool: Literal["threads", "ray"] = "threads"
    """What computes: threads of the host, or processes that Ray keeps."""
    workers: Annotated[int, Bounds("0", "64", decimals=0)] = 0
    """How many at once; 0 for as many as cores and free memory carry."""
    group: Group = ""
    """Members may connect beside the host's own user and root; empty for nobody."""
    ray: RaySettings = RaySettings()
    """Ray as the host's workers."""


class LoggingSettings(Section):
    """What is logged, and how."""

    level: Reloadable[Literal["debug", "info", "warning", "error"]] = "info"
    """Least severity that is written."""
    format: Reloadable[Literal["auto", "human", "json", "journald"]] = "auto"
    """`auto`: journald's own protocol under systemd, people's on a terminal, else JSON lines."""
    repeats_per_minute: Reloadable[Annotated[int, Bounds("0", "1000000", decimals=0)]] = 60
    """Lines of one kind a minute; what is beyond is counted and told in one line; 0 for no bound."""


def _number(day: str) -> int | None:
    return int(day.replace("-", "")) if day else None
