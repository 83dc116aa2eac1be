"""ClusterSpec: what the operator wants. Unknown fields, missing units and contradictions are refused."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from common.errors import InvalidSpec
from common.model.base import Document, Value, describe
from common.model.keys import check_name
from common.model.names import member_name
from common.model.units import Duration, Size, format_duration

ATTESTATION_PERIOD_S = 1.0
"""How often a proxy without the store asks the primary's keeper for its attestation (protocol, section 7)."""

STORE_MINIMUM_LEASE_S = 2.0
"""etcd grants no less with its default election timeout."""

FENCE_TIMEOUT_MAX_S = 600.0
FENCE_OPTIONS_MAX_BYTES = 8192
"""An agent's options are put into a pipe before it starts, which holds at least so much."""

_FENCE_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SECRET_OPTION = re.compile(r"passw|passphrase|secret|token|community|credential", re.IGNORECASE)


def _name(field: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        try:
            return check_name(field, value) if isinstance(value, str) else value
        except InvalidSpec as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(check)


def _parameter(value: Any) -> Any:
    """Take YAML's numbers and booleans as PostgreSQL writes them."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, int | float) else value


class _Strict(Value):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SiteSpec(_Strict):
    """A data centre."""

    name: Annotated[str, _name("site")]
    max_members: int = Field(default=7, ge=1, le=32, description="keepers of this site that may join")


class FenceSpec(_Strict):
    """The fence agent that can switch a keeper's host off; the sentinels run it (protocol, section 7)."""

    agent: str = Field(description="path of a Linux-HA fence agent, on every sentinel's host")
    options: dict[str, Annotated[str, BeforeValidator(_parameter)]] = Field(
        default_factory=dict, description="what the agent is told, besides the action and the password"
    )
    password_file: str | None = Field(
        default=None, description="file with the agent's password, on every sentinel's host"
    )
    timeout_s: Duration = Field(
        default=20.0, alias="timeout", description="for switching off and its confirmation, together"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        path = PurePosixPath(self.agent)
        if not path.is_absolute() or ".." in path.parts or not path.name.startswith("fence_"):
            raise ValueError(f"agent = {self.agent!r}: must be the absolute path of a fence_ program")
        if self.password_file is not None and not PurePosixPath(self.password_file).is_absolute():
            raise ValueError(f"password_file = {self.password_file!r}: must be an absolute path")
        if not 0 < self.timeout_s <= FENCE_TIMEOUT_MAX_S:
            longest = format_duration(FENCE_TIMEOUT_MAX_S)
            raise ValueError(f"timeout must be more than 0 and at most {longest}")
        for name, value in self.options.items():
            _check_fence_option(name, value)
        if len(self.lines()) > FENCE_OPTIONS_MAX_BYTES:
            raise ValueError(f"options are longer than {FENCE_OPTIONS_MAX_BYTES} bytes together")
        return self

    def lines(self) -> bytes:
        """The options as an agent reads them on its standard input."""
        return "".join(f"{name}={value}\n" for name, value in self.options.items()).encode()


def _check_fence_option(name: str, value: str) -> None:
    if not _FENCE_OPTION.fullmatch(name):
        raise ValueError(f"options: {name!r} is no name of an option")
    if name in {"action", "option"}:
        raise ValueError(f"options: {name} is chosen by pgha")
    if _SECRET_OPTION.search(name) and not name.endswith(("_file", "_script")):
        raise ValueError(f"options: {name} must not stand in the spec: name a password_file instead")
    if any(ord(character) < ord(" ") for character in value):
        raise ValueError(f"options: {name} has a line end or another control character in its value")


class MemberSpec(_Strict):
    """What differs for one keeper; a keeper without an entry has the defaults."""

    uid: Annotated[str, _name("uid")]
    site: Annotated[str, _name("site")] | None = None
    priority: int = Field(default=0, description="orders candidates that are equally safe; the greater first")
    no_failover: bool = Field(default=False, description="never promoted by itself")
    fence: FenceSpec | None = None


class Durability(_Strict):
    """Which losses no acknowledged commit may fall victim to, and what gives way when members are missing."""

    survive: Literal["site", "node"] | None = Field(
        default=None, description="unset: site where keepers stand on two sites or more, else node"
    )
    mode: Literal["degrade", "strict", "async"] = Field(
        default="degrade",
        description="strict: commits wait; degrade: other members of the same site may acknowledge instead, "
        "and nobody when nobody is there; async: nobody ever does",
    )
    acks: int = Field(default=1, ge=1, le=8, description="standbys that must flush before a commit returns")
    max_lag_on_failover: Size = Field(
        default=1 << 20,
        description="where nobody acknowledged, how far behind the primary's last report a member may be "
        "that is promoted all the same: what a failover may lose",
    )

    @property
    def wanted_acks(self) -> int:
        """How many acknowledgements a commit should wait for when everybody is there."""
        return 0 if self.mode == "async" else self.acks


class Md5User(_Strict):
    """A user who may log in with md5 from one network, because an old client knows nothing else."""

    user: str = Field(min_length=1, max_length=63, pattern=r"^[^\s\"#,]+$")
    network: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            ipaddress.ip_network(self.network)
        except ValueError as error:
            raise ValueError(f"network = {self.network!r}: {error}") from error
        return self


class PostgresSpec(_Strict):
    """What PostgreSQL is given on every member."""

    parameters: dict[str, Annotated[str, BeforeValidator(_parameter)]] = Field(default_factory=dict)
    hba: tuple[str, ...] = Field(default=(), description="pg_hba.conf lines, put after pgha's own")
    ident: tuple[str, ...] = Field(
        default=(), description="pg_ident.conf lines, put after pgha's own: map, system user, role"
    )
    md5_users: tuple[Md5User, ...] = ()
    max_slot_wal_keep_size: Size = Field(
        default=10 << 30, description="what a member that is away can hold back at most"
    )


class Timings(_Strict):
    """How long things may take. Each value trades speed of detection against false alarms."""

    lease_ttl_s: Duration = Field(
        default=3.0,
        alias="lease_ttl",
        description="a dead host is noticed after so long; in force with the next lease that a service takes",
    )
    restart_after_s: Duration = Field(default=2.0, alias="restart_after")
    promote_timeout_s: Duration = Field(default=10.0, alias="promote_timeout")
    calm_after_s: Duration = Field(
        default=600.0,
        alias="calm_after",
        description="failovers for a primary that hung or went down are one row, and wait longer each, until "
        "one has served for so long",
    )
    hang_timeout_s: Duration = Field(default=5.0, alias="hang_timeout")
    degrade_after_s: Duration = Field(default=2.0, alias="degrade_after")
    fence_after_s: Duration = Field(default=10.0, alias="fence_after")
    proxy_timeout_s: Duration = Field(default=5.0, alias="proxy_timeout")
    park_timeout_s: Duration = Field(default=30.0, alias="park_timeout")
    park_limit: int = Field(default=10_000, ge=1, le=64_000)
    drain_timeout_s: Duration = Field(default=5.0, alias="drain_timeout")
    remove_after_s: Duration = Field(
        default=48 * 3600.0, alias="remove_after", description="a keeper gone for so long leaves the cluster"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, field in type(self).model_fields.items():
            if name.endswith("_s") and not getattr(self, name) > 0:
                raise ValueError(f"{_spelled(name, field)} must be more than 0")
        if self.lease_ttl_s < STORE_MINIMUM_LEASE_S or self.lease_ttl_s != int(self.lease_ttl_s):
            raise ValueError(
                f"lease_ttl = {format_duration(self.lease_ttl_s)}: must be whole seconds, "
                f"{format_duration(STORE_MINIMUM_LEASE_S)} or more (etcd grants nothing shorter)"
            )
        if self.proxy_timeout_s <= 2 * ATTESTATION_PERIOD_S:
            raise ValueError(
                f"proxy_timeout = {format_duration(self.proxy_timeout_s)}: must be more than two "
                f"attestation periods of {format_duration(ATTESTATION_PERIOD_S)}"
            )
        if self.fence_after_s <= self.proxy_timeout_s:
            raise ValueError(
                f"fence_after = {format_duration(self.fence_after_s)}: must be more than "
                f"proxy_timeout = {format_duration(self.proxy_timeout_s)}, so that proxies let go first"
            )
        return self


def _spelled(name: str, field: FieldInfo) -> str:
    return field.alias or name


class ClusterSpec(Document):
    """What the operator wants of one cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    sites: tuple[SiteSpec, ...] = Field(
        default=(), description="sites whose keepers may join; empty: any site may"
    )
    members: tuple[MemberSpec, ...] = ()
    durability: Durability = Durability()
    timings: Timings = Timings()
    postgres: PostgresSpec = PostgresSpec()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _all_different("sites", [site.name for site in self.sites])
        _all_different("members", [member.uid for member in self.members])
        _all_different("members (as PostgreSQL names them)", [member_name(m.uid) for m in self.members])
        known = {site.name for site in self.sites}
        for member in self.members:
            if known and member.site is not None and member.site not in known:
                raise ValueError(
                    f"members: uid {member.uid!r} has site {member.site!r}, "
                    f"which is not one of {sorted(known)}"
                )
        return self

    def to_bytes(self) -> bytes:
        """Serialise for the store, with the operators' spelling."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()

    def to_plain(self) -> dict[str, Any]:
        """As YAML or JSON shows it."""
        plain: dict[str, Any] = json.loads(self.to_bytes())
        return plain

    @classmethod
    def from_plain(cls, plain: Any) -> ClusterSpec:
        """Read what an operator wrote.

        Raises InvalidSpec naming each field, its value and the rule it breaks.
        """
        if not isinstance(plain, dict):
            raise InvalidSpec("the spec must be a mapping of fields to values")
        try:
            spec = cls.model_validate(plain)
        except ValidationError as error:
            raise InvalidSpec(describe(error)) from error
        if spec.schema_version > cls.SCHEMA:
            raise InvalidSpec(
                f"schema_version = {spec.schema_version}: this release reads up to {cls.SCHEMA}"
            )
        return spec

    def member(self, uid: str) -> MemberSpec:
        """The entry of one keeper, or the defaults."""
        return next((member for member in self.members if member.uid == uid), MemberSpec(uid=uid))


def _all_different(field: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(
            f"{field}: {', '.join(map(repr, twice))} stands there more than once; each must differ"
        )
