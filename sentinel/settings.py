"""What a sentinel is told at its start."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from common.runtime.logging import Level
from common.store.etcd.settings import EtcdSettings
from sentinel.fencing.fencer import DIRECTORIES


class SentinelSettings(BaseModel):
    """One sentinel; two or more run, on every site and on the witness."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str = Field(description="stable name of this sentinel")
    site: str = Field(description="data centre that this host stands in, or witness")
    cluster: str = Field(default="main", description="name of the cluster")
    api_host: str = Field(default="127.0.0.1", description="address at which the sentinel's API listens")
    api_port: int = Field(default=7433, ge=1, le=65535, description="port of the sentinel's API")
    fence_agents: str = Field(
        default=":".join(map(str, DIRECTORIES)),
        description="directories that fence agents may lie in, with ':' between them",
    )
    state_dir: Path | None = Field(
        default=None,
        description="directory of its own in which this sentinel remembers which store it knew, so that one "
        "that was restored from a backup is noticed also while keepers are away; unset: nothing is kept",
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error")
    etcd: EtcdSettings = Field(default_factory=EtcdSettings, description="how the store is reached")
