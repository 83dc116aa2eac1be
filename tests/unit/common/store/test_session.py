"""The session: one lease, never thought to live longer than it does."""

from __future__ import annotations

import math

from structlog.testing import capture_logs

from common.store.session import Session
from tests.support.clock import settle
from tests.unit.common.store.builders import World, in_a_world


class Service:
    """Who owns the session: says whether its loops advance, and counts the leases it was told of."""

    def __init__(self, world: World, ttl_s: int = 3) -> None:
        self.alive = True
        self.leases: list[int | None] = []
        self.session = Session(world.store, world.clock, ttl_s=ttl_s, is_alive=lambda: self.alive)
        self.session.on_lease(lambda: self.leases.append(self.session.lease_id))
        self.running = world.start(self.session.run())


@in_a_world
async def test_it_takes_a_lease_and_keeps_it_alive_at_a_third_of_its_time(world: World) -> None:
    """So that two keepalives may fail in a row; the callback comes once."""
    service = Service(world)
    await settle()
    lease_id = service.session.lease_id
    valid = []
    for _ in range(20):
        await world.clock.advance(1.0)
        valid.append(service.session.valid_until - world.clock.monotonic())

    assert lease_id is not None
    assert service.leases == [lease_id]
    assert valid == [3.0] * 20


@in_a_world
async def test_what_the_store_granted_counts_and_not_what_was_asked(world: World) -> None:
    """A store that grants 12 s is asked again every 4 s."""
    world.server.min_ttl_s = 12.0
    service = Service(world, ttl_s=3)
    await settle()
    granted_until = service.session.valid_until - world.clock.monotonic()
    await world.clock.advance(3.9)
    before_the_renewal = service.session.valid_until - world.clock.monotonic()
    await world.clock.advance(0.2)

    assert granted_until == 12.0
    assert math.isclose(before_the_renewal, 8.1)
    assert math.isclose(service.session.valid_until - world.clock.monotonic(), 11.9)


@in_a_world
async def test_its_end_counts_from_before_the_request_and_not_from_its_answer(world: World) -> None:
    """An answer that took 0.75 s leaves only 2.25 s of a lease of 3."""
    service = Service(world)
    await settle()
    world.store.cut()
    await world.clock.advance(1.75)
    world.store.heal()
    await settle()

    assert service.session.valid_until == world.clock.monotonic() + 2.25


@in_a_world
async def test_a_store_out_of_reach_leaves_the_lease_to_its_end_and_no_further(world: World) -> None:
    """It stops being valid by this process's own clock, whatever the store does with it."""
    service = Service(world)
    await settle()
    world.store.cut()
    await world.clock.advance(2.9)
    valid_before = service.session.is_valid
    await world.clock.advance(0.2)

    assert valid_before
    assert not service.session.is_valid


@in_a_world
async def test_a_lost_lease_is_replaced_and_told(world: World) -> None:
    """After an outage longer than the lease: a new one, once the store says that the old is gone."""
    service = Service(world)
    await settle()
    world.store.cut()
    with capture_logs() as logs:
        await world.clock.advance(10)
        world.store.heal()
        await world.clock.advance(0.5)

    assert len(service.leases) == 2
    assert service.leases[1] == service.session.lease_id != service.leases[0]
    assert service.session.is_valid
    assert [entry["event"] for entry in logs] == ["lease_not_renewed", "lease_lost", "lease_taken"]


@in_a_world
async def test_a_lease_that_outlived_the_outage_goes_on(world: World) -> None:
    """A new etcd leader extends all leases: nothing has to be published again."""
    service = Service(world)
    await settle()
    world.store.cut()
    for _ in range(10):
        await world.clock.advance(1)
        world.server.keep_alive(service.session.lease_id or 0)
    world.store.heal()
    await world.clock.advance(0.5)

    assert len(service.leases) == 1
    assert service.session.is_valid


@in_a_world
async def test_a_process_whose_loops_stand_still_lets_its_lease_end(world: World) -> None:
    """Renewing from a task of its own would hide a hung service; once it moves again it takes a new lease."""
    service = Service(world)
    await settle()
    world.put("/keeper", b"", service.session.lease_id or 0)
    service.alive = False
    with capture_logs() as logs:
        await world.clock.advance(4.1)
    while_hung = world.values()
    service.alive = True
    await world.clock.advance(1.1)

    assert while_hung == {}
    assert [entry["event"] for entry in logs] == ["lease_left_to_end"]
    assert len(service.leases) == 2
    assert service.session.is_valid


@in_a_world
async def test_to_resign_takes_the_keys_away_at_once_and_ends_the_task(world: World) -> None:
    """An orderly stop is seen within milliseconds instead of a lease."""
    service = Service(world)
    await settle()
    world.put("/keeper", b"", service.session.lease_id or 0)
    await service.session.resign()
    await settle()

    assert world.values() == {}
    assert service.session.lease_id is None
    assert not service.session.is_valid
    assert service.running.done()


@in_a_world
async def test_a_lease_that_a_writer_found_expired_is_replaced_at_once(world: World) -> None:
    """Without waiting for the next keepalive; a report about an older lease changes nothing."""
    service = Service(world)
    await settle()
    first = service.session.lease_id or 0
    world.server.revoke(first)
    service.session.report_expired(first)
    await settle()
    second = service.session.lease_id
    service.session.report_expired(first)
    await settle()

    assert second not in {None, first}
    assert service.session.lease_id == second
