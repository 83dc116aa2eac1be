"""The parts of the configuration that say whom a server follows and whom its commits wait for. Pure.

Each stands in a file of its own, included last by postgresql.conf, so that a change of the operator's
parameters can never take back a seal or an applied sync set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo

from common.model.names import synchronous_standby_names
from keeper.postgres.access import REPLICATION_ROLE
from keeper.postgres.parameters import render
from keeper.postgres.port import Source, SyncSetting

UPSTREAM_FILE: Final = "pgha.upstream.conf"
SYNC_FILE: Final = "pgha.sync.conf"

SEALED: Final[Mapping[str, str]] = {
    "primary_conninfo": "",
    "primary_slot_name": "",
    "restore_command": "",
    "max_standby_archive_delay": "0",
    "max_standby_streaming_delay": "0",
}
"""What a server that follows nobody runs with. Replay of what is left in pg_wal, once the receiver is
gone, counts as replay from an archive, hence both delays (``GetStandbyLimitTime`` in standby.c)."""

_CONFLICT_DELAY: Final = "30s"


def connection_string(source: Source, role: str, passwords: Path, **more: str) -> str:
    """How a WAL receiver or a program reaches a primary; the secret stays in the password file."""
    return make_conninfo(
        host=source.host,
        port=source.port,
        user=role,
        passfile=str(passwords),
        connect_timeout=2,
        tcp_user_timeout=3000,
        keepalives_idle=1,
        keepalives_interval=1,
        keepalives_count=3,
        gssencmode="disable",
        **more,
    )


def upstream_parameters(source: Source | None, passwords: Path) -> dict[str, str]:
    """Whom to follow; nobody is what a seal asks for."""
    if source is None:
        return dict(SEALED)
    return {
        "primary_conninfo": connection_string(
            source, REPLICATION_ROLE, passwords, application_name=source.name
        ),
        "primary_slot_name": source.name,
        "restore_command": "",
        "max_standby_archive_delay": _CONFLICT_DELAY,
        "max_standby_streaming_delay": _CONFLICT_DELAY,
    }


def sync_names(setting: SyncSetting) -> str:
    """The value of synchronous_standby_names."""
    return synchronous_standby_names(setting.names, setting.k)


def render_upstream(parameters: Mapping[str, str]) -> str:
    """Write the file that says whom to follow (and, in recovery, what had to be raised)."""
    return render(parameters, "Whom this server follows.")


def render_sync(setting: SyncSetting) -> str:
    """Write the file that says whom commits wait for."""
    return render({"synchronous_standby_names": sync_names(setting)}, "Whom commits wait for.")
