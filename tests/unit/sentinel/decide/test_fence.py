"""Whom a fence agent should switch off, and that its success stands in the view."""

from __future__ import annotations

from common.model.spec import ClusterSpec
from common.model.view import Fenced
from sentinel.decide.fence import whom_to_fence
from tests.support.builders import SANDUN_1, Scene, running_view, sealing_view
from tests.support.healthy import TERM

WITH_AGENT = ClusterSpec.from_plain(
    {"members": [{"uid": SANDUN_1, "fence": {"agent": "/usr/sbin/fence_ipmilan"}}]}
)
WISH = Fenced(SANDUN_1, TERM + 1)


def sealing(spec: ClusterSpec = WITH_AGENT) -> Scene:
    """The term of sandun-1 has been given up."""
    return Scene(view=sealing_view(), spec=spec)


def test_a_lost_primary_is_switched_off() -> None:
    """Its keeper cannot say that it is down."""
    scene = sealing()
    scene.gone(SANDUN_1)

    assert scene.decide().fence == WISH


def test_a_hung_one_too() -> None:
    """Its keeper may not be able to kill it."""
    scene = sealing()
    scene.report(SANDUN_1, hanging="SELECT 1 has not ended")

    assert scene.decide().fence == WISH


def test_nobody_is_switched_off_whose_keeper_lives_and_is_well() -> None:
    """It stops its PostgreSQL by itself."""
    assert whom_to_fence(sealing().observed()) is None


def test_nobody_without_an_agent() -> None:
    """There is nothing to run."""
    scene = sealing(ClusterSpec())
    scene.gone(SANDUN_1)

    assert whom_to_fence(scene.observed()) is None


def test_nobody_whose_term_has_not_been_given_up() -> None:
    """A keeper that is gone alone is no failover, let alone a reason to switch a host off."""
    scene = Scene(view=running_view(), spec=WITH_AGENT)
    scene.gone(SANDUN_1)

    assert whom_to_fence(scene.observed()) is None


def test_success_is_one_write_and_ends_the_wish() -> None:
    """So that whoever leads next knows it."""
    scene = sealing()
    scene.gone(SANDUN_1)
    scene.fenced = frozenset({WISH})
    view = scene.step("fenced")

    assert view.fenced == {WISH}
    assert scene.decide().fence is None


def test_a_result_that_comes_after_the_route_is_noted_as_well() -> None:
    """An agent takes seconds, a failover less."""
    scene = Scene(view=running_view(fenced=frozenset({Fenced("shiqiao-1", TERM - 1)})), spec=WITH_AGENT)
    scene.fenced = frozenset({Fenced("sandun-2", TERM)})

    assert scene.step("fenced").fenced == {Fenced("sandun-2", TERM)}


def test_a_result_of_an_earlier_term_is_none() -> None:
    """The member may have come back since."""
    scene = sealing()
    scene.gone(SANDUN_1)
    scene.fenced = frozenset({Fenced(SANDUN_1, TERM)})

    assert scene.decide().fence == WISH
    assert scene.decide().change is None or scene.decide().change.kind != "fenced"  # type: ignore[union-attr]
