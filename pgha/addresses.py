"""How clients connect: the same addresses in the spelling of each client. Pure.

Through the proxies a client needs to know nothing of the cluster; several are named where one of them may be
away. Direct to the members it must find the primary by itself, by ``target_session_attrs`` (libpq 14 and
later for all but ``any`` and ``read-write``) or JDBC's ``targetServerType``. Passwords stand nowhere here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode

from psycopg.conninfo import make_conninfo

from common.model.base import Value

CONNECT_TIMEOUT_S: Final = 40
"""Longer than a proxy holds a client while there is no primary (``park_timeout``, 30 s)."""

DIRECT_TIMEOUT_S: Final = 3
"""For each host: one that is dead must not keep a client from the next."""


class Wanted(StrEnum):
    """Which server a direct connection shall find, as ``target_session_attrs`` says it."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    PRIMARY = "primary"
    STANDBY = "standby"
    PREFER_STANDBY = "prefer-standby"
    ANY = "any"


JDBC: Final[Mapping[Wanted, str]] = {
    Wanted.READ_WRITE: "primary",
    Wanted.PRIMARY: "primary",
    Wanted.READ_ONLY: "secondary",
    Wanted.STANDBY: "secondary",
    Wanted.PREFER_STANDBY: "preferSecondary",
    Wanted.ANY: "any",
}


class Address(Value):
    """A host and port that clients connect to."""

    host: str
    port: int

    @property
    def in_url(self) -> str:
        """As a URL has it; an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Login(Value):
    """Who connects, and to which database."""

    user: str
    database: str


def spellings(addresses: Sequence[Address], login: Login, wanted: Wanted | None) -> dict[str, str]:
    """Every way to write it; ``wanted`` is None through proxies, which lead to the primary anyway."""
    together = ",".join(address.in_url for address in addresses)
    timeout_s = CONNECT_TIMEOUT_S if wanted is None else DIRECT_TIMEOUT_S
    options = {"connect_timeout": str(timeout_s)}
    if wanted is not None:
        options["target_session_attrs"] = wanted.value
    jdbc = {"user": login.user, "connectTimeout": str(timeout_s)}
    if wanted is not None:
        jdbc["targetServerType"] = JDBC[wanted]
    user, database = quote(login.user, safe=""), quote(login.database, safe="")
    hosts, ports = (
        ",".join(address.host for address in addresses),
        ",".join(str(address.port) for address in addresses),
    )
    found = {
        "uri": f"postgresql://{user}@{together}/{database}?{urlencode(options)}",
        "keywords": make_conninfo(host=hosts, port=ports, user=login.user, dbname=login.database, **options),
        "jdbc": f"jdbc:postgresql://{together}/{database}?{urlencode(jdbc)}",
        "env": "\n".join(
            f"export {name}={_shell(value)}"
            for name, value in (
                ("PGHOST", hosts),
                ("PGPORT", ports),
                ("PGUSER", login.user),
                ("PGDATABASE", login.database),
                ("PGCONNECT_TIMEOUT", options["connect_timeout"]),
                *([("PGTARGETSESSIONATTRS", wanted.value)] if wanted is not None else []),
            )
        ),
    }
    if wanted is None:
        found["kong"] = _kong(addresses[0], login)
    return found


def _kong(address: Address, login: Login) -> str:
    """Kong knows one host only: the first."""
    return (
        f"database = postgres\npg_host = {address.host}\npg_port = {address.port}\n"
        f"pg_user = {login.user}\npg_database = {login.database}"
    )


def _shell(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
