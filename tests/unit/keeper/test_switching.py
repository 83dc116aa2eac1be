"""What a keeper does and says in a switchover beside its plan: the preparation, and the target's position."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from common.errors import PostgresUnavailable
from common.model.names import standby_name
from common.model.reports import SwitchingReport
from common.model.view import ClusterView, Switching
from common.model.wal import Lsn
from common.store.signal import Signal
from keeper.local import Local
from keeper.postgres.port import Observation, Postgres, Receiver, WalSender
from keeper.state import KeeperState, LifeRecord
from keeper.switching import (
    CHECKPOINTS,
    CLOSE_BYTES,
    PRIMARY_TICK_S,
    TARGET_TICK_S,
    TICK_S,
    SwitchingDuties,
    lag_of,
    tick_s,
)
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, at, life, running_view
from tests.support.clock import ManualClock
from tests.support.facts import local_settings
from tests.support.healthy import INCARNATIONS, TERM

ATTEMPT = Switching(id=21, request="r-1", target=life(SHIQIAO_1), drain_s=3.0)
PREPARING = running_view(switching=ATTEMPT)
SWITCHING = running_view(phase="switching", route=None, switching=ATTEMPT)
TARGET = standby_name(SHIQIAO_1, INCARNATIONS[SHIQIAO_1], TERM)


def seen(**fields: Any) -> Observation:
    whole: dict[str, Any] = {
        "version": 150018,
        "system_identifier": "1",
        "start_id": "s-1",
        "in_recovery": False,
        "timeline": 2,
        "lsn": at(5),
    }
    return Observation(**whole | fields)


def sender(replayed: int, name: str = TARGET, state: str = "streaming") -> WalSender:
    return WalSender(1, name, state, at(5), at(5), Lsn(at(5) - replayed))


def local(uid: str, observation: Observation) -> Local:
    state = KeeperState(keeper_id="k", life=LifeRecord(incarnation=INCARNATIONS[uid], term=1, complete=True))
    found = Local(local_settings(uid), state, "life", "0")
    found.postgres, found.start_id = "running", observation.start_id
    found.observed(observation)
    return found


class Server:
    """Answers with the observations given, the last one again and again."""

    def __init__(self, *observations: Observation, failures: int = 0) -> None:
        self._observations = list(observations)
        self._failures = failures
        self.checkpoints = 0

    async def checkpoint(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self._failures:
            self._failures -= 1
            raise PostgresUnavailable("not now")
        self.checkpoints += 1

    async def observe(self) -> Observation:
        return self._observations.pop(0) if len(self._observations) > 1 else self._observations[0]


def duties(server: Server, of: Local, clock: ManualClock) -> SwitchingDuties:
    return SwitchingDuties(cast("Postgres", server), of, clock, Signal(clock))


def test_the_lag_is_what_the_target_has_still_to_replay() -> None:
    """By its own name; one that does not stream has none."""
    assert lag_of(TARGET, seen(senders=(sender(100), sender(7, "other_00000009_4")))) == 100
    assert lag_of(TARGET, seen(senders=(sender(100, state="catchup"),))) is None
    assert lag_of(TARGET, seen()) is None


@pytest.mark.parametrize(
    ("view", "uid", "every_s"),
    [
        (SWITCHING, SHIQIAO_1, TARGET_TICK_S),
        (SWITCHING, SANDUN_1, PRIMARY_TICK_S),
        (SWITCHING, SANDUN_2, TICK_S),
        (PREPARING, SHIQIAO_1, TICK_S),
        (None, SHIQIAO_1, TICK_S),
    ],
)
def test_only_the_two_look_often_and_only_without_a_route(
    view: ClusterView | None, uid: str, every_s: float
) -> None:
    """Each look that comes late is time in which nobody writes; for all others it costs."""
    assert tick_s(view, uid) == every_s


def test_the_primary_is_ready_once_the_target_is_close_behind() -> None:
    """After its checkpoints, and again after one that failed; nothing is reported before."""

    async def story() -> None:
        clock = ManualClock()
        far, near = seen(senders=(sender(CLOSE_BYTES + 1),)), seen(senders=(sender(CLOSE_BYTES),))
        server, of = Server(far, seen(), near, failures=1), local(SANDUN_1, far)
        works = duties(server, of, clock)
        await works.serve(PREPARING)
        before = of.switching

        async def pass_time() -> None:
            while of.switching is None:
                await clock.advance(1.0)

        await asyncio.wait_for(pass_time(), 10)
        await works.serve(PREPARING)
        await works.end()

        assert before is None
        assert of.switching == SwitchingReport(id=21, ready=True)
        assert server.checkpoints == CHECKPOINTS

    asyncio.run(story())


def test_what_is_not_asked_for_any_more_is_given_up_and_forgotten() -> None:
    """The report of one attempt counts for no other."""

    async def story() -> None:
        of = local(SANDUN_1, seen())
        works = duties(Server(seen()), of, ManualClock())
        of.switching = SwitchingReport(id=21, ready=True)
        works.look(PREPARING)
        kept = of.switching
        works.look(PREPARING.changed(switching=ATTEMPT.changed(id=30)))
        left = [of.switching]
        of.switching = SwitchingReport(id=21, ready=True)
        works.look(running_view())
        left.append(of.switching)

        assert kept is not None
        assert left == [None, None]

    asyncio.run(story())


@pytest.mark.parametrize("missing", ["", "it still receives", "it still replays", "it is another life"])
def test_the_target_tells_where_its_data_end_when_nothing_more_comes(missing: str) -> None:
    """Not while a WAL receiver is there, nor before all is replayed."""
    receiver = Receiver("streaming", TARGET, "127.0.0.1", 5432, 0.0)
    waits_for = "RecoveryWalStream" if missing != "it still replays" else ""
    observation = seen(
        in_recovery=True,
        startup_waits_for=waits_for,
        receiver=receiver if missing == "it still receives" else None,
    )
    of = local(SHIQIAO_1, observation)
    if missing == "it is another life":
        of.state = of.state.changed(life=LifeRecord(incarnation="ffffffff", term=1, complete=True))
    duties(Server(observation), of, ManualClock()).look(SWITCHING)

    assert of.switching == (None if missing else SwitchingReport(id=21, holds=at(5)))
