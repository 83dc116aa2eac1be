"""When a keeper calls its PostgreSQL a primary, a replica, in sync, and how far it is behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from common.model.keys import Keys
from common.model.view import SyncSet, SyncState
from common.model.wal import Lsn
from keeper.contact import Contact
from keeper.documents import Documents
from keeper.guarding import Guarding
from keeper.local import Local
from keeper.postgres.port import Observation, Receiver
from keeper.readiness import SILENT_LIMIT_S, Readiness, Standing
from keeper.state import KeeperState, LifeRecord
from tests.support.builders import SANDUN_1, SHIQIAO_1, at, running_view
from tests.support.facts import local_settings
from tests.support.healthy import INCARNATIONS, SYSTEM, TERM, view

HEARS = Receiver("streaming", "slot", "127.0.0.1", 1, 0.1, upstream_end=at(6))


@dataclass(frozen=True)
class Fence:
    is_guarding: bool = False
    is_overdue: bool = False


@dataclass
class Proofs:
    """As much of contact and guarding as is judged by."""

    proof_age_s: float = 0.5
    fence: Fence = Fence()


def judged(
    uid: str = SANDUN_1,
    *,
    role: str = "primary",
    postgres: str = "running",
    proofs: Proofs | None = None,
    seen: dict[str, Any] | None = None,
    **changed: Any,
) -> Standing:
    """One keeper of the healthy cluster, with something changed in the view that it obeys."""
    state = KeeperState(
        keeper_id="k",
        life=LifeRecord(incarnation=INCARNATIONS[uid], term=1, complete=True),
        sealed_term=changed.pop("sealed_term", TERM),
    )
    local = Local(local_settings(uid), state, "1", "test")
    local.postgres = cast("Any", postgres)
    observation = Observation(
        version=150018,
        system_identifier=SYSTEM,
        start_id="s",
        in_recovery=role == "standby",
        timeline=2,
        lsn=at(5),
        flush=at(5),
    )
    local.observation = replace(observation, **(seen or {}))
    documents = Documents(Keys("demo"), uid)
    documents.view = changed.pop("view", running_view(route=view().route, **changed))
    proofs = proofs or Proofs()
    return Readiness(local, documents, cast("Contact", proofs), cast("Guarding", proofs)).now()


def test_a_primary_with_the_route_and_a_fresh_proof_is_one() -> None:
    """Out of recovery, named, routed to, proven."""
    now = judged()

    assert (now.is_primary, now.is_replica, now.is_ready, now.why_not_primary) == (True, False, True, "")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"role": "standby"}, "as a standby"),
        ({"postgres": "starting"}, "is starting"),
        ({"view": None}, "no view"),
        ({"view": running_view(route=None)}, "no view sends writers anywhere"),
        ({"uid": SHIQIAO_1}, "sends writers to sandun-1"),
        ({"term": TERM + 1}, "sends writers to sandun-1"),
        ({"sealed_term": TERM + 1}, "it has promised term 5"),
        ({"proofs": Proofs(proof_age_s=5.1)}, "nothing has proven for 5 s"),
    ],
    ids=["standby", "starting", "no view", "no route", "another", "newer term", "promised", "unproven"],
)
def test_whatever_is_missing_makes_it_none(changed: dict[str, Any], why: str) -> None:
    """Being out of recovery is not enough, and the answer says what is missing."""
    now = judged(**changed)

    assert not now.is_primary
    assert why in now.why_not_primary


@pytest.mark.parametrize(
    ("fence", "good"), [(Fence(), False), (Fence(True), True), (Fence(True, True), False)]
)
def test_where_only_a_lease_protects_commits_the_lease_is_the_proof(fence: Fence, good: bool) -> None:
    """Not guarded, guarded, and guarded for too long; the age of other proofs does not matter."""
    lease = SyncState(current=SyncSet(id=15, k=0))

    assert judged(sync=lease, proofs=Proofs(proof_age_s=99.0, fence=fence)).is_primary == good


def test_a_standby_that_hears_its_primary_knows_its_lag() -> None:
    """By what the primary said last, or by what has arrived, whichever is further."""
    behind = judged(SHIQIAO_1, role="standby", seen={"receiver": HEARS})
    backlog = judged(SHIQIAO_1, role="standby", seen={"receiver": HEARS, "flush": at(7)})

    assert (behind.is_replica, behind.streams, behind.is_sync, behind.is_ready) == (True, True, True, True)
    assert behind.lag_bytes == Lsn(at(6) - at(5))
    assert backlog.lag_bytes == Lsn(at(7) - at(5))


@pytest.mark.parametrize(
    "receiver",
    [None, replace(HEARS, silent_s=SILENT_LIMIT_S + 1),
     replace(HEARS, status="waiting")],
    ids=["none", "silent", "not streaming"],
)  # fmt: skip
def test_a_standby_that_hears_nothing_knows_no_lag_and_is_not_in_sync(receiver: Receiver | None) -> None:
    """It is a replica still: reads of old data may be what somebody wants."""
    now = judged(SHIQIAO_1, role="standby", seen={"receiver": receiver})

    assert (now.is_replica, now.streams, now.is_sync, now.is_ready, now.lag_bytes) == (
        True,
        False,
        False,
        False,
        None,
    )


def test_only_members_of_the_sync_set_in_their_present_life_are_in_sync() -> None:
    """A clone has another incarnation."""
    others = SyncState(current=SyncSet(id=15, k=1))

    assert not judged(SHIQIAO_1, role="standby", seen={"receiver": HEARS}, sync=others).is_sync
