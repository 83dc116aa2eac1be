"""What a keeper takes from the store: its documents, as long as it is the store that it knew (protocol 2).

Order: judged -> the verdict is durable -> it counts. A keeper that was suspended still is after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from common.model.identity import Verdict, judge, suspended_because
from common.model.keys import Keys
from common.store.guard import StoreGuard
from common.store.mirror import Mirror
from keeper import steps
from keeper.actions import Actions
from keeper.documents import Documents
from keeper.local import Local

FORBIDDEN = (
    steps.Claim,
    steps.Initialize,
    steps.ShutDown,
    steps.StartWritable,
    steps.Promote,
    steps.Clone,
    steps.Rewind,
)
"""What makes a primary, ends one for another's sake, or destroys data.

All else keeps up what the last view obeyed has made, as if the store were away: a standby that ends is
started again, so that commits find somebody to acknowledge them.
"""

_log = structlog.get_logger()


class Standing:
    """The keeper's mirrors, and whether they are believed; see :class:`common.store.guard.StoreGuard`."""

    def __init__(
        self, keys: Keys, *, view: Mirror, spec: Mirror, store: Mirror, local: Local, actions: Actions
    ) -> None:
        self._view = view
        self._spec = spec
        self._store = store
        self._guard = StoreGuard(keys, view=view, store=store)
        self._local = local
        self._actions = actions
        self._problems: tuple[str, ...] = local.state.store.suspended

    @property
    def suspended(self) -> bool:
        """Whether nothing of the store is believed."""
        return bool(self._problems)

    @property
    def sees_store(self) -> bool:
        """Whether the view that was read is what the store shows now."""
        return self._view.synced

    @property
    def believes(self) -> bool:
        """Whether what the store shows now may be acted on, by who cannot wait for a disk before."""
        shown = self._guard.shown(self._local.state.memory)
        return (
            not self.suspended and shown is not None and not judge(self._local.state.memory, shown).problems
        )

    def loops(self, changed: Callable[[], None]) -> tuple[Coroutine[Any, Any, None], ...]:
        """Keep the mirrors, and call ``changed`` whenever one of them has changed, for ever."""
        mirrors = (self._view, self._spec, self._store)
        return (*(_watch(mirror, changed) for mirror in mirrors), *(mirror.run() for mirror in mirrors))

    def shows(self, documents: Documents) -> bool:
        """Whether the store, as it is now, shows the view that is obeyed."""
        return documents.view is not None and "view" not in documents.problems and not self.suspended

    async def take(self, documents: Documents) -> bool:
        """Read what changed, if the store is believed; return whether there is another view to obey."""
        items = {**self._view.items, **self._spec.items}
        believed = await self._judged(self._guard.look(self._local.state.memory))
        if not believed:
            return False
        is_another_view = documents.take(items, self._local.state.generation)
        fence_after_s = documents.spec.timings.fence_after_s
        if documents.has_spec and fence_after_s != self._local.state.fence_after_s:
            await self._actions.save(lambda kept: kept.changed(fence_after_s=fence_after_s))
        return is_another_view

    async def _judged(self, verdict: Verdict | None) -> bool:
        """Make a verdict durable and act on it; return whether what was judged may be obeyed.

        What the disk does not take is not obeyed, but suspends all the same.
        """
        if verdict is None:
            self._say(self._problems)
            return False
        try:
            if verdict.memory != self._local.state.store:
                await self._actions.save(lambda kept: kept.changed(store=verdict.memory))
        except OSError as error:
            _log.warning("store_not_remembered", error=str(error))
            self._problems = verdict.problems or self._problems
            self._say(self._problems)
            return False
        if bool(verdict.problems) != self.suspended:
            _log.critical("suspended" if verdict.problems else "store_accepted", problems=verdict.problems)
        self._problems = verdict.problems
        self._say(verdict.problems, accepted=verdict.accepted)
        return not verdict.problems

    def _say(self, problems: tuple[str, ...], *, accepted: bool = False) -> None:
        if problems:
            reason = suspended_because(self._local.settings.uid, problems, accepted=accepted)
            self._local.reasons["store"] = reason
        else:
            self._local.reasons.pop("store", None)

    def hold_back(self, step: steps.Step) -> steps.Step:
        """The step that may be taken: while suspended nothing is promoted, rewound or cloned."""
        if not self.suspended or not isinstance(step, FORBIDDEN):
            return step
        return steps.Wait(suspended_because(self._local.settings.uid, self._problems))


async def _watch(mirror: Mirror, changed: Callable[[], None]) -> None:
    while True:
        seen = mirror.version
        changed()
        await mirror.wait_changed(60.0, since=seen)
