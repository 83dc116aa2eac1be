"""Which parameters are pgha's, which are the operator's, and what stands in postgresql.conf. Pure.

Managed parameters always win, and giving one is refused with the reason. Some are the operator's
within a rule. The rest are the operator's alone; PostgreSQL itself says whether it takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidSpec
from common.model.spec import PostgresSpec

_NAME = re.compile(r"^[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)?$")
_SIZE = re.compile(r"^(\d+)\s*(B|kB|MB|GB|TB)?$")
_BYTES: Final = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

MANAGED: Final[Mapping[str, str]] = {
    "allow_in_place_tablespaces": "a developer's option",
    "cluster_name": "it is the keeper's uid",
    "config_file": "the keeper writes it",
    "data_directory": "it lies under the keeper's root",
    "data_sync_retry": "a page that failed to reach the disk must not be forgotten",
    "external_pid_file": "the keeper holds the postmaster itself",
    "fsync": "without it a crash loses what was acknowledged",
    "full_page_writes": "without it a crash can tear pages",
    "hba_file": "the keeper writes it; give lines under postgres.hba",
    "hot_standby": "the keeper asks standbys for their position",
    "ident_file": "the keeper writes it",
    "idle_replication_slot_timeout": "slots kept for a failover are idle by design",
    "ignore_checksum_failure": "damaged pages must not be served",
    "include": "it is no parameter",
    "include_dir": "it is no parameter",
    "include_if_exists": "it is no parameter",
    "listen_addresses": "it is the keeper's setting",
    "max_slot_wal_keep_size": "give postgres.max_slot_wal_keep_size",
    "max_standby_archive_delay": "a seal sets it to 0, so that replay ends soon",
    "max_standby_streaming_delay": "a seal sets it to 0, so that replay ends soon",
    "password_encryption": "verifiers must be SCRAM",
    "port": "it is the keeper's setting",
    "primary_conninfo": "the view says whom a standby follows",
    "primary_slot_name": "the view says whom a standby follows",
    "promote_trigger_file": "only the view promotes",
    "recovery_end_command": "only the view promotes",
    "recovery_min_apply_delay": "a seal waits for replay",
    "recovery_target": "a standby follows to the end",
    "recovery_target_action": "a standby follows to the end",
    "recovery_target_inclusive": "a standby follows to the end",
    "recovery_target_lsn": "a standby follows to the end",
    "recovery_target_name": "a standby follows to the end",
    "recovery_target_time": "a standby follows to the end",
    "recovery_target_timeline": "a standby follows the primary's timeline",
    "recovery_target_xid": "a standby follows to the end",
    "restart_after_crash": "when to start again is the cluster's decision",
    "restore_command": "an archive that an old primary still feeds is a way around a seal",
    "synchronous_standby_names": "the view says whose flush a commit waits for",
    "unix_socket_directories": "it lies under the keeper's root",
    "unix_socket_group": "the superuser's socket is for PostgreSQL's user and root",
    "unix_socket_permissions": "the superuser's socket is for PostgreSQL's user and root",
    "wal_log_hints": "a diverged member could not be rewound without it",
    "wal_receiver_status_interval": "the primary's evidence about its standbys hangs on it",
    "wal_receiver_timeout": "the standbys' evidence about their primary hangs on it",
    "wal_retrieve_retry_interval": "how soon a standby follows a new primary hangs on it",
    "wal_sender_timeout": "the primary's evidence about its standbys hangs on it",
}
"""Parameters that an operator cannot give, and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A managed parameter that an operator may set within a rule."""

    default: str
    holds: Callable[[str], bool]
    text: str


def _at_least(minimum: int) -> Callable[[str], bool]:
    return lambda value: value.isdigit() and int(value) >= minimum


def _size_at_least(minimum_bytes: int, base_unit: str) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        match = _SIZE.match(value)
        return match is not None and int(match[1]) * _BYTES[match[2] or base_unit] >= minimum_bytes

    return holds


RULES: Final[Mapping[str, Rule]] = {
    "wal_level": Rule(
        "replica", frozenset({"replica", "logical"}).__contains__, "must be replica or logical"
    ),
    "max_wal_senders": Rule("32", _at_least(16), "must be 16 or more: every member may stream and clone"),
    "max_replication_slots": Rule("64", _at_least(32), "must be 32 or more: slots for two terms are kept"),
    "wal_keep_size": Rule("128MB", _size_at_least(128 << 20, "MB"), "must be 128MB or more"),
    "superuser_reserved_connections": Rule(
        "5", _at_least(5), "must be 5 or more: the keeper must get in when clients use all connections"
    ),
}

NEEDED_ON_STANDBYS: Final[Mapping[str, int]] = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": int(RULES["max_wal_senders"].default),
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}
"""Parameters that a standby needs at least as high as its primary had them, with what stands where
nothing is given (PostgreSQL's manual, "Hot Standby", "Administrator's Overview")."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a keeper's own settings put into postgresql.conf."""

    member: str
    port: int
    listen_addresses: str
    socket_directory: str


def check_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the operator's parameters, names in lower case.

    Raises InvalidSpec naming field, value and rule. PostgreSQL judges what is left.
    """
    checked: dict[str, str] = {}
    for given, value in parameters.items():
        name = given.lower()
        field = f"postgres.parameters.{given} = {value!r}"
        if not _NAME.match(name):
            raise InvalidSpec(f"{field}: this cannot be the name of a parameter")
        if name in checked:
            raise InvalidSpec(f"{field}: given more than once")
        if name in MANAGED:
            raise InvalidSpec(f"{field}: managed by pgha, because {MANAGED[name]}; remove it")
        if name in RULES and not RULES[name].holds(value.strip()):
            raise InvalidSpec(f"{field}: {RULES[name].text}")
        if any(ord(character) < ord(" ") for character in value):
            raise InvalidSpec(f"{field}: must not contain line ends or control characters")
        checked[name] = value
    return checked


def managed_parameters(spec: PostgresSpec, place: Place, major: int) -> dict[str, str]:
    """Every parameter that pgha sets in postgresql.conf itself, for one major version."""
    values = {
        "cluster_name": place.member,
        "data_sync_retry": "off",
        "fsync": "on",
        "full_page_writes": "on",
        "hot_standby": "on",
        "listen_addresses": place.listen_addresses,
        "max_slot_wal_keep_size": f"{max(1, spec.max_slot_wal_keep_size >> 20)}MB",
        "password_encryption": "scram-sha-256",
        "port": str(place.port),
        "recovery_min_apply_delay": "0",
        "recovery_target_timeline": "latest",
        "restart_after_crash": "off",
        "unix_socket_directories": place.socket_directory,
        "unix_socket_permissions": "0700",
        "wal_log_hints": "on",
        "wal_receiver_status_interval": "1s",
        "wal_receiver_timeout": "2500ms",
        "wal_retrieve_retry_interval": "1s",
        "wal_sender_timeout": "4s",
    }
    if major >= 18:  # noqa: PLR2004 - the release that brought it
        values["idle_replication_slot_timeout"] = "0"
    return values


def effective_parameters(spec: PostgresSpec, place: Place, major: int) -> dict[str, str]:
    """What postgresql.conf sets: the operator's parameters, defaults of the rules, managed ones on top.

    Raises InvalidSpec.
    """
    defaults = {name: rule.default for name, rule in RULES.items()}
    return {**defaults, **check_parameters(spec.parameters), **managed_parameters(spec, place, major)}


def raised_for_recovery(parameters: Mapping[str, str], control: Mapping[str, int]) -> dict[str, str]:
    """What a server in recovery must set higher than wanted, because its WAL was written with more.

    ``control`` holds the values of pg_controldata. Nothing is ever lowered: lowering takes effect on
    the primary first, and a standby follows at a later start, when its control data allow it.
    """
    raised = {}
    for name, default in NEEDED_ON_STANDBYS.items():
        wanted = parameters.get(name, "")
        if control.get(name, 0) > (int(wanted) if wanted.isdigit() else default):
            raised[name] = str(control[name])
    return raised


def quoted(value: str) -> str:
    """Write a value as postgresql.conf takes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def render(parameters: Mapping[str, str], heading: str, includes: tuple[str, ...] = ()) -> str:
    """Write a configuration file; included files come last, so that they win."""
    lines = [f"# {heading}", "# Written by pgha: changes made here are lost."]
    lines += [f"{name} = {quoted(value)}" for name, value in sorted(parameters.items())]
    lines += [f"include {quoted(name)}" for name in includes]
    return "\n".join(lines) + "\n"


def without_parameters(text: str, names: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Take parameters out of a postgresql.auto.conf; returns the rest and the names that were there."""
    kept, removed = [], []
    for line in text.splitlines():
        name = line.split("=", 1)[0].strip().lower()
        if name in names:
            removed.append(name)
        else:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept), tuple(removed)
