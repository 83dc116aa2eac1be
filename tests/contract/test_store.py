"""What every store does: reads, transactions, leases, and honest answers when it cannot."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import LeaseExpired, StoreUnavailable, UnknownOutcome
from common.store.port import Compare, Delete, Put, Store
from tests.contract.store_backends import Backend, StoreUnderTest, reached
from tests.support.aio import LIMIT_S, until


async def values(store: Store, prefix: str) -> dict[str, bytes]:
    return {item.key.removeprefix(prefix): item.value for item in (await store.read(prefix)).items}


def test_a_read_gives_everything_under_the_prefix_in_key_order(store_backend: Backend) -> None:
    """Neighbours of the prefix are not in it; revisions say when a key was created and changed."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        first = await store.transact([], [Put(f"{prefix}b", b"1")])
        second = await store.transact([], [Put(f"{prefix}a", b"2"), Put(f"{prefix[:-1]}0", b"beside")])
        third = await store.transact([], [Put(f"{prefix}b", b"3")])

        snapshot = await store.read(prefix)

        assert [(item.key.removeprefix(prefix), item.value) for item in snapshot.items] == [
            ("a", b"2"),
            ("b", b"3"),
        ]
        assert [(item.create_revision, item.mod_revision) for item in snapshot.items] == [
            (second.revision, second.revision),
            (first.revision, third.revision),
        ]
        assert snapshot.revision == third.revision
        assert snapshot.cluster_id == (await under_test.other.read(prefix)).cluster_id

    store_backend.run(story)


def test_a_read_of_what_is_newer_gives_no_older_value_and_counts_all_keys(store_backend: Backend) -> None:
    """So a caller can tell that nothing changed, a deletion included, without moving any value."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        await store.transact([], [Put(f"{prefix}a", b"1"), Put(f"{prefix}b", b"1")])
        known = (await store.read(prefix)).revision
        unchanged = await store.read_newer(prefix, than_revision=known)
        changed = await store.transact([], [Put(f"{prefix}a", b"2"), Delete(f"{prefix}b")])
        newer = await store.read_newer(prefix, than_revision=known)

        assert (unchanged.revision, unchanged.count, unchanged.items) == (known, 2, ())
        assert (newer.revision, newer.count) == (changed.revision, 1)
        assert [item.value for item in newer.items] == [b"2"]

    store_backend.run(story)


def test_a_transaction_compares_two_keys_and_writes_all_or_nothing(store_backend: Backend) -> None:
    """The sentinel's write of the view: the leader key's create revision and the view's mod revision."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        leader = await store.transact([], [Put(f"{prefix}leader", b"me")])
        view = await store.transact(
            [Compare(f"{prefix}view", "mod_revision", 0)], [Put(f"{prefix}view", b"1")]
        )
        both = [
            Compare(f"{prefix}leader", "create_revision", leader.revision),
            Compare(f"{prefix}view", "mod_revision", view.revision),
        ]
        writes = [Put(f"{prefix}view", b"2"), Put(f"{prefix}history", b"2")]
        done = await store.transact(both, writes)
        repeated = await store.transact(both, [Put(f"{prefix}view", b"3"), Delete(f"{prefix}history")])

        assert view.succeeded
        assert done.succeeded
        assert not repeated.succeeded
        assert repeated.revision == done.revision
        assert await values(store, prefix) == {"leader": b"me", "view": b"2", "history": b"2"}

    store_backend.run(story)


def test_of_two_writers_with_one_token_exactly_one_wins(store_backend: Backend) -> None:
    """Create-if-absent is how a leader is elected and a second keeper refused."""

    async def story(under_test: StoreUnderTest) -> None:
        key = f"{under_test.prefix}leader"
        absent = [Compare(key, "create_revision", 0)]
        outcomes = await asyncio.gather(
            *(
                store.transact(absent, [Put(key, str(number).encode())])
                for number, store in enumerate([under_test.store, under_test.other] * 5)
            )
        )

        assert [outcome.succeeded for outcome in outcomes].count(True) == 1

    store_backend.run(story)


def test_deleting_an_absent_key_changes_nothing(store_backend: Backend) -> None:
    """Neither an error nor a new revision."""

    async def story(under_test: StoreUnderTest) -> None:
        before = (await under_test.store.read(under_test.prefix)).revision
        outcome = await under_test.store.transact([], [Delete(f"{under_test.prefix}nothing")])

        assert outcome.succeeded
        assert outcome.revision == before

    store_backend.run(story)


def test_a_transaction_that_etcd_would_refuse_is_a_mistake_of_the_caller(store_backend: Backend) -> None:
    """A key written twice, or more writes than etcd takes, is said before anything is sent."""

    async def story(under_test: StoreUnderTest) -> None:
        store, key = under_test.store, f"{under_test.prefix}a"
        with pytest.raises(ValueError, match="writes a key twice"):
            await store.transact([], [Put(key, b"1"), Delete(key)])
        with pytest.raises(ValueError, match="129 writes: etcd takes 128"):
            await store.transact([], [Put(f"{key}{number}", b"") for number in range(129)])
        assert await values(store, under_test.prefix) == {}

    store_backend.run(story)


def test_what_hangs_on_a_lease_goes_when_it_ends(store_backend: Backend) -> None:
    """A lease ends when it is not kept alive for what was granted, and not before."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        lease = await store.grant_lease(under_test.ttl_s)
        await store.transact([], [Put(f"{prefix}mine", b"", lease.id), Put(f"{prefix}lasting", b"")])
        for _ in range(6):
            await asyncio.sleep(0.2 * lease.ttl_s)
            assert await store.keep_alive(lease.id) == lease.ttl_s
        kept = await values(store, prefix)
        left = await until(lambda: values(store, prefix), lambda seen: "mine" not in seen, "its end")

        assert set(kept) == {"mine", "lasting"}
        assert set(left) == {"lasting"}
        with pytest.raises(LeaseExpired):
            await store.keep_alive(lease.id)
        with pytest.raises(LeaseExpired):
            await store.transact([], [Put(f"{prefix}again", b"", lease.id), Put(f"{prefix}too", b"")])
        assert set(await values(store, prefix)) == {"lasting"}

    store_backend.run(story)


def test_a_revoked_lease_takes_its_keys_with_it_in_one_revision(store_backend: Backend) -> None:
    """A service that stops in order is gone at once; to revoke twice is no error."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.store, under_test.prefix
        lease = await store.grant_lease(60)
        put = await store.transact([], [Put(f"{prefix}{name}", b"", lease.id) for name in "ab"])
        await store.revoke_lease(lease.id)
        await store.revoke_lease(lease.id)

        snapshot = await store.read(prefix)

        assert snapshot.items == ()
        assert snapshot.revision == put.revision + 1

    store_backend.run(story)


def test_a_key_put_under_another_lease_leaves_the_first(store_backend: Backend) -> None:
    """A keeper that came back replaces the key of its earlier life, which must not take the new one along."""

    async def story(under_test: StoreUnderTest) -> None:
        store, key = under_test.store, f"{under_test.prefix}keeper"
        old, new = await store.grant_lease(60), await store.grant_lease(60)
        await store.transact([], [Put(key, b"old", old.id)])
        await store.transact([], [Put(key, b"new", new.id)])
        await store.revoke_lease(old.id)
        (item,) = (await store.read(key)).items

        assert (item.value, item.lease_id) == (b"new", new.id)
        await store.revoke_lease(new.id)

    store_backend.run(story)


def test_a_store_out_of_reach_says_so_by_the_deadline(store_backend: Backend) -> None:
    """Every call, and nothing is written; once the store is back the same client works."""

    async def story(under_test: StoreUnderTest) -> None:
        store, prefix = under_test.impatient, under_test.prefix
        lease = await under_test.other.grant_lease(60)
        await reached(store)
        await under_test.cut()
        with pytest.raises(StoreUnavailable):
            await store.read(prefix)
        async with asyncio.timeout(LIMIT_S):
            raised = await asyncio.gather(
                store.read(prefix),
                store.read_newer(prefix, than_revision=1),
                store.transact([], [Put(f"{prefix}a", b"")]),
                store.grant_lease(60),
                store.keep_alive(lease.id),
                store.revoke_lease(lease.id),
                return_exceptions=True,
            )
        members = await store.members()
        await under_test.heal()
        await reached(store)

        assert [type(error) for error in raised] == [StoreUnavailable] * 6
        assert members[0].problem
        assert await values(under_test.store, prefix) == {}

    store_backend.run(story)


def test_a_write_whose_answer_is_lost_has_an_unknown_outcome(store_backend: Backend) -> None:
    """It is not sent again by itself: the caller reads, and finds it done once."""

    async def story(under_test: StoreUnderTest) -> None:
        store, key = under_test.store, f"{under_test.prefix}view"
        before = await store.transact([], [Put(key, b"1")])
        with pytest.raises(UnknownOutcome):
            await under_test.losing_the_answer(lambda: under_test.impatient.transact([], [Put(key, b"2")]))
        seen = await until(lambda: store.read(key), lambda seen: seen.items[0].value == b"2", "the write")

        assert seen.items[0].mod_revision == before.revision + 1

    store_backend.run(story)
