"""How a simulated PostgreSQL behaves in time, and the little that it needs from the world around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

REPLICATION: Final = "replication"
CLIENT: Final = "client"


class Network(Protocol):
    """What is asked of the network: every hop of WAL, of a clone and of a client goes by it."""

    def path(self, source_host: str, target_host: str, kind: str) -> float | None:
        """The one-way latency now in seconds, or None where nothing comes through."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Means, in seconds, of what takes time; each is drawn anew from an exponential distribution.

    ``stall_chance``: how often a process of the server stands still, for ``stall_s``, before it handles
    a signal, and ``busy_stall_chance`` on a busy host. ``linger_chance``: how often a process outlives its
    postmaster, for ``linger_s``.
    """

    fsync_s: float = 0.001
    replay_s: float = 0.0003
    statement_s: float = 0.0005
    signal_s: float = 0.0005
    stall_chance: float = 0.02
    busy_stall_chance: float = 0.5
    stall_s: float = 0.3
    linger_chance: float = 0.2
    linger_s: float = 1.0
    start_s: float = 0.08
    recovery_s_per_mb: float = 0.05
    promotion_s: float = 0.01
    checkpoint_s: float = 0.05
    spread_checkpoint_s: float = 2.0
    stop_s: float = 0.02
    kill_s: float = 0.005
    initdb_s: float = 0.5
    clone_s: float = 1.0
    rewind_s: float = 0.3
    disk_s: float = 0.001


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. A commit may be made large, so that WAL is removed within a short run."""

    commit_bytes: int = 256
    segment_bytes: int = 4 << 20
    wal_keep_bytes: int = 128 << 20


CONNECT_TIMEOUT_S: Final = 2.0
RETRIEVE_RETRY_S: Final = 1.0
RECEIVER_TIMEOUT_S: Final = 2.5
SENDER_TIMEOUT_S: Final = 4.0
STATUS_INTERVAL_S: Final = 1.0
"""As keeper.postgres.parameters and keeper.postgres.replication set them."""
