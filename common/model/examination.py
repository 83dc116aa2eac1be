"""What a keeper says of its host and its PostgreSQL when it is asked to look: never stored."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from common.model.base import Document, Value


class Setting(Value):
    """A parameter as the running server has it, in the terms of ``pg_settings``."""

    value: str
    unit: str | None = None
    context: str = Field(description="postmaster: it changes only with a restart; internal: never")
    pending_restart: bool = False


class Judgement(Document):
    """What one member's PostgreSQL finds wrong with the parameters of a spec; nothing: ``refused`` is empty.

    ``problem`` says why it could not be asked.
    """

    uid: str
    refused: tuple[str, ...] = Field(default=(), description="each as field = value: rule")
    problem: str = ""


class SlotSeen(Value):
    """A physical replication slot; ``wal_status`` as in ``pg_replication_slots``."""

    name: str
    wal_status: str
    active: bool


class DiskSeen(Value):
    """One disk below the data directory, or below the WAL where that has one of its own."""

    place: str
    path: str
    free_bytes: int
    size_bytes: int


class HostExamination(Document):
    """One host. ``problem`` says why what follows it is missing; empty where all could be seen."""

    uid: str
    received: datetime = Field(description="the host's own clock when it was asked")
    wall: datetime = Field(description="and when it answered")
    architecture: str
    problem: str = ""
    settings: dict[str, Setting] = Field(default_factory=dict)
    collations: dict[str, str] = Field(
        default_factory=dict, description="libc and icu: the version by which this host sorts text"
    )
    mismatched_databases: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()
    hba_errors: tuple[str, ...] = ()
    weak_commits: tuple[str, ...] = ()
    slots: tuple[SlotSeen, ...] = ()
    disks: tuple[DiskSeen, ...] = ()
