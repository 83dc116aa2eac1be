"""What doctor looks at, and what it finds. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from common.model.base import Value
from common.model.examination import HostExamination
from common.model.reasons import RANK, Severity
from common.model.spec import ClusterSpec
from common.status.clocks import ClockOffset
from common.status.documents import Documents
from common.store.port import StoreMember
from pgha.placement import Placement


class Finding(Value):
    """One thing that can go wrong: what is so, what that means, and what to do.

    ``code`` is stable; ``subject`` is a member, a service, a site or a parameter.
    """

    code: str
    severity: Severity
    subject: str
    text: str
    means: str
    fix: str


@dataclass(frozen=True)
class Seen:
    """A cluster with its hosts at one moment.

    ``silent``: services whose API did not answer, and why. ``reads_s``: how long linearizable reads of the
    store took. ``least_lease_s``: the shortest lease that the store grants, None where that was not asked.
    """

    documents: Documents
    hosts: Mapping[str, HostExamination]
    clocks: Mapping[str, ClockOffset]
    silent: Mapping[str, str]
    store: tuple[StoreMember, ...]
    placement: Placement
    reads_s: tuple[float, ...]
    least_lease_s: float | None
    now: datetime

    @property
    def spec(self) -> ClusterSpec:
        """The spec, or the defaults where none can be read, which is a finding of its own."""
        return self.documents.spec or ClusterSpec()

    def settings(self, name: str) -> dict[str, str]:
        """The values of one parameter, by member."""
        return {uid: host.settings[name].value for uid, host in self.hosts.items() if name in host.settings}


def worst_first(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """In the order in which a person should read them, each once."""
    return tuple(
        sorted(set(findings), key=lambda each: (RANK[each.severity], each.code, each.subject, each.text))
    )


def grouped(values: Mapping[str, str]) -> str:
    """Who has which value: ``2.36 (sandun-1, sandun-2), 2.31 (shiqiao-1)``."""
    who: dict[str, list[str]] = {}
    for uid, value in sorted(values.items()):
        who.setdefault(value, []).append(uid)
    return ", ".join(f"{value} ({', '.join(uids)})" for value, uids in who.items())
