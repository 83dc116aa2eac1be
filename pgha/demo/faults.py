"""What each exercise breaks, for the cluster as it is at that moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from common.model.requests import AnyOperation, Restart, Switchover
from common.status.documents import Documents
from pgha.demo.layout import SITES, Layout

FROZEN_S: Final = 30.0
"""Ten leases; three of those that ``async`` has here."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is killed at one instant, and when it comes back.

    ``services`` are started again after ``back_after_s``; ``postgres_of`` names keepers all of whose
    PostgreSQL processes are killed, ``postmaster_of`` one of whom only the postmaster is.
    ``frozen``: nothing is killed, it all stands still, and goes on after ``back_after_s``; a client of
    ``straggler``'s own address commits there all the time.
    ``deadman``: nobody but the victim's deadman is left to end its PostgreSQL.
    ``asks``: nothing is hurt, the cluster is asked for this operation, under more load.
    ``victim`` is the member that has to come back as a standby. ``sites`` are those whose clients count.
    """

    text: str
    failover: bool
    services: tuple[str, ...] = ()
    postgres_of: tuple[str, ...] = ()
    postmaster_of: str | None = None
    victim: str | None = None
    back_after_s: float = 0.0
    frozen: bool = False
    straggler: str | None = None
    deadman: bool = False
    asks: AnyOperation | None = None
    sites: tuple[str, ...] = SITES


def _primary(documents: Documents) -> str:
    view = documents.view
    if view is None or view.primary is None:
        raise ValueError("there is no primary to hurt")
    return view.primary.uid


def crash(documents: Documents, layout: Layout) -> Fault:
    """The postmaster of the primary dies; its keeper lives and brings it back."""
    del layout
    uid = _primary(documents)
    return Fault(
        f"kill -9 of the postmaster of {uid}, the primary", failover=True, postmaster_of=uid, victim=uid
    )


def keeper_crash(documents: Documents, layout: Layout) -> Fault:
    """The primary's keeper dies and is started again: PostgreSQL must not notice."""
    del layout
    uid = _primary(documents)
    text = f"kill -9 of the keeper of {uid}, the primary; PostgreSQL is left alone"
    return Fault(text, failover=False, services=(uid,), back_after_s=3.0)


def host(documents: Documents, layout: Layout) -> Fault:
    """A power cut of the primary's host."""
    del layout
    uid = _primary(documents)
    return Fault(
        f"kill -9 of everything on the host of {uid}, the primary",
        failover=True,
        services=(uid,),
        postgres_of=(uid,),
        victim=uid,
        back_after_s=5.0,
    )


def freeze(documents: Documents, layout: Layout) -> Fault:
    """The primary's host stands still for longer than its lease, as a paused virtual machine does."""
    del layout
    uid = _primary(documents)
    return Fault(
        f"SIGSTOP of everything on the host of {uid}, the primary, for {FROZEN_S:.0f} s",
        failover=True,
        services=(uid,),
        postgres_of=(uid,),
        victim=uid,
        back_after_s=FROZEN_S,
        frozen=True,
        straggler=uid,
    )


def deadman(documents: Documents, layout: Layout) -> Fault:
    """The keeper of a primary that only its lease protects stands still, and nothing else does."""
    del layout
    uid = _primary(documents)
    if documents.view is None or not documents.view.sync.lease_protects:
        raise ValueError("a deadman is armed only where nobody acknowledges: --mode async")
    return Fault(
        f"SIGSTOP of the keeper of {uid}, the primary, for {FROZEN_S:.0f} s; PostgreSQL is left alone",
        failover=True,
        services=(uid,),
        victim=uid,
        back_after_s=FROZEN_S,
        frozen=True,
        deadman=True,
    )


def site(documents: Documents, layout: Layout) -> Fault:
    """A power cut of the primary's whole site."""
    uid = _primary(documents)
    lost = layout.keeper(uid).site
    return Fault(
        f"kill -9 of everything on site {lost}, which holds the primary {uid}",
        failover=True,
        services=tuple(place.uid for place in layout.places if place.site == lost),
        postgres_of=tuple(place.uid for place in layout.keepers if place.site == lost),
        victim=uid,
        back_after_s=8.0,
        sites=tuple(name for name in SITES if name != lost),
    )


def sync_standby(documents: Documents, layout: Layout) -> Fault:
    """A power cut of the host of a standby that acknowledges."""
    del layout
    members = documents.view.sync.current.members if documents.view else ()
    uids = sorted(member.uid for member in members)
    if not uids:
        raise ValueError("the sync set has no member to hurt")
    text = f"kill -9 of everything on the host of {uids[0]}, a member of the sync set"
    return Fault(
        text,
        failover=False,
        services=(uids[0],),
        postgres_of=(uids[0],),
        victim=uids[0],
        back_after_s=5.0,
    )


def sentinel(documents: Documents, layout: Layout) -> Fault:
    """The leader of the sentinels dies together with the primary's host."""
    power_cut = host(documents, layout)
    if documents.leader is None:
        raise ValueError("there is no leader to hurt")
    return Fault(
        f"kill -9 of {documents.leader}, which leads, and of everything on the host of {power_cut.victim}",
        failover=True,
        services=(documents.leader, *power_cut.services),
        postgres_of=power_cut.postgres_of,
        victim=power_cut.victim,
        back_after_s=power_cut.back_after_s,
    )


def etcd(documents: Documents, layout: Layout) -> Fault:
    """The whole store dies and comes back."""
    return _store_away(documents, layout, away_s=5.0)


def etcd_outage(documents: Documents, layout: Layout) -> Fault:
    """The whole store is away for longer than any timeout: the primary attests, and nobody notices."""
    return _store_away(documents, layout, away_s=60.0)


def _store_away(documents: Documents, layout: Layout, *, away_s: float) -> Fault:
    del documents
    members = "etcd" if len(layout.etcd) == 1 else "all etcd members"
    return Fault(
        f"kill -9 of {members}, for {away_s:.0f} s",
        failover=False,
        services=tuple(place.uid for place in layout.etcd),
        back_after_s=away_s,
    )


def switchover(documents: Documents, layout: Layout) -> Fault:
    """No fault at all: the best member of the other site shall be primary, in order."""
    uid = _primary(documents)
    other = next((name for name in SITES if name != layout.keeper(uid).site), "")
    text = f"pgha switchover --site {other}, from {uid}"
    return Fault(text, failover=True, victim=uid, asks=Switchover(site=other))


def rolling_restart(documents: Documents, layout: Layout) -> Fault:
    """No fault either: every PostgreSQL is restarted, the primary last, by a switchover."""
    del layout
    uid = _primary(documents)
    return Fault(f"pgha restart --all, with {uid} as primary", failover=True, victim=uid, asks=Restart())


FAULTS: Final[Mapping[str, Callable[[Documents, Layout], Fault]]] = {
    "crash": crash,
    "keeper-crash": keeper_crash,
    "host": host,
    "freeze": freeze,
    "deadman": deadman,
    "site": site,
    "sync-standby": sync_standby,
    "sentinel": sentinel,
    "etcd": etcd,
    "etcd-outage": etcd_outage,
    "switchover": switchover,
    "rolling-restart": rolling_restart,
}
"""The exercises by the names that ``--exercise`` takes."""
