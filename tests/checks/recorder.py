"""What clients use while they run: each operation is noted before it is sent and once its fate is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeAlias

from common.runtime.clock import Clock
from tests.checks.history import READS, Action, Balances, Element, Elements, Members, Operation, Outcome, Read

Seen: TypeAlias = Element | Collection[Element] | Mapping[str, int] | None


class Handle:
    """One operation under way; exactly one of :meth:`ok`, :meth:`failed`, :meth:`unknown` ends it."""

    def __init__(self, recorder: Recorder, client: str, action: Action, start_s: float) -> None:
        self._recorder = recorder
        self.client = client
        self.action = action
        self.start_s = start_s

    def ok(self, seen: Seen = None) -> None:
        """It was acknowledged; a read says what it saw (None: a register that nobody had written)."""
        if isinstance(self.action, READS):
            self.action = _with_seen(self.action, seen)
        elif seen is not None:
            raise TypeError(f"{self.action} is no read: it sees nothing")
        self._recorder.end(self, "ok")

    def failed(self) -> None:
        """It had no effect and never will."""
        self._recorder.end(self, "failed")

    def unknown(self) -> None:
        """Nobody can tell whether it had or will have an effect."""
        self._recorder.end(self, "unknown")


class Recorder:
    """Notes what all clients of one process do, on one clock.

    For the clients of one event loop: nothing here awaits. Operations are numbered as they end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended: list[Operation] = []
        self._open: dict[int, Handle] = {}

    def begin(self, client: str, action: Action) -> Handle:
        """Note an operation; to be called before anything of it is sent."""
        handle = Handle(self, client, action, self._clock.monotonic())
        self._open[id(handle)] = handle
        return handle

    def end(self, handle: Handle, outcome: Outcome) -> None:
        """Note how an operation ended; raises ValueError when that was said before."""
        if self._open.pop(id(handle), None) is None:
            raise ValueError(f"{handle.action} of {handle.client} has ended before")
        self._ended.append(self._operation(len(self._ended) + 1, handle, outcome))

    @property
    def operations(self) -> list[Operation]:
        """Everything so far; what is still under way counts as unknown."""
        first = len(self._ended) + 1
        under_way = [
            self._operation(first + more, each, "unknown") for more, each in enumerate(self._open.values())
        ]
        return [*self._ended, *under_way]

    def _operation(self, number: int, handle: Handle, outcome: Outcome) -> Operation:
        now_s = self._clock.monotonic()
        return Operation(number, handle.client, handle.action, outcome, handle.start_s, now_s)


def _with_seen(action: Action, seen: Seen) -> Action:
    if isinstance(action, Read):
        if isinstance(seen, int | str | None):
            return Read(action.key, seen)
    elif isinstance(action, Balances):
        if isinstance(seen, Mapping):
            return Balances(action.key, dict(seen))
    elif (
        isinstance(action, Members | Elements) and isinstance(seen, Collection) and not isinstance(seen, str)
    ):
        return replace(action, seen=tuple(seen))
    raise TypeError(f"{action} cannot have seen {seen!r}")
