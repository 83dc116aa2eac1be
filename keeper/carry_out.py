"""From a step of the plan to the action that carries it out."""

from __future__ import annotations

from collections.abc import Callable

from common.model.spec import ClusterSpec
from common.model.view import ClusterView
from keeper import steps
from keeper.actions import Actions
from keeper.work import Work


async def carry_out(
    step: steps.Step,
    view: ClusterView,
    spec: ClusterSpec,
    *,
    actions: Actions,
    work: Work,
    publish: Callable[[], None],
) -> None:
    """Carry out a step that ends soon; a start goes on in the background once it is spawned."""
    match step:
        case steps.Seal():
            await actions.seal(view)
        case steps.Promote(primary=named):
            await actions.promote(view, named, spec.timings.promote_timeout_s)
        case steps.ConfirmPromotion(primary=named):
            await actions.confirm_promotion(view, named)
        case steps.Follow(upstream=upstream):
            await actions.follow(view, upstream)
        case steps.Stop():
            await actions.stop()
        case steps.Claim():
            await actions.claim(view)
        case steps.Initialize(term=term):
            await actions.initialize(term, spec, publish)
        case steps.StartWritable():
            await actions.start_writable(view, spec)
            work.await_accepting()
        case steps.StartStandby(upstream=upstream):
            await actions.start_standby(upstream, spec)
            work.await_accepting()
        case _:
            await _carry_out_switchover(step, actions, work)


async def _carry_out_switchover(step: steps.Step, actions: Actions, work: Work) -> None:
    match step:
        case steps.ShutDown(attempt=attempt):
            work.shut_down(attempt)
        case steps.NoteShutDown(attempt=attempt):
            await actions.note_shut_down(attempt)
        case steps.Finish():
            await actions.finish()
