"""Do the loops of this process advance? A lease is renewed only while they all do (protocol, section 2)."""

from __future__ import annotations

from collections.abc import Callable

from common.runtime.clock import Clock


class Heartbeats:
    """When each loop last said that it advances."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def loop(self, name: str) -> Callable[[], None]:
        """Expect a loop from now on; it calls what this returns in each of its rounds.

        Raises ValueError for a name that is taken: two loops must not vouch for each other.
        """
        if name in self._last:
            raise ValueError(f"two loops are called {name}")

        def beat() -> None:
            self._last[name] = self._clock.monotonic()

        beat()
        return beat

    def all_alive(self, limit_s: float) -> bool:
        """Whether every loop advanced within the limit, in seconds."""
        return not self.stalled(limit_s)

    def stalled(self, limit_s: float) -> tuple[str, ...]:
        """The loops that did not, by name."""
        now = self._clock.monotonic()
        return tuple(name for name, last in self._last.items() if now - last > limit_s)
