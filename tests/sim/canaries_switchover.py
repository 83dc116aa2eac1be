"""Bugs of a switchover: what is taken for everything, and who is started."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from common.model.view import ClusterView, Switching
from keeper import plan_switchover, steps
from sentinel.decide import switching
from tests.sim.canaries import SETS, Canary, function

_hand_over = plan_switchover.hand_over


class _AnyPosition:
    """The target is taken whatever it has got, once the primary is shut down."""

    def __init__(self) -> None:
        self._planted = ExitStack()

    def __enter__(self) -> None:
        self._planted.enter_context(function(switching._holds, _always))
        self._planted.enter_context(function(switching._has_it_all, _on_that_timeline))

    def __exit__(self, *_: object) -> None:
        self._planted.close()


def _always(*_: Any) -> bool:
    return True


def _on_that_timeline(view: ClusterView, _: object, candidate: Any) -> bool:
    return view.old_primary is not None and candidate.position.timeline == view.old_primary.timeline


def _start_what_has_stopped(view: ClusterView, attempt: Switching, facts: steps.Facts) -> steps.Step:
    """A keeper whose PostgreSQL has stopped starts it, as it is named primary still."""
    if facts.state == "stopping" and not facts.shutting_down:
        return steps.Finish("it is ended")
    if facts.state == "stopped":
        return steps.StartWritable(view.term)
    return _hand_over(view, attempt, facts)


CANARIES: Final = (
    Canary(
        "promote_before_the_shutdown_record",
        "the target of a switchover is promoted wherever it stands, as soon as the primary is shut down",
        SETS,
        _AnyPosition,
    ),
    Canary(
        "start_writable_while_switching",
        "in a switchover a primary that does not run is started again",
        SETS | {"I6"},
        lambda: function(_hand_over, _start_what_has_stopped),
    ),
)
