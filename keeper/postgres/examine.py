"""What is asked of a running server for people who look for trouble, or who want to change a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql

from keeper.postgres.instance import Instance
from keeper.postgres.values import Examination, SettingSeen

_SETTINGS: Final = """
SELECT coalesce(json_object_agg(name, json_build_array(
         CASE name WHEN 'synchronous_commit' THEN coalesce(
           (SELECT file.setting FROM pg_file_settings AS file
             WHERE file.name = 'synchronous_commit' AND file.applied ORDER BY seqno DESC LIMIT 1), boot_val)
         ELSE setting END, unit, context, pending_restart)), '{{}}')
  FROM pg_settings WHERE name = ANY ({names})
"""
"""``synchronous_commit`` as the files have it: the keeper's own sessions have another one."""

_DATABASES: Final = """
SELECT json_build_object(
  'collations', (SELECT coalesce(json_object_agg(provider, version), '{}')
                   FROM (SELECT CASE collprovider WHEN 'c' THEN 'libc' ELSE 'icu' END AS provider,
                                max(pg_collation_actual_version(oid)) AS version
                           FROM pg_collation WHERE collprovider IN ('c', 'i') GROUP BY 1) AS seen
                  WHERE version IS NOT NULL),
  'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]') FROM pg_tablespace
                   WHERE spcname NOT IN ('pg_default', 'pg_global')),
  'weak_commits', (SELECT coalesce(json_agg(format('%s for %s%s', entry, coalesce(rolname, 'every role'),
                                                   ' in ' || datname)), '[]')
                     FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS entry
                     LEFT JOIN pg_roles ON pg_roles.oid = setrole
                     LEFT JOIN pg_database ON pg_database.oid = setdatabase
                    WHERE entry ~ '^synchronous_commit=(off|local|remote_write)$'),
  'hba_errors', (SELECT coalesce(json_agg(format('line %s: %s', line_number, error)), '[]')
                   FROM pg_hba_file_rules WHERE error IS NOT NULL)
)
"""

_MISMATCHES: Final = """
SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database
 WHERE datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid) AND datallowconn
"""

_RECORDS_VERSIONS: Final = 15
"""The first release that notes with which collation version a database was made."""


async def examine(instance: Instance, names: Sequence[str]) -> Examination:
    """Look at a running server; raises PostgresUnavailable."""
    async with instance.sql.fresh() as session:
        settings = await session.value(sql.SQL(_SETTINGS).format(names=list(names)))
        seen: dict[str, Any] = await session.value(_DATABASES)
        recorded = instance.programs.major >= _RECORDS_VERSIONS
        mismatches: list[str] = await session.value(_MISMATCHES) if recorded else []
    return Examination(
        settings={name: SettingSeen(*values) for name, values in settings.items()},
        collations=seen["collations"],
        mismatched_databases=tuple(mismatches),
        tablespaces=tuple(seen["tablespaces"]),
        hba_errors=tuple(seen["hba_errors"]),
        weak_commits=tuple(seen["weak_commits"]),
    )
