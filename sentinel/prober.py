"""This sentinel's own evidence: whether the PostgreSQL of the primary answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.probe import PROBE_PERIOD_S


class PrimaryProbe:
    """Probes the primary of the view all the time; ``reaches`` is None before the first answer."""

    def __init__(self, answers: Callable[[str, int], Awaitable[bool]], clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._target: tuple[str, str, int] | None = None
        self.reaches: bool | None = None

    def aim(self, view: ClusterView | None) -> None:
        """Probe the view's primary from now on; what was known of another is forgotten."""
        member = view.upstream if view else None
        target = (member.uid, member.host, member.port) if member else None
        if target != self._target:
            self._target = target
            self.reaches = None

    async def run(self, changed: Callable[[], None]) -> None:
        """Probe for ever; call ``changed`` when the answer differs from the last."""
        while True:
            target = self._target
            if target is not None:
                reaches = await self._answers(target[1], target[2])
                if target == self._target and reaches != self.reaches:
                    self.reaches = reaches
                    changed()
            await self._clock.sleep(PROBE_PERIOD_S)
