"""What a proxy is told at its start."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from common.errors import InvalidSpec
from common.model.keys import check_name
from common.runtime.logging import Level
from common.store.etcd.settings import EtcdSettings


class ProxySettings(BaseModel):
    """One proxy; two or more run on every site, beside the clients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str = Field(description="stable name of this proxy")
    site: str = Field(description="data centre that this host stands in")
    cluster: str = Field(default="main", description="name of the cluster")
    host: str = Field(default="127.0.0.1", description="address at which clients reach this proxy")
    port: int = Field(default=5432, ge=1, le=65535, description="port for clients")
    listen: tuple[str, ...] = Field(default=(), description="addresses to listen on; unset: the host")
    api_host: str = Field(default="127.0.0.1", description="address at which the proxy's API listens")
    api_port: int = Field(default=7432, ge=1, le=65535, description="port of the proxy's API")
    max_clients: int = Field(
        default=20_000,
        ge=1,
        le=100_000,
        description="clients at one time, parked ones too; each takes two files while it is at a server",
    )
    park_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="how long a client waits for a primary, in seconds, until the spec has been read, which "
        "then decides: longer than a failover takes, shorter than clients bear",
    )
    park_limit: int = Field(
        default=10_000, ge=1, le=64_000, description="clients that may wait so, until the spec has been read"
    )
    startup_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="a client that has not said within so many seconds what it wants is dropped",
    )
    dial_timeout_s: float = Field(
        default=1.0,
        gt=0,
        le=30,
        description="limit of one attempt to connect to the primary, in seconds: shorter tries again "
        "sooner, longer bears a slower network",
    )
    peer_timeout_s: float = Field(
        default=300.0,
        ge=5,
        le=86400,
        description="a client or server whose host is silent for so many seconds is given up; so is one that "
        "reads nothing for so long of what is sent to it, therefore longer than any pause of theirs",
    )
    lease_ttl_s: int = Field(
        default=5,
        ge=2,
        le=60,
        description="lease of this proxy's report, in seconds: a dead proxy is shown for so long",
    )
    state_dir: Path | None = Field(
        default=None,
        description="directory of its own in which this proxy keeps the last view, so that a restart while "
        "the store is away costs nothing; unset: nothing is kept",
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error")
    etcd: EtcdSettings = Field(default_factory=EtcdSettings, description="how the store is reached")

    @field_validator("uid", "site", "cluster")
    @classmethod
    def _may_stand_in_a_key(cls, value: str, info: ValidationInfo) -> str:
        try:
            return check_name(str(info.field_name), value)
        except InvalidSpec as error:
            raise ValueError(str(error).partition(": ")[2]) from error

    @property
    def listen_hosts(self) -> tuple[str, ...]:
        """Where clients are listened for."""
        return self.listen or (self.host,)
