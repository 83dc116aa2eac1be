"""How to reach etcd: the settings, and the sentences that refuse wrong ones."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

DEFAULT_PORT = 2379


class EtcdSettings(BaseModel):
    """Where etcd is and who we are to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: tuple[str, ...] = Field(
        ("http://127.0.0.1:2379",),
        description="client URLs of the etcd members, nearest first; several, so that one may fail",
    )
    tls_ca_file: Path | None = Field(
        None, description="certificates (PEM) that sign etcd's; the system's when left out"
    )
    tls_cert_file: Path | None = Field(None, description="our own certificate (PEM), if etcd asks for one")
    tls_key_file: Path | None = Field(None, description="the key (PEM) of our own certificate")
    user: str | None = Field(None, description="etcd user, if authentication is enabled")
    password: SecretStr | None = Field(None, description="its password; better in password_file")
    password_file: Path | None = Field(None, description="a file that holds the password, for its owner only")
    timeout_s: float = Field(
        2.0,
        gt=0,
        le=60,
        description="deadline of each call: shorter notices a dead etcd sooner, longer bears slower disks",
    )

    @field_validator("endpoints", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("endpoints")
    @classmethod
    def _each_is_an_address(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one etcd endpoint, such as http://10.0.0.1:2379")
        for endpoint in value:
            Address.parse(endpoint)
        if len({Address.parse(endpoint).target for endpoint in value}) < len(value):
            raise ValueError("an etcd endpoint is named twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file go together: one of the two is missing")
        for name in ("tls_ca_file", "tls_cert_file", "tls_key_file", "password_file"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name} = {path}: there is no such file")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give the password in password or in password_file, not in both")
        has_password = self.password is not None or self.password_file is not None
        if self.user and not has_password:
            raise ValueError(f"user = {self.user}: a user needs password or password_file")
        if has_password and not self.user:
            raise ValueError("a password without a user: set user too")
        self._check_schemes()
        return self

    def _check_schemes(self) -> None:
        schemes = {Address.parse(endpoint).scheme for endpoint in self.endpoints}
        if {"http", "https"} <= schemes:
            raise ValueError(
                "endpoints mix http:// and https://: etcd's members are all with TLS or all without"
            )
        if "http" in schemes and (self.tls_ca_file or self.tls_cert_file):
            raise ValueError("TLS files are given but the endpoints say http://: write https://")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted: https:// endpoints, or bare ones with TLS files."""
        return (
            any(Address.parse(endpoint).scheme == "https" for endpoint in self.endpoints)
            or self.tls_ca_file is not None
            or self.tls_cert_file is not None
        )

    def read_password(self) -> str:
        """Return the password, read again from its file so that a changed one is used."""
        if self.password_file is not None:
            return self.password_file.read_text().rstrip("\n")
        return self.password.get_secret_value() if self.password is not None else ""


class Address:
    """One endpoint, taken apart: its scheme (empty when bare) and the target that grpc dials."""

    __slots__ = ("scheme", "target")

    def __init__(self, scheme: str, target: str) -> None:
        self.scheme = scheme
        self.target = target

    @classmethod
    def parse(cls, endpoint: str) -> Address:
        """Take ``http://host:port``, ``https://host:port`` or ``host:port``; raises ValueError."""
        example = f"{endpoint!r} is no etcd endpoint: write it as http://host:2379 or https://host:2379"
        scheme, separator, rest = endpoint.rpartition("://")
        if separator and scheme not in {"http", "https"}:
            raise ValueError(example)
        try:
            parts = urlsplit(f"//{rest}")
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError as error:
            raise ValueError(example) from error
        if not host or parts.path not in {"", "/"} or parts.query or parts.username or " " in host:
            raise ValueError(example)
        return cls(scheme, cls._target(host, port))

    @staticmethod
    def _target(host: str, port: int) -> str:
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            return f"dns:///{host}:{port}"
        return f"ipv4:{host}:{port}" if version == 4 else f"ipv6:[{host}]:{port}"  # noqa: PLR2004 - IP versions
