"""One direction of a simulated TCP connection.

What is sent arrives once and in order, or not at all: while it cannot pass it is sent again, each time after
twice the pause, until the connection is given up.
"""

from __future__ import annotations

import errno
from collections import deque
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final

from tests.sim.handles import SimHandle
from tests.sim.loop import SimLoop
from tests.sim.network import RETRANSMISSION_S, Network

if TYPE_CHECKING:
    from tests.sim.tcp import End

RECEIVE_BUFFER_BYTES: Final = 128 * 1024
LONGEST_PAUSE_S: Final = 120.0


class Mark(Enum):
    """What is not bytes: the end of the handshake, and that nothing more will come."""

    OPEN = "open"
    FIN = "fin"


class Wire:
    """One direction of a connection."""

    def __init__(self, loop: SimLoop, network: Network, kind: str, source: End, target: End) -> None:
        self._loop = loop
        self._network = network
        self._kind = kind
        self._source = source
        self._target = target
        self._queue: deque[bytes | Mark] = deque()
        self._first = self._received = self._sent = 0
        self._flying_bytes = 0
        self._era = 0
        self._arrives_at = 0.0
        self._pause_s = RETRANSMISSION_S
        self._retry: SimHandle | None = None
        self._watchdog: SimHandle | None = None
        self._progress_at = 0.0
        self._is_over = False
        self.queued_bytes = 0

    def push(self, item: bytes | Mark) -> None:
        """Send something, after all that has been sent before."""
        if self._is_over:
            return
        if not self._queue:
            self._progress_at = self._loop.time()
        self._queue.append(item)
        self.queued_bytes += _size(item)
        self.pump()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been acknowledged."""
        return not self._queue

    def stop(self) -> None:
        """Send nothing more, not even what is queued; what is on its way may still arrive."""
        self._is_over = True
        while len(self._queue) > self._sent - self._first:
            self.queued_bytes -= _size(self._queue.pop())
        for timer in (self._retry, self._watchdog):
            if timer is not None:
                timer.cancel()

    def pump(self) -> None:
        """Send what may be sent now."""
        if self._is_over or self._retry is not None:
            return
        begin = end = self._sent - self._first
        flying = self._flying_bytes
        room = RECEIVE_BUFFER_BYTES - self._target.received_bytes
        for item in islice(self._queue, begin, None):
            if flying >= room and item is not Mark.FIN:
                self._watch()
                break
            flying += _size(item)
            end += 1
        if end == begin:
            return
        delay_s = self._network.path(self._source.host, self._target.host, self._kind)
        if delay_s is None:
            self._lose()
            return
        self._sent, self._flying_bytes = self._first + end, flying
        self._loop.world_after(self.in_order_s(delay_s), self._arrive, self._era, self._sent)

    def in_order_s(self, delay_s: float) -> float:
        """When something that takes so long arrives, in seconds from now: behind all that was sent before."""
        self._arrives_at = max(self._arrives_at, self._loop.time() + delay_s)
        return self._arrives_at - self._loop.time()

    def _arrive(self, era: int, upto: int) -> None:
        if era != self._era:
            return
        source, target = self._source, self._target
        if not self._network.is_open(source.host, target.host, self._kind):
            self._lose()
            return
        if target.is_unknown:
            target.refuse_peer()
            self._lose()
            return
        news = list(islice(self._queue, self._received - self._first, upto - self._first))
        self._received = max(self._received, upto)
        target.heard_at = self._loop.time()
        if self._network.is_open(target.host, source.host, self._kind):
            self._acknowledge(upto)
        else:
            self._lose()
        for item in news:
            target.deliver(item)

    def _acknowledge(self, upto: int) -> None:
        while self._first < upto:
            size = _size(self._queue.popleft())
            self.queued_bytes -= size
            self._flying_bytes -= size
            self._first += 1
        self._progress_at = self._source.heard_at = self._loop.time()
        self._pause_s = RETRANSMISSION_S
        self._source.has_room()

    def _lose(self) -> None:
        """Begin again, after a pause, behind what was acknowledged last."""
        if self._is_over:
            return
        self._era += 1
        self._sent, self._flying_bytes = self._first, 0
        if self._retry is None:
            self._retry = self._loop.world_after(self._pause_s, self._send_again)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._watch()

    def _send_again(self) -> None:
        self._retry = None
        self.pump()

    def _watch(self) -> None:
        if self._watchdog is None:
            left_s = self._progress_at + self._source.gives_up_after_s - self._loop.time()
            self._watchdog = self._loop.world_after(max(0.0, left_s), self._look)

    def _look(self) -> None:
        """Give the connection up when nothing has been acknowledged for so long."""
        self._watchdog = None
        if self._queue and self._loop.time() - self._progress_at >= self._source.gives_up_after_s:
            self._source.fail(errno.ETIMEDOUT)
        elif self._queue:
            self._watch()


def _size(item: bytes | Mark) -> int:
    return len(item) if isinstance(item, bytes) else 0
