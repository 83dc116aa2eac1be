"""Keepers whose directory, name, ports or programs are not what they should be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.postgres.data import MARKER
from keeper.processes import find
from tests.support.cluster import Cluster, cluster
from tests.support.postgres import copy_data, servers, template


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def contents(directory: Path) -> dict[str, bytes]:
    """Every file, the keeper's own marker too."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def traces(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    """Of everything in a directory and of itself: mode, owner, and when it was changed last."""
    found = {str(path): path.lstat() for path in (directory, *directory.rglob("*"))}
    return {
        path: (seen.st_mode, seen.st_uid, seen.st_mtime_ns, seen.st_ctime_ns) for path, seen in found.items()
    }


def last_error(running: Cluster, name: str) -> str:
    """What a service that ended by itself has given as the reason."""
    lines = [json.loads(line) for line in running.log(name).splitlines()]
    return next(str(line["error"]) for line in lines if line["event"] in {"service_failed", "wrong_input"})


def test_a_directory_with_something_else_in_it_is_left_alone(running: Cluster) -> None:
    """The keeper says so, touches nothing and does not join; the others are not disturbed."""

    async def story() -> None:
        data = running.data("foreign-1")
        data.mkdir(parents=True)
        (data / "letter.txt").write_text("not a database")
        async with running.another_keeper("foreign-1"):
            await running.until(
                lambda _: "unusable_directory foreign-1" in running.reasons(), "the leader refuses it"
            )
            _, shown = running.status()
            await asyncio.sleep(1.5)
            report = running.report("foreign-1")

            assert report is not None
            assert report.state == "failed"
            assert any("holds no PostgreSQL data: it is left alone" in each.text for each in report.reasons)
            assert "unusable_directory" in {reason["code"] for reason in shown["reasons"]}
            assert contents(data) == {"letter.txt": b"not a database"}
            assert find(data) == []
            assert running.view.member("foreign-1") is None

    running.run(story())


def test_data_of_another_cluster_are_refused_and_left_alone(running: Cluster) -> None:
    """Told by the system identifier, in the leader's reasons; it never becomes a member.

    Not a byte, an owner or a time changes, be the keeper started once or twice on it.
    """

    async def story() -> None:
        data = running.data("other-1")
        data.parent.mkdir()
        copy_data(template(None), data)
        assert (data / MARKER).exists()
        before = contents(data), traces(data)
        for _ in range(2):
            async with running.another_keeper("other-1"):
                await running.until(
                    lambda _: "foreign_data other-1" in running.reasons(), "the leader refuses it"
                )
                await asyncio.sleep(1.5)

                assert "holds data of another cluster" in running.reasons()["foreign_data other-1"]
                assert running.view.member("other-1") is None
                assert find(data) == []
            assert (contents(data), traces(data)) == before

    running.run(story())


def test_a_server_of_another_cluster_that_runs_is_left_alone(running: Cluster) -> None:
    """A keeper that is started on it by mistake makes no role, slot or setting there, and does not end it."""

    async def story() -> None:
        async with servers() as group:
            other = await group.primary("other")
            postmaster = other.server.start_id
            roles = "SELECT string_agg(rolname || coalesce(rolpassword, ''), ',' ORDER BY oid) FROM pg_authid"
            before = await other.value(roles)
            place = {"root": str(other.root), "port": str(other.settings.port)}
            async with running.another_keeper("other-2", **place):
                await running.until(
                    lambda _: "foreign_data other-2" in running.reasons(), "the leader refuses it"
                )

                def runs(_: object) -> bool:
                    report = running.report("other-2")
                    return report is not None and report.writable and report.incarnation is None

                await running.until(runs, "its report says that a primary runs there, of no life of its own")
                await asyncio.sleep(1.5)

                assert running.view.member("other-2") is None
            assert other.server.start_id == postmaster
            assert await other.value(roles) == before
            assert (other.data / MARKER).read_text().split() == [other.life]

    running.run(story())


def test_a_second_keeper_with_the_same_uid_is_refused(running: Cluster) -> None:
    """It ends by itself and names the one that is there; that one goes on undisturbed."""

    async def story() -> None:
        uid = running.standbys[0]
        generation, first = running.view.generation, running.report(uid)
        async with running.another_keeper("twin", uid=uid) as keeper:
            status = await running.ended(keeper)
        said = last_error(running, "twin")
        after = running.report(uid)

        assert status == 1
        assert f"uid = {uid!r}: another keeper" in said
        assert f"PostgreSQL at 127.0.0.1:{running.demo.layout.keeper(uid).port}" in said
        assert not running.data("twin").exists()
        assert first is not None
        assert after is not None
        assert (running.view.generation, after.life) == (generation, first.life)

    running.run(story())


def test_a_second_keeper_on_the_same_directory_is_refused(running: Cluster) -> None:
    """By the lock, before it asks the store for anything; the text names the process that holds it."""

    async def story() -> None:
        uid = running.standbys[0]
        async with running.another_keeper("intruder", root=str(running.root(uid))) as keeper:
            status = await running.ended(keeper)

        assert status == 1
        assert f"another keeper (process {running.pid(uid)}) runs on" in last_error(running, "intruder")
        assert running.report("intruder") is None

    running.run(story())


def test_missing_programs_end_the_keeper_with_their_name(running: Cluster) -> None:
    """One line that names the directory."""

    async def story() -> None:
        empty = running.demo.directory / "empty"
        empty.mkdir()
        async with running.another_keeper("bare-1", postgres_bin=str(empty)) as keeper:
            status = await running.ended(keeper)

        assert status != 0
        assert str(empty) in last_error(running, "bare-1")

    running.run(story())


def test_an_api_port_in_use_ends_the_keeper_with_its_number(running: Cluster) -> None:
    """The text names the setting."""

    async def story() -> None:
        taken = running.demo.layout.keepers[0].api_port
        async with running.another_keeper("late-1", api_port=str(taken)) as keeper:
            status = await running.ended(keeper)
        said = last_error(running, "late-1")

        assert status == 1
        assert f"port {taken}" in said
        assert "--api-port" in said

    running.run(story())


def test_a_port_of_postgresql_that_is_in_use_is_a_reason_until_it_is_free(running: Cluster) -> None:
    """PostgreSQL's own words are in the report; once the port is free the member comes up by itself."""

    async def story() -> None:
        uid = running.standbys[0]
        port = running.demo.layout.keeper(uid).port
        await running.power_cut(uid)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            await running.start(uid)

            def said(_: object) -> bool:
                report = running.report(uid)
                return report is not None and any(str(port) in reason.text for reason in report.reasons)

            await running.until(said, "its report names the port")
        await running.until_well()

    running.run(story())


def test_a_restarted_or_killed_keeper_leaves_its_postgresql_alone(running: Cluster) -> None:
    """SIGTERM, as an upgrade does, and SIGKILL: the same postmaster, the same term, no client cut off."""

    async def story() -> None:
        uid, term = running.primary, running.view.term
        postmasters = {each: running.postmaster(each) for each in (uid, running.standbys[0])}
        since = await running.value(uid, "SELECT extract(epoch FROM pg_postmaster_start_time())::text")
        async with running.writing() as statements:
            for each in postmasters:
                await running.stop_service(each)
                await running.start(each)
                await running.until_well()
                await running.kill_service(each)
                await running.start(each)
                await running.until_well()
            await running.more_writes()

        assert {each: running.postmaster(each) for each in postmasters} == postmasters
        since_now = await running.value(uid, "SELECT extract(epoch FROM pg_postmaster_start_time())::text")
        assert since_now == since
        assert (running.primary, running.view.term) == (uid, term)
        assert [each for each in statements if each.result != "ok"] == []

    running.run(story())
