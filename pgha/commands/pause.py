"""``pgha pause``: nothing is done that nobody has asked for."""

from __future__ import annotations

from common.model.requests import Pause
from pgha.options import Target
from pgha.requests.ask import Asking, ask, with_asking


@with_asking
def pause(target: Target, asking: Asking) -> None:
    """Do nothing by itself any more: no failover, no clone, no restart, until pgha resume.

    What is asked for with pgha is done as ever. A failover that has begun is finished.
    """
    ask(target, asking, Pause())
