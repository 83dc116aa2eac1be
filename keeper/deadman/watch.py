"""The deadman's loop: looks at the clock, kills when it must, and only then listens.

The order of effects, in each turn: the clock is read; a deadline that has passed makes the fuse expire, and
a round of the sweep follows at once; then it waits for messages, a tick at most; then, *before a byte is
read*, the clock again. So a process that wakes from a pause (SIGSTOP, a suspended host, no turn
for seconds) kills first, and a re-arm that lies unread in its socket by then finds PostgreSQL dying, not
saved. The clock is read once more before each single message is obeyed.

A late re-arm could prove that the lease lives after all, and still it must not count: the keeper that sent
it was late by its own clock as well, may have been told by now that others go on without it, and a rule
with exceptions is one that somebody has to reason about during an incident.

Messages of the older of two connections come first: its keeper had the root's lock before the other one did.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from keeper.deadman.aside import Aside, Known
from keeper.deadman.fuse import Fuse
from keeper.deadman.standing import Standing
from keeper.deadman.wire import LINE_LIMIT_BYTES, Answer, Request, decode_request, encode
from keeper.proc import Sweep

TICK_S: Final = 0.05
"""poll() counts time that stands still while a host sleeps: once it is awake, no more than this is lost."""

IDLE_TICK_S: Final = 1.0
LONELY_S: Final = 10.0
"""With nothing to guard and no keeper for so long it ends; the next keeper starts another."""

SWEEP_PAUSE_MIN_S: Final = 0.001
SWEEP_PAUSE_MAX_S: Final = 0.05
WATCH_PAUSE_S: Final = 0.1
_SHARE_OF_TIME: Final = 10
"""Once nothing is left, looking again may take one part in so many of a processor."""

_CREDENTIALS: Final = struct.Struct("3i")


class Watch:
    """One deadman, from its start to its end."""

    def __init__(
        self, listener: socket.socket, aside: Aside, standing: Standing, clock: Callable[[], float]
    ) -> None:
        self._listener = listener
        self._aside = aside
        self._standing = standing
        self._clock = clock
        self._fuse = Fuse()
        self._sweep: Sweep | None = None
        self._swept_for: Known | None = None
        self._killed = 0
        self._left = "none"
        self._pause_s = SWEEP_PAUSE_MIN_S
        self._keeper: socket.socket | None = None
        self._received = b""
        self._lonely_since = clock()
        self._told_to_end = False
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        listener.setblocking(False)

    def run(self) -> None:
        """Guard until there is nothing to guard and nobody to guard it for."""
        signal.signal(signal.SIGTERM, lambda *_: self._end_when_possible())
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        while not self._may_end():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - whatever it is, an armed deadman goes on
                self._aside.say("deadman_problem", level="error", error=repr(error))
                self._forget_keeper()
                time.sleep(SWEEP_PAUSE_MAX_S)
        self._aside.say("deadman_ended", state=self._fuse.state)

    def _turn(self) -> None:
        self._act_if_due()
        ready = {descriptor for descriptor, _ in self._poll.poll(self._wait_ms())}
        if self._fuse.at(self._clock()) != self._fuse:
            return  # it has passed meanwhile: the next turn kills before anything is read
        if self._keeper is not None and self._keeper.fileno() in ready:
            self._listen()
        if self._listener.fileno() in ready:
            self._accept()

    # The deadline.

    def _act_if_due(self) -> None:
        """Expire, and sweep for as long as that lasts."""
        now = self._clock()
        before, self._fuse = self._fuse, self._fuse.at(now)
        if self._fuse.state != "expired":
            return
        fires = before.state == "armed"
        if fires:
            self._sweep, self._killed, self._pause_s = None, 0, SWEEP_PAUSE_MIN_S
        self._do_a_round()
        if fires:
            # Only now: nothing comes before the first signals.
            self._aside.say("deadman_fired", level="error", late_s=round(now - before.deadline, 4))

    def _do_a_round(self) -> None:
        began = self._clock()
        known = self._aside.known
        if self._sweep is None or known != self._swept_for:
            # Another postmaster, or another directory: whatever was proved before counts no longer.
            self._sweep, self._swept_for = Sweep(known.place, known.postmaster, known.segment), known
        was_empty, known_killed = self._fuse.empty, len(self._sweep.killed)
        self._left = self._sweep.round()
        self._killed += len(self._sweep.killed) - known_killed
        self._fuse = self._fuse.swept(empty=self._left == "none")
        if not self._fuse.empty:
            self._pause_s = min(2 * self._pause_s, SWEEP_PAUSE_MAX_S)
            return
        self._pause_s = max(WATCH_PAUSE_S, _SHARE_OF_TIME * (self._clock() - began))
        if not was_empty:
            self._aside.say(
                "deadman_killed",
                level="warning",
                killed=self._killed,
                after_s=round(self._clock() - self._fuse.deadline, 4),
            )

    def _wait_ms(self) -> int:
        if self._fuse.state == "armed":
            left_s = min(TICK_S, self._fuse.deadline - self._clock())
        else:
            left_s = self._pause_s if self._fuse.state == "expired" else IDLE_TICK_S
        return max(0, math.ceil(left_s * 1000))

    # The keeper.

    def _accept(self) -> None:
        """Take the newest keeper; what the one before said last has been obeyed by then."""
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, user, _ = _CREDENTIALS.unpack(raw)
        if user not in {os.geteuid(), 0}:
            self._aside.say("deadman_refused_peer", level="warning", peer=pid, user=user)
            peer.close()
            return
        if self._keeper is not None:
            self._listen()
        self._forget_keeper()
        peer.setblocking(False)
        self._keeper = peer
        self._poll.register(peer, select.POLLIN)
        self._aside.say("deadman_has_keeper", keeper=pid, **self._shown())

    def _listen(self) -> None:
        """Obey what the keeper has sent, message by message."""
        while self._keeper is not None:
            try:
                chunk = self._keeper.recv(LINE_LIMIT_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                chunk = b""
            *lines, self._received = (self._received + chunk).split(b"\n")
            for line in lines:
                if self._keeper is not None:
                    self._obey(line)
            if not chunk or len(self._received) > LINE_LIMIT_BYTES:
                self._forget_keeper()

    def _obey(self, line: bytes) -> None:
        try:
            request = decode_request(line)
        except (ValueError, TypeError) as error:
            self._aside.say("deadman_not_understood", level="warning", error=str(error))
            self._forget_keeper()
            return
        self._act_if_due()
        before = self._fuse.state
        refused = self._change(request)
        if refused:
            self._aside.say("deadman_refused", level="warning", op=request.op, reason=refused)
        elif before != self._fuse.state:
            self._aside.say(f"deadman_{self._fuse.state}", **self._shown())
        self._answer(request, refused)

    def _change(self, request: Request) -> str:
        """Do what is asked for; return why not, or nothing."""
        if request.op == "status":
            return ""
        if request.op == "arm":
            outcome = self._fuse.arm(self._clock(), request.deadline, request.limit_s)
        elif request.op == "disarm":
            outcome = self._fuse.disarm()
        else:
            return f"op = {request.op!r}: unknown"
        if isinstance(outcome, str):
            return outcome
        self._fuse = outcome
        return ""

    def _answer(self, request: Request, refused: str) -> None:
        answer = Answer(
            id=request.id,
            pid=os.getpid(),
            state=self._fuse.state,
            deadline=self._fuse.deadline,
            margin_s=self._fuse.margin_s(self._clock()),
            fired=self._fuse.fired,
            killed=self._killed,
            left=self._left,
            locked=self._standing.locked,
            priority=self._standing.priority,
            refused=refused,
        )
        if self._keeper is None:
            return
        try:
            self._keeper.send(encode(answer))
        except OSError:  # also one that does not read its answers
            self._forget_keeper()

    def _forget_keeper(self) -> None:
        """Let a connection go. That changes nothing about the deadline."""
        if self._keeper is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._poll.unregister(self._keeper)
        self._keeper.close()
        self._keeper, self._received = None, b""
        self._lonely_since = self._clock()
        self._aside.say("deadman_lost_keeper", **self._shown())

    def _shown(self) -> dict[str, object]:
        margin_s = self._fuse.margin_s(self._clock())
        return {"state": self._fuse.state, "margin_s": None if margin_s is None else round(margin_s, 3)}

    # The end.

    def _end_when_possible(self) -> None:
        self._told_to_end = True

    def _may_end(self) -> bool:
        """Whether nothing is guarded, and nobody is there or somebody wants its end."""
        fuse = self._fuse.at(self._clock())
        if not (fuse.state == "idle" or (fuse.state == "expired" and fuse.empty)):
            return False
        lonely = self._keeper is None and self._clock() - self._lonely_since > LONELY_S
        return lonely or self._told_to_end
