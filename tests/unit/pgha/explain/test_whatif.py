"""What would happen: the core itself, run to its end with hosts taken away."""

from __future__ import annotations

import pytest

from common.model.spec import ClusterSpec
from common.model.view import SyncState
from pgha.explain.model import Instant
from pgha.explain.whatif import Run, what_if
from sentinel.decide.lease import LEASE_MARGIN_S
from sentinel.decide.observed import Observed
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    Scene,
    at,
    keeper,
    running_view,
    sync_set,
)
from tests.support.healthy import UIDS

LEASE_S = 3.0


def scene(**spec: object) -> Scene:
    """The healthy cluster, with what its keepers say of their leases."""
    keepers = {uid: keeper(uid, lease_ttl_s=LEASE_S) for uid in UIDS}
    return Scene(keepers=keepers, spec=ClusterSpec.model_validate(spec))


def before(found: Scene) -> Observed:
    return found.observed()


def kinds(run: Run) -> list[str]:
    return [step.change.kind for step in run.steps]


def test_the_primarys_host_is_replaced_by_one_of_its_site() -> None:
    """Sealed, named, routed: the very changes that the sentinel would write, in its order."""
    run = what_if(Instant(before(scene())), {SANDUN_1})

    assert kinds(run)[:3] == ["sealing", "primary_named", "route_set"]
    assert run.view.route is not None
    assert run.view.route.uid == SANDUN_2
    assert run.view.term == 5
    assert {member.uid for member in run.view.sync.current.members} == {SHIQIAO_1, SHIQIAO_2}
    assert {each.candidate.uid for each in run.judged} == {SANDUN_2, SHIQIAO_1, SHIQIAO_2}
    assert run.settled


def test_nothing_is_changed_where_nobody_dies() -> None:
    """The run of a healthy cluster ends at once and says nothing."""
    run = what_if(Instant(before(scene())), ())

    assert run.steps == ()
    assert run.reasons == ()
    assert run.view == running_view()


def test_a_dead_standby_leaves_the_sync_set_only_after_degrade_after() -> None:
    """Time is counted: no sooner than the spec says."""
    run = what_if(Instant(before(scene(timings={"degrade_after": "7s"}))), {SHIQIAO_1})

    assert kinds(run) == ["sync_set_pending", "sync_set_current"]
    assert run.steps[0].at_s == pytest.approx(7.0, abs=0.1)
    assert {member.uid for member in run.view.sync.current.members} == {SHIQIAO_2}


def test_a_site_takes_over_and_acknowledges_by_itself() -> None:
    """What is less than before is said, by the core's own reasons."""
    run = what_if(Instant(before(scene())), {SANDUN_1, SANDUN_2})

    assert run.view.route is not None
    assert run.view.route.uid == SHIQIAO_1
    assert {member.uid for member in run.view.sync.current.members} == {SHIQIAO_2}
    assert "durability_degraded" in {reason.code for reason in run.reasons}


def test_strict_waits_where_degrade_gives_way() -> None:
    """Without the other site nobody may acknowledge."""
    run = what_if(Instant(before(scene(durability={"mode": "strict"}))), {SHIQIAO_1, SHIQIAO_2})

    assert run.view.route is not None
    assert run.view.route.uid == SANDUN_1
    assert "commits_wait" in {reason.code for reason in run.reasons}


def test_where_too_few_are_left_nobody_is_promoted() -> None:
    """The primary dies and everybody who may have acknowledged dies with it."""
    run = what_if(Instant(before(scene())), {SANDUN_1, SHIQIAO_1, SHIQIAO_2})

    assert "primary_named" not in kinds(run)
    assert "too_few_to_seal" in {reason.code for reason in run.reasons}


def test_a_lease_is_waited_for_and_what_it_alone_protected_is_counted() -> None:
    """With ``k = 0`` the successor is named once the lease cannot live, and the standby's lag is lost."""
    found = scene(durability={"mode": "async"})
    found.view = running_view(sync=SyncState(current=sync_set(15, 0)))
    found.report(SANDUN_1, standbys=(), lsn=at(5) + 4096)
    run = what_if(Instant(before(found)), {SANDUN_1})
    named = next(step for step in run.steps if step.change.kind == "primary_named")

    assert named.at_s >= LEASE_S + LEASE_MARGIN_S
    assert run.lost_bytes == 4096
    assert [each.uid for each in run.view.forsaken] == [SANDUN_1]


def test_who_streams_counts_as_level_and_who_does_not_stays_behind() -> None:
    """A position in a report is seconds old; what has been received is replayed before a seal."""
    found = scene()
    found.report(SANDUN_1, lsn=at(9), standbys=found.keepers[SANDUN_1].standbys[1:])
    run = what_if(Instant(before(found)), {SANDUN_1})
    ends = {each.candidate.uid: each.candidate.agreed for each in run.judged}

    assert ends == {SANDUN_2: at(5), SHIQIAO_1: at(9), SHIQIAO_2: at(9)}
    assert {each.candidate.uid: each.obstacle for each in run.judged}[SANDUN_2] == "lacks_commits"
    assert run.view.route is not None
    assert run.view.route.uid == SHIQIAO_1


def test_a_member_that_is_down_already_neither_seals_nor_follows() -> None:
    """What is broken now stays broken in the run."""
    found = scene()
    found.down(SANDUN_2)
    run = what_if(Instant(before(found)), {SANDUN_1})

    assert run.view.route is not None
    assert run.view.route.uid == SHIQIAO_1
    assert SANDUN_2 not in {each.candidate.uid for each in run.judged}
