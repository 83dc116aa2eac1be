"""From documents and live figures to what people are shown."""

from __future__ import annotations

from datetime import timedelta

from common.model.identity import suspended_because
from common.model.reasons import Reason
from common.model.view import SyncMember, SyncSet, SyncState
from common.model.wal import Lsn
from common.status.assemble import assemble
from common.status.documents import Documents, no_spec
from common.status.model import KeeperRow, LiveFigures, StatusView
from common.store.port import StoreMember
from tests.support.healthy import INCARNATIONS, NOW, documents, keeper, proxy, view

ETCD = StoreMember("http://127.0.0.1:2379", "etcd", is_leader=True, version="3.4", problem="")
WARNING = Reason(code="keeper_missing", severity="warning", text="gone")


def status(found: Documents, live: dict[str, LiveFigures] | None = None, later_s: float = 0.0) -> StatusView:
    return assemble(found, live or {}, (ETCD,), NOW + timedelta(seconds=later_s))


def row(found: StatusView, uid: str) -> KeeperRow:
    return next(each for each in found.keepers if each.uid == uid)


def test_a_healthy_cluster_has_nothing_to_report() -> None:
    """All is well: exit code 0 rests on this."""
    found = status(documents())

    assert found.health == "healthy"
    assert found.reasons == ()
    assert (found.primary, found.primary_site, found.route) == ("sandun-1", "sandun", "127.0.0.1:24820")


def test_each_member_shows_its_part_in_the_sync_set() -> None:
    """Primary, member of the current set, member of a pending one, none of these."""
    pending = SyncSet(id=18, k=1, members=frozenset({SyncMember("sandun-2", INCARNATIONS["sandun-2"])}))
    changing = view(sync=SyncState(current=view().sync.current, pending=(pending,)))

    found = status(documents(view=changing))

    assert {each.uid: each.sync for each in found.keepers} == {
        "sandun-1": "primary",
        "sandun-2": "pending",
        "shiqiao-1": "sync",
        "shiqiao-2": "sync",
    }
    assert [(each.members, each.pending) for each in found.sync] == [
        (("shiqiao-1", "shiqiao-2"), False),
        (("sandun-2",), True),
    ]


def test_without_a_route_there_is_no_primary_whatever_else_is_well() -> None:
    """Exit code 2 rests on the route alone."""
    assert status(documents(view=view(route=None, phase="sealing"))).health == "no_primary"
    assert status(documents(view=None)).health == "no_primary"


def test_a_warning_degrades_and_a_remark_does_not() -> None:
    """Exit code 1 is for what a person should look at."""
    remark = Reason(code="site_loss_not_survived", severity="info", text="by choice")

    assert status(documents(reasons=(WARNING,))).health == "degraded"
    assert status(documents(reasons=(remark,))).health == "healthy"


def test_live_figures_win_over_the_report() -> None:
    """What the keeper says now is shown, and the lag counts from the primary's live end."""
    live = {
        "sandun-1": LiveFigures("running", "primary", 2, Lsn.parse("0/6000000"), None),
        "shiqiao-1": LiveFigures("running", "standby", 2, Lsn.parse("0/5F00000"), 0.25),
    }

    found = row(status(documents(), live), "shiqiao-1")

    assert (found.figures, str(found.lsn), found.lag_bytes, found.lag_s) == (
        "live",
        "0/5F00000",
        0x100000,
        0.25,
    )


def test_a_silent_keeper_is_shown_as_it_last_reported() -> None:
    """Its figure is marked as reported, and its age stands beside it."""
    found = row(status(documents(), later_s=7.5), "shiqiao-1")

    assert (found.figures, str(found.lsn), found.age_s) == ("report", "0/5000000", 7.5)


def test_a_member_without_report_keeps_its_line() -> None:
    """A dead keeper is not left out: the page says that nothing is known."""
    keepers = {uid: keeper(uid) for uid in ("sandun-1", "sandun-2", "shiqiao-1")}

    found = row(status(documents(keepers=keepers)), "shiqiao-2")

    assert (found.state, found.figures, found.age_s, found.sync) == ("no report", "none", None, "sync")


def test_a_primary_has_no_lag() -> None:
    """Neither in bytes nor in seconds."""
    found = row(status(documents()), "sandun-1")

    assert (found.lag_bytes, found.lag_s) == (None, None)


def test_a_reason_that_two_services_give_is_shown_once_and_the_worst_comes_first() -> None:
    """The leader passes on what keepers say; a reader sees it once."""
    critical = Reason(code="primary_down", severity="critical", text="down")
    keepers = {uid: keeper(uid) for uid in ("sandun-1", "sandun-2", "shiqiao-1")}
    keepers["shiqiao-2"] = keeper("shiqiao-2", reasons=(WARNING,))

    found = status(documents(reasons=(WARNING, critical), keepers=keepers))

    assert [reason.code for reason in found.reasons] == ["primary_down", "keeper_missing"]


def test_what_only_a_reader_can_see_is_said() -> None:
    """No spec, nobody who leads, a dead etcd member: no service is left to report these."""
    dead = StoreMember("http://b:2379", "", is_leader=False, version="", problem="refused")
    found = assemble(documents(spec=None, leader=None), {}, (ETCD, dead), NOW)

    codes = {reason.code for reason in found.reasons}

    assert codes == {"no_spec", "no_leader", "store_member_unreachable"}
    assert all(reason.fix for reason in found.reasons)


def test_a_spec_that_cannot_be_read_is_not_called_missing() -> None:
    """The advice to write a first one would be wrong."""
    mine = Reason(code="malformed_document", severity="critical", subject="/pgha/demo/spec", text="mine")
    found = status(documents(spec=None, spec_is_malformed=True, malformed=(mine,)))

    assert found.reasons == (mine,)


def test_no_spec_is_said_once() -> None:
    """By the leader and by this reader in the same words."""
    found = status(documents(spec=None, reasons=(no_spec("demo"),)))

    assert [reason.code for reason in found.reasons] == ["no_spec"]


def test_a_clock_that_runs_ahead_makes_no_negative_age() -> None:
    """Reports of a host whose clock is ahead are as of now."""
    assert row(status(documents(), later_s=-3), "sandun-1").age_s == 0


def test_a_malformed_document_that_the_leader_has_named_is_not_named_twice() -> None:
    """The leader and this reader see the same key."""
    mine = Reason(code="malformed_document", severity="warning", subject="/pgha/demo/keepers/x", text="mine")
    leaders = mine.model_copy(update={"severity": "critical", "text": "the leader's"})

    assert status(documents(reasons=(leaders,), malformed=(mine,))).reasons == (leaders,)
    assert status(documents(malformed=(mine,))).reasons == (mine,)


def test_a_suspended_cluster_is_shown_as_that_before_all_else() -> None:
    """A primary that serves, or none: what matters most is that nothing is repaired."""
    reason = suspended_because("sentinel-witness", ("no view",))
    serves = status(documents(reasons=(WARNING, reason)))
    nobody = status(documents(view=None, reasons=(WARNING, reason)))

    assert (serves.health, nobody.health) == ("suspended", "suspended")
    assert serves.reasons[0] == reason


def test_a_proxy_that_alone_knew_another_store_does_not_make_the_cluster_suspended() -> None:
    """Failovers are made all the same."""
    said = suspended_because("proxy-sandun", ("no view",))
    proxies = {"proxy-sandun": proxy("sandun", reasons=(said,))}

    assert status(documents(proxies=proxies, reasons=(said,))).health == "degraded"
