"""The two roles that reach a primary over the network, with the least that each needs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

import psycopg
from psycopg import sql

from common.errors import PostgresUnavailable
from keeper.postgres.access import REPLICATION_ROLE, REWIND_ROLE
from keeper.postgres.instance import Instance
from keeper.postgres.sql import Session

_REWIND_FUNCTIONS: Final = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls (PostgreSQL's manual, pg_rewind, "Notes")."""


async def ensure_roles(instance: Instance) -> None:
    """Create the roles, or correct what is not as it should be; a role that is right is not touched.

    The server gets a SCRAM verifier, never a password, so none can appear in its log.
    """
    settings = instance.settings
    async with instance.sql.fresh() as session:
        await _ensure(session, REPLICATION_ROLE, "LOGIN REPLICATION", settings.replication_password)
        await _ensure(session, REWIND_ROLE, "LOGIN NOREPLICATION", settings.rewind_password)
        for function in _REWIND_FUNCTIONS:
            if await session.value(
                sql.SQL("SELECT has_function_privilege({}, {}, 'EXECUTE')").format(REWIND_ROLE, function)
            ):
                continue
            await session.rows(
                sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
                    sql.SQL(function),
                    sql.Identifier(REWIND_ROLE),
                )
            )


async def _ensure(session: Session, role: str, options: str, password: str) -> None:
    rows = await session.rows(
        sql.SQL("SELECT rolpassword, rolcanlogin, rolreplication FROM pg_authid WHERE rolname = {}").format(
            role
        )
    )
    wants_replication = "NOREPLICATION" not in options
    if rows and matches(rows[0][0], password) and tuple(rows[0][1:]) == (True, wants_replication):
        return
    verb = sql.SQL("ALTER ROLE" if rows else "CREATE ROLE")
    await session.rows(
        sql.SQL("{} {} {} PASSWORD {}").format(
            verb,
            sql.Identifier(role),
            sql.SQL(options),
            verifier(password, role),
        )
    )


def verifier(password: str, role: str) -> str:
    """Compute what the server stores for a password.

    Raises PostgresUnavailable when libpq cannot.
    """
    try:
        # A connection that failed: libpq computes a verifier of a named kind without a server.
        nowhere = psycopg.pq.PGconn.connect(b"host=/nowhere")
        return nowhere.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    except psycopg.Error as error:
        raise PostgresUnavailable(f"the password of {role} cannot be made a verifier: {error}") from error


def matches(stored: str | None, password: str) -> bool:
    """Whether a stored SCRAM verifier belongs to a password (RFC 5802, section 3).

    A password that SASLprep would change never matches; it is then set again, which does no harm.
    """
    try:
        mechanism, salted, keys = (stored or "").split("$")
        iterations, salt = salted.split(":")
        stored_key = base64.b64decode(keys.split(":")[0])
        if mechanism != "SCRAM-SHA-256":
            return False
        secret = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    except (ValueError, binascii.Error):
        return False
    client_key = hmac.digest(secret, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)
