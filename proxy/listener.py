"""The proxy's port: takes clients, and does with guests and sessions what a decision says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from common.model.reasons import Reason
from common.runtime.http import cannot_listen
from proxy.admission import Admission, ParkLimits
from proxy.guest import Guest
from proxy.pgwire import TOO_MANY_CONNECTIONS
from proxy.route import Decision
from proxy.session import Sessions
from proxy.sockets import tune

BACKLOG: Final = 4096

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Figures:
    """How many clients are where now, and how many were refused and dials failed since the start."""

    sessions: int = 0
    parked: int = 0
    refused: int = 0
    failed_dials: int = 0


class Listener:
    """Clients on one side, the server of the route on the other; a :class:`proxy.guest.Host`."""

    def __init__(
        self,
        *,
        limits: ParkLimits,
        max_clients: int,
        startup_timeout_s: float,
        dial_timeout_s: float,
        peer_timeout_s: float,
    ) -> None:
        self._max_clients = max_clients
        self._startup_timeout_s = startup_timeout_s
        self._peer_timeout_s = peer_timeout_s
        self._guests: dict[Guest, None] = {}
        self._sessions = Sessions()
        self._admission = Admission(
            self._sessions, limits, dial_timeout_s=dial_timeout_s, peer_timeout_s=peer_timeout_s
        )
        self._refused_for_number = 0
        self._server: asyncio.Server | None = None

    async def listen(self, hosts: Sequence[str], port: int) -> None:
        """Take clients at these addresses from now on; raises CannotListen."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Guest(self, self._startup_timeout_s), hosts, port, backlog=BACKLOG
            )
        except OSError as error:
            raise cannot_listen(" and ".join(hosts), port, "--port", error) from error
        for sock in self._server.sockets:
            tune(sock, peer_timeout_s=self._peer_timeout_s)
        _log.info("listens", hosts=list(hosts), port=port)

    def apply(self, decision: Decision) -> None:
        """Obey: no guest goes to an older target from here on, then the sessions that may not stay end."""
        self._admission.redirect(decision)
        if ended := self._sessions.cut(decision):
            _log.info("sessions_cut", count=ended, term=decision.term, generation=decision.generation)

    def set_limits(self, limits: ParkLimits) -> None:
        """Park by other limits; who is parked already keeps the time that it was given."""
        self._admission.limits = limits

    def settle(self) -> None:
        """Called about once a second: see :meth:`proxy.admission.Admission.settle`."""
        self._admission.settle()

    @property
    def figures(self) -> Figures:
        """The numbers of this moment."""
        return Figures(
            sessions=len(self._sessions),
            parked=self._admission.parked,
            refused=self._admission.refused + self._refused_for_number,
            failed_dials=self._admission.failed_dials,
        )

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What keeps clients from the server of the route."""
        if not self._is_full:
            return self._admission.reasons
        full = Reason(
            code="clients_full",
            severity="critical",
            text=f"{self._max_clients} clients are connected, as many as may be: more are refused",
            fix="see where they come from, or raise max_clients",
        )
        return (*self._admission.reasons, full)

    async def close(self) -> None:
        """Take no more clients, and let go of all."""
        if self._server is not None:
            self._server.close()
        for guest in tuple(self._guests):
            guest.transport.abort()
        for session in tuple(self._sessions):
            session.cut()
        await asyncio.sleep(0)

    @property
    def clients(self) -> int:
        """Everybody who is connected now: at a server, parked, about to be refused."""
        return len(self._guests) + len(self._sessions)

    @property
    def _is_full(self) -> bool:
        return self.clients >= self._max_clients

    def arrive(self, guest: Guest) -> None:
        """Take a client that has connected, unless there are too many."""
        if self._is_full:
            self._refused_for_number += 1
            guest.refuse(
                TOO_MANY_CONNECTIONS, f"pgha: the proxy has {self._max_clients} clients, as many as may be"
            )
        self._guests[guest] = None

    def opened(self, guest: Guest) -> None:
        """Find a server for a guest whose first packet is complete."""
        guest.admission = asyncio.get_running_loop().create_task(self._admit(guest))

    async def _admit(self, guest: Guest) -> None:
        if await self._admission.admit(guest):
            self._guests.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """Forget a guest that has left or was refused."""
        self._guests.pop(guest, None)
        if guest.admission is not None:
            guest.admission.cancel()
