"""A fast stop, in PostgreSQL's order: clients go, WAL is sent to its end, then everything ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common.model.wal import ZERO

if TYPE_CHECKING:
    from tests.sim.postgres.sender import Sender
    from tests.sim.postgres.server import Server

_LOOK_AGAIN_S: Final = 0.005


class Shutdown:
    """The fast stop of one server.

    Order on a primary: backends end -> the shutdown record is flushed and pg_control says "shut down" ->
    every WAL sender ends once its standby has flushed that record; one that does not holds it all up.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = ZERO
        server.life.later(server.engine.draw(server.engine.delays.stop_s), self._begin)

    @property
    def is_recorded(self) -> bool:
        """Whether the shutdown record is written: nothing is, after it."""
        return bool(self._end)

    def _begin(self) -> None:
        server = self._server
        for backend in list(server.backends.values()):
            backend.terminate()
        if server.startup.receiver is not None:
            server.startup.receiver.terminate()
        self._go_on()

    def _go_on(self) -> None:
        server = self._server
        if server.host.disk_hangs:
            server.host.when_disk_answers(server.life, self._go_on)
        elif server.in_recovery:
            self._stop_standby()
        elif not self._end:
            server.write_checkpoint("shutdown", "shut down")
            self._end = server.end
            for sender in list(server.senders.values()):
                sender.kick()
                self.sender_is_idle(sender)
            self._look_again()
        elif server.senders:
            self._look_again()
        else:
            server.ends_with("shut down")

    def _stop_standby(self) -> None:
        server = self._server
        if server.startup.receiver is not None:
            self._look_again()
            return
        if server.accepting:
            server.checkpoint()
        server.directory.in_state("shut down in recovery")
        server.ends_with("shut down in recovery")

    def _look_again(self) -> None:
        self._server.life.later(_LOOK_AGAIN_S, self._go_on)

    def sender_is_idle(self, sender: Sender) -> None:
        """Let a sender go whose standby has everything."""
        if self._end and sender.flush >= self._end:
            sender.end("the server shut down")
