"""What became of a statement that raised."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from pgha.demo.workload import fate


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
