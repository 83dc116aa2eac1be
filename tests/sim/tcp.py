"""A TCP connection as the kernels of two hosts keep it, whatever the processes that hold it do.

A receiver that does not read closes the window. The kernel of a dead process says goodbye for it; a host
without power says nothing, and with power again it resets what it no longer knows.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from tests.sim.loop import SimLoop
from tests.sim.network import RETRANSMISSION_S, Network
from tests.sim.process import Process
from tests.sim.wire import LONGEST_PAUSE_S, RECEIVE_BUFFER_BYTES, Mark, Wire

SEND_BUFFER_BYTES: Final = 256 * 1024
GIVES_UP_AFTER_S: Final = 924.6
"""What the 15 retransmissions of Linux take, for a socket without TCP_USER_TIMEOUT."""
KEEPALIVE_PROBES: Final = 9


class Holder(Protocol):
    """Who is told what happens to an end: its transport, or nobody yet."""

    def readable(self) -> None:
        """There is something to read: bytes, the end, or an error."""

    def writable(self) -> None:
        """There is room in the send buffer again."""


class End:
    """One end of a connection; ``process`` is whose kernel keeps it."""

    def __init__(self, loop: SimLoop, network: Network, process: Process, kind: str) -> None:
        self._loop = loop
        self._network = network
        self._kind = kind
        self.process = process
        self.host = process.host
        self.holder: Holder | None = None
        self.on_open: Callable[[End], None] | None = None
        self.gives_up_after_s = GIVES_UP_AFTER_S
        self.resets_at_close = False
        self.received: deque[bytes] = deque()
        self.received_bytes = 0
        self.has_ended = False
        self.error: OSError | None = None
        self.heard_at = loop.time()
        self._has_shut_down = False
        self._is_closed = False
        self._is_gone = False
        self._probes = 0
        self.peer: End
        self._out: Wire
        process.at_end(self._die)
        network.at_power_off(self.host, self._lose_power)

    @classmethod
    def pair(
        cls, loop: SimLoop, network: Network, client: Process, server: Process, kind: str
    ) -> tuple[End, End]:
        """Two ends whose hosts have shaken hands; the server does not know yet that it is done."""
        ends = cls(loop, network, client, kind), cls(loop, network, server, kind)
        for own, other in (ends, ends[::-1]):
            own.peer = other
            own._out = Wire(loop, network, kind, own, other)
        return ends

    # For the process.

    @property
    def is_open(self) -> bool:
        """Whether both directions are open, as far as this host knows."""
        return not (self.has_ended or self.error or self._is_closed or self._is_gone)

    def open(self) -> None:
        """Send the last packet of the handshake."""
        self._out.push(Mark.OPEN)

    def send(self, data: bytes) -> int:
        """Take as much as there is room for; return how much that is, in bytes."""
        room = SEND_BUFFER_BYTES - self._out.queued_bytes
        if room <= 0:
            return 0
        piece = data if len(data) <= room else data[:room]
        self._out.push(piece)
        return len(piece)

    def shut_down(self) -> None:
        """Say that nothing more will come."""
        if not self._has_shut_down:
            self._has_shut_down = True
            self._out.push(Mark.FIN)

    def read(self) -> bytes:
        """Take what has arrived; nothing when there is nothing."""
        if not self.received:
            return b""
        data = self.received[0] if len(self.received) == 1 else b"".join(self.received)
        self.received.clear()
        was_closed = self.received_bytes >= RECEIVE_BUFFER_BYTES
        self.received_bytes = 0
        if was_closed:
            self._open_window(RETRANSMISSION_S)
        return data

    def _open_window(self, pause_s: float) -> None:
        """Tell the peer that there is room again, and again when that is lost."""
        delay_s = self._network.path(self.host, self.peer.host, self._kind)
        if delay_s is not None:
            self._loop.world_after(delay_s, self.peer.pump)
        elif not self._is_gone:
            self._loop.world_after(pause_s, self._open_window, min(2 * pause_s, LONGEST_PAUSE_S))

    def close(self) -> None:
        """Let go of it: what is in the send buffer still goes out, unless something is left unread."""
        if self._is_closed or self._is_gone:
            return
        self._is_closed = True
        self.holder = None
        self.process.not_at_end(self._die)
        if self.received or self.resets_at_close:
            self.reset()
        else:
            self.shut_down()

    def reset(self) -> None:
        """End it at once, and tell the other side so."""
        if not self._is_gone:
            self._vanish()
            self.refuse_peer()

    def pump(self) -> None:
        """Send what may be sent now."""
        self._out.pump()

    def keep_alive(self, idle_s: float, interval_s: float) -> None:
        """Find out when the other host has vanished, though nothing is sent."""
        self._loop.world_after(idle_s, self._probe, idle_s, interval_s)

    def _probe(self, idle_s: float, interval_s: float) -> None:
        if self._is_gone or self._is_closed:
            return
        silent_s = self._loop.time() - self.heard_at
        if silent_s < idle_s or not self._out.is_idle:
            self._probes = 0
            self._loop.world_after(max(idle_s - silent_s, interval_s), self._probe, idle_s, interval_s)
            return
        limited = self.gives_up_after_s < GIVES_UP_AFTER_S
        if self._probes and (
            silent_s >= self.gives_up_after_s if limited else self._probes >= KEEPALIVE_PROBES
        ):
            self.fail(errno.ETIMEDOUT)
            return
        self._probes += 1
        hosts = (self.host, self.peer.host)
        if self._network.is_open(*hosts, self._kind) and self._network.is_open(*hosts[::-1], self._kind):
            if self.peer.is_unknown:
                self.peer.refuse_peer()
                return
            self.heard_at, self._probes = self._loop.time(), 0
        self._loop.world_after(interval_s if self._probes else idle_s, self._probe, idle_s, interval_s)

    # For the network.

    @property
    def is_unknown(self) -> bool:
        """Whether its host knows nothing of this connection any more."""
        return self._is_gone

    def deliver(self, item: bytes | Mark) -> None:
        """Take what has arrived."""
        if self._is_gone:
            return
        if item is Mark.OPEN:
            if self.on_open is not None:
                self.on_open(self)
            return
        if isinstance(item, bytes):
            if self._is_closed:
                self.reset()
                return
            self.received.append(item)
            self.received_bytes += len(item)
        else:
            self.has_ended = True
            self._end_if_done()
        if self.holder is not None:
            self.holder.readable()

    def has_room(self) -> None:
        """Go on sending; the holder may write again."""
        self._out.pump()
        if self.holder is not None:
            self.holder.writable()
        else:
            self._end_if_done()

    def fail(self, number: int) -> None:
        """End it with an error for its process."""
        if self._is_gone:
            return
        self._vanish()
        self.error = OSError(number, os.strerror(number))
        if self.holder is not None:
            self.holder.readable()

    def refuse_peer(self) -> None:
        """Send a reset, which nobody sends again when it is lost."""
        delay_s = self._network.path(self.host, self.peer.host, self._kind)
        if delay_s is not None:
            self._loop.world_after(self._out.in_order_s(delay_s), self.peer.fail, errno.ECONNRESET)

    def _die(self) -> None:
        """The process is dead: its kernel closes for it."""
        self.close()

    def _lose_power(self) -> None:
        self.holder = None
        self._vanish()

    def _vanish(self) -> None:
        self._is_gone = True
        self._out.stop()
        self.process.not_at_end(self._die)
        self._network.not_at_power_off(self.host, self._lose_power)

    def _end_if_done(self) -> None:
        """Forget a connection that both sides have closed."""
        if self._is_closed and self.has_ended and self._out.is_idle and not self._is_gone:
            self._vanish()
