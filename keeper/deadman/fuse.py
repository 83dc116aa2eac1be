"""When a deadman fires, and what it then accepts: its states and what leads from one to the other. Pure.

                 arm                      the deadline has passed
    idle ─────────────────> armed ──────────────────────────────> expired
      ^                    │  ^ └ arm: another deadline           │      │
      └────── disarm ──────┘  └───── arm, once nothing is left ───┘      │
      └──────────────────────────── disarm, once nothing is left ────────┘

Expired means: nothing may live in the data directory. The sweep goes on for as long as that state
lasts, also after it has found nothing left: a keeper that was paused between "it is armed" and its start
of PostgreSQL would otherwise start one that nobody watches. Only the word of a keeper that is awake
again ends it, and not before the sweep has proved that nothing is left.

The latest word counts: an arm may set an earlier deadline too (a new lease may be shorter), and one that
has passed already, said of an armed fuse, fires at once. Nothing but an arm ever moves a deadline.

Times are seconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["idle", "armed", "expired"]

LIMIT_MAX_S: Final = 600.0
"""No deadline is accepted further away, whatever limit an arm names; leases of ``k = 0`` last seconds."""


@dataclass(frozen=True, slots=True)
class Fuse:
    """One state of it. ``empty`` says that the sweep of an expired fuse found nothing left."""

    state: State = "idle"
    deadline: float = 0.0
    empty: bool = False
    fired: int = 0

    def at(self, now: float) -> Fuse:
        """The state once the clock has been looked at; what is asked of it comes after that."""
        if self.state == "armed" and now >= self.deadline:
            return Fuse("expired", self.deadline, empty=False, fired=self.fired + 1)
        return self

    def swept(self, *, empty: bool) -> Fuse:
        """The state after a round of the sweep."""
        return Fuse(self.state, self.deadline, empty, self.fired) if self.state == "expired" else self

    def arm(self, now: float, deadline: float, limit_s: float) -> Fuse | str:
        """Set the deadline, or say why not; a refusal changes nothing.

        ``limit_s`` is how far away it may be: a caller that mixes up clocks or units is found out.
        """
        if not 0 < limit_s <= LIMIT_MAX_S:
            return f"limit_s = {limit_s:g}: must be more than 0 and at most {LIMIT_MAX_S:g}"
        if not deadline <= now + limit_s:  # so that NaN is refused too
            return f"the deadline is {deadline - now:.3f} s away, which is more than limit_s = {limit_s:g}"
        if self._is_killing:
            return "the deadline has passed: processes of the data directory are being killed"
        if self.state != "armed" and deadline <= now:
            return f"the deadline passed {now - deadline:.3f} s ago"
        return Fuse("armed", deadline, empty=False, fired=self.fired).at(now)

    def disarm(self) -> Fuse | str:
        """Forget the deadline, or say why not."""
        if self._is_killing:
            return "the deadline has passed: processes of the data directory are being killed"
        return Fuse(fired=self.fired)

    def margin_s(self, now: float) -> float | None:
        """How long until it fires: negative once it has, None while it is idle."""
        return None if self.state == "idle" else self.deadline - now

    @property
    def _is_killing(self) -> bool:
        return self.state == "expired" and not self.empty
