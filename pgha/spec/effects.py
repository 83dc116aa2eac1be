"""What a change of the spec will do, before it is written. Pure.

Parameters: whether PostgreSQL takes them by a reload or only by a restart, as its own ``pg_settings`` says.
Everything else: the decision core is asked with the new spec, as ``pgha explain`` asks it with a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from common.model.base import Value
from common.model.examination import HostExamination
from common.model.spec import ClusterSpec, Timings
from common.model.units import format_duration
from pgha.explain.model import Instant
from pgha.explain.whatif import what_if
from sentinel.decide.observed import Observed
from sentinel.decide.sync_set import in_words

RESTART: Final = "postmaster"
FIXED: Final = "internal"

Kind = Literal["refused", "reload", "restart", "sync_set", "failover", "warning", "at_once"]


@dataclass(frozen=True)
class Judged:
    """What PostgreSQL itself says of the parameters of a spec.

    ``members`` are all whose PostgreSQL could be asked; ``refused``: what is wrong, and who of them says so.
    """

    members: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Effect(Value):
    """One thing that will happen, or will be different; ``members`` are those that it happens to."""

    kind: Kind
    text: str
    members: tuple[str, ...] = ()


def effects(
    before: ClusterSpec,
    after: ClusterSpec,
    observed: Observed | None,
    hosts: Mapping[str, HostExamination],
    judged: Judged,
) -> tuple[Effect, ...]:
    """Say what follows; ``hosts`` are the keepers that could be asked, by uid.

    Where something is ``refused``, the spec must not be written.
    """
    found = [Effect(kind="refused", text=text, members=uids) for text, uids in judged.refused.items()]
    if not found:
        found += _parameters(before, after, hosts, judged)
    found += [*_access(before, after, hosts), *_timings(before, after)]
    if observed is not None and observed.view is not None:
        found += _decisions(before, after, observed)
    return tuple(found)


def changed_parameters(before: ClusterSpec, after: ClusterSpec) -> tuple[str, ...]:
    """Names of the parameters that are given, changed or taken away."""
    old, new = _lower(before), _lower(after)
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def _lower(spec: ClusterSpec) -> dict[str, str]:
    return {name.lower(): value for name, value in spec.postgres.parameters.items()}


def _parameters(
    before: ClusterSpec, after: ClusterSpec, hosts: Mapping[str, HostExamination], judged: Judged
) -> list[Effect]:
    names = changed_parameters(before, after)
    if not names:
        return []
    if not hosts:
        text = f"{', '.join(names)}: no keeper could be asked whether a reload is enough"
        return [Effect(kind="warning", text=text)]
    found: list[Effect] = []
    if not judged.members:
        text = f"{', '.join(names)}: no PostgreSQL could be asked whether it takes them"
        found.append(Effect(kind="warning", text=text))
    contexts = {name: _context(name, hosts) for name in names}
    reloaded = [name for name, context in contexts.items() if context not in {RESTART, FIXED, None}]
    if reloaded:
        text = f"PostgreSQL is reloaded for {', '.join(reloaded)}"
        found.append(Effect(kind="reload", text=text, members=tuple(sorted(hosts))))
    for name in (name for name, context in contexts.items() if context == RESTART):
        text = f"{name} takes effect on each member only with its next restart; nothing restarts by itself"
        found.append(Effect(kind="restart", text=text, members=_differing(name, after, hosts)))
    unknown = [name for name, context in contexts.items() if context is None and name in _lower(after)]
    if unknown:
        text = f"{', '.join(unknown)}: only a library that PostgreSQL loads at its start can make use of it"
        found.append(Effect(kind="warning", text=text))
    return found


def _context(name: str, hosts: Mapping[str, HostExamination]) -> str | None:
    return next((host.settings[name].context for host in hosts.values() if name in host.settings), None)


def _differing(name: str, after: ClusterSpec, hosts: Mapping[str, HostExamination]) -> tuple[str, ...]:
    """Members that do not have the value already; where it is taken away, or has a unit, all of them."""
    wanted = _lower(after).get(name)
    return tuple(
        sorted(
            uid
            for uid, host in hosts.items()
            if name not in host.settings or host.settings[name].value != wanted
        )
    )


def _access(before: ClusterSpec, after: ClusterSpec, hosts: Mapping[str, HostExamination]) -> list[Effect]:
    old, new, members = before.postgres, after.postgres, tuple(sorted(hosts))
    found = []
    if (old.hba, old.ident, old.md5_users) != (new.hba, new.ident, new.md5_users):
        text = "pg_hba.conf and pg_ident.conf are written anew and reloaded; sessions that are open stay"
        found.append(Effect(kind="reload", text=text, members=members))
    if new.md5_users and old.md5_users != new.md5_users:
        users = ", ".join(user.user for user in new.md5_users)
        text = f"{users} may log in with md5: whoever reads the traffic can break that"
        found.append(Effect(kind="warning", text=text))
    if old.max_slot_wal_keep_size != new.max_slot_wal_keep_size:
        text = "PostgreSQL is reloaded for max_slot_wal_keep_size; a smaller one may let slots lose their WAL"
        found.append(Effect(kind="reload", text=text, members=members))
    return found


def _timings(before: ClusterSpec, after: ClusterSpec) -> list[Effect]:
    found = []
    for name, timing in Timings.model_fields.items():
        old, new = getattr(before.timings, name), getattr(after.timings, name)
        if old == new:
            continue
        shown = [format_duration(each) if name.endswith("_s") else str(each) for each in (old, new)]
        when = "with the next lease that each service takes" if name == "lease_ttl_s" else "at once"
        text = f"{timing.alias or name} becomes {shown[1]}, from {shown[0]}, {when}"
        found.append(Effect(kind="at_once", text=text))
    return found


def _decisions(before: ClusterSpec, after: ClusterSpec, observed: Observed) -> list[Effect]:
    """What the sentinels will do and say with the new spec that they would not with the old."""
    old_run = what_if(Instant(replace(observed, spec=before)), ())
    new_run = what_if(Instant(replace(observed, spec=after)), ())
    found = []
    old_set, new_set = old_run.view.sync.target, new_run.view.sync.target
    if (old_set.k, old_set.members) != (new_set.k, new_set.members):
        text = f"the sync set becomes {in_words(new_set)}, from {in_words(old_set)}"
        found.append(
            Effect(kind="sync_set", text=text, members=tuple(sorted(m.uid for m in new_set.members)))
        )
    said = {(reason.code, reason.subject) for reason in old_run.reasons}
    found += [
        Effect(kind="warning", text=reason.text)
        for reason in new_run.reasons
        if (reason.code, reason.subject) not in said
    ]
    old_next, new_next = _successor(before, observed), _successor(after, observed)
    if old_next != new_next:
        text = (
            f"if the primary's host died, {new_next or 'nobody'} would take over, not {old_next or 'nobody'}"
        )
        found.append(Effect(kind="failover", text=text))
    return found


def _successor(spec: ClusterSpec, observed: Observed) -> str | None:
    named = observed.view.primary if observed.view else None
    if named is None:
        return None
    run = what_if(Instant(replace(observed, spec=spec)), {named.uid})
    route = run.view.route
    return route.uid if route is not None and route.uid != named.uid else None
