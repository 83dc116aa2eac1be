"""Who may take over when more than one has failed, who may not, and who leads it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from common.status.documents import Documents
from pgha.demo.faults import Fault
from tests.support.cluster import Cluster, cluster

LONG_ENOUGH_S = 3.0
"""More than a lease and the sentinel's patience: whoever wrongly thought that it may would have begun."""


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def acknowledging(seen: Documents) -> set[str]:
    """The uids of the one set in force; none while a change is under way."""
    if seen.view is None or seen.view.sync.pending:
        return set()
    return {member.uid for member in seen.view.sync.current.members}


def routed_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.route is not None


def test_a_member_that_missed_acknowledged_commits_is_not_promoted(running: Cluster) -> None:
    """It comes back when nobody else is left: the cluster waits for one who has them, and loses nothing."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        behind, other = running.standbys
        async with running.writing():
            await running.more_writes()
            await running.power_cut(behind)
            await running.until(lambda seen: acknowledging(seen) == {other}, "the dead one has left the set")
            await running.more_writes()
            await running.power_cut(primary, other)
            await running.start(behind)
            await running.until(
                lambda _: "too_few_to_seal " in running.reasons(), "the leader says who lacks"
            )
            said = running.reasons()["too_few_to_seal "]
            await asyncio.sleep(LONG_ENOUGH_S)
            promoted_meanwhile = running.view.term != term
            await running.start(other)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            successor = running.primary
            await running.start(primary)
            await running.until_well(term=term + 1)

        assert not promoted_meanwhile
        assert f"missing: {other}, or the old primary {primary}" in said
        assert successor == other

    running.run(story())


def test_a_primary_that_cannot_start_again_is_replaced_and_comes_back_once_it_can(running: Cluster) -> None:
    """Its data are damaged: the others go on, its report has PostgreSQL's words, nothing is thrown away."""

    async def story() -> None:
        term, uid = running.view.term, running.primary
        life = running.incarnation(uid)
        part, aside = running.data(uid) / "pg_replslot", running.root(uid) / "aside"

        def cannot_start(_: Documents) -> bool:
            report = running.report(uid)
            return (
                report is not None
                and report.state in {"failed", "down"}
                and any("pg_replslot" in reason.text for reason in report.reasons)
            )

        async with running.writing():
            await running.more_writes()
            part.rename(aside)
            await running.crash(uid)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            await running.more_writes()
            await running.until(cannot_start, "its report says what is wrong")
            as_it_was = running.incarnation(uid) == life and not (running.root(uid) / "data.new").exists()
            aside.rename(part)
            await running.until_well(term=term + 1)

        assert running.primary != uid
        assert running.view.term == term + 1
        assert as_it_was

    running.run(story())


def leader_and_other(running: Cluster) -> tuple[str, str]:
    leader = running.documents.leader
    assert leader is not None
    [other] = [place.uid for place in running.demo.layout.sentinels if place.uid != leader]
    return leader, other


async def written_since(running: Cluster, term: int) -> dict[str, str]:
    """Each kind of event of the later terms, with who wrote it last."""
    return {event.kind: event.sentinel for event in await running.history() if event.term > term}


def test_the_leader_and_the_primary_may_die_at_one_instant(running: Cluster) -> None:
    """The other sentinel leads when the leader's lease has ended; all that it needs is in the store."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        leader, other = leader_and_other(running)
        together = Fault(
            "a host with both", failover=True, services=(leader, primary), postgres_of=(primary,)
        )
        async with running.writing():
            await running.more_writes()
            await running.demo.strike(together)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            wrote = await written_since(running, term)
            await running.more_writes()
            await running.start(leader, primary)
            await running.until_well(term=term + 1)

        assert set(wrote.values()) == {other}
        assert running.primary != primary
        assert running.view.term == term + 1

    running.run(story())


def test_a_leader_that_dies_in_the_middle_of_a_failover_is_carried_on_from(running: Cluster) -> None:
    """It had written that the members shall seal; the other one takes the next step, in the same term."""

    async def story() -> None:
        term, standbys = running.view.term, running.standbys
        leader, other = leader_and_other(running)
        async with running.writing():
            await running.more_writes()
            for uid in standbys:  # so that nobody can be named before the leader is dead
                running.demo.services[uid].signal(signal.SIGSTOP)
            try:
                await running.crash(running.primary)
                await running.until(lambda seen: seen.view and seen.view.term > term, "sealing begins")
                await running.kill_service(leader)
            finally:
                for uid in standbys:
                    running.demo.services[uid].signal(signal.SIGCONT)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            wrote = await written_since(running, term)
            await running.start(leader)
            await running.until_well(term=term + 1)

        assert wrote["sealing"] == leader
        assert wrote["route_set"] == other
        assert running.view.term == term + 1

    running.run(story())
