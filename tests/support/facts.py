"""What a keeper of the healthy cluster knows of its own host, for tests of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from common.model.names import standby_name
from common.model.reports import SealReport
from common.model.view import ClusterView
from keeper.plan import plan
from keeper.settings import KeeperSettings
from keeper.steps import Facts, Life, Step, Upstream, Wait
from tests.support.builders import FORK, SANDUN_1, position, promotion
from tests.support.healthy import INCARNATIONS, PORTS, SYSTEM, TERM


def local_settings(uid: str = SANDUN_1) -> KeeperSettings:
    """Settings of a keeper that touches no disk."""
    return KeeperSettings.model_validate(
        {
            "uid": uid,
            "site": "sandun",
            "root": "/nowhere",
            "replication_password_file": "/nowhere/a",
            "rewind_password_file": "/nowhere/b",
        }
    )


def life_of(uid: str, *, term: int = 1, complete: bool = True) -> Life:
    return Life(INCARNATIONS[uid], term, complete)


def upstream(uid: str, source: str = SANDUN_1, term: int = TERM) -> Upstream:
    """What a member follows in the healthy cluster."""
    name = standby_name(uid, INCARNATIONS[uid], term)
    return Upstream(source, "127.0.0.1", PORTS[source], name, term)


def sealed(term: int, end: int, *path: tuple[int, int]) -> SealReport:
    """A seal at a position, by default one that went the lineage's way."""
    where = position(*(path or ((1, FORK),)), (2, end))
    return SealReport(term=term, lsn=where.lsn, timeline=where.timeline, history=where.history)


def as_primary(uid: str = SANDUN_1, **fields: Any) -> Facts:
    """The primary of the healthy cluster."""
    facts = Facts(
        uid=uid,
        state="running",
        role="primary",
        life=life_of(uid),
        system_identifier=SYSTEM,
        sealed_term=TERM,
        promotion=promotion(uid),
        timeline=2,
        history=position((1, FORK), (2, 5)).history,
        phase_seen_s=60.0,
    )
    return replace(facts, **fields)


def as_standby(uid: str, **fields: Any) -> Facts:
    """A standby of the healthy cluster."""
    facts = replace(as_primary(uid), role="standby", promotion=None, following=upstream(uid))
    return replace(facts, **fields)


def not_running(facts: Facts, state: str = "down", **fields: Any) -> Facts:
    """The same host without a PostgreSQL."""
    return replace(
        facts,
        **{"state": state, "role": None, "timeline": 0, "history": (), "following": None, "seal": None}
        | fields,
    )


def without_data(uid: str, **fields: Any) -> Facts:
    """A host with an empty directory."""
    return not_running(as_standby(uid), "no_data", life=None, system_identifier=None, **fields)


def why_it_waits(view: ClusterView | None, facts: Facts) -> str:
    """The code of the reason for which nothing is done."""
    step: Step = plan(view, facts)
    assert isinstance(step, Wait), step
    return step.reason.code
