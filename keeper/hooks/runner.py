"""Runs hooks, one after the other in the order of what happened, beside everything else.

Nothing waits for a hook: what happens meanwhile is put into a queue with a limit. Beyond it what has waited
longest goes, since what comes last says how things are now; that it went is said, in the next document too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from common.model.base import Value
from common.model.reasons import Reason
from common.model.units import format_duration
from common.model.view import ClusterView
from common.runtime.clock import Clock
from common.runtime.command import Ran, run_command
from common.store.signal import Signal
from keeper.hooks.events import Event, Known, Looked, happened
from keeper.local import Local

QUEUE_LIMIT: Final = 32
OUTPUT_KEPT_BYTES: Final = 2 << 10
_SHOWN_CHARACTERS: Final = 300

_log = structlog.get_logger()


class Told(Value):
    """The document that a hook gets on its standard input.

    ``repeated``: an earlier life of the keeper may have told it already. ``switchover`` says how the present
    primary came to be that, ``previous_primary`` who was it before: False and None where this life of the
    keeper has not seen it. ``dropped`` counts what was not told since the hook before,
    because too much waited.
    """

    schema_version: int = 1
    event: Event
    at: datetime
    cluster: str
    uid: str
    site: str
    host: str
    port: int
    term: int
    generation: int
    timeline: int
    primary: str | None
    previous_primary: str | None
    switchover: bool
    repeated: bool
    dropped: int = 0


class Run(Protocol):
    """How a command is run; :func:`common.runtime.command.run_command` does it."""

    def __call__(
        self, command: Sequence[str], given: bytes, *, timeout_s: float, kept_bytes: int
    ) -> Awaitable[Ran]:
        """Run it to its end, or end it after ``timeout_s``; never raises for what it does."""


class Hooks:
    """The hooks of one keeper. Without a command it does nothing, and has no loop."""

    def __init__(self, local: Local, clock: Clock, cluster: str, *, run: Run = run_command) -> None:
        self._commands = local.settings.hooks.commands
        self._timeout_s = local.settings.hooks.timeout_s
        self._local = local
        self._clock = clock
        self._cluster = cluster
        self._run_command = run
        self._wake = Signal(clock)
        self._waiting: deque[Told] = deque()
        self._dropped = 0
        kept = local.state.view
        self._known = Known().with_view(kept) if kept is not None else Known()
        self._term_before = kept.term if kept is not None else 0
        self._adopted: str | None = None

    def adopted(self, start_id: str) -> None:
        """Note a start that an earlier life of the keeper has made, and told of perhaps."""
        self._adopted = start_id

    def loops(self, changed: Callable[[], None]) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run for ever; ``changed`` is called when there is another reason to report."""
        return (self.hooks(changed),) if self._commands else ()

    def look(self, view: ClusterView | None) -> None:
        """See what has happened, and have it told; cheap, and waits for nothing."""
        if not self._commands:
            return
        local = self._local
        found = Looked(local.settings.uid, local.postgres, local.start_id, local.role)
        self._known, events = happened(self._known, found, view)
        for event in events:
            if event in self._commands:
                self._tell(self._told(event, view))

    def _told(self, event: Event, view: ClusterView | None) -> Told:
        local, known, seen = self._local, self._known, self._local.observation
        of_before = known.start_id is not None and known.start_id == self._adopted
        return Told(
            event=event,
            at=self._clock.wall(),
            cluster=self._cluster,
            uid=local.settings.uid,
            site=local.settings.site,
            host=local.settings.host,
            port=local.settings.port,
            term=view.term if view else 0,
            generation=view.generation if view else 0,
            timeline=seen.timeline if seen else 0,
            primary=view.primary.uid if view and view.primary else None,
            previous_primary=known.last,
            switchover=known.switched,
            repeated=of_before
            and (event == "started" or (event == "primary_ready" and known.ready_in == self._term_before)),
        )

    def _tell(self, told: Told) -> None:
        if len(self._waiting) >= QUEUE_LIMIT:
            gone = self._waiting.popleft()
            self._dropped += 1
            _log.warning("hook_dropped", hook=gone.event, at=gone.at.isoformat(), dropped=self._dropped)
            self._say(
                "hooks",
                "hooks_dropped",
                f"{self._dropped} hooks were left out: more than {QUEUE_LIMIT} waited for one that is slow",
                "see which hook is slow in the keeper's log, and give it less to do or a shorter time",
            )
        self._waiting.append(told)
        self._wake.notify()

    async def hooks(self, changed: Callable[[], None]) -> None:
        """Run what waits, for ever."""
        while True:
            seen = self._wake.version
            while self._waiting:
                told, self._dropped = self._waiting.popleft().changed(dropped=self._dropped), 0
                await self._run(told)
                if not self._waiting:
                    self._local.reasons.pop("hooks", None)
                changed()
            await self._wake.wait(None, since=seen)

    async def _run(self, told: Told) -> None:
        command, began = self._commands[told.event], self._clock.monotonic()
        ran = await self._run_command(
            command,
            told.model_dump_json().encode(),
            timeout_s=self._timeout_s,
            kept_bytes=OUTPUT_KEPT_BYTES,
        )
        say = _log.info if ran.status == 0 else _log.warning
        say(
            "hook_ran",
            hook=told.event,
            command=command[0],
            ended=ran.ended,
            status=ran.status,
            limit_s=self._timeout_s,
            took_s=round(self._clock.monotonic() - began, 3),
            output=ran.output,
        )
        key = f"hook {told.event}"
        if ran.status != 0:
            fix = f"see what {command[0]} wrote in the keeper's log, and run it by hand"
            self._say(key, "hook_failed", f"its hook {told.event} {self._how(ran)}", fix)
        else:
            self._local.reasons.pop(key, None)

    def _how(self, ran: Ran) -> str:
        said = " ".join(ran.output.split())[-_SHOWN_CHARACTERS:]
        if ran.ended == "not started":
            return f"could not be run: {said}"
        how = f"ended with status {ran.status}"
        if ran.ended == "timed out":
            how = f"had not ended after {format_duration(self._timeout_s)} and was killed"
        return f"{how}: {said}" if said else how

    def _say(self, key: str, code: str, text: str, fix: str) -> None:
        uid = self._local.settings.uid
        self._local.reasons[key] = Reason(
            code=code, severity="warning", subject=uid, text=f"{uid}: {text}", fix=fix
        )
