"""Growing pauses between tries of what failed."""

from __future__ import annotations

from typing import Final

from common.errors import (
    DeadmanUnavailable,
    InvalidSpec,
    PostgresUnavailable,
    StoreUnavailable,
    UnsafeOperation,
)

FAILURES: Final = (
    PostgresUnavailable,
    StoreUnavailable,
    DeadmanUnavailable,
    UnsafeOperation,
    InvalidSpec,
    OSError,
)
"""What a step may fail of: it is said, and tried again."""

FIRST_S = 0.25
LONGEST_S = 15.0


class Pauses:
    """How long to wait before the next try; doubles with each failure in a row."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._until = float("-inf")

    def failed(self, now: float) -> float:
        """Count a failure; return the pause that begins now, in seconds."""
        self._pause_s = min(LONGEST_S, max(FIRST_S, 2 * self._pause_s))
        self._until = now + self._pause_s
        return self._pause_s

    def left_s(self, now: float) -> float:
        """Seconds until the next try; 0 when it may be made."""
        return max(0.0, self._until - now)

    def clear(self) -> None:
        """Something worked, or the situation is another: begin afresh."""
        self._pause_s = 0.0
        self._until = float("-inf")
