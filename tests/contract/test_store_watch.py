"""What every watch does: each change once and in order, or an honest end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from common.errors import WatchLost
from common.store.port import Delete, Put, Store, WatchBatch
from tests.contract.store_backends import Backend, StoreUnderTest
from tests.support.aio import LIMIT_S, eventually


class Watcher:
    """Collects what a watch brings."""

    def __init__(self) -> None:
        self.batches: list[WatchBatch] = []

    @property
    def values(self) -> list[bytes]:
        return [event.item.value for batch in self.batches for event in batch.events]

    async def follow(self, store: Store, prefix: str, after_revision: int) -> None:
        async with aclosing(store.watch(prefix, after_revision=after_revision)) as batches:
            async for batch in batches:
                self.batches.append(batch)


@asynccontextmanager
async def watching(store: Store, prefix: str, after_revision: int) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    task = asyncio.create_task(watcher.follow(store, prefix, after_revision))
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]


def test_a_watch_brings_what_was_written_before_and_after_it_began(store_backend: Backend) -> None:
    """From the revision of a read on, so that read and watch together have no gap."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        await store.transact([], [Put(f"{prefix}a", b"0")])
        known = (await store.read(prefix)).revision
        await store.transact([], [Put(f"{prefix}a", b"1")])
        async with watching(store, prefix, known) as watcher:
            await eventually(lambda: watcher.values == [b"1"], "the change before the watch")
            await store.transact([], [Put(f"{prefix}a", b"2")])
            await store.transact([], [Put(f"{prefix[:-1]}0", b"beside")])
            await store.transact([], [Put(f"{prefix}a", b"3")])
            await eventually(lambda: watcher.values == [b"1", b"2", b"3"], "the changes after it")

    store_backend.run(story)


def test_a_transaction_arrives_as_one_batch_with_its_revision(store_backend: Backend) -> None:
    """View and history are never seen apart; a deletion names its key and revision."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        start = await store.transact([], [Put(f"{prefix}gone", b"")])
        async with watching(store, prefix, start.revision) as watcher:
            done = await store.transact(
                [], [Put(f"{prefix}a", b"1"), Put(f"{prefix}b", b"2"), Delete(f"{prefix}gone")]
            )
            await eventually(lambda: len(watcher.batches) == 1, "the batch")

        (batch,) = watcher.batches
        assert batch.revision == done.revision
        assert {(event.kind, event.item.key.removeprefix(prefix)) for event in batch.events} == {
            ("put", "a"),
            ("put", "b"),
            ("delete", "gone"),
        }
        assert {event.item.mod_revision for event in batch.events} == {done.revision}

    store_backend.run(story)


def test_a_watch_sees_a_lease_end(store_backend: Backend) -> None:
    """Though nobody calls the store meanwhile."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        lease = await store.grant_lease(under_test.ttl_s)
        put = await store.transact([], [Put(f"{prefix}mine", b"", lease.id)])
        async with watching(store, prefix, put.revision) as watcher:
            await eventually(lambda: len(watcher.batches) == 1, "the deletion")

        assert [event.kind for event in watcher.batches[0].events] == ["delete"]

    store_backend.run(story)


def test_a_watch_resumes_over_broken_connections_without_loss_or_repetition(store_backend: Backend) -> None:
    """Writes go on while its connection is cut, again and again."""

    async def story(under_test: StoreUnderTest) -> None:
        store, other, prefix = under_test.store, under_test.other, under_test.prefix
        known = (await store.read(prefix)).revision
        written = 0

        async def write(count: int) -> None:
            nonlocal written
            for _ in range(count):
                await other.transact([], [Put(f"{prefix}a", str(written).encode())])
                written += 1

        async with watching(store, prefix, known) as watcher:
            for _ in range(3):
                writing = asyncio.create_task(write(30))
                await asyncio.sleep(0.02)
                await under_test.cut()
                await writing
                await write(10)
                await under_test.heal()
                await write(10)
            await eventually(lambda: len(watcher.values) >= written, "all changes")

        assert watcher.values == numbers(0, written)

    store_backend.run(story)


def test_a_watch_behind_a_compaction_ends_as_lost(store_backend: Backend) -> None:
    """A gap cannot be filled: the reader has to read everything again."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        known = (await store.read(prefix)).revision
        for number in range(5):
            await store.transact([], [Put(f"{prefix}a", str(number).encode())])
        await under_test.compact()
        watcher = Watcher()
        with pytest.raises(WatchLost, match="compacted"):
            await asyncio.wait_for(watcher.follow(store, prefix, known), LIMIT_S)

        assert watcher.batches == []

    store_backend.run(story)


def test_a_running_watch_that_a_compaction_overtakes_while_cut_off_ends_as_lost(
    store_backend: Backend,
) -> None:
    """The same when it was running before."""

    async def story(under_test: StoreUnderTest) -> None:
        store, other, prefix = under_test.store, under_test.other, under_test.prefix
        start = await store.transact([], [Put(f"{prefix}a", b"start")])
        watcher = Watcher()
        task = asyncio.create_task(watcher.follow(store, prefix, start.revision - 1))
        await eventually(lambda: watcher.values == [b"start"], "the first change")
        await under_test.cut()
        for number in range(5):
            await other.transact([], [Put(f"{prefix}a", str(number).encode())])
        await under_test.compact()
        await under_test.heal()
        with pytest.raises(WatchLost, match="compacted"):
            await asyncio.wait_for(task, LIMIT_S)

        assert watcher.values == [b"start"]

    store_backend.run(story)


def test_two_watches_of_one_client_do_not_disturb_each_other(store_backend: Backend) -> None:
    """To end one leaves the other running."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        known = (await store.read(prefix)).revision
        async with watching(store, f"{prefix}b", known) as staying:
            async with watching(store, prefix, known) as leaving:
                await store.transact([], [Put(f"{prefix}a", b"1"), Put(f"{prefix}b", b"2")])
                await eventually(lambda: leaving.values == [b"1", b"2"], "both changes")
            await store.transact([], [Put(f"{prefix}b", b"3")])
            await eventually(lambda: staying.values == [b"2", b"3"], "the changes under b")

        assert leaving.values == [b"1", b"2"]

    store_backend.run(story)
