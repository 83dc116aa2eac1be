"""etcd is restored from a backup: all stand still but the database, until an operator has looked at it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.reasons import SUSPENDED
from common.status.documents import Documents
from common.store.port import Put
from pgha.exits import Exit
from tests.support import etcd_backup
from tests.support.cluster import KEYS, SPEC, STEP_LIMIT_S, Cluster, cluster

SAME_TOKEN = "etcd-cluster"
OTHER_TOKEN = "restored"
"""Part of what a cluster's id is made from: a restore with etcd's default gives the id of before."""

LONGER_THAN_ANY_LEASE_S = 6.0

REVISIONS_MORE = 1000


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def everybody(running: Cluster) -> set[str]:
    """All services but etcd."""
    return running.demo.services.keys() - {place.uid for place in running.demo.layout.etcd}


def suspended(seen: Documents) -> set[str]:
    """Who says that it is suspended, by what it remembers itself."""
    stores = {uid: report.store for uid, report in seen.keepers.items()}
    stores |= {uid: report.store for uid, report in seen.sentinels.items()}
    stores |= {uid: report.store for uid, report in seen.proxies.items()}
    return {uid for uid, store in stores.items() if store is not None and store.suspended}


async def fail_over(running: Cluster) -> None:
    term = running.view.term
    await running.crash(running.primary)
    await running.until(lambda seen: seen.view and seen.view.term > term and seen.view.route, "a new route")
    await running.until_well(term=term + 1)


async def put_back(running: Cluster, backup: Path, *, token: str, bumped: bool) -> None:
    """Have etcd be what it was when the backup was taken."""
    [place] = running.demo.layout.etcd
    data = running.root(place.uid)
    revision = (await running.demo.store.read(KEYS.view)).revision
    await running.kill_service(place.uid)
    await asyncio.to_thread(etcd_backup.restore, place, backup, data, token=token)
    if bumped:
        await etcd_backup.bump_revision(data, place, until=revision + REVISIONS_MORE)
    await running.start(place.uid)


async def backed_up(running: Cluster, directory: Path) -> Path:
    [place] = running.demo.layout.etcd
    path = directory / "snapshot.db"
    await etcd_backup.save(place, path)
    return path


def resume(running: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``pgha resume --accept-restored-store``."""
    return subprocess.run(
        [sys.executable, "-m", "pgha", "resume", "--accept-restored-store", *arguments],
        capture_output=True,
        text=True,
        timeout=STEP_LIMIT_S,
        check=False,
        env=running.environment,
    )


async def until_all_are_suspended(running: Cluster) -> None:
    wanted = everybody(running)
    await running.until(lambda seen: suspended(seen) == wanted, "all services say that they are suspended")


@pytest.mark.parametrize("bumped", [False, True], ids=["", "bumped"])
@pytest.mark.parametrize("token", [OTHER_TOKEN, SAME_TOKEN])
def test_a_backup_from_before_a_failover_suspends_all_and_costs_no_write(
    running: Cluster, tmp_path: Path, token: str, *, bumped: bool
) -> None:
    """With a cluster id of its own or that of before, its revision raised or not; resumed, all goes on."""

    async def story() -> None:
        await running.until_well()
        backup = await backed_up(running, tmp_path)
        old = running.view
        await fail_over(running)
        primary, term, generation = running.primary, running.view.term, running.view.generation
        async with running.writing() as statements:
            await running.more_writes()
            await put_back(running, backup, token=token, bumped=bumped)
            await until_all_are_suspended(running)
            await asyncio.sleep(LONGER_THAN_ANY_LEASE_S)
            await running.more_writes()
            code, shown = running.status()
            view_while_suspended = running.view
            roles = {uid: report.role for uid, report in running.documents.keepers.items()}
            done = await asyncio.to_thread(resume, running, "--yes", "--by", "the operator")
            assert done.returncode == 0, done.stdout + done.stderr
            await running.until_well(term=term)
            await running.more_writes()

        assert view_while_suspended == old
        assert (code, shown["health"]) == (Exit.NO_PRIMARY, "suspended")
        assert shown["reasons"][0]["code"] == SUSPENDED
        assert "pgha resume --accept-restored-store" in shown["reasons"][0]["fix"]
        assert roles[primary] == "primary"
        assert list(roles.values()).count("primary") == 1
        assert [each for each in statements if each.result != "ok"] == []
        assert (running.primary, running.view.term) == (primary, term)
        assert running.view.generation > generation
        assert "store_accepted" in [event.kind for event in await running.history()]
        async with running.writing():
            await running.more_writes()
            await fail_over(running)
            await running.more_writes()

    running.run(story())


def test_a_service_that_is_restarted_stays_suspended_and_nobody_replaces_a_primary_that_dies(
    running: Cluster, tmp_path: Path
) -> None:
    """Keepers, sentinels and the proxy remember on disk; resumed, the failover that was due is made."""

    async def story() -> None:
        await running.until_well()
        backup = await backed_up(running, tmp_path)
        await fail_over(running)
        term, primary = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await put_back(running, backup, token=OTHER_TOKEN, bumped=False)
            await until_all_are_suspended(running)
            for name in sorted(everybody(running)):
                await running.stop_service(name)
                await running.start(name)
            await until_all_are_suspended(running)
            await running.more_writes()
            await running.crash(primary)
            await running.until(
                lambda _: "no_primary_while_suspended " in running.reasons(), "the leader says why"
            )
            await asyncio.sleep(LONGER_THAN_ANY_LEASE_S)
            roles = {uid: report.role for uid, report in running.documents.keepers.items()}
            view_while_suspended = running.view
            done = await asyncio.to_thread(resume, running, "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
            await running.until_well(term=term + 1)
            await running.more_writes()

        assert "primary" not in roles.values()
        assert view_while_suspended.term < term

    running.run(story())


def test_a_cluster_that_lost_all_of_etcd_goes_on_from_what_its_keepers_have_kept(running: Cluster) -> None:
    """There is no backup at all: the spec is written anew, the view comes from the keepers."""

    async def story() -> None:
        await running.until_well()
        [place] = running.demo.layout.etcd
        term, primary, lineage = running.view.term, running.primary, running.view.lineage
        async with running.writing() as statements:
            await running.more_writes()
            await running.kill_service(place.uid)
            await asyncio.to_thread(shutil.rmtree, running.root(place.uid))
            await running.start(place.uid)
            await until_all_are_suspended(running)
            without_spec = await asyncio.to_thread(resume, running, "--yes")
            await running.demo.store.transact([], [Put(KEYS.spec, SPEC.to_bytes())])
            done = await asyncio.to_thread(resume, running, "--yes")
            assert done.returncode == 0, done.stdout + done.stderr
            await running.until_well(term=term)
            await running.more_writes()

        assert without_spec.returncode == Exit.FAILED
        assert "pgha init" in without_spec.stderr
        assert [each for each in statements if each.result != "ok"] == []
        assert (running.primary, running.view.term, running.view.lineage) == (primary, term, lineage)

    running.run(story())
