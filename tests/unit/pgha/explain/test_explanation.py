"""The explanation as a value and as text."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from common.model.history import HistoryEvent
from common.model.reasons import SUSPENDED, Reason
from common.model.spec import ClusterSpec
from common.model.view import Word
from common.status.documents import Documents
from common.store.port import StoreMember, StorePeer
from pgha.explain.explanation import Consequence, Explanation, explain
from pgha.explain.render import render, render_steps
from tests.support.builders import (
    SANDUN_1,
    SANDUN_2,
    SHIQIAO_1,
    SHIQIAO_2,
    keeper,
    running_view,
    sealing_view,
)
from tests.support.healthy import NOW, UIDS, documents, sentinel

SITES = ("sandun", "shiqiao", "witness")


def etcd(*names: str) -> tuple[StoreMember, ...]:
    """One endpoint that lists these members."""
    peers = tuple(StorePeer(name, ("http://127.0.0.1:2379",)) for name in names)
    url = "http://127.0.0.1:2379"
    return (StoreMember(url, names[0], is_leader=True, version="3.4.23", problem="", peers=peers),)


ETCD = etcd("etcd-sandun", "etcd-shiqiao", "etcd-witness")


def cluster(**fields: Any) -> Documents:
    whole: dict[str, Any] = {"view": running_view(), "keepers": {uid: keeper(uid) for uid in UIDS}}
    return documents(**(whole | fields))


def explained(found: Documents, store: tuple[StoreMember, ...] = ETCD) -> Explanation:
    return explain(found, {}, store, None, NOW)


def of(name: str, said: Explanation) -> Consequence:
    return next(each for each in said.consequences if each.name == name)


def text(said: Explanation) -> str:
    out = io.StringIO()
    render(said, Console(file=out, width=200, markup=False))
    return out.getvalue()


def test_every_member_and_every_site_is_asked_about() -> None:
    """The witness too: its etcd member may be what holds the majority."""
    said = explained(cluster())

    assert [each.name for each in said.consequences] == [*UIDS, *SITES]
    assert of(SANDUN_1, said).primary == SANDUN_2
    assert of(SHIQIAO_1, said).stays
    assert of("sandun", said).lost == (SANDUN_1, SANDUN_2)
    assert of("witness", said).risks == ()


def test_the_reason_for_the_primary_is_the_one_for_which_it_was_named() -> None:
    """The history's own words, with since when."""
    event = HistoryEvent(generation=9, term=4, at=NOW, kind="primary_named", text="it was the furthest")
    said = explain(cluster(), {}, ETCD, event, NOW)

    assert said.since == NOW
    assert said.why.startswith("it was the furthest; it stays primary")
    assert "the history no longer says why" in explained(cluster()).why


def test_each_other_member_is_told_what_it_lacks() -> None:
    """In the order in which they would be chosen; the first difference decides."""
    spec = ClusterSpec.model_validate(
        {"members": [{"uid": SHIQIAO_2, "priority": 5}, {"uid": SANDUN_2, "no_failover": True}]}
    )
    said = explained(cluster(spec=spec))

    assert [each.uid for each in said.successors] == [SHIQIAO_2, SHIQIAO_1, SANDUN_2]
    assert [each.takes_over for each in said.successors] == [True, False, False]
    assert said.successors[1].text == "it could, after shiqiao-2: its priority is 0, not 5"
    assert said.successors[2].text == "no: the spec says no_failover"


def test_who_is_away_or_down_is_said_so() -> None:
    """No rank without a seal."""
    keepers = {uid: keeper(uid) for uid in UIDS if uid != SHIQIAO_1}
    keepers[SHIQIAO_2] = keepers[SHIQIAO_2].changed(state="cloning", role=None)
    said = explained(cluster(keepers=keepers))
    texts = {each.uid: each.text for each in said.successors}

    assert texts[SHIQIAO_1] == "no: its keeper has no live report"
    assert texts[SHIQIAO_2] == "no: its PostgreSQL is cloning"


def test_the_loss_of_the_majority_of_etcd_promotes_nobody() -> None:
    """The primary goes on while its standbys attest; where it is lost with the site there is none."""
    store = etcd("etcd-sandun-1", "etcd-sandun-2", "etcd-shiqiao")
    said = explained(cluster(), store)
    other = explained(cluster(), etcd("etcd-sandun", "etcd-shiqiao-1", "etcd-shiqiao-2"))

    assert of("sandun", said).primary is None
    assert {risk.code for risk in of("sandun", said).risks} == {"store_majority_lost", "no_primary"}
    assert of("shiqiao", said).stays
    assert of("shiqiao", other).primary is None, "both members of its sync set are on the lost site"


def test_etcd_members_whose_site_nobody_knows_make_the_answer_conditional() -> None:
    """A remark says so, and how to change it."""
    said = explained(cluster(), etcd("a", "b", "c"))

    assert "etcd_sites_unknown" in {risk.code for risk in of("sandun", said).risks}
    assert of("sandun", said).primary == SHIQIAO_1


def test_where_nobody_may_be_promoted_the_dead_primary_does_not_stay() -> None:
    """Its sync set is away already, or the cluster is paused: the view still names it, and nobody serves."""
    alone = {uid: keeper(uid) for uid in (SANDUN_1, SANDUN_2)}
    too_few = of(SANDUN_1, explained(cluster(keepers=alone)))
    paused = of(SANDUN_1, explained(cluster(view=running_view(paused=Word(by="ann", at=NOW)))))

    for each in (too_few, paused):
        assert (each.primary, each.route, each.stays, each.sync_set) == (None, None, False, "")
    assert "too_few_to_seal" in {risk.code for risk in too_few.risks}


def test_sentinels_on_one_site_leave_nobody_to_decide() -> None:
    """Two of them on the same site are one site's loss."""
    found = cluster(sentinels={"a": sentinel("sandun"), "b": sentinel("sandun")})

    assert "no_sentinel_left" in {risk.code for risk in of("sandun", explained(found)).risks}
    assert "no_sentinel_left" not in {risk.code for risk in of("shiqiao", explained(found)).risks}


def test_a_set_without_a_spare_is_a_risk_only_where_there_was_one() -> None:
    """One more loss, and commits wait."""
    said = explained(cluster())

    assert [risk.code for risk in of(SHIQIAO_1, said).risks] == ["no_spare"]
    assert of(SANDUN_2, said).risks == ()


def test_a_suspended_cluster_is_not_guessed_at() -> None:
    """Nothing would be decided, so nothing is foretold."""
    reason = Reason(code=SUSPENDED, severity="critical", text="the store was restored")
    said = explained(cluster(reasons=(reason,)))

    assert said.health == "suspended"
    assert said.consequences == ()


def test_without_a_view_the_reasons_are_all_there_is() -> None:
    """An empty store has no members to ask about."""
    said = explained(Documents("demo"))

    assert said.consequences == ()
    assert {reason.code for reason in said.reasons} == {"no_spec", "no_leader"}


def test_a_cluster_that_seeks_a_primary_is_explained_too() -> None:
    """Nobody is primary, and what follows further deaths can still be said."""
    said = explained(cluster(view=sealing_view()))

    assert said.primary is None
    assert said.why == ""
    assert len(said.consequences) == len(UIDS) + len(SITES)


def test_the_text_shows_primary_successors_and_consequences() -> None:
    """A line each, and the risks with what to do below."""
    shown = text(explained(cluster()))

    assert shown.startswith("cluster demo: healthy, term 4, running\nprimary:  sandun-1 (sandun)\n")
    assert "sandun-2   sandun   it would take over" in shown
    assert "site sandun   shiqiao-1       127.0.0.1:24822  1 of shiqiao-2" in shown
    assert "\nsite sandun:\nwarning: " in shown


def test_one_consequence_is_shown_step_by_step() -> None:
    """Each change as the history would show it."""
    out = io.StringIO()
    render_steps(of(SANDUN_1, explained(cluster())), Console(file=out, width=80, markup=False))
    lines = out.getvalue().splitlines()

    assert lines[0] == "if sandun-1 died now (it takes along: sandun-1)"
    assert [line.split()[2] for line in lines[1:4]] == ["sealing", "primary_named", "route_set"]
    assert lines[-2].startswith("then: primary sandun-2, writers go to 127.0.0.1:24821")
