"""Parameters with which a cluster loses data, or cannot fail over; and who may come in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from common.model.reasons import Severity
from keeper.postgres.parameters import NEEDED_ON_STANDBYS
from pgha.doctor.finding import Finding, Seen, grouped

SLOTS_PER_MEMBER: Final = 2
"""Of the present term and of the one before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One parameter: which values are bad, how bad, why, and what to do."""

    name: str
    bad: Callable[[str], bool]
    severity: Severity
    means: str
    fix: str


def _is(*values: str) -> Callable[[str], bool]:
    return frozenset(values).__contains__


_MANAGED: Final = "pgha sets it: see who overrides it (ALTER SYSTEM, a command line, the role)"

RULES: Final = (
    Rule(
        "fsync",
        _is("off"),
        "critical",
        "a crash of the host loses acknowledged commits and breaks data",
        _MANAGED,
    ),
    Rule("full_page_writes", _is("off"), "critical", "a crash of the host can tear pages for good", _MANAGED),
    Rule("hot_standby", _is("off"), "critical", "standbys cannot be asked for their position", _MANAGED),
    Rule(
        "wal_log_hints",
        _is("off"),
        "warning",
        "an old primary cannot be rewound and is cloned instead",
        _MANAGED,
    ),
    Rule(
        "restart_after_crash",
        _is("on"),
        "warning",
        "PostgreSQL starts by itself behind the keeper's back",
        _MANAGED,
    ),
    Rule("wal_level", _is("minimal"), "critical", "there is no replication", "set it to replica or logical"),
    Rule(
        "synchronous_commit",
        _is("off", "local"),
        "critical",
        "commits return before any standby has them: a failover loses them, without a trace",
        "set it to on, and relax it for single transactions only",
    ),
    Rule(
        "synchronous_commit",
        _is("remote_write"),
        "warning",
        "commits return before a standby has flushed them: they are lost if the primary's site and "
        "the standby's operating system fail together",
        "set it to on",
    ),
    Rule(
        "password_encryption",
        _is("md5"),
        "warning",
        "new passwords are stored as md5, which can be broken",
        "set it to scram-sha-256 and change the passwords",
    ),
    Rule(
        "data_checksums",
        _is("off"),
        "warning",
        "a disk that returns wrong bytes is not noticed",
        "enable them with pg_checksums, on each member while it is stopped",
    ),
    Rule("autovacuum", _is("off"), "warning", "tables bloat, and in the end writes stop", "set it to on"),
    Rule("ignore_checksum_failure", _is("on"), "warning", "damaged pages are served", "remove it"),
    Rule(
        "zero_damaged_pages",
        _is("on"),
        "critical",
        "damaged pages are emptied when they are read",
        "remove it",
    ),
)
"""Source: PostgreSQL's manual, chapters 20 (Server Configuration) and 27 (High Availability)."""

NAMES: Final = tuple(
    sorted(
        {
            *(rule.name for rule in RULES),
            *NEEDED_ON_STANDBYS,
            "archive_command",
            "archive_library",
            "archive_mode",
            "max_replication_slots",
            "wal_segment_size",
        }
    )
)
"""Every parameter that doctor asks for."""


def check_settings(seen: Seen) -> Iterator[Finding]:
    """Parameters one by one, against each other, and what waits for a restart."""
    yield from _rules(seen)
    yield from _weak_commits(seen)
    yield from _lower_than_the_primary(seen)
    yield from _too_few(seen)
    yield from _archive(seen)
    yield from _pending(seen)
    yield from _access(seen)


def _rules(seen: Seen) -> Iterator[Finding]:
    asks_nobody = seen.spec.durability.mode == "async"
    for rule in RULES:
        if rule.name == "synchronous_commit" and asks_nobody:
            continue  # nobody acknowledges anyway: the spec says so
        bad = {uid: value for uid, value in seen.settings(rule.name).items() if rule.bad(value)}
        if bad:
            yield Finding(
                code=f"setting_{rule.name}",
                severity=rule.severity,
                subject=rule.name,
                text=f"{rule.name} is {grouped(bad)}",
                means=rule.means,
                fix=rule.fix,
            )


def _weak_commits(seen: Seen) -> Iterator[Finding]:
    who = sorted({each for host in seen.hosts.values() for each in host.weak_commits})
    if who and seen.spec.durability.mode != "async":
        yield Finding(
            code="weak_commits",
            severity="warning",
            subject="synchronous_commit",
            text=f"some commits do not wait for a standby: {', '.join(who)}",
            means="what these write may be lost by a failover, without a trace",
            fix="fine where it is meant; else ALTER ROLE or ALTER DATABASE ... RESET synchronous_commit",
        )


def _lower_than_the_primary(seen: Seen) -> Iterator[Finding]:
    view = seen.documents.view
    primary = view.primary.uid if view and view.primary else ""
    for name in NEEDED_ON_STANDBYS:
        values = {uid: int(value) for uid, value in seen.settings(name).items() if value.isdigit()}
        lower = {uid: str(value) for uid, value in values.items() if value < values.get(primary, 0)}
        if lower:
            yield Finding(
                code="lower_than_primary",
                severity="warning",
                subject=name,
                text=f"{name} is lower than the primary's {values[primary]}: {grouped(lower)}",
                means="a standby needs at least what its primary has, or replay pauses",
                fix="restart the standbys that wait for it",
            )


def _too_few(seen: Seen) -> Iterator[Finding]:
    members = len(seen.documents.view.members) if seen.documents.view else 0
    for name, needed in (
        ("max_wal_senders", SLOTS_PER_MEMBER * members),
        ("max_replication_slots", SLOTS_PER_MEMBER * (members - 1)),
    ):
        few = {uid: value for uid, value in seen.settings(name).items() if int(value) < needed}
        if few:
            yield Finding(
                code="too_few",
                severity="warning",
                subject=name,
                text=f"{name} is {grouped(few)}, and {members} members may need {needed}",
                means="a member may find no place to stream from after a failover",
                fix=f"raise {name} in the spec; it needs a restart",
            )


def _archive(seen: Seen) -> Iterator[Finding]:
    modes = seen.settings("archive_mode")
    empty = {"", "(disabled)"}
    bare = [
        uid
        for uid, mode in modes.items()
        if mode != "off"
        and seen.hosts[uid].settings["archive_command"].value in empty
        and (
            "archive_library" not in seen.hosts[uid].settings
            or not seen.hosts[uid].settings["archive_library"].value
        )
    ]
    if bare:
        yield Finding(
            code="archive_goes_nowhere",
            severity="warning",
            subject="archive_command",
            text=f"archive_mode is on and nothing archives on {', '.join(sorted(bare))}",
            means="WAL is kept for an archive that never comes, until the disk is full",
            fix="set archive_command or archive_library, or archive_mode to off",
        )
    if modes and all(mode == "off" for mode in modes.values()):
        yield Finding(
            code="no_archive",
            severity="info",
            subject="archive_mode",
            text="WAL is not archived",
            means="replication repeats a DROP TABLE within milliseconds: only a backup with archived WAL "
            "goes back to the moment before",
            fix="back up and archive with pgBackRest, WAL-G or the like",
        )


def _pending(seen: Seen) -> Iterator[Finding]:
    waiting = {
        uid: ", ".join(sorted(name for name, each in host.settings.items() if each.pending_restart))
        for uid, host in seen.hosts.items()
    }
    for uid, names in sorted(waiting.items()):
        if names:
            yield Finding(
                code="restart_pending",
                severity="warning",
                subject=uid,
                text=f"{uid}: {names} wait for a restart of PostgreSQL",
                means="what the spec says is not in force there; after a failover it may be",
                fix="restart it when it suits",
            )


def _access(seen: Seen) -> Iterator[Finding]:
    for uid, host in sorted(seen.hosts.items()):
        if host.hba_errors:
            yield Finding(
                code="hba_errors",
                severity="critical",
                subject=uid,
                text=f"PostgreSQL of {uid} does not take its pg_hba.conf: {'; '.join(host.hba_errors)}",
                means="after the next start nobody may come in, not even standbys",
                fix="see who has written to that file: pgha writes it from postgres.hba of the spec",
            )
    for line in seen.spec.postgres.hba:
        words = line.split("#", 1)[0].split()
        weak = {"trust", "password", "md5", "ident"} & set(words)
        if words and words[0] != "local" and weak:
            yield Finding(
                code="hba_weak",
                severity="warning",
                subject="postgres.hba",
                text=f"{line!r} lets in by {', '.join(sorted(weak))}",
                means="whoever is on that network, or reads its traffic, may come in",
                fix="use scram-sha-256, with hostssl where the network is not yours",
            )
    for user in seen.spec.postgres.md5_users:
        yield Finding(
            code="md5_user",
            severity="warning",
            subject=user.user,
            text=f"{user.user} may log in with md5 from {user.network}",
            means="whoever reads the traffic or the verifier can log in as that user",
            fix="upgrade the client and take the user out of postgres.md5_users",
        )
