"""pg_control as pg_controldata prints it. Pure."""

from __future__ import annotations

from typing import Final

from common.errors import PostgresUnavailable
from common.model.wal import ZERO, Lsn
from keeper.postgres.port import ControlData

_SETTINGS: Final = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


def parse_control_data(text: str) -> ControlData:
    """Read the output of ``LC_ALL=C pg_controldata``.

    Raises PostgresUnavailable when what is needed is not there, as for a torn file.
    """
    fields = {
        name.strip(): value.strip()
        for name, colon, value in (x.partition(":") for x in text.splitlines())
        if colon
    }
    try:
        return ControlData(
            system_identifier=fields["Database system identifier"],
            state=fields["Database cluster state"],
            checkpoint_timeline=int(fields["Latest checkpoint's TimeLineID"]),
            redo_lsn=Lsn.parse(fields["Latest checkpoint's REDO location"]),
            checkpoint_lsn=Lsn.parse(fields["Latest checkpoint location"]),
            minimum_recovery_lsn=Lsn.parse(fields.get("Minimum recovery ending location", str(ZERO))),
            minimum_recovery_timeline=int(fields.get("Min recovery ending loc's timeline", "0")),
            settings={ours: int(fields[theirs]) for theirs, ours in _SETTINGS.items()},
        )
    except (KeyError, ValueError) as error:
        raise PostgresUnavailable(f"pg_controldata's output cannot be read: {error}") from error
