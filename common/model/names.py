"""Names that PostgreSQL sees: replication slots, application names, ``synchronous_standby_names``.

A slot and the ``application_name`` of the standby that uses it are the same text,
``<member>_<incarnation>_<term>``, so that a flush can be counted only for one life of a data
directory in one term (protocol, section 1, "sync set").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

MEMBER_LIMIT: Final = 40
"""Characters of a member's part; PostgreSQL cuts names at 63."""

NOBODY: Final = "nobody"
"""Stands in ``synchronous_standby_names`` where a set has no members; it has no term, so no member has it."""

_NAME = re.compile(r"([a-z0-9_]{1,40})_([0-9a-f]{8})_([0-9]{1,12})")


class StandbyName(NamedTuple):
    """The three parts of a slot or application name."""

    member: str
    incarnation: str
    term: int


def member_name(uid: str) -> str:
    """Turn a uid into the part that stands in names: lower case, ``_`` for all else."""
    return re.sub(r"[^a-z0-9]", "_", uid.lower())[:MEMBER_LIMIT]


def standby_name(uid: str, incarnation: str, term: int) -> str:
    """Name the slot and the connection of one life of a member in one term."""
    return f"{member_name(uid)}_{incarnation}_{term}"


def parse_standby_name(name: str) -> StandbyName | None:
    """Take a name apart; None when it is not one of ours."""
    match = _NAME.fullmatch(name)
    return StandbyName(match[1], match[2], int(match[3])) if match else None


def synchronous_standby_names(names: Iterable[str], k: int) -> str:
    """Render the setting for ``k`` of a set; empty only when ``k`` is 0.

    Raises ValueError for a negative k or a name that cannot be quoted.
    """
    if k < 0:
        raise ValueError(f"k = {k}: the number of acknowledging standbys cannot be negative")
    if k == 0:
        return ""
    quoted = []
    for name in sorted(names) or [NOBODY]:
        if '"' in name:
            raise ValueError(f"{name!r}: a standby's name cannot contain a double quote")
        quoted.append(f'"{name}"')
    return f"ANY {k} ({', '.join(quoted)})"
