"""What this keeper sees of its upstream: probes all the time, so that the evidence is there when needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from common.model.reports import UpstreamReport
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.probe import PROBE_PERIOD_S

HEARD_WITHIN_S = 2.5
"""A healthy WAL receiver asks for a sign of life after half of wal_receiver_timeout, and gets it at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to probe."""

    uid: str
    host: str
    port: int


def target_of(view: ClusterView | None, own_uid: str) -> Target | None:
    """The primary of the view, or the one that it replaces; nobody when that is this member itself."""
    if view is None:
        return None
    named = view.primary or view.old_primary
    member = view.member(named.uid) if named else None
    if member is None or member.uid == own_uid:
        return None
    return Target(member.uid, member.host, member.port)


class UpstreamProbe:
    """Keeps the answer to "does the primary answer?" at hand."""

    def __init__(self, answers: Callable[[str, int], Awaitable[bool]], clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._target: Target | None = None
        self._reachable: bool | None = None

    def aim(self, target: Target | None) -> None:
        """Probe somebody else from now on; what was known of the old target is forgotten."""
        if target != self._target:
            self._target = target
            self._reachable = None

    async def run(self, changed: Callable[[], None], beat: Callable[[], None]) -> None:
        """Probe for ever; call ``changed`` when the answer differs from the last."""
        while True:
            beat()
            target = self._target
            if target is not None:
                reachable = await self._answers(target.host, target.port)
                if target == self._target and reachable != self._reachable:
                    self._reachable = reachable
                    changed()
            await self._clock.sleep(PROBE_PERIOD_S)

    def report(self, *, receiving: bool, term: int) -> UpstreamReport | None:
        """The evidence, once there has been an answer."""
        if self._target is None or self._reachable is None:
            return None
        return UpstreamReport(uid=self._target.uid, reachable=self._reachable, receiving=receiving, term=term)
