"""Ask the services for the last lines of their logs, and put them in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from common.errors import PeerUnavailable
from common.runtime.http import get_json
from common.status.documents import Documents

ANSWER_LIMIT_S: Final = 2.0

_ANSWER: Final = TypeAdapter(dict[str, int | list[dict[str, Any]]])


@dataclass(frozen=True)
class Line:
    """One line of a service's log; ``at`` is its own wall clock, as ISO 8601 in UTC."""

    uid: str
    service: str
    at: str
    level: str
    event: str
    fields: Mapping[str, Any]


@dataclass
class Reader:
    """Reads from each service what is new since it was last asked."""

    services: Mapping[str, tuple[str, str]]
    """By uid: what it is, and the URL of its API."""
    _seen: dict[str, int] = field(default_factory=dict)

    async def read(self) -> tuple[list[Line], dict[str, str]]:
        """The new lines in the order of their times, and why a service gave none."""
        found: list[Line] = []
        silent: dict[str, str] = {}

        async def ask(uid: str, service: str, url: str) -> None:
            try:
                found.extend(await self._new_lines(uid, service, url))
            except PeerUnavailable as error:
                silent[uid] = str(error)

        await asyncio.gather(*(ask(uid, *where) for uid, where in self.services.items()))
        return sorted(found, key=lambda line: line.at), silent

    async def _new_lines(self, uid: str, service: str, url: str) -> list[Line]:
        after = self._seen.get(uid, 0)
        last, lines = await _ask(url, after)
        if last < after:  # it has been restarted: its numbers begin anew
            last, lines = await _ask(url, 0)
        self._seen[uid] = last
        return [_line(uid, service, each) for each in lines]


async def _ask(url: str, after: int) -> tuple[int, list[dict[str, Any]]]:
    answer = await get_json(f"{url}/log", timeout_s=ANSWER_LIMIT_S, query={"after": str(after)})
    try:
        read = _ANSWER.validate_python(answer)
    except ValidationError as error:
        raise PeerUnavailable(f"{url}/log: not the answer of a pgha service") from error
    last, lines = read.get("last"), read.get("lines")
    if not isinstance(last, int) or not isinstance(lines, list):
        raise PeerUnavailable(f"{url}/log: not the answer of a pgha service")
    return last, lines


def _line(uid: str, service: str, raw: Mapping[str, Any]) -> Line:
    named = {"number", "timestamp", "level", "event", "service", "uid"}
    return Line(
        uid=uid,
        service=service,
        at=str(raw.get("timestamp", "")),
        level=str(raw.get("level", "info")),
        event=str(raw.get("event", "")),
        fields={name: value for name, value in raw.items() if name not in named},
    )


def services_of(documents: Documents) -> dict[str, tuple[str, str]]:
    """Every service with a live report: its uid, what it is, and its API."""
    kinds: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("sentinel", documents.sentinels),
        ("keeper", documents.keepers),
        ("proxy", documents.proxies),
    )
    return {
        uid: (kind, report.api_url)
        for kind, reports in kinds
        for uid, report in reports.items()
        if report.api_url
    }
