"""What PostgreSQL runs with: the spec's parameters, the managed ones on top, and who may come in."""

from __future__ import annotations

import os
import re
import signal
import stat

import psycopg
import pytest

from common.errors import InvalidSpec, PostgresUnavailable
from common.model.spec import PostgresSpec
from common.model.wal import ZERO, Lsn
from keeper.postgres.port import NOBODY
from keeper.processes import postmaster_pid
from tests.support.aio import LIMIT_S, run, until
from tests.support.postgres import BY_ITSELF, SPEC, Server, servers, sync_of

ROWS_OF_ROLES = """
SELECT array_agg(xmin::text ORDER BY oid) FROM (
  SELECT oid, xmin FROM pg_authid WHERE rolname LIKE 'pgha%'
  UNION ALL
  SELECT oid, xmin FROM pg_proc WHERE proname IN ('pg_ls_dir', 'pg_stat_file', 'pg_read_binary_file')
) AS rows
"""
"""Which transactions wrote the roles and their privileges."""


def with_parameters(**parameters: str) -> PostgresSpec:
    return SPEC.model_copy(update={"parameters": {**SPEC.parameters, **parameters}})


async def log_in(server: Server, user: str, password: str, database: str = "postgres") -> None:
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1",
        port=server.settings.port,
        user=user,
        password=password,
        dbname=database,
        connect_timeout=60,
    )
    await connection.close()


async def kept_from(server: Server, name: str) -> Lsn:
    """From where on a slot keeps WAL."""
    found = [slot.restart_lsn for slot in (await server.server.observe()).slots if slot.name == name]
    assert found[0] is not None
    return found[0]


def test_every_start_but_a_writable_one_is_in_recovery() -> None:
    """standby.signal is there before PostgreSQL runs, after a crash of a primary too (I6)."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            signal_file = one.data / "standby.signal"
            as_primary = signal_file.exists()
            await one.server.kill()
            await one.start()
            seen = await one.server.observe()
            in_recovery = signal_file.exists()
            await one.server.kill()
            await one.start(writable=NOBODY)
            again = await one.server.observe()

            assert not as_primary
            assert in_recovery
            assert seen.in_recovery
            assert seen.following == ""
            assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'
            assert not again.in_recovery
            assert again.synchronous_standby_names == 'ANY 1 ("nobody")'

    run(story())


def test_a_parameter_is_changed_by_a_reload_or_waits_for_a_restart() -> None:
    """The caller is told which parameters wait."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            waiting = await one.server.configure(with_parameters(work_mem="7MB", max_connections="60"))

            assert await one.value("SELECT current_setting('work_mem')") == "7MB"
            assert waiting == ("max_connections",)
            assert (await one.server.observe()).pending_restart == ("max_connections",)
            assert await one.server.configure(SPEC) == ()

    run(story())


@pytest.mark.parametrize(
    ("name", "value"), [("no_such_parameter", "1"), ("work_mem", "much"), ("shared_buffers", "-1")]
)
def test_a_parameter_that_postgres_refuses_is_never_written(name: str, value: str) -> None:
    """One unknown name would make it refuse every later reload; start keeps what it ran with before."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            before = (one.data / "postgresql.conf").read_text()
            with pytest.raises(InvalidSpec, match=name):
                await one.server.configure(with_parameters(**{name: value}))
            after = (one.data / "postgresql.conf").read_text()
            await one.server.kill()
            one.spec = with_parameters(**{name: value})
            await one.start(writable=BY_ITSELF)

            assert before == after

    run(story())


def test_parameters_are_judged_before_anybody_writes_them() -> None:
    """Name, range and unit, each with field, value and rule; the server, if there is one, is not touched."""
    wrong = with_parameters(work_mem="4 parsecs", max_connections="-4", shared_buffers="32MB")
    unknown = with_parameters(no_such_parameter="1")
    library = with_parameters(**{"auto_explain.log_min_duration": "1s"})

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            before = {path: path.read_bytes() for path in one.data.glob("*.conf")}
            refused = await one.server.judge(wrong)
            not_known = await one.server.judge(unknown)
            managed = await one.server.judge(with_parameters(fsync="off"))
            taken = [await one.server.judge(each) for each in (SPEC, library)]
            await one.server.kill()
            while_down = await one.server.judge(unknown)

            assert [each.partition(":")[0] for each in refused] == [
                "postgres.parameters.max_connections = '-4'",
                "postgres.parameters.work_mem = '4 parsecs'",
            ]
            assert "outside the valid range" in refused[0]
            assert "Valid units" in refused[1]
            assert "unrecognized configuration parameter" in not_known[0]
            assert "managed by pgha" in managed[0]
            assert taken == [(), ()]
            assert while_down == not_known
            assert {path: path.read_bytes() for path in before} == before
            assert not [*one.data.parent.glob("judged.conf")]

    run(story())


def test_a_bad_access_rule_is_put_back() -> None:
    """PostgreSQL is asked about lines whose shape alone looks right."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            before = (one.data / "pg_hba.conf").read_text()
            bad = SPEC.model_copy(update={"hba": ("host all all 10.0.0.0/8 ldap",)})
            with pytest.raises(InvalidSpec, match=r"postgres\.hba"):
                await one.server.configure(bad)

            assert (one.data / "pg_hba.conf").read_text() == before

    run(story())


def test_alter_system_on_a_managed_parameter_is_seen_and_undone() -> None:
    """The operator's other changes stay."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary(sync=NOBODY)
            async with await one.connect(synchronous_commit="local") as connection:
                await connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
                await connection.execute("ALTER SYSTEM SET work_mem = '9MB'")
                await connection.execute("SELECT pg_reload_conf()")
            # A reload is not waited for.
            seen = await until(one.server.observe, lambda seen: seen.undone, "it is seen")
            await one.server.configure(SPEC)
            after = await until(one.server.observe, lambda seen: not seen.undone, "it is undone")

            assert seen.undone == ("synchronous_standby_names",)
            assert after.synchronous_standby_names == 'ANY 1 ("nobody")'
            assert await one.value("SELECT current_setting('work_mem')") == "9MB"

    run(story())


def test_alter_system_is_undone_also_beside_a_spec_that_postgres_refuses() -> None:
    """Else commits would wait for no standby for as long as nobody corrects the spec."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary(sync=NOBODY)
            async with await one.connect(synchronous_commit="local") as connection:
                await connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
                await connection.execute("SELECT pg_reload_conf()")
            with pytest.raises(InvalidSpec, match="PostgreSQL refuses"):
                await one.server.configure(with_parameters(work_mem="enormous"))
            # A reload is not waited for.
            seen = await until(one.server.observe, lambda seen: seen.synchronous_standby_names, "the reload")

            assert seen.synchronous_standby_names == 'ANY 1 ("nobody")'

    run(story())


def test_a_new_spec_takes_back_neither_a_seal_nor_a_sync_set() -> None:
    """Each stands in a file that configure does not write."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = await group.standby(one)
            wanted = sync_of(1, two)
            await one.server.apply_sync(wanted, [wanted], LIMIT_S)
            await one.server.configure(with_parameters(work_mem="7MB"))
            await two.server.seal(LIMIT_S)
            await two.server.configure(with_parameters(work_mem="7MB"))

            assert two.name(1) in (await one.server.observe()).synchronous_standby_names
            assert (await two.server.observe()).following == ""

    run(story())


def test_a_standby_starts_with_no_less_than_its_wal_asks_for() -> None:
    """The primary ran with more connections than the spec now says: the standby is raised to that."""

    async def story() -> None:
        async with servers() as group:
            one = group.make("one")
            one.spec = with_parameters(max_connections="70")
            await one.start(writable=BY_ITSELF)
            await one.server.ensure_roles()
            two = await group.standby(one)
            await two.server.stop("fast", LIMIT_S)
            await two.start(source=one.source_for(two, 1))

            assert await two.value("SELECT current_setting('max_connections')") == "70"

    run(story())


def test_the_roles_log_in_with_their_passwords_and_the_superuser_not_at_all() -> None:
    """Nothing of a password is in the server's log, and roles that are right are left alone."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            before = await one.value(ROWS_OF_ROLES)
            await one.server.ensure_roles()
            after = await one.value(ROWS_OF_ROLES)
            await log_in(one, "pgha_rewind", "rewind")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                await log_in(one, "pgha_rewind", "wrong")
            with pytest.raises(psycopg.OperationalError, match="rejects connection"):
                await log_in(one, "pgha_replication", one.settings.replication_password)
            with pytest.raises(psycopg.OperationalError, match="rejects connection"):
                await log_in(one, "postgres", "any")
            passwords = one.root / "passwords"

            assert before == after
            assert "PASSWORD" not in (one.root / "postgres.log").read_text()
            assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
            assert stat.S_IMODE((one.root / "socket").stat().st_mode) == 0o700

    run(story())


def test_slots_are_kept_advanced_copied_and_dropped_by_name() -> None:
    """Only slots of our scheme ever go; a standby's never pass its own replay."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            two = await group.standby(one)
            other = group.make("three").name(1)
            await two.value("SELECT pg_create_physical_replication_slot('foreign_slot')")
            await two.server.keep_slots({other: ZERO}, drop_others=True)
            created = await kept_from(two, other)
            await one.value("CREATE TABLE t AS SELECT generate_series(1, 10000) AS id")
            await one.caught_up(two)
            await two.server.keep_slots({other: Lsn(1 << 60)}, drop_others=True)
            advanced = await kept_from(two, other)
            replayed = await two.replayed()
            copied = await two.server.copy_slots(4)
            await two.server.keep_slots({copied[0]: ZERO}, drop_others=True)
            left = {slot.name for slot in (await two.server.observe()).slots}

            assert created < advanced <= replayed
            assert copied == (re.sub("_1$", "_4", other),)
            assert left == {copied[0], "foreign_slot"}
            assert await kept_from(two, copied[0]) == advanced

    run(story())


def test_a_probe_ends_at_its_limit() -> None:
    """A probe of a stopped postmaster ends at its limit, and the next one of a well server succeeds."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            pid = postmaster_pid(one.data)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(PostgresUnavailable, match=r"within 0\.2 s"):
                await one.server.probe(0.2)
            os.kill(pid, signal.SIGCONT)
            await one.server.probe(5)

    run(story())
