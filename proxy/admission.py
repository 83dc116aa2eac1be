"""How a guest gets to the server of the route: at once, or after it has been parked.

A guest is parked while there is no route, and likewise while the server of the route refuses or does not
answer, since the route may be about to change. When it does change, dials under way are given up and every
guest tries the new one, a limited number at a time. A server that does not take connections is tried by one
guest at a time, after a pause; the others wait for that one's success.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from common.model.reasons import Reason
from proxy.guest import Guest
from proxy.pgwire import CANNOT_CONNECT_NOW, Opening
from proxy.route import Decision, Target
from proxy.session import Session, Sessions
from proxy.sockets import tune

DIALS_AT_ONCE: Final = 128
"""Well below the backlog of a PostgreSQL with default settings, twice its max_connections and a bit."""

FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ParkLimits:
    """How many clients may be parked, and for how long each."""

    clients: int
    timeout_s: float


class ParkFull(Exception):
    """As many clients are parked as may be."""


class Admission:
    """Brings guests to the server of the route; used from one event loop only."""

    def __init__(
        self, sessions: Sessions, limits: ParkLimits, *, dial_timeout_s: float, peer_timeout_s: float
    ) -> None:
        self._sessions = sessions
        self._dial_timeout_s = dial_timeout_s
        self._peer_timeout_s = peer_timeout_s
        self._target: Target | None = None
        self._parked_because = "the proxy has just started"
        self._moved = asyncio.Event()
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)
        self._dialling: dict[asyncio.Timeout, None] = {}
        self._scouting = asyncio.Lock()
        self._dial_fails = False
        self._pause_s = FIRST_PAUSE_S
        self._dial_problem: Reason | None = None
        self._dials_settled = self._refusals_settled = 0
        self.limits = limits
        self.parked = 0
        self.refused = 0
        self.failed_dials = 0

    def redirect(self, decision: Decision) -> None:
        """Send guests to another target from now on, or park them."""
        self._parked_because = decision.parked_because
        if decision.target == self._target:
            return
        self._target = decision.target
        self._dial_problem = None
        self._dial_fails = False
        self._pause_s = FIRST_PAUSE_S
        for limit in self._dialling:
            if not limit.expired():
                limit.reschedule(0)
        self._moved.set()
        self._moved = asyncio.Event()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What keeps clients waiting here, beside a missing route."""
        reasons = [self._dial_problem] if self._dial_problem else []
        if self.parked >= self.limits.clients:
            reasons.append(
                Reason(
                    code="park_full",
                    severity="critical",
                    text=f"{self.limits.clients} clients are parked, as many as may be: more are refused",
                    fix="see why there is no primary, or raise park_limit",
                )
            )
        return tuple(reasons)

    def settle(self) -> None:
        """Called now and then: forget a dial problem that is over, and log how many were refused."""
        if self._dial_problem is not None and self.failed_dials == self._dials_settled:
            _log.info("dial_works", target=str(self._target), failed=self.failed_dials)
            self._dial_problem = None
        if self.refused > self._refusals_settled:
            _log.warning(
                "clients_refused", count=self.refused - self._refusals_settled, because=self._why_parked()
            )
        self._dials_settled, self._refusals_settled = self.failed_dials, self.refused

    async def admit(self, guest: Guest) -> bool:
        """Bring a guest to a server or tell it why not; return whether it is there.

        Cancelled when the guest leaves.
        """
        limit_s = self.limits.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._until_connected(guest)
        except TimeoutError:
            self._refuse(guest, f"no primary for {limit_s:g} s: {self._why_parked()}")
        except ParkFull:
            self._refuse(guest, f"no primary, and too many wait for one already: {self._why_parked()}")
        return False

    def _refuse(self, guest: Guest, why: str) -> None:
        self.refused += 1
        guest.refuse(CANNOT_CONNECT_NOW, f"pgha: {why}")

    def _why_parked(self) -> str:
        return self._dial_problem.text if self._dial_problem else self._parked_because

    async def _until_connected(self, guest: Guest) -> bool:
        is_parked = False
        try:
            while not guest.has_left:
                if await self._connect(guest):
                    return True
                if guest.opening is Opening.CANCEL:
                    # The query that it is about has lost its session, or will have ended by then.
                    guest.transport.abort()
                    return False
                if not is_parked:
                    self._take_place()
                    is_parked = True
                if self._target is None:
                    await self._moved.wait()
                elif self._dial_fails and await self._scout(guest):
                    return True
        finally:
            self.parked -= is_parked
        return False

    def _take_place(self) -> None:
        if self.parked >= self.limits.clients:
            raise ParkFull
        self.parked += 1

    async def _scout(self, guest: Guest) -> bool:
        """Try again on behalf of all who wait for this server."""
        async with self._scouting:
            if not self._dial_fails:
                return False
            pause_s = self._pause_s
            self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await _happens(self._moved, within_s=pause_s)
            return await self._connect(guest, is_scout=True)

    async def _connect(self, guest: Guest, *, is_scout: bool = False) -> bool:
        """Try to join a guest and the server of the route."""
        async with self._dials:
            target = self._target
            if target is None or (self._dial_fails and not is_scout):
                return False
            session = Session(target, self._sessions)
            try:
                await self._dial(session)
                if target is self._target and not guest.has_left:
                    session.begin(guest.transport, guest.take_held())
                    self._dial_fails, self._pause_s = False, FIRST_PAUSE_S
                    return True
            except OSError as error:
                if target is self._target:
                    self._note_failure(target, error)
            else:
                session.server.transport.abort()
            return False

    async def _dial(self, session: Session) -> None:
        """Connect the server's side; raises OSError, of which TimeoutError is one."""
        async with asyncio.timeout(self._dial_timeout_s) as limit:
            self._dialling[limit] = None
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: session.server, session.target.host, session.target.port
                )
            finally:
                del self._dialling[limit]
        tune(session.server.transport.get_extra_info("socket"), peer_timeout_s=self._peer_timeout_s)

    def _note_failure(self, target: Target, error: OSError) -> None:
        self.failed_dials += 1
        self._dial_fails = True
        words = error.strerror or str(error) or f"no answer within {self._dial_timeout_s:g} s"
        if self._dial_problem is None:
            _log.warning("dial_failed", target=str(target), error=words)
        self._dial_problem = Reason(
            code="dial_failed",
            severity="warning",
            subject=target.uid,
            text=f"{target} does not take connections: {words}",
        )


async def _happens(event: asyncio.Event, *, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False
