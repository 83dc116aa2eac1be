"""What the leader can make of a request: what it would do, and the steps that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.model.requests import Asked, RequestUpdate, State, update
from common.model.view import ClusterView
from sentinel.decide.observed import Change, Decision, Observed, next_view


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done about a request now, in words; for a dry run, a question, and before it begins.

    ``refused`` says why nothing can be done; ``already`` why nothing has to be; both are empty where ``will``
    lists what is going to happen. ``harms``: people should be asked once more.
    """

    will: tuple[str, ...] = ()
    refused: str = ""
    already: str = ""
    harms: bool = False


def ended(observed: Observed, asked: Asked, state: State, text: str) -> Decision:
    """The end of a request that changes nothing else."""
    return Decision(None, (), updates=(update(asked, asked.request.ended(state, text, observed.now)),))


def told(observed: Observed, asked: Asked, text: str) -> Decision:
    """One more line of progress, if it says something new."""
    request = asked.request.told(text, observed.now)
    return Decision(None, (), updates=() if request == asked.request else (update(asked, request),))


def changes(
    observed: Observed, asked: Asked, view: ClusterView, kind: str, text: str, **fields: Any
) -> Change:
    """A change of the view that goes into the request as a line of progress, in the same transaction."""
    request = asked.request.told(text, observed.now)
    return _for(asked, next_view(view, **fields), kind, text, request_update=update(asked, request))


def ends_with(
    observed: Observed, asked: Asked, view: ClusterView, kind: str, text: str, **fields: Any
) -> Decision:
    """A change of the view that is all that was asked for: the request is done by it."""
    request = asked.request.ended("done", text, observed.now)
    change = _for(asked, next_view(view, **fields), kind, text, request_update=update(asked, request))
    return Decision(change, ())


def _for(asked: Asked, view: ClusterView, kind: str, text: str, *, request_update: RequestUpdate) -> Change:
    return Change(view, kind, text, "asked", requests=(request_update,), by=asked.request.by)
