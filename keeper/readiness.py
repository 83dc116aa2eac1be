"""What a keeper's PostgreSQL is good for now, as load balancers and service managers ask it.

``primary`` is more than "out of recovery": the view that is obeyed sends writers to just this life, and the
store or its standbys have proven within ``proxy_timeout`` that it is the only one; or, where only a lease
protects commits, the lease and the deadman hold. So an old primary that is cut off answers 200 for
``proxy_timeout`` at most, in which it can acknowledge nothing once another one is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from common.model.view import ClusterView, SyncMember
from keeper.contact import Contact
from keeper.documents import Documents
from keeper.guarding import Guarding
from keeper.local import Local

SILENT_LIMIT_S: Final = 5.0
"""A WAL receiver that has heard nothing for so long tells nothing of how far its primary is."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is so now. ``lag_bytes``: WAL that the upstream has and this standby has not replayed yet."""

    state: str
    role: str | None
    is_primary: bool
    is_replica: bool
    streams: bool
    is_sync: bool
    lag_bytes: int | None
    why_not_primary: str

    @property
    def is_ready(self) -> bool:
        """Whether it does its part: serves as the primary, or follows it."""
        return self.is_primary or (self.is_replica and self.streams)


class Readiness:
    """Judges one keeper's PostgreSQL from what its loops have seen; asks nobody."""

    def __init__(self, local: Local, documents: Documents, contact: Contact, guarding: Guarding) -> None:
        self._local = local
        self._documents = documents
        self._contact = contact
        self._guarding = guarding

    def now(self) -> Standing:
        """Judge now."""
        local, view = self._local, self._documents.view or self._local.state.view
        running = local.postgres == "running"
        seen = local.observation if running else None
        why_not = self._why_not_primary(view)
        is_replica = running and local.role == "standby"
        receiver = seen.receiver if seen is not None and is_replica else None
        streams = (
            receiver is not None and receiver.silent_s <= SILENT_LIMIT_S and receiver.status == "streaming"
        )
        lag_bytes = None
        if seen is not None and receiver is not None and streams:
            lag_bytes = max(0, max(receiver.upstream_end, seen.flush) - seen.lsn)
        return Standing(
            state=local.postgres,
            role=local.role if running else None,
            is_primary=not why_not,
            is_replica=is_replica,
            streams=streams,
            is_sync=is_replica and streams and self._acknowledges(view),
            lag_bytes=lag_bytes,
            why_not_primary=why_not,
        )

    def _acknowledges(self, view: ClusterView | None) -> bool:
        life = self._local.state.life
        if view is None or life is None:
            return False
        return SyncMember(self._local.settings.uid, life.incarnation) in view.sync.current.members

    def _why_not_primary(self, view: ClusterView | None) -> str:
        """Why writers must not be sent here; empty when they may."""
        local = self._local
        life, route = local.state.life, view.route if view is not None else None
        if local.postgres != "running" or local.role != "primary":
            return f"PostgreSQL is {local.postgres}{f' as a {local.role}' if local.role else ''}"
        if view is None or route is None or life is None:
            return "no view sends writers anywhere"
        if (route.uid, route.incarnation, route.term) != (local.settings.uid, life.incarnation, view.term):
            return f"the view of term {view.term} sends writers to {route.uid}"
        if local.state.sealed_term > view.term:
            return f"it has promised term {local.state.sealed_term}"
        if view.sync.lease_protects:
            fence = self._guarding.fence
            return "" if fence.is_guarding and not fence.is_overdue else "no lease protects it"
        limit_s = self._documents.spec.timings.proxy_timeout_s
        if self._contact.proof_age_s > limit_s:
            return f"nothing has proven for {limit_s:g} s that it is still the only primary"
        return ""
