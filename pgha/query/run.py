"""Run SQL on one server and take the rows as they come, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.conninfo import make_conninfo

from common.errors import PostgresUnavailable

MS: Final = 1000


@dataclass(frozen=True)
class Server:
    """Where to connect, and as whom; what is None is libpq's choice (``PGUSER``, ``~/.pgpass``)."""

    uid: str
    host: str
    port: int
    user: str | None
    database: str | None
    writable: bool

    def conninfo(self, timeout_s: float) -> str:
        """Libpq's connection string: every wait in it has a limit."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=self.user,
            dbname=self.database,
            application_name="pgha query",
            connect_timeout=max(2, round(timeout_s)),
            tcp_user_timeout=round(timeout_s * MS),
            options=f"-c statement_timeout={round(timeout_s * MS)}",
            target_session_attrs="read-write" if self.writable else "any",
        )


@dataclass
class Result:
    """What one statement gave: its command tag, and rows where it gives any."""

    status: str = ""
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    cut: bool = False


def run_sql(server: Server, statements: str, *, timeout_s: float, limit: int) -> list[Result]:
    """Run the statements, together one transaction unless they say otherwise, and return what each gave.

    No more than ``limit`` rows are kept in all; a result of which rows were dropped is marked. A transaction
    that the statements leave open ends with the connection, as with ``psql -c``.
    Raises PostgresUnavailable with the server's words.
    """
    where = f"{server.uid} ({server.host}:{server.port})"
    try:
        with closing(psycopg.connect(server.conninfo(timeout_s), autocommit=True)) as connection:
            return list(_results(connection, statements, limit))
    except psycopg.Error as error:
        said = error.diag.message_primary or " ".join(str(error).split())
        code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        raise PostgresUnavailable(f"{where}: {said}{code}") from error


def _results(connection: psycopg.Connection, statements: str, limit: int) -> Iterator[Result]:
    """Read row by row: a result is never held as a whole."""
    pgconn = connection.pgconn
    pgconn.send_query(statements.encode())
    pgconn.set_single_row_mode()
    transformer = Transformer(connection)
    result, taken = Result(), 0
    while (part := pgconn.get_result()) is not None:
        if part.status == pq.ExecStatus.SINGLE_TUPLE:
            if taken == limit:
                result.cut = True  # the rest is read and dropped: to cancel would undo what it has done
                continue
            taken += 1
            transformer.set_pgresult(part)
            result.columns = _columns(part)
            row = transformer.load_row(0, tuple)
            result.rows.append(row or ())
        elif part.status in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY}:
            result.columns = _columns(part)
            result.status = (part.command_status or b"").decode()
            yield result
            result = Result()
        elif part.status in {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}:
            raise psycopg.NotSupportedError("COPY from or to the client is not for this command: use psql")
        else:
            raise psycopg.errors.error_from_result(part)


def _columns(part: pq.abc.PGresult) -> tuple[str, ...]:
    return tuple((part.fname(at) or b"?column?").decode() for at in range(part.nfields))
