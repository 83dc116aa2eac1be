"""Switching a host off by its fence agent, and whether that is certain.

Success means only that the old primary can no longer acknowledge: it replaces the wait for a lease. It is
no seal and no position (protocol, section 7). So when in doubt the answer is not ``fenced``: an agent that
says off and then on, or that ended with an error although the host may be off, has failed, and may be run
again; to switch off what is off is a success.

The order: ``off``, then ``status`` until it says off. An agent whose ``metadata`` knows no ``status`` is
believed without. All of it has one time limit.

The spec comes from the store, so whoever may write there names the program that a sentinel runs. What can be
run is therefore up to the host: a ``fence_`` program in one of a few directories that are root's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog

from common.model.reasons import Reason
from common.model.spec import FenceSpec
from common.model.units import format_duration
from common.runtime.clock import Clock
from common.runtime.command import OUTPUT_KEPT_BYTES, Ran, run_command

Outcome = Literal["fenced", "failed", "timed out", "not configured"]
Action = Literal["off", "status", "metadata", "monitor"]

DIRECTORIES: Final = (Path("/usr/sbin"), Path("/sbin"), Path("/usr/local/sbin"))
STATUS_EVERY_S: Final = 1.0
SECRET_LIMIT_BYTES: Final = 1024
METADATA_KEPT_BYTES: Final = 256 << 10
_IS_OFF: Final = 2
_SHOWN_CHARACTERS: Final = 300
_STATUS_ACTION: Final = re.compile(r"""<action\s[^>]*\bname\s*=\s*["']status["']""")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FenceResult:
    """What came of fencing a member.

    ``confirmed`` says that the agent's ``status`` has shown it off. ``output`` is the end of what the
    agent wrote last, for the log.
    """

    outcome: Outcome
    reason: Reason
    confirmed: bool = False
    took_s: float = 0.0
    output: str = ""


class _Unusable(Exception):
    """The agent cannot even be run; the text says why."""


class Fencer:
    """Runs fence agents. One member is fenced once at a time: that is the caller's duty."""

    def __init__(self, clock: Clock, directories: Sequence[Path] = DIRECTORIES) -> None:
        """``directories`` are those that agents may lie in."""
        self._clock = clock
        self._directories = tuple(directories)

    async def fence(self, uid: str, spec: FenceSpec | None) -> FenceResult:
        """Switch a member's host off, within the spec's time limit; never raises for what an agent does."""
        if spec is None:
            return FenceResult("not configured", _not_configured(uid))
        run = _Run(self._clock, self._directories, uid, spec)
        try:
            result = await run.fence()
        except _Unusable as error:
            result = run.result("failed", str(error))
        _log.info(
            "fencing_ended",
            member=uid,
            outcome=result.outcome,
            confirmed=result.confirmed,
            took_s=result.took_s,
        )
        return result

    async def check(self, uid: str, spec: FenceSpec | None) -> Reason | None:
        """Ask the agent whether it could fence (``monitor``); None when it says yes."""
        if spec is None:
            return _not_configured(uid)
        run = _Run(self._clock, self._directories, uid, spec)
        try:
            ran = await run.act("monitor")
        except _Unusable as error:
            return _unready(uid, str(error))
        return None if ran.status == 0 else _unready(uid, run.describe("monitor", ran))


class _Run:
    """One attempt, with one deadline for all that it takes."""

    def __init__(self, clock: Clock, directories: tuple[Path, ...], uid: str, spec: FenceSpec) -> None:
        self._clock = clock
        self._directories = directories
        self._uid = uid
        self._spec = spec
        self._agent = Path(spec.agent)
        self._began = clock.monotonic()
        self._deadline = self._began + spec.timeout_s
        self._secret: str | None = None
        self._output = ""

    async def fence(self) -> FenceResult:
        """Off, then certainty."""
        off = await self.act("off")
        if off.status != 0:
            return self._failed("off", off)
        while True:
            status = await self.act("status")
            if status.status == _IS_OFF:
                return self.result(
                    "fenced", "its agent switched the host off and shows it off", confirmed=True
                )
            if status.status != 0:
                return await self._unconfirmed(status)
            if self._left_s() <= STATUS_EVERY_S:
                return self.result("failed", "its agent reported success, and still says that the host is on")
            await self._clock.sleep(STATUS_EVERY_S)

    async def _unconfirmed(self, status: Ran) -> FenceResult:
        """Believe an agent that knows no status; one that does and fails at it proves nothing."""
        if status.ended == "exited":
            metadata = await self.act("metadata", kept_bytes=METADATA_KEPT_BYTES)
            if metadata.status == 0 and "<action" in metadata.output and not _knows_status(metadata.output):
                return self.result("fenced", "its agent switched the host off; it can show no status")
        self._output = status.output
        return self._failed("status", status)

    async def act(self, action: Action, *, kept_bytes: int = OUTPUT_KEPT_BYTES) -> Ran:
        """Run the agent once, in the time that is left."""
        self._check_agent()
        secret = await self._password()
        # Last, so that no line of the options can take its place.
        lines = self._spec.lines() + (f"password={secret}\n".encode() if secret else b"")
        began = self._clock.monotonic()
        ran = await run_command(
            [str(self._agent)],
            lines + f"action={action}\n".encode(),
            secret=secret,
            timeout_s=max(0.0, self._left_s()),
            kept_bytes=kept_bytes,
        )
        self._output = ran.output[-OUTPUT_KEPT_BYTES:]
        _log.info(
            "fence_agent_ran",
            member=self._uid,
            agent=str(self._agent),
            action=action,
            ended=ran.ended,
            status=ran.status,
            took_s=round(self._clock.monotonic() - began, 3),
            output="" if action == "metadata" else self._output,
        )
        return ran

    def result(self, outcome: Outcome, text: str, *, confirmed: bool = False) -> FenceResult:
        """An outcome with its reason."""
        took_s = round(self._clock.monotonic() - self._began, 3)
        reason = Reason(
            code={"fenced": "fenced", "timed out": "fence_timed_out"}.get(outcome, "fence_failed"),
            severity="info" if outcome == "fenced" else "critical",
            subject=self._uid,
            text=f"{self._uid}: {text}",
            fix=""
            if outcome == "fenced"
            else f"switch the host of {self._uid} off by hand, or mend its agent",
        )
        return FenceResult(outcome, reason, confirmed, took_s, self._output)

    def describe(self, action: Action, ran: Ran) -> str:
        """What an agent did that it should not have."""
        said = " ".join(ran.output.split())[-_SHOWN_CHARACTERS:]
        if ran.ended == "not started":
            return said
        limit = format_duration(self._spec.timeout_s)
        ended = (
            f"ended with status {ran.status}"
            if ran.ended == "exited"
            else f"had not ended after {limit} in all"
        )
        return f"its agent's {action!r} {ended}{': ' if said else ''}{said}"

    def _failed(self, action: Action, ran: Ran) -> FenceResult:
        return self.result("timed out" if ran.ended == "timed out" else "failed", self.describe(action, ran))

    def _left_s(self) -> float:
        return self._deadline - self._clock.monotonic()

    def _check_agent(self) -> None:
        if self._agent.parent not in self._directories:
            allowed = ", ".join(map(str, self._directories))
            raise _Unusable(
                f"its agent {self._agent} is not in a directory that agents may lie in ({allowed})"
            )

    async def _password(self) -> str:
        """The agent's password, read once; empty when it has none."""
        if self._secret is None:
            path = self._spec.password_file
            self._secret = await asyncio.to_thread(_read_secret, Path(path)) if path else ""
        return self._secret


def _read_secret(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(SECRET_LIMIT_BYTES + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no text"
        raise _Unusable(f"its password file {path} cannot be read: {problem}") from error
    if (
        not secret
        or len(secret) > SECRET_LIMIT_BYTES
        or any(ord(character) < ord(" ") for character in secret)
    ):
        raise _Unusable(
            f"its password file {path} must hold one line, of {SECRET_LIMIT_BYTES} characters at most"
        )
    return secret


def _knows_status(metadata: str) -> bool:
    return _STATUS_ACTION.search(metadata) is not None


def _not_configured(uid: str) -> Reason:
    return Reason(
        code="fence_not_configured", severity="info", subject=uid, text=f"{uid}: no fence agent is configured"
    )


def _unready(uid: str, text: str) -> Reason:
    return Reason(
        code="fence_not_ready",
        severity="warning",
        subject=uid,
        text=f"{uid}: could not be fenced now: {text}",
        fix=f"mend the fence agent of {uid}: see members.fence in the spec",
    )
