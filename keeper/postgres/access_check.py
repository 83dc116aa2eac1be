"""Whether the running PostgreSQL takes the access files that were written, asked before it reads them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from psycopg import sql as query

from common.errors import PostgresUnavailable
from common.model.spec import PostgresSpec
from keeper.postgres.sql import Sql

_FIRST_WITH_IDENT_VIEW: Final = 15
_HBA: Final = "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL LIMIT 1"
_IDENT: Final = "SELECT line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL LIMIT 1"
_SYSTEM_USER_PATTERN: Final = re.compile(r'^\S+\s+"?/([^"\s]*)')


async def access_problem(sql: Sql, data: Path, major: int, spec: PostgresSpec) -> str:
    """What PostgreSQL finds wrong with the files as they lie there, and in which line.

    Before 15 it has no word for pg_ident.conf: there the patterns are tried, the rest has been checked.
    """
    views = [("postgres.hba", "pg_hba.conf", _HBA)]
    if major >= _FIRST_WITH_IDENT_VIEW:
        views.append(("postgres.ident", "pg_ident.conf", _IDENT))
    for field, name, statement in views:
        for number, error in await sql.rows(statement):
            lines = (await asyncio.to_thread((data / name).read_text)).splitlines()
            line = lines[number - 1] if 0 < number <= len(lines) else f"line {number}"
            return f"{field}: {line!r}: PostgreSQL refuses it: {error}"
    for text in spec.ident if major < _FIRST_WITH_IDENT_VIEW else ():
        pattern = _SYSTEM_USER_PATTERN.match(text)
        if pattern is None:
            continue
        try:
            await sql.rows(query.SQL("SELECT '' ~ {}").format(pattern[1]))
        except PostgresUnavailable as error:
            return f"postgres.ident: {text!r}: PostgreSQL refuses it: {error}"
    return ""
