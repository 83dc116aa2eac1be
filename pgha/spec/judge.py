"""Have PostgreSQL itself judge the parameters of a spec before anybody writes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from common.errors import InvalidDocument, PeerUnavailable
from common.model.examination import Judgement
from common.model.reports import KeeperReport
from common.model.spec import PostgresSpec
from common.runtime.http import call_json
from pgha.spec.effects import Judged

ANSWER_LIMIT_S: Final = 8.0
"""A keeper gives PostgreSQL's program 5 s."""


async def judge(keepers: Iterable[KeeperReport], spec: PostgresSpec) -> Judged:
    """Ask every keeper: members may run different releases of PostgreSQL."""
    body = spec.model_dump(mode="json")
    asked = [_ask(report, body) for report in keepers if report.api_url]
    judgements = [each for each in await asyncio.gather(*asked) if each is not None]
    refused: dict[str, list[str]] = {}
    for each in judgements:
        for text in each.refused:
            refused.setdefault(text, []).append(each.uid)
    return Judged(
        tuple(sorted(each.uid for each in judgements)),
        {text: tuple(sorted(uids)) for text, uids in refused.items()},
    )


async def _ask(report: KeeperReport, body: dict[str, object]) -> Judgement | None:
    """None where there is no judgement: no answer, an older release, or PostgreSQL could not be asked."""
    try:
        status, said = await call_json("POST", f"{report.api_url}/judge", timeout_s=ANSWER_LIMIT_S, body=body)
        found = Judgement.from_bytes(json.dumps(said).encode()) if status == HTTPStatus.OK else None
    except (PeerUnavailable, InvalidDocument):
        return None
    return found if found is not None and found.uid == report.uid and not found.problem else None
