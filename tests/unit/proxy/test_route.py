"""Where a proxy sends clients, and what it cuts."""

from __future__ import annotations

import pytest

from common.model.view import ClusterView, Primary, Route
from proxy.route import Decision, Seen, Target, decide
from tests.support.healthy import INCARNATIONS, PORTS, TERM, view


def shown(seen: ClusterView | None, **fields: object) -> Seen:
    return Seen(**({"view": seen, "in_contact": True} | fields))  # type: ignore[arg-type]


def sealing(**fields: object) -> ClusterView:
    whole: dict[str, object] = {
        "term": TERM + 1,
        "generation": 18,
        "phase": "sealing",
        "primary": None,
        "route": None,
    }
    return view("sandun-1", **(whole | fields))


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


HOME = Target(TERM, "sandun-1", INCARNATIONS["sandun-1"], "127.0.0.1", PORTS["sandun-1"])


def test_the_route_of_the_view_is_served() -> None:
    """With no reason to give: all is well."""
    decision = decide(None, shown(view()))

    assert decision.target == HOME
    assert decision.parked_because == ""
    assert decision.reasons == ()


def test_a_proxy_that_knows_no_view_parks_and_says_what_it_waits_for() -> None:
    """The store may be away, or empty."""
    away = decide(None, Seen())
    empty = decide(None, shown(None))

    assert away.target is None
    assert codes(away) == ["store_unreachable"]
    assert away.parked_because == "the store does not answer, there is no route yet"
    assert empty.target is None
    assert codes(empty) == ["no_view"]


def test_a_newer_term_without_a_route_cuts_every_older_session_at_once() -> None:
    """New clients are told how far the failover is."""
    decision = decide(view(), shown(sealing()))

    assert decision.target is None
    assert not decision.may_stay(HOME)
    assert decision.parked_because == "sealing term 5: the members promise to leave the old primary"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"phase": "promoting", "primary": Primary(uid="shiqiao-1", timeline=3)},
            "promoting shiqiao-1 in term 5",
        ),
        ({"phase": "initializing"}, "nobody is creating the first data directory"),
        ({"phase": "running", "primary": Primary(uid="b", timeline=3)}, "b has no route in term 5"),
    ],
)
def test_each_phase_without_a_route_has_words_of_its_own(fields: dict[str, object], words: str) -> None:
    """They end in the error that a client reads."""
    assert decide(view(), shown(sealing(**fields))).parked_because == words


def test_a_route_that_goes_within_its_term_parks_new_clients_and_keeps_sessions() -> None:
    """Only a newer term says that the server may be another one."""
    decision = decide(view(), shown(view(generation=18, route=None)))

    assert decision.target is None
    assert decision.may_stay(HOME)


@pytest.mark.parametrize(
    "change",
    [{"incarnation": "ffffffff"}, {"port": 1}, {"host": "10.0.0.1"}, {"uid": "shiqiao-1"}],
)
def test_another_life_or_address_in_the_same_term_is_a_new_route(change: dict[str, object]) -> None:
    """Its predecessor's sessions do not stay."""
    first = view()
    assert first.route is not None
    decision = decide(first, shown(view(generation=18, route=first.route.changed(**change))))

    assert decision.target is not None
    assert decision.may_stay(decision.target)
    assert not decision.may_stay(HOME)


def test_a_generation_that_changes_nothing_of_the_route_cuts_nothing() -> None:
    """The sync set, the members and the address of an API are not the clients' business."""
    first = view()
    assert first.route is not None
    decision = decide(first, shown(view(generation=18, route=first.route.changed(api_url="http://x"))))

    assert decision.generation == 18
    assert decision.target == HOME
    assert decision.may_stay(HOME)


def test_the_last_route_stays_while_the_store_does_not_answer() -> None:
    """The seal is the fence; the reason is for people."""
    decision = decide(view(), Seen(view(), in_contact=False))

    assert decision.target == HOME
    assert decision.may_stay(HOME)
    assert codes(decision) == ["store_unreachable"]


def test_a_newer_view_counts_also_when_contact_was_lost_right_after_it() -> None:
    """What was read once was true: the term has moved on."""
    decision = decide(view(), Seen(sealing(), in_contact=False))

    assert decision.term == TERM + 1
    assert not decision.may_stay(HOME)


@pytest.mark.parametrize(
    "older",
    [
        view("shiqiao-1", generation=16),
        view("shiqiao-1", generation=18, term=TERM - 1),
        view("shiqiao-1", generation=17),
    ],
    ids=["older generation", "older term", "another view of the same generation"],
)
def test_a_view_that_goes_back_is_not_obeyed(older: ClusterView) -> None:
    """A restored store shows such a one; the last route stays, and people are told."""
    decision = decide(view(), shown(older))

    assert decision.obeyed == view()
    assert decision.target == HOME
    assert codes(decision) == ["view_went_back"]


def test_a_view_that_vanishes_or_cannot_be_read_changes_nothing() -> None:
    """It counts as absent, and is named."""
    gone = decide(view(), shown(None))
    torn = decide(view(), shown(None, malformed="ClusterView: term = 'x': rule"))

    assert gone.target == torn.target == HOME
    assert codes(gone) == ["no_view"]
    assert codes(torn) == ["view_malformed"]
    assert "term = 'x'" in torn.reasons[0].text


def test_nothing_of_a_store_that_became_another_is_obeyed() -> None:
    """Not even a view that would follow: whether to trust it is a human's decision; the route stays."""
    newer = shown(view(generation=18, route=None), suspended=("etcd cluster id 2 instead of 1",), uid="p1")
    decision = decide(view(), newer)

    assert decision.target == HOME
    assert decision.generation == view().generation
    assert codes(decision) == ["store_restored"]
    assert "pgha resume --accept-restored-store" in decision.reasons[0].fix


def test_a_store_that_is_not_believed_proves_no_route() -> None:
    """Without an attestation sessions are cut in time, as if the store were away."""
    decision = decide(view(), shown(view(), suspended=("no view",), unproven_s=6.0, limit_s=5.0))

    assert decision.target is None
    assert decision.cuts_all


def test_a_route_of_another_term_than_its_view_is_no_route() -> None:
    """Whoever wrote it: sessions of a term that is not the view's may not be."""
    route = Route(uid="sandun-1", incarnation="1", term=TERM - 1, host="127.0.0.1", port=1)
    decision = decide(None, shown(view(route=route)))

    assert decision.target is None
    assert decision.parked_because == "the view of term 4 has a route of term 3"
