"""What hooks are told of, in which order, and what becomes of one that fails, hangs, or is too slow."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from common.errors import InvalidSpec
from common.model.reports import PostgresRole, PostgresState
from common.model.view import ClusterView, Route, Switching
from common.model.wal import Lsn
from common.runtime.clock import SystemClock
from common.runtime.command import Ran
from keeper.hooks.events import EVENTS, Event, Known, Looked, happened
from keeper.hooks.runner import OUTPUT_KEPT_BYTES, QUEUE_LIMIT, Hooks
from keeper.hooks.settings import HookSettings
from keeper.local import Local
from keeper.state import KeeperState
from tests.support import healthy
from tests.support.aio import eventually, run
from tests.support.builders import SANDUN_1, SANDUN_2, life
from tests.support.facts import local_settings
from tests.support.healthy import TERM

FINE = Ran("exited", 0, "")
DOWN = Looked(SANDUN_1, "down", None, None)


def up(start_id: str = "s1", role: PostgresRole = "primary", state: PostgresState = "running") -> Looked:
    return Looked(SANDUN_1, state, start_id, role)


def view(
    primary: str | None = SANDUN_1, term: int = TERM, *, routed: bool = True, **fields: Any
) -> ClusterView:
    """The healthy cluster's view, with another primary, term or phase."""
    seen = healthy.view()
    assert seen.primary is not None
    route = Route(uid=primary, incarnation="1", term=term, host="h", port=1) if primary and routed else None
    named = seen.primary.changed(uid=primary) if primary else None
    return seen.changed(term=term, primary=named, route=route, **fields)


def told(*looks: tuple[Looked, ClusterView | None]) -> list[Event]:
    """What a keeper that looks so often tells."""
    known, events = Known(), list[Event]()
    for found, seen in looks:
        known, more = happened(known, found, seen)
        events += more
    return events


def test_a_primary_is_ready_once_writers_are_let_in_and_once_in_its_term() -> None:
    """Not when it is named, and not again with every later view."""
    looks = [(DOWN, None), (up(), view(routed=False)), (up(), view()), (up(), view(generation=99))]

    assert told(*looks) == ["started", "primary_ready"]


def test_a_failover_is_told_by_who_took_over_after_it_is_ready() -> None:
    """The old primary only tells what became of it."""
    taken = view(SANDUN_1, TERM + 1)
    standby = up(role="standby")

    assert told(
        (standby, view(SANDUN_2)),
        (standby, view(None, TERM + 1)),
        (up(), view(SANDUN_1, TERM + 1, routed=False)),
        (up(), taken),
        (up(), taken),
    ) == ["started", "primary_ready", "failed_over"]
    assert told((up(), view()), (DOWN, view()), (up("s2", "standby"), view(SANDUN_2, TERM + 1))) == [
        "started",
        "primary_ready",
        "demoted",
        "stopped",
        "started",
    ]


def test_a_switchover_is_no_failover() -> None:
    """Only an attempt that came to its end, with this member as its target, is one."""
    attempt = Switching(id=9, request="r", target=life(SANDUN_1), drain_s=0.0, shut_down=Lsn(5))
    before = (up(role="standby"), view(SANDUN_2))
    ready = (up(), view(term=TERM + 1))

    def led_by(switching: Switching) -> list[Event]:
        return told(before, (up(), view(term=TERM + 1, routed=False, switching=switching)), ready)

    assert led_by(attempt) == ["started", "primary_ready"]
    assert led_by(attempt.changed(target=life(SANDUN_2)))[-1] == "failed_over"
    assert led_by(attempt.changed(shut_down=None))[-1] == "failed_over"


def test_a_primary_that_is_named_again_is_ready_again_and_neither_demoted_nor_failed_over() -> None:
    """In a new term, without a restart; while nobody is named it goes on."""
    assert told((up(), view()), (up(), view(None, TERM + 1)), (up(), view(SANDUN_1, TERM + 1))) == [
        "started",
        "primary_ready",
        "primary_ready",
    ]


@pytest.mark.parametrize(
    ("after", "events"),
    [
        ((up(state="stopping"), view()), ["demoted"]),
        ((DOWN, view()), ["demoted", "stopped"]),
        ((up(), view(SANDUN_2, TERM + 1)), ["demoted"]),
        ((up(role="standby"), view()), ["demoted"]),
        ((up("s2"), view(routed=False)), ["demoted", "stopped", "started"]),
        ((up("s2"), view()), ["demoted", "stopped", "started", "primary_ready"]),
        ((Looked(SANDUN_1, "running", None, "primary"), view()), []),
        ((up(), None), []),
    ],
)
def test_what_ends_a_primary(after: tuple[Looked, ClusterView | None], events: list[Event]) -> None:
    """A stop that has begun, an end, another who is named; no silence of the store."""
    assert told((up(), view()), after)[2:] == events


def test_a_standby_is_started_and_stopped_alone() -> None:
    """It has never been ready."""
    standby = up(role="standby")
    stopping = up(role="standby", state="stopping")

    assert told((standby, view(SANDUN_2)), (stopping, view(SANDUN_2)), (DOWN, view(SANDUN_2))) == [
        "started",
        "stopped",
    ]


class Host:
    """A keeper with hooks, and a stand-in for what runs them."""

    def __init__(self, **hooks: Any) -> None:
        commands = hooks or dict.fromkeys(EVENTS, "/hook")
        settings = local_settings().model_copy(update={"hooks": HookSettings.model_validate(commands)})
        self.local = Local(settings, KeeperState(keeper_id="k"), "1", "test")
        self.given: list[dict[str, Any]] = []
        self.answers: list[Ran] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reported: list[set[str]] = []
        self.hooks = Hooks(self.local, SystemClock(), "main", run=self._run)

    async def _run(self, command: Sequence[str], given: bytes, *, timeout_s: float, kept_bytes: int) -> Ran:
        assert (command, timeout_s, kept_bytes) == (("/hook",), 30.0, OUTPUT_KEPT_BYTES)
        await self.gate.wait()
        self.given.append(json.loads(given))
        return self.answers.pop(0) if self.answers else FINE

    def start_and_stop(self, times: int = 1) -> None:
        for number in range(times):
            self.local.postgres, self.local.start_id = "running", f"s{number}"
            self.hooks.look(view(SANDUN_2))
            self.local.forget_start("down")
            self.hooks.look(view(SANDUN_2))

    def told(self, story: Callable[[], object], count: int) -> list[dict[str, Any]]:
        """Let something happen, and wait until so many hooks have run since."""

        async def until_told() -> None:
            wanted = len(self.given) + count
            [loop] = self.hooks.loops(lambda: self.reported.append(set(self.local.reasons)))
            task = asyncio.create_task(loop)
            story()
            await asyncio.sleep(0)
            self.gate.set()
            await eventually(lambda: len(self.reported) >= wanted, "the hooks have run")
            task.cancel()

        run(until_told())
        return self.given[-count:]


def test_hooks_run_in_the_order_of_what_happened() -> None:
    """Each with a document that says what, where and when."""
    host = Host()
    given = host.told(lambda: host.start_and_stop(3), 6)

    assert [each["event"] for each in given] == ["started", "stopped"] * 3
    first = given[0]
    assert (first["uid"], first["site"], first["cluster"]) == (SANDUN_1, "sandun", "main")
    assert (first["term"], first["primary"], first["repeated"]) == (TERM, SANDUN_2, False)
    assert (first["schema_version"], first["dropped"]) == (1, 0)


def test_a_hook_that_fails_is_a_reason_until_it_works_again() -> None:
    """With its status and its last lines; the other hooks have nothing to do with it."""
    host = Host()
    host.answers = [Ran("exited", 3, "no such\nswitch"), FINE, FINE, FINE]
    host.told(host.start_and_stop, 2)
    reason = host.local.reasons["hook started"]
    host.told(host.start_and_stop, 2)

    assert (reason.code, reason.severity) == ("hook_failed", "warning")
    assert reason.text == f"{SANDUN_1}: its hook started ended with status 3: no such switch"
    assert host.reported == [{"hook started"}, {"hook started"}, set(), set()]


@pytest.mark.parametrize(
    ("ran", "text"),
    [
        (Ran("timed out", None, "still here"), "had not ended after 30s and was killed: still here"),
        (Ran("not started", None, "/hook cannot be started"), "could not be run: /hook cannot be started"),
        (Ran("exited", -9, ""), "ended with status -9"),
    ],
)
def test_how_a_hook_failed_is_said_and_logged(ran: Ran, text: str) -> None:
    """A time limit is no exit code."""
    host = Host()
    host.answers = [ran]
    with capture_logs() as logs:
        host.told(host.start_and_stop, 2)

    assert host.local.reasons["hook started"].text.endswith(text)
    line = next(line for line in logs if line["event"] == "hook_ran")
    assert (line["log_level"], line["ended"], line["output"]) == ("warning", ran.ended, ran.output)


def test_beyond_the_limit_the_oldest_goes_and_that_is_said() -> None:
    """What comes last says how things are; the next document counts what went, and then the reason goes."""
    host = Host()
    host.gate.clear()
    with capture_logs() as logs:
        host.start_and_stop(QUEUE_LIMIT)
    reason = host.local.reasons["hooks"]
    given = host.told(lambda: None, QUEUE_LIMIT)

    assert len(given) == QUEUE_LIMIT
    assert given[-1]["event"] == "stopped"
    assert [each["dropped"] for each in given] == [QUEUE_LIMIT] + [0] * (QUEUE_LIMIT - 1)
    assert (reason.code, f"{QUEUE_LIMIT} hooks were left out" in reason.text) == ("hooks_dropped", True)
    assert len([line for line in logs if line["event"] == "hook_dropped"]) == QUEUE_LIMIT
    assert host.reported[-1] == set()


def test_what_an_earlier_life_of_the_keeper_may_have_told_is_marked() -> None:
    """A restart of the keeper touches no PostgreSQL, so it cannot know; what happens later is new."""
    host = Host()
    host.hooks.adopted("s0")
    given = host.told(lambda: host.start_and_stop(2), 4)

    assert [each["repeated"] for each in given] == [True, False, False, False]


def test_without_a_command_nothing_is_told_and_there_is_no_loop() -> None:
    """Of one event, nor of all."""
    none = Host(timeout_s=1)
    one = Host(stopped="/hook")
    given = one.told(lambda: one.start_and_stop(2), 2)

    assert none.hooks.loops(lambda: None) == ()
    assert [each["event"] for each in given] == ["stopped", "stopped"]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("demoted", "hook --now", "whole path of a program"),
        ("demoted", "   ", "whole path of a program"),
        ("started", "/hook 'a", "No closing quotation"),
        ("timeout_s", 0, "greater than 0"),
        ("timeout_s", 601, "less than or equal to 600"),
    ],
)
def test_a_hook_that_could_not_be_run_is_refused(field: str, value: object, rule: str) -> None:
    """By field and rule, when the keeper starts."""
    with pytest.raises(ValidationError, match=rule) as refused:
        HookSettings.model_validate({field: value})

    assert refused.value.errors()[0]["loc"] == (field,)


def test_a_program_that_is_not_there_is_refused_at_the_keepers_start() -> None:
    """A command's words are those of a shell; none runs it."""
    settings = HookSettings(started=f"{sys.executable} -c 'print(1)'", demoted="/no/such/program")

    assert settings.commands["started"] == (sys.executable, "-c", "print(1)")
    HookSettings(started=sys.executable).check()
    with pytest.raises(InvalidSpec, match=r"hooks.demoted: /no/such/program is not there"):
        settings.check()
