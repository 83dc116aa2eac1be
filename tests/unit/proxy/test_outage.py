"""What a proxy does while the store is away: it serves what is attested, and nothing else (I5)."""

from __future__ import annotations

import pytest

from common.model.identity import Acceptance
from common.model.view import ClusterView
from tests.support.aio import run
from tests.support.disk import MemoryDisk
from tests.support.healthy import INCARNATIONS, NOW, TERM, view
from tests.unit.proxy.test_service import KEYS, Bench, bench


def session_of(there: Bench) -> bool:
    """Whether a session at the first route may go on, by the last decision."""
    served = next(each.target for each in there.traffic.decisions if each.target is not None)
    return there.traffic.decisions[-1].may_stay(served)


def is_served(there: Bench) -> bool:
    return there.traffic.decisions[-1].target is not None


def test_without_store_and_attestation_everything_is_cut_after_proxy_timeout() -> None:
    """Not before: the default is five seconds."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(2)
            there.store.cut()
            await there.clock.advance(3.5)
            early = is_served(there), session_of(there)
            await there.clock.advance(3)
            late = there.traffic.decisions[-1]

            assert early == (True, True)
            assert not is_served(there)
            assert not session_of(there)
            assert "for 5 s neither the store nor its keeper" in late.parked_because
            assert "route_unproven" in [reason.code for reason in late.reasons]

    run(story())


def test_an_attested_route_is_served_however_long_the_store_is_away() -> None:
    """One question a second, and none while the store answers."""

    async def story() -> None:
        async with bench() as there:
            there.keeper.attests = True
            there.put(KEYS.view, view())
            await there.clock.advance(20)
            asked_before = there.keeper.asked
            there.store.cut()
            await there.clock.advance(60)

            assert asked_before == 0
            assert all(each.target is not None for each in there.traffic.decisions[-5:])
            assert session_of(there)
            assert 55 <= there.keeper.asked <= 60

    run(story())


def test_a_route_that_is_attested_again_is_served_again() -> None:
    """Clients that were parked meanwhile go on."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            there.store.cut()
            await there.clock.advance(10)
            during = is_served(there)
            there.keeper.attests = True
            await there.clock.advance(1.5)

            assert not during
            assert is_served(there)

    run(story())


@pytest.mark.parametrize(
    "differs",
    [
        {"nonce": "of another question"},
        {"cluster": "other"},
        {"uid": "sandun-2"},
        {"incarnation": INCARNATIONS["sandun-2"]},
        {"term": TERM - 1},
        {"age_s": 6.0},
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_an_answer_for_anything_else_proves_nothing(differs: dict[str, object]) -> None:
    """Another life, another term, an answer to somebody else, or one that is too old."""

    async def story() -> None:
        async with bench() as there:
            there.keeper.attests, there.keeper.differs = True, differs
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            there.store.cut()
            await there.clock.advance(8)

            assert not is_served(there)
            assert not session_of(there)

    run(story())


def test_an_answer_that_names_a_newer_term_ends_the_route_at_once() -> None:
    """Also one that was fresh a moment ago: somebody else is primary."""

    async def story() -> None:
        async with bench() as there:
            there.keeper.attests = True
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            there.store.cut()
            await there.clock.advance(4)
            before = is_served(there)
            there.keeper.differs = {"term": TERM + 1}
            await there.clock.advance(1.2)
            after = is_served(there)
            there.keeper.differs = {}
            there.keeper.attests = False
            there.store.heal()
            await there.clock.advance(3)

            assert before
            assert not after
            assert is_served(there), "the store itself shows this view: it is the one after all"

    run(story())


def test_the_age_of_an_answer_counts_from_when_it_was_asked() -> None:
    """A record written four seconds before the answer has one second left, not five."""

    async def story() -> None:
        async with bench() as there:
            there.keeper.attests, there.keeper.age_s = True, 4.0
            there.put(KEYS.view, view())
            await there.clock.advance(1)
            there.store.cut()
            await there.clock.advance(10)
            while_attested = is_served(there)
            there.keeper.attests = False
            await there.clock.advance(2.2)

            assert while_attested
            assert not is_served(there)

    run(story())


def test_a_proxy_restarted_without_the_store_serves_what_it_kept_once_that_is_attested() -> None:
    """Not a moment before; and the store's view takes over when it is back."""

    async def story() -> None:
        disk = MemoryDisk()
        async with bench(disk=disk) as first:
            first.put(KEYS.view, view())
            await first.clock.advance(1)
        async with bench(in_reach=False, disk=disk) as second:
            await second.clock.advance(5)
            unattested = is_served(second)
            second.keeper.attests = True
            await second.clock.advance(2)
            attested = is_served(second)
            second.put(KEYS.view, view(generation=20, term=TERM + 1, phase="sealing", route=None))
            second.store.heal()
            await second.clock.advance(3)

            assert not unattested
            assert attested
            assert second.traffic.decisions[-1].term == TERM + 1
            assert not is_served(second)

    run(story())


@pytest.mark.parametrize(
    "kept",
    [{"term": "x"}, view(cluster="other").model_dump(mode="json"), {"schema_version": 99}],
    ids=["malformed", "of another cluster", "of a newer release"],
)
def test_a_kept_view_that_cannot_be_used_is_as_good_as_none(kept: dict[str, object]) -> None:
    """It parks, as a proxy without one does."""

    async def story() -> None:
        disk = MemoryDisk()
        await disk.write("view", kept)
        async with bench(in_reach=False, disk=disk) as there:
            there.keeper.attests = True
            await there.clock.advance(5)

            assert there.traffic.decisions[-1].obeyed is None
            assert there.keeper.asked == 0

    run(story())


def test_a_view_that_is_kept_is_read_back_as_it_was() -> None:
    """With its sets and positions."""

    async def story() -> ClusterView | None:
        disk = MemoryDisk()
        await disk.write("view", view().model_dump(mode="json", exclude_none=True))
        async with bench(in_reach=False, disk=disk) as there:
            return there.traffic.decisions[-1].obeyed

    assert run(story()) == view()


def said_by(there: Bench) -> list[str]:
    """The codes of what it has decided last."""
    return [reason.code for reason in there.traffic.decisions[-1].reasons]


def test_a_proxy_keeps_its_route_by_attestations_while_the_store_is_a_restored_one() -> None:
    """Over a restart as well; an operator's word, and the view that follows it, end that."""

    async def story() -> None:
        disk = MemoryDisk()
        old = view(generation=9, term=TERM - 1, phase="sealing", route=None)
        async with bench(disk=disk) as first:
            first.put(KEYS.store_id, b"s")
            first.put(KEYS.view, old)
            backup = first.etcd.backup()
            first.put(KEYS.view, view())
            await first.clock.advance(1)
            first.keeper.attests = True
            first.etcd.restore(backup, cluster_id=2)
            await first.clock.advance(20)
            served, asked, codes = is_served(first), first.keeper.asked, said_by(first)
        async with bench(in_reach=False, disk=disk) as second:
            second.put(KEYS.store_id, b"s")
            second.etcd.cluster_id = 2
            second.put(KEYS.view, old)
            second.keeper.attests = True
            second.store.heal()
            await second.clock.advance(10)
            served_again, codes_again = is_served(second), said_by(second)
            word = Acceptance(by="op", at=NOW, store_id="s", cluster_id="2", generation=17, term=TERM)
            second.put(KEYS.acceptance, word)
            second.put(KEYS.view, view(generation=117))
            await second.clock.advance(12)

            assert served
            assert asked > 10
            assert codes == ["store_restored"]
            assert served_again
            assert codes_again == ["store_restored"]
            assert said_by(second) == []
            assert second.traffic.decisions[-1].generation == 117

    run(story())


def test_a_proxy_that_knew_another_store_lets_go_without_attestations() -> None:
    """As if the store were away: what it shows proves nothing, be it the same view."""

    async def story() -> None:
        async with bench() as there:
            there.put(KEYS.view, view())
            await there.clock.advance(2)
            there.etcd.restore(there.etcd.backup(), cluster_id=2)
            await there.clock.advance(8)

            assert not is_served(there)
            assert said_by(there)[0] == "store_restored"

    run(story())
