"""Ask keepers to look at their hosts and servers, all at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidDocument, PeerUnavailable
from common.model.examination import HostExamination
from common.model.reports import KeeperReport
from common.runtime.clock import Clock
from common.runtime.http import get_json
from common.status.clocks import ClockOffset, offset_of

ANSWER_LIMIT_S: Final = 8.0
"""A keeper waits 5 s for its server and 1 s for its disks, and says so then."""


@dataclass(frozen=True)
class Examined:
    """What the keepers have answered, and why others have not.

    ``clocks``: how far each host's clock is ahead of this one.
    """

    hosts: dict[str, HostExamination]
    clocks: dict[str, ClockOffset]
    silent: dict[str, str]


async def examine(keepers: Iterable[KeeperReport], names: Sequence[str], clock: Clock) -> Examined:
    """Ask every keeper about these parameters and everything else."""
    found = Examined({}, {}, {})

    async def ask(report: KeeperReport) -> None:
        url = f"{report.api_url}/examine"
        began, began_at = clock.monotonic(), clock.wall()
        try:
            said = await get_json(url, timeout_s=ANSWER_LIMIT_S, query={"names": ",".join(names)})
            host = HostExamination.from_bytes(json.dumps(said).encode())
        except (PeerUnavailable, InvalidDocument) as error:
            found.silent[report.uid] = str(error)
            return
        if host.uid != report.uid:
            found.silent[report.uid] = f"{url}: it is the keeper {host.uid}"
            return
        found.hosts[report.uid] = host
        took_s = clock.monotonic() - began
        found.clocks[report.uid] = offset_of(began_at, took_s, host.received, host.wall)

    asked = [report for report in keepers if report.api_url]
    await asyncio.gather(*(ask(report) for report in asked))
    return found
