"""What operators change while a cluster runs: the spec, and servers behind the keeper's back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest

from common.model.names import parse_standby_name
from common.model.spec import ClusterSpec
from common.status.documents import Documents
from common.store.port import Put
from tests.support.aio import until
from tests.support.cluster import KEYS, SMALL, Cluster, cluster, small_layout


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1))) as made:
        yield made


async def put_spec(running: Cluster, **parameters: str) -> None:
    plain: dict[str, Any] = {
        "durability": {"survive": "node"},
        "postgres": {"parameters": {**SMALL, **parameters}},
    }
    await running.demo.store.transact([], [Put(KEYS.spec, ClusterSpec.from_plain(plain).to_bytes())])


async def setting(running: Cluster, uid: str, name: str) -> str:
    return str(await running.value(uid, f"SELECT current_setting('{name}')"))


def said_by(running: Cluster, code: str) -> set[str]:
    """Of which members the leader says this now."""
    return {key.split()[1] for key in running.reasons() if key.startswith(f"{code} ")}


def routed_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.route is not None


def test_a_parameter_that_postgresql_refuses_is_named_and_changes_nothing_until_it_is_put_right(
    running: Cluster,
) -> None:
    """Every member says so; none loses what it ran with, a failover included."""

    async def story() -> None:
        term, uids = running.view.term, {running.primary, *running.standbys}
        await put_spec(running, work_mem="7MB", no_such_parameter="1")
        await running.until(
            lambda _: said_by(running, "parameters_refused") == uids, "each member refuses it"
        )
        texts = [text for key, text in running.reasons().items() if key.startswith("parameters_refused")]
        async with running.writing():
            await running.more_writes()
            await running.crash(running.primary)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            await running.more_writes()
        unchanged = await setting(running, running.primary, "work_mem")
        await put_spec(running, work_mem="7MB")
        await running.until_well(term=term + 1)

        assert all("no_such_parameter" in text for text in texts)
        assert unchanged == "4MB"
        for uid in uids:
            assert await setting(running, uid, "work_mem") == "7MB"

    running.run(story())


def test_a_parameter_that_needs_a_restart_waits_for_one_and_is_named_until_then(running: Cluster) -> None:
    """No PostgreSQL is restarted for it; whichever member is restarted has it and is not named any more."""

    async def story() -> None:
        term, primary, [standby] = running.view.term, running.primary, running.standbys
        postmasters = {uid: running.postmaster(uid) for uid in (primary, standby)}
        await put_spec(running, max_connections="50")
        await running.until(
            lambda _: said_by(running, "restart_pending") == {primary, standby}, "both wait for a restart"
        )
        same = {uid: running.postmaster(uid) for uid in (primary, standby)} == postmasters
        await running.crash(standby)
        await running.until(
            lambda _: said_by(running, "restart_pending") == {primary}, "only the primary still waits"
        )
        restarted = await setting(running, standby, "max_connections")
        not_restarted = await setting(running, primary, "max_connections")
        term_meanwhile = running.view.term
        await running.crash(primary)
        await running.until_well(term=term + 1)

        assert same
        assert (restarted, not_restarted) == ("50", "40")
        assert term_meanwhile == term
        assert await setting(running, primary, "max_connections") == "50"

    running.run(story())


def test_what_alter_system_takes_from_pgha_is_given_back(running: Cluster) -> None:
    """Commits wait for the standby again, by themselves; the operator's other changes stay."""

    async def story() -> None:
        uid = running.primary
        before = await setting(running, uid, "synchronous_standby_names")
        await running.value(uid, "ALTER SYSTEM SET synchronous_standby_names = ''")
        await running.value(uid, "ALTER SYSTEM SET log_min_duration_statement = '5min'")
        await running.value(uid, "SELECT pg_reload_conf()")
        file = running.data(uid) / "postgresql.auto.conf"
        await running.until_true(
            lambda: "synchronous_standby_names" not in file.read_text(), "the keeper has taken it out"
        )
        await running.until_well()

        assert "ANY 1" in before
        assert await setting(running, uid, "synchronous_standby_names") == before
        assert await setting(running, uid, "log_min_duration_statement") == "5min"

    running.run(story())


def test_slots_of_earlier_terms_go_and_those_of_others_stay(running: Cluster) -> None:
    """On both members, after a failover: a slot that nobody uses any more would fill the disk."""

    async def story() -> None:
        term, uids = running.view.term, (running.primary, *running.standbys)
        for uid in uids:
            await running.value(uid, "SELECT pg_create_physical_replication_slot('backup_tool', true)")
        async with running.writing():
            await running.more_writes()
            await running.crash(running.primary)
            await running.until_well(term=term + 1)
        names = "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots"

        def only_of_this_term(slots: str) -> bool:
            ours = [name for slot in slots.split() if (name := parse_standby_name(slot)) is not None]
            return {name.term for name in ours} == {running.view.term}

        for uid in uids:
            left = await until(
                functools.partial(running.value, uid, names),
                only_of_this_term,
                f"{uid} has only slots of this term",
            )
            assert "backup_tool" in left.split()

    running.run(story())
