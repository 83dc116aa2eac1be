"""Writes of a leader: fenced by its token and by the view that it read."""

from __future__ import annotations

import pytest

from common.errors import Conflict
from common.model.history import HistoryEvent
from common.model.keys import Keys
from common.model.reasons import ReasonsDocument
from common.model.requests import Pause, Request, RequestUpdate
from common.model.view import HISTORY_LIMIT
from common.store.port import Put
from sentinel.decide.observed import Change
from sentinel.leadership import LeaderWriter, read_leadership
from tests.support import healthy
from tests.unit.common.store.builders import World, in_a_world

KEYS = Keys("demo")


async def elected(world: World, uid: str = "s1") -> tuple[LeaderWriter, int, int]:
    """A writer that leads, its lease and its token."""
    writer = LeaderWriter(world.store, KEYS, uid)
    lease = await world.store.grant_lease(10)
    assert await writer.campaign(lease.id)
    items = {item.key: item for item in world.server.items(KEYS.prefix)}
    return writer, lease.id, read_leadership(items, KEYS, uid=uid, lease_id=lease.id).token


async def write(writer: LeaderWriter, world: World, token: int, revision: int, generation: int = 1) -> int:
    change = Change(healthy.view(generation=generation), "route_set", "a text")
    return await writer.write(
        change, token=token, view_revision=revision, at=world.clock.wall(), phases_ms={"seal_ms": 1.0}
    )


@in_a_world
async def test_only_the_first_to_campaign_leads(world: World) -> None:
    """And only by its present lease: its own earlier life is not it."""
    _, lease_id, token = await elected(world)
    second = await world.store.grant_lease(10)
    items = {item.key: item for item in world.server.items(KEYS.prefix)}

    assert token > 0
    assert not await LeaderWriter(world.store, KEYS, "s2").campaign(second.id)
    assert not read_leadership(items, KEYS, uid="s2", lease_id=lease_id).is_ours
    assert not read_leadership(items, KEYS, uid="s1", lease_id=second.id).is_ours
    assert not read_leadership(items, KEYS, uid="s1", lease_id=None).is_ours
    assert read_leadership({}, KEYS, uid="s1", lease_id=lease_id).leader_uid == ""


@in_a_world
async def test_view_and_event_are_one_write(world: World) -> None:
    """At one revision."""
    writer, _, token = await elected(world)
    revision = await write(writer, world, token, 0)
    items = {item.key: item for item in world.server.items(KEYS.prefix)}
    event = HistoryEvent.from_bytes(items[KEYS.event(1)].value)

    assert items[KEYS.view].mod_revision == items[KEYS.event(1)].mod_revision == revision
    assert (event.generation, event.kind, event.sentinel) == (1, "route_set", "s1")
    assert event.phases_ms == {"seal_ms": 1.0}


@in_a_world
async def test_a_wrong_token_writes_nothing(world: World) -> None:
    """Neither view nor reasons; the leader of today is another one."""
    writer, lease_id, token = await elected(world)
    await world.store.revoke_lease(lease_id)
    await elected(world, "s2")
    with pytest.raises(Conflict):
        await write(writer, world, token, 0)
    with pytest.raises(Conflict):
        await writer.write_reasons(ReasonsDocument(term=1), token=token)

    assert set(world.values()) == {KEYS.leader}


@in_a_world
async def test_a_view_that_is_not_the_one_read_is_not_written_over(world: World) -> None:
    """Not even by the leader: the decision was made from another one."""
    writer, _, token = await elected(world)
    revision = await write(writer, world, token, 0)
    for stale in (0, revision - 1):
        with pytest.raises(Conflict):
            await write(writer, world, token, stale, generation=2)
    await write(writer, world, token, revision, generation=2)

    assert KEYS.event(2) in world.values()


@in_a_world
async def test_the_history_is_bounded(world: World) -> None:
    """Each event removes the one that has become too old."""
    writer, _, token = await elected(world)
    revision = 0
    for generation in (1, 2, HISTORY_LIMIT, HISTORY_LIMIT + 1):
        revision = await write(writer, world, token, revision, generation)

    assert set(world.values(KEYS.history)) == {KEYS.event(n) for n in (2, HISTORY_LIMIT, HISTORY_LIMIT + 1)}


@in_a_world
async def test_a_store_gets_its_id_once(world: World) -> None:
    """A later sentinel does not change it."""
    writer = LeaderWriter(world.store, KEYS, "s1")
    await writer.write_store_id("first")
    await writer.write_store_id("second")

    assert world.values() == {KEYS.store_id: b"first"}


@in_a_world
async def test_a_keeper_that_must_be_gone_is_not_there_at_the_moment_of_the_write(world: World) -> None:
    """Its lease has ended for certain only if its key is still absent: it may have come back unseen."""
    writer, _, token = await elected(world)
    key = KEYS.keeper("sandun-1")
    back = await world.store.grant_lease(10)
    await world.store.transact([], [Put(key, b"{}", back.id)])
    change = Change(healthy.view(generation=1), "primary_named", "a text", only_without="sandun-1")
    at = world.clock.wall()
    with pytest.raises(Conflict, match="the keeper of sandun-1 is back"):
        await writer.write(change, token=token, view_revision=0, at=at, phases_ms={})
    await world.store.revoke_lease(back.id)

    assert await writer.write(change, token=token, view_revision=0, at=at, phases_ms={}) > 0


@in_a_world
async def test_a_request_changes_with_the_view_or_not_at_all(world: World) -> None:
    """An operator who takes it back at the same instant wins or comes too late: never both."""
    writer, _, token = await elected(world)
    asked = Request(id="r-1", by="anna", at=world.clock.wall(), term=1, operation=Pause())
    old = world.put(KEYS.request("r-1"), asked.to_bytes())
    done = asked.ended("done", "it is", world.clock.wall())

    async def pause(revision: int) -> int:
        update = RequestUpdate("r-1", revision, done)
        change = Change(healthy.view(generation=1), "paused", "a text", requests=(update,), by="anna")
        return await writer.write(change, token=token, view_revision=0, at=world.clock.wall(), phases_ms={})

    current = world.put(KEYS.request("r-1"), asked.to_bytes())
    with pytest.raises(Conflict):
        await pause(old)
    nothing = KEYS.view not in world.values()
    await pause(current)
    event = HistoryEvent.from_bytes(world.values()[KEYS.event(1)])

    assert nothing
    assert Request.from_bytes(world.values()[KEYS.request("r-1")]) == done
    assert (event.by, event.request) == ("anna", "r-1")


@in_a_world
async def test_what_becomes_of_requests_alone_is_fenced_likewise(world: World) -> None:
    """By the token, by the view that was read, and by each request."""
    writer, _, token = await elected(world)
    asked = Request(id="r-1", by="anna", at=world.clock.wall(), term=1, operation=Pause())
    revision = world.put(KEYS.request("r-1"), asked.to_bytes())
    removed = (RequestUpdate("r-1", revision, None),)
    stale = (RequestUpdate("r-1", revision - 1, None),)
    for updates, by_token, view_revision in ((removed, token + 1, 0), (removed, token, 7), (stale, token, 0)):
        with pytest.raises(Conflict):
            await writer.write_requests(updates, token=by_token, view_revision=view_revision)
    kept = KEYS.request("r-1") in world.values()
    await writer.write_requests(removed, token=token, view_revision=0)

    assert kept
    assert world.values(KEYS.requests) == {}
