"""What an operator asks for, on a running cluster: done, done once, and without the loss of a row."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.asking import asked, refused
from tests.support.cluster import Cluster, cluster, small_layout


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((2, 2))) as made:
        yield made


def test_in_a_pause_a_dead_primary_is_replaced_only_when_somebody_says_so(running: Cluster) -> None:
    """Status says who paused; a failover is let go on; the old primary stays down until the end."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await asked(running, "pause")
            _, status = await running.pgha("status")
            await running.crash(old)
            await running.until(lambda _: f"failover_paused {old}" in running.reasons(), "it is held back")
            waited_in = running.view.term
            await asked(running, "failover", "--continue")
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a route in a new term"
            )
            await running.more_writes()
            await running.until(lambda _: f"paused {old}" in running.reasons(), "the old one stays down")
            await asked(running, "resume")
            await running.until_well(term=term + 1)

        assert "paused by anna" in status
        assert waited_in == term
        assert running.primary != old

    running.run(story())


def test_a_fenced_standby_is_stopped_kept_as_it_is_and_comes_back(running: Cluster) -> None:
    """Commits go on without it; so does a failover; its keeper may restart meanwhile."""

    async def story() -> None:
        uid = running.standbys[0]
        async with running.writing():
            await running.more_writes()
            said = await asked(running, "fence", uid)
            marker = running.data(uid) / "backup_label_of_a_dba"
            marker.write_text("kept")
            await running.more_writes()
            await running.stop_service(uid)
            await running.start(uid)
            term = running.view.term
            await running.crash(running.primary)
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a route in a new term"
            )
            report, fenced = running.report(uid), running.view.member(uid)
            await running.more_writes()
            await asked(running, "unfence", uid)
            await running.until_well()
            kept = marker.exists()
            marker.unlink()

        assert f"PostgreSQL of {uid} is stopped" in said
        assert report is None or report.state in {"down", "stopped"}
        assert fenced is not None
        assert fenced.kept_down is not None
        assert fenced.kept_down.by == "anna"
        assert running.primary != uid
        assert kept

    running.run(story())


def test_fencing_a_primary_is_a_failover_without_loss(running: Cluster) -> None:
    """And it is not the one that comes back, whatever happens next."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await asked(running, "fence", old)
            await running.until(
                lambda seen: seen.view and seen.view.term > term and seen.view.route, "a route in a new term"
            )
            await running.more_writes()
            again = await refused(running, "reinit", old)
            await asked(running, "unfence", old)
            await running.until_well(term=term + 1)

        assert running.primary != old
        assert "pgha unfence" in again

    running.run(story())


def test_a_standby_is_cloned_anew_from_another_one(running: Cluster) -> None:
    """In a new life; its old data are gone once the new ones run."""

    async def story() -> None:
        uid, source = running.standbys[0], running.standbys[1]
        before = running.incarnation(uid)
        async with running.writing():
            await running.more_writes()
            plan = await running.pgha("reinit", uid, "--from", source, "--dry-run")
            unchanged = running.incarnation(uid)
            await asked(running, "reinit", uid, "--from", source)
            await running.more_writes()
            await running.until_well()
        log = running.log(uid)

        assert plan[0] == 0
        assert source in plan[1]
        assert unchanged == before
        assert running.incarnation(uid) != before
        assert "new_life" in log
        assert not (running.root(uid) / "data.old").exists()

    running.run(story())


def test_every_server_reads_its_files_once_more(running: Cluster) -> None:
    """PostgreSQL itself says when it last did."""

    async def story() -> None:
        uids = [member.uid for member in running.view.members]
        loaded = "SELECT pg_conf_load_time()"
        before = {uid: await running.value(uid, loaded) for uid in uids}
        said = await asked(running, "reload")
        after = {uid: await running.value(uid, loaded) for uid in uids}

        assert all(after[uid] > before[uid] for uid in uids)
        assert all(uid in said for uid in uids)

    running.run(story())


def test_a_member_that_is_gone_for_good_is_removed_and_may_join_again(running: Cluster) -> None:
    """Not while its keeper lives; its slots go from the others."""

    async def story() -> None:
        uid = running.standbys[-1]
        lives = await refused(running, "remove", uid)
        async with running.writing():
            await running.more_writes()
            await running.power_cut(uid)
            await running.until(lambda seen: uid not in seen.keepers, "its lease ends")
            await asked(running, "remove", uid)
            await running.more_writes()
            gone = running.view.member(uid)
            await running.start(uid)
            await running.until_well()

        assert "stop it first" in lives
        assert gone is None
        assert running.view.member(uid) is not None

    running.run(story())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fence", "nobody"], "its members are"),
        (["unfence", "nobody"], "its members are"),
        (["reinit", "nobody"], "its members are"),
        (["restart", "nobody"], "its members are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    running: Cluster, arguments: list[str], says: str
) -> None:
    """Nothing is asked for, so nothing is left to clear up."""

    async def story() -> None:
        before = len(running.documents.requests)
        said = await refused(running, *arguments)

        assert says in said
        assert len(running.documents.requests) == before

    running.run(story())


def test_a_sentinel_takes_what_pgha_asks_for(running: Cluster) -> None:
    """A follower too; without any access to etcd."""

    async def story() -> None:
        urls = [f"http://127.0.0.1:{place.api_port}" for place in running.demo.layout.sentinels]
        for url in urls:
            code, said = await running.pgha(
                "reload", "--sentinel", url, "--etcd-endpoints", "http://127.0.0.1:1", "-o", "json"
            )
            done = json.loads(said[said.index("{") :])

            assert code == 0
            assert (done["state"], done["operation"]["kind"]) == ("done", "reload")

    running.run(story())


def test_who_takes_the_loss_has_a_primary_again_and_reads_what_was_lost() -> None:
    """The members that acknowledged are gone with the primary; what they have is kept until somebody looks.

    The history says how much it was once the old primary is back.
    """
    with cluster(small_layout((2, 1))) as running:

        async def story() -> None:
            old, (survivor, other) = running.primary, running.standbys
            port = running.demo.layout.proxies[0].port
            await running.workload.create_table(port)
            await running.power_cut(survivor)
            await running.until(
                lambda seen: (
                    seen.view
                    and [member.uid for member in seen.view.sync.current.members] == [other]
                    and not seen.view.sync.pending
                ),
                "only one acknowledges",
            )
            await running.value(old, "CREATE TABLE acknowledged_elsewhere AS SELECT generate_series(1, 1000)")
            await running.power_cut(old, other)
            await running.start(survivor)
            await running.until(
                lambda seen: [*seen.keepers] == [survivor] and seen.keepers[survivor].state == "running",
                "nobody but the survivor is there",
            )
            look, said = await running.pgha("failover", "--force", "--dry-run")
            off = ("--off", old, "--off", other)
            _, would = await running.pgha("failover", "--force", "--dry-run", *off)
            term = running.view.term
            done = await asked(running, "failover", "--force", "--accept-data-loss", *off)
            await running.start(old, other)
            await running.until(lambda seen: old in seen.keepers and other in seen.keepers, "they are back")
            kept = running.view.out
            primary, ended_in = running.primary, running.view.term
            for uid in (other, old):
                await asked(running, "unfence", uid)
            await running.until_well()
            kinds = [event.kind for event in await running.history()]

            assert look == 1
            assert f"--off {old}" in said
            assert f"{survivor} (" in would
            assert (primary, ended_in) == (survivor, term + 1)
            assert survivor in done
            assert kept == {old, other}
            assert "failover_forced" in kinds
            assert "wal_lost" in kinds

        running.run(story())
