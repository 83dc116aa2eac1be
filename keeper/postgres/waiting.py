"""Waiting for a server to come to a state: polls within a deadline, on the keeper's clock."""

from __future__ import annotations

from common.errors import PostgresUnavailable
from common.runtime.clock import Clock


class Deadline:
    """The time that one operation has; ``what`` names it in the error."""

    def __init__(self, clock: Clock, timeout_s: float, what: str) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._ends_at = clock.monotonic() + timeout_s
        self._what = what

    @property
    def left_s(self) -> float:
        """Seconds that are left; never quite nothing, so that a call may still fail by itself."""
        return max(0.05, self._ends_at - self._clock.monotonic())

    async def pause(self, seconds: float, still: str) -> None:
        """Sleep before the next look.

        Raises PostgresUnavailable, saying what is ``still`` missing, when the time is up.
        """
        if self._clock.monotonic() > self._ends_at:
            raise PostgresUnavailable(f"{self._what} did not succeed within {self._timeout_s:g} s: {still}")
        await self._clock.sleep(seconds)
