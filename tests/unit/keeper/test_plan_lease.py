"""The plan where only a lease protects commits: nothing is writable whose end is not in sight."""

from __future__ import annotations

from common.model.reports import EndedLife
from common.model.view import SyncState
from keeper.plan import plan
from keeper.state import KeeperState, LifeRecord
from keeper.steps import Guard, Promote, Serve, StartStandby, StartWritable, Stop
from tests.support.builders import SANDUN_1, SHIQIAO_1, promoting_view, running_view, sealing_view, sync_set
from tests.support.facts import as_primary, as_standby, not_running, sealed, why_it_waits
from tests.support.healthy import INCARNATIONS, TERM

ALONE = SyncState(current=sync_set(15, 0))
GOING_DOWN = SyncState(current=sync_set(15, 1, SHIQIAO_1), pending=(sync_set(16, 0),))


def test_a_primary_is_guarded_before_it_serves_under_a_lease() -> None:
    """From the moment at which such a set is pending, for it may be applied from then on."""
    for sync in (ALONE, GOING_DOWN):
        view = running_view(sync=sync)

        assert isinstance(plan(view, as_primary()), Guard)
        assert isinstance(plan(view, as_primary(guarded=True)), Serve)


def test_where_standbys_acknowledge_no_guard_is_asked_for() -> None:
    """The seal is the fence."""
    assert isinstance(plan(running_view(), as_primary()), Serve)


def test_a_promotion_waits_until_it_is_guarded() -> None:
    """A new primary may be alone from its first commit on."""
    view = promoting_view(sync=ALONE)
    named = view.primary
    assert named is not None
    facts = as_standby(
        SANDUN_1, following=None, seal=sealed(TERM, 0).changed(lsn=named.fork), sealed_term=TERM
    )

    assert isinstance(plan(view, facts), Guard)
    assert isinstance(
        plan(view, as_standby(SANDUN_1, following=None, seal=facts.seal, guarded=True)), Promote
    )


def test_the_first_start_of_a_cluster_waits_until_it_is_guarded() -> None:
    """It is the only one without recovery."""
    view = promoting_view(sync=ALONE)

    assert isinstance(plan(view, not_running(as_primary(), "stopped")), Guard)
    assert isinstance(plan(view, not_running(as_primary(guarded=True), "stopped")), StartWritable)


def test_after_a_guard_that_failed_there_is_a_pause() -> None:
    """As after any step."""
    assert why_it_waits(running_view(sync=ALONE), as_primary(retry_in_s=3.0)) == "retry"


def test_an_unguarded_primary_whose_term_ended_stops_and_seals() -> None:
    """A guarded one may be named again, and waits to hear of it."""
    view = sealing_view(sync=ALONE, old_primary_may_start=True)

    assert isinstance(plan(view, as_primary()), Stop)
    assert why_it_waits(view, as_primary(guarded=True)) == "was_primary"
    assert isinstance(plan(view, not_running(as_primary(), phase_seen_s=0.0)), StartStandby)


def test_a_primary_that_ended_with_its_lease_is_not_started_again_in_its_term() -> None:
    """Guarded or not: the sentinel seals the next term, in which it counts with every commit."""
    view = running_view(sync=ALONE)

    assert why_it_waits(view, not_running(as_primary(guarded=True))) == "primary_down"


def test_a_new_life_remembers_where_the_one_before_ended() -> None:
    """So that what was lost can be said, however soon its data were rewound."""
    before = KeeperState(
        keeper_id="1", life=LifeRecord(incarnation=INCARNATIONS[SANDUN_1], term=1, complete=True)
    )
    seal = sealed(TERM, 6)
    after = before.born("ffffffff", TERM, seal)

    assert after.ended == EndedLife(incarnation=INCARNATIONS[SANDUN_1], seal=seal)
    assert after.born("eeeeeeee", TERM).ended == after.ended
