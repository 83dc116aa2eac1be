"""The store comes late, goes away, and holds what nobody can read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from common.store.port import Delete, Put
from pgha.exits import Exit
from tests.support import healthy
from tests.support.cluster import KEYS, SPEC, Cluster, cluster


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A cluster whose services have all been started before their store."""
    with cluster(started=False) as made:
        yield made


def without_etcd(running: Cluster) -> list[str]:
    etcd = {place.uid for place in running.demo.layout.etcd}
    return [name for name in running.demo.services if name not in etcd]


def test_services_that_start_before_their_store_need_no_restart(running: Cluster) -> None:
    """Keepers, sentinels and proxy wait for etcd, each saying so, and make a cluster once it is there."""

    async def story() -> None:
        names = without_etcd(running)
        await running.start(*names)
        await running.until_true(
            lambda: all("lease_not_renewed" in running.log(name) for name in names),
            "each has said that it cannot reach the store",
        )
        pids = {name: running.pid(name) for name in names}
        await running.demo.start()
        async with running.writing():
            await running.more_writes()

        assert {name: running.pid(name) for name in names} == pids
        assert running.view.term == 1

    running.run(story())


def test_an_etcd_that_is_killed_under_load_costs_no_write_and_no_failover(running: Cluster) -> None:
    """Clients go on through an outage that is longer than every lease; afterwards all is as before."""

    async def story() -> None:
        term, primary = running.view.term, running.primary
        [etcd] = running.demo.layout.etcd
        async with running.writing() as statements:
            for away_s in (0.5, 5.0):
                await running.more_writes()
                await running.kill_service(etcd.uid)
                await asyncio.sleep(away_s)
                await running.more_writes()
                await running.start(etcd.uid)
                await running.until_well()
            await asyncio.sleep(2.0)

        assert (running.view.term, running.primary) == (term, primary)
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())


BROKEN = b'{"schema_version": 1, "uid": '
NEWER = b'{"schema_version": 99, "uid": "x"}'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEYS.keeper("ghost"), BROKEN),
        (KEYS.keeper("ghost"), NEWER),
        (KEYS.keeper("ghost"), healthy.keeper("sandun-2").to_bytes()),
        (KEYS.proxy("ghost"), BROKEN),
        (KEYS.spec, b'{"schema_version": 1, "durabilty": {}}'),
    ],
    ids=["keeper", "newer keeper", "another keeper's report", "proxy", "spec"],
)
def test_a_document_that_cannot_be_read_is_named_and_stops_nobody(
    running: Cluster, key: str, value: bytes
) -> None:
    """Status and reasons name its key; the primary dies, and another one is promoted all the same."""

    async def story() -> None:
        term = running.view.term
        await running.demo.store.transact([], [Put(key, value)])
        try:
            await running.until(
                lambda _: f"malformed_document {key}" in running.reasons(), "the leader names it"
            )
            _, shown = running.status()
            assert key in {each["subject"] for each in shown["reasons"]}
            async with running.writing():
                await running.more_writes()
                await running.crash(running.primary)
                await running.until(
                    lambda seen: seen.view and seen.view.term > term and seen.view.route, "a new route"
                )
                await running.more_writes()
        finally:
            good = Put(key, SPEC.to_bytes()) if key == KEYS.spec else Delete(key)
            await running.demo.store.transact([], [good])
        await running.until_well(term=term + 1)

    running.run(story())


async def restart_sentinels(running: Cluster) -> None:
    """So that none of them remembers a document that it could read."""
    for place in running.demo.layout.sentinels:
        await running.stop_service(place.uid)
        await running.start(place.uid)


@pytest.mark.parametrize("value", [BROKEN, NEWER], ids=["broken", "newer"])
def test_beside_a_view_that_cannot_be_read_nothing_is_decided(running: Cluster, value: bytes) -> None:
    """The leader names it, and nobody is told to empty a directory; put back, all goes on, failover too."""

    async def story() -> None:
        [stored] = (await running.demo.store.read(KEYS.view)).items
        events = len(await running.history())
        term = running.view.term
        async with running.writing():
            await running.more_writes()
            await running.demo.store.transact([], [Put(KEYS.view, value)])
            try:
                await restart_sentinels(running)
                await running.until(
                    lambda seen: seen.leader and f"malformed_document {KEYS.view}" in running.reasons(),
                    "the leader names it",
                )
                code, shown = running.status()
                said = {name.partition(" ")[0] for name in running.reasons()}
                assert len(await running.history()) == events
                assert [item.value for item in (await running.demo.store.read(KEYS.view)).items] == [value]
            finally:
                await running.demo.store.transact([], [Put(KEYS.view, stored.value)])
            await running.until_well(term=term)
            await running.more_writes()
            await running.crash(running.primary)
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a new route"
            )
            await running.more_writes()
        await running.until_well(term=term + 1)

        assert "data_without_view" not in said
        assert said & {"no_keepers", "keeper_missing", "initializing"} == set()
        assert code == Exit.NO_PRIMARY
        assert shown["reasons"][0]["subject"] == KEYS.view

    running.run(story())


def test_sentinels_that_begin_beside_a_spec_that_cannot_be_read_name_it(running: Cluster) -> None:
    """They decide nothing without one; put right, they do what was waiting."""

    async def story() -> None:
        term = running.view.term
        async with running.writing():
            await running.demo.store.transact([], [Put(KEYS.spec, BROKEN)])
            try:
                await restart_sentinels(running)
                await running.until(
                    lambda _: (
                        "without an earlier one nothing is decided"
                        in running.reasons().get(f"malformed_document {KEYS.spec}", "")
                    ),
                    "a leader that has never known one names it",
                )
                await running.more_writes()
            finally:
                await running.demo.store.transact([], [Put(KEYS.spec, SPEC.to_bytes())])
            await running.crash(running.primary)
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a new route"
            )
            await running.more_writes()
        await running.until_well(term=term + 1)

    running.run(story())


def test_a_report_that_somebody_overwrote_is_put_again(running: Cluster) -> None:
    """A standby's own report: it counts as absent for a while, and the keeper writes it anew."""

    async def story() -> None:
        term, uid = running.view.term, running.standbys[0]
        await running.demo.store.transact([], [Put(KEYS.keeper(uid), BROKEN)])
        async with running.writing() as statements:
            await running.more_writes()
            await running.until(lambda seen: uid in seen.keepers and not seen.malformed, "it is put again")
            await running.until_well()

        assert running.view.term == term
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())
