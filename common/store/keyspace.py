"""What both implementations of the Store share: prefixes as ranges, and the form of a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from common.store.port import Delete, Put

MAX_WRITES = 128
"""etcd refuses a transaction with more operations (``--max-txn-ops``)."""


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """Return the first key with a prefix and the first one behind: etcd's ``key`` and ``range_end``."""
    raw = prefix.encode()
    head = raw.rstrip(b"\xff")
    return (raw, head[:-1] + bytes([head[-1] + 1])) if head else (b"\0", b"\0")


def check_writes(writes: Sequence[Put | Delete]) -> None:
    """Refuse a transaction that etcd would refuse; raises ValueError, which is a mistake in the caller."""
    keys = [write.key for write in writes]
    if len(set(keys)) < len(keys):
        raise ValueError(f"a transaction writes a key twice: {sorted(keys)}")
    if len(keys) > MAX_WRITES:
        raise ValueError(f"a transaction of {len(keys)} writes: etcd takes {MAX_WRITES} at most")
