"""A switchover in the healthy cluster, brought to each of its steps."""

from __future__ import annotations

from typing import Any

from common.model.reports import PostgresState, SwitchingReport
from common.model.requests import Switchover
from tests.support.builders import SANDUN_1, SHIQIAO_1, Scene, at

RECORD, END = at(6), 7
"""Where the shutdown record begins, and, as a small number, a place behind it."""


def reports(scene: Scene, uid: str, **fields: Any) -> None:
    """A keeper says something of the attempt in the view."""
    attempt = scene.now.switching
    assert attempt is not None
    scene.report(uid, switching=SwitchingReport(id=attempt.id, **fields))


def begun(to: str | None = SHIQIAO_1, **fields: Any) -> Scene:
    scene = Scene(**fields)
    scene.ask(Switchover(to=to, drain_s=3.0))
    scene.step("switchover_begun")
    return scene


def switching(to: str = SHIQIAO_1, **fields: Any) -> Scene:
    """The route has gone, the primary drains."""
    scene = begun(to, **fields)
    reports(scene, SANDUN_1, ready=True)
    scene.step("switching")
    return scene


def stops(scene: Scene, uid: str = SANDUN_1, state: PostgresState = "stopping") -> None:
    """The primary is shut down in order; standbys hear nothing any more."""
    scene.report(uid, state=state, role=None, timeline=0, history=(), sync=None, standbys=(), seal=None)
    reports(scene, uid, shut_down=RECORD)


def handing_over(to: str = SHIQIAO_1, **fields: Any) -> Scene:
    """The new term, as the target has the shutdown record."""
    scene = switching(to, **fields)
    stops(scene)
    reports(scene, to, holds=at(END))
    scene.step("sealing")
    return scene
