"""What a keeper is told at its start."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from common.runtime.logging import Level
from common.store.etcd.settings import EtcdSettings
from keeper.hooks.settings import HookSettings


class KeeperSettings(BaseModel):
    """One keeper beside one PostgreSQL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str = Field(description="stable name of this keeper in the cluster")
    site: str = Field(description="data centre that this host stands in")
    cluster: str = Field(default="main", description="name of the cluster")
    root: Path = Field(description="directory of this keeper: data/, state/, socket/ and logs live in it")
    host: str = Field(default="127.0.0.1", description="address at which others reach this PostgreSQL")
    port: int = Field(default=5432, ge=1, le=65535, description="port of this PostgreSQL")
    listen: str = Field(default="", description="addresses PostgreSQL listens on; unset: the host")
    api_host: str = Field(default="127.0.0.1", description="address at which the keeper's API listens")
    api_port: int = Field(default=7431, ge=1, le=65535, description="port of the keeper's API")
    postgres_bin: Path | None = Field(
        default=None, description="directory with PostgreSQL's programs; unset: the newest that is found"
    )
    postgres_user: str = Field(
        default="postgres", description="operating system user of PostgreSQL where the keeper is root"
    )
    replication_password_file: Path = Field(description="file with the password of the replication role")
    rewind_password_file: Path = Field(description="file with the password of the rewind role")
    wal_dir: Path | None = Field(
        default=None,
        description="directory, on a disk of its own, in which a new cluster or clone puts its WAL; "
        "unset: where the data directory that it replaces has it",
    )
    clone_timeout_s: float = Field(
        default=86400.0, gt=0, description="limit of one clone or rewind, in seconds"
    )
    hooks: HookSettings = Field(
        default_factory=HookSettings, description="what to run when something has happened"
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error")
    etcd: EtcdSettings = Field(default_factory=EtcdSettings, description="how the store is reached")
