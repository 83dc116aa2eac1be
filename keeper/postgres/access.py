"""pg_hba.conf and pg_ident.conf: who may come in, and how. Pure.

The superuser comes by the local socket alone, as an operating system user of a short list. The
replication and rewind roles have passwords. Everybody else needs a SCRAM password, unless a line of
the operator says otherwise, or an old client that knows only md5 was named with its network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from common.errors import InvalidSpec
from common.model.spec import PostgresSpec

REPLICATION_ROLE: Final = "pgha_replication"
REWIND_ROLE: Final = "pgha_rewind"
MAP: Final = "pgha"
HEADER: Final = "# Written by pgha: changes made here are lost."

_TYPES: Final = frozenset({"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"})
_METHODS: Final = frozenset(
    {"trust", "reject", "scram-sha-256", "md5", "password", "gss", "sspi", "ident", "peer", "ldap", "radius"}
    | {"cert", "pam", "bsd", "oauth"}
)
_TOKEN = re.compile(r'"[^"]*"(?:,\S*)?|[^\s"]+(?:"[^"]*"\S*)*')


def render_hba(spec: PostgresSpec, superuser: str) -> str:
    """Write pg_hba.conf: pgha's own lines, then the operator's, then SCRAM for everybody.

    Raises InvalidSpec for a line of the operator that PostgreSQL would refuse.
    """
    who = f'"{superuser}"'
    lines = [
        f"{HEADER} Give lines under postgres.hba.",
        f"local all {who} peer map={MAP}",
        f"local replication {who} peer map={MAP}",
        f"host all {who} all reject",
        f"host replication {REPLICATION_ROLE} all scram-sha-256",
        f"host all {REPLICATION_ROLE} all reject",
        f"host postgres {REWIND_ROLE} all scram-sha-256",
        f"host all {REWIND_ROLE} all reject",
    ]
    lines += [f'host all "{entry.user}" {_network(entry.network)} md5' for entry in spec.md5_users]
    lines += [_checked(line) for line in spec.hba]
    lines += ["local all all scram-sha-256", "host all all all scram-sha-256"]
    return "\n".join(lines) + "\n"


def render_ident(spec: PostgresSpec, system_users: Iterable[str], superuser: str) -> str:
    """Write pg_ident.conf: which operating system users may be the superuser, then the operator's maps.

    Raises InvalidSpec for a line of the operator that PostgreSQL would refuse, or that is about pgha's map.
    """
    lines = [f"{HEADER} Give lines under postgres.ident."]
    lines += [f'{MAP} "{user}" "{superuser}"' for user in sorted(set(system_users))]
    lines += [_checked_ident(line) for line in spec.ident]
    return "\n".join(lines) + "\n"


def _checked_ident(line: str) -> str:
    field = f"postgres.ident: {line!r}"
    text = _one_line(line, field)
    words = _TOKEN.findall(text)
    if len(words) != 3:  # noqa: PLR2004 - map, system user, role
        raise InvalidSpec(
            f"{field}: must hold a map's name, a system user and a role, not {len(words)} words"
        )
    if words[0].strip('"') == MAP:
        raise InvalidSpec(f"{field}: the map {MAP} says who may be the superuser, and is pgha's own")
    if words[0].startswith(("@", "include")) or any(word.startswith("@") for word in words):
        raise InvalidSpec(f"{field}: must not name other files")
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _checked(line: str) -> str:
    """Return one of the operator's lines when it has the shape that PostgreSQL takes."""
    field = f"postgres.hba: {line!r}"
    text = _one_line(line, field)
    words = _TOKEN.findall(text)
    if words[0] not in _TYPES:
        raise InvalidSpec(f"{field}: must begin with one of {', '.join(sorted(_TYPES))}")
    if any(word.startswith("@") for word in words):
        raise InvalidSpec(f"{field}: must not name other files")
    at = 3 if words[0] == "local" else _after_address(words, field)
    if len(words) <= at or words[at] not in _METHODS:
        shown = words[at] if len(words) > at else "nothing"
        raise InvalidSpec(f"{field}: {shown} stands where an authentication method must be")
    return text


def _one_line(line: str, field: str) -> str:
    """A line without its comment."""
    if any(ord(character) < ord(" ") and character != "\t" for character in line):
        raise InvalidSpec(f"{field}: must be one line")
    text = line.split("#", 1)[0].strip()
    if not text:
        raise InvalidSpec(f"{field}: must hold a rule")
    if text.endswith("\\"):
        raise InvalidSpec(f"{field}: must not go on in the next line")
    if text.count('"') % 2:
        raise InvalidSpec(f"{field}: a quote is not closed")
    return text


def _after_address(words: list[str], field: str) -> int:
    """Return where the method stands in a line with an address, which may come with a mask of its own."""
    if len(words) < 4:  # noqa: PLR2004 - type, database, user, address
        raise InvalidSpec(f"{field}: needs a database, a user, an address and a method")
    try:
        ipaddress.ip_address(words[3])
    except ValueError:
        if "/" in words[3]:
            _check_network(words[3], field)
        return 4
    return 5


def _check_network(text: str, field: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidSpec(f"{field}: {error}") from error
