"""Clients, and what became of their statements."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg import errors

from common.errors import PostgresUnavailable
from common.runtime.clock import SystemClock
from pgha.demo.accounting import Statement
from pgha.demo.layout import ProxyPlace
from pgha.demo.workload import Workload, fate
from tests.support.aio import eventually, run


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        errors.AdminShutdown("terminating connection due to administrator command"),
        errors.CrashShutdown("terminating connection because of crash of another server process"),
        errors.ConnectionFailure("gone"),
        TimeoutError(),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_session_that_ended_leaves_its_statement_unknown(error: Exception) -> None:
    """The commit may have been made before the session died: such a row is neither there nor lost."""
    assert fate(error) == "unknown"


@pytest.mark.parametrize(
    "error",
    [
        errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
        errors.UniqueViolation("duplicate key"),
        errors.TooManyConnections("too many clients"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_by_postgresql_had_no_effect(error: Exception) -> None:
    """The transaction was rolled back."""
    assert fate(error) == "failed"


def workload() -> Workload:
    """Clients of two proxies that are not there."""
    proxies = [ProxyPlace("a", "sandun", 1, 2), ProxyPlace("b", "shiqiao", 1, 2)]
    return Workload(proxies, "user=demo dbname=demo", SystemClock())


def test_a_statement_that_was_never_sent_failed_and_had_no_effect() -> None:
    """A refused connection is no doubt about a commit; both sites' clients write and read."""

    async def knock() -> list[Statement]:
        async with workload().running() as statements:
            await eventually(lambda: len({each.site for each in statements}) > 1, "both sites' attempts")
        return statements

    seen = run(knock())

    assert {each.result for each in seen} == {"failed"}
    assert {each.row is None for each in seen} == {True, False}


def test_what_goes_wrong_while_clients_run_is_said_as_it_is() -> None:
    """The error of an exercise reaches its reader, and no client is left running."""

    async def fail() -> int:
        before = len(asyncio.all_tasks())
        with pytest.raises(PostgresUnavailable, match="gone"):
            async with workload().running():
                raise PostgresUnavailable("gone")
        return len(asyncio.all_tasks()) - before

    assert run(fail()) == 0


def test_a_server_out_of_reach_is_an_error_in_words() -> None:
    """No driver's exception reaches the command line."""
    with pytest.raises(PostgresUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        run(workload().present(1))
