"""How long ago it was proven that the route is still the one: by a fresh view, else by an attestation.

While the store is out of reach the proxy asks the keeper of the route's primary once a period. The age of an
answer counts from when it was asked, and what the keeper says of it comes on top; an answer for another life,
another term or another question proves nothing, and one that names a newer term ends what was proven before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from common.errors import InvalidDocument, PeerUnavailable
from common.model.attestation import Attestation
from common.model.spec import ATTESTATION_PERIOD_S
from common.model.view import Route
from common.runtime.clock import Clock
from common.runtime.http import get_json
from proxy.route import Target

ASK_TIMEOUT_S: Final = 1.0
"""One question; the keeper itself gives up a little earlier, and says so."""

FRESH_FOR_S: Final = 2 * ATTESTATION_PERIOD_S
"""A store that was read so lately need not be stood in for."""

_log = structlog.get_logger()


class Attestor(Protocol):
    """Asks the keeper of a route's primary."""

    async def ask(self, route: Route, nonce: str, timeout_s: float) -> Attestation:
        """Return its attestation, whatever it is for; raises PeerUnavailable."""


class HttpAttestor:
    """Asks over HTTP, at the address that stands in the route."""

    async def ask(self, route: Route, nonce: str, timeout_s: float) -> Attestation:
        """``GET /attestation``."""
        if not route.api_url:
            raise PeerUnavailable(f"the route names no API of the keeper of {route.uid}")
        answer = await get_json(f"{route.api_url}/attestation", timeout_s=timeout_s, query={"nonce": nonce})
        try:
            return Attestation.from_bytes(json.dumps(answer).encode())
        except InvalidDocument as error:
            raise PeerUnavailable(f"{route.api_url}/attestation: {error}") from error


class RouteProof:
    """Since when, at least, the route in force is proven.

    ``store_proof`` gives the moment as of which the store showed the view in force, minus infinity for
    never; ``route`` the route of that view, if it has one; ``changed`` is called after each answer.
    """

    def __init__(
        self,
        *,
        cluster: str,
        clock: Clock,
        attestor: Attestor,
        new_nonce: Callable[[], str],
        store_proof: Callable[[], float],
        route: Callable[[], Route | None],
        changed: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._attestor = attestor
        self._new_nonce = new_nonce
        self._store_proof = store_proof
        self._route = route
        self._changed = changed
        self._attested: tuple[Target | None, float] = (None, -math.inf)
        self._superseded: tuple[Target | None, float] = (None, -math.inf)
        self._said = ""

    @property
    def since(self) -> float:
        """Monotonic time as of which the route in force was the one; minus infinity for never."""
        route = self._route()
        if route is None:
            return self._store_proof()
        target = Target.of(route)
        attested_for, attested = self._attested
        since = max(self._store_proof(), attested if attested_for == target else -math.inf)
        superseded, void_before = self._superseded
        return since if target != superseded or since > void_before else -math.inf

    @property
    def unproven_s(self) -> float:
        """How long ago that was, in seconds."""
        return self._clock.monotonic() - self.since

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run, for ever."""
        return (self._run(),)

    async def _run(self) -> None:
        """Ask once a period while the store gives no proof."""
        while True:
            began = self._clock.monotonic()
            route = self._route()
            if route is not None and began - self._store_proof() > FRESH_FOR_S:
                await self._ask(route)
                self._changed()
            await self._clock.sleep(max(0.0, began + ATTESTATION_PERIOD_S - self._clock.monotonic()))

    async def _ask(self, route: Route) -> None:
        nonce, asked = self._new_nonce(), self._clock.monotonic()
        try:
            answer = await self._attestor.ask(route, nonce, ASK_TIMEOUT_S)
        except PeerUnavailable as error:
            self._say("not_attested", str(error))
            return
        if answer.is_for(self._cluster, route, nonce):
            self._attested = (Target.of(route), asked - answer.age_s)
            self._say("attested", "")
            return
        if answer.cluster == self._cluster and answer.nonce == nonce and answer.term > route.term:
            self._superseded = (Target.of(route), asked)
        self._say("not_attested", f"{answer.uid} attests for term {answer.term}, not for {Target.of(route)}")

    def _say(self, event: str, error: str) -> None:
        if event != self._said:
            self._said = event
            _log.warning(event, route=str(self._route() or ""), error=error)
