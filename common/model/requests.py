"""What operators ask for, and the leader sentinel carries out (protocol, sections 2 and 11).

One document for each operation asked for. An operator creates it, and may add the word that it shall be
cancelled; all else in it is written by the leader, in one transaction with the view that a step makes, so
that nothing is done twice and nothing is forgotten when a sentinel dies half-way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import AwareDatetime, ConfigDict, Field

from common.errors import InvalidDocument
from common.model.base import Document, Value
from common.model.view import Word

REQUEST_LIMIT_BYTES: Final = 32 * 1024
"""A longer document is malformed, whoever wrote it."""

OPEN_LIMIT: Final = 20
"""Requests that may wait or be under way at once; a further one is refused."""

KEPT_LIMIT: Final = 50
"""Requests that have ended and are kept, the newest."""

KEPT_FOR_S: Final = 30 * 86_400.0
"""How long a request that has ended is kept at most."""

EXPIRES_AFTER_S: Final = 600.0
"""Nobody begins a request later than so long after it was asked, or after the time that it was asked for."""

PROGRESS_LIMIT: Final = 20
"""Lines of progress that are kept, the newest."""

TEXT_LIMIT: Final = 300
"""Characters of one line of progress, and of a result."""

DRAIN_MAX_S: Final = 3600.0
"""Clients are not kept waiting for others' sessions for longer than that."""

State = Literal["pending", "running", "done", "failed", "cancelled"]

Name = Annotated[str, Field(min_length=1, max_length=40)]


class Operation(Value):
    """What is asked for. What a newer release added to one is not passed over: it would be another one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TERM_COUNTS: ClassVar[bool] = False
    """Whether it was meant for the primary of the moment at which it was asked, and for no later one."""

    EXCLUSIVE: ClassVar[bool] = False
    """Whether it waits until no other such one is under way."""

    TAKES_OUT: ClassVar[bool] = False
    """Whether its member leaves the sync set before anything is done to it."""


class Pause(Operation):
    """From now on nothing is done to the cluster that nobody has asked for."""

    kind: Literal["pause"] = "pause"


class Resume(Operation):
    """The end of a pause."""

    kind: Literal["resume"] = "resume"


class Continue(Operation):
    """An operator's word that a failover which is held back, or stopped, may begin."""

    kind: Literal["continue"] = "continue"
    TERM_COUNTS: ClassVar[bool] = True


class Force(Operation):
    """A failover although acknowledged commits may be lost; ``off`` are members that are off for certain."""

    kind: Literal["force"] = "force"
    off: tuple[Name, ...] = Field(default=(), max_length=64)
    to: Name | None = None
    TERM_COUNTS: ClassVar[bool] = True
    EXCLUSIVE: ClassVar[bool] = True


class _OfMember(Operation):
    """What concerns one member."""

    uid: Name


class Fence(_OfMember):
    """Stop PostgreSQL of one member and keep its data as they are: it is never promoted, nor counted."""

    kind: Literal["fence"] = "fence"
    TERM_COUNTS: ClassVar[bool] = True
    TAKES_OUT: ClassVar[bool] = True


class Unfence(_OfMember):
    """Let a member that is kept down begin again."""

    kind: Literal["unfence"] = "unfence"


class Reinit(_OfMember):
    """Clone a standby anew; its old data are kept until the new ones run."""

    kind: Literal["reinit"] = "reinit"
    source: Name | None = Field(default=None, description="the standby to clone from; absent: the primary")
    TAKES_OUT: ClassVar[bool] = True


class Remove(_OfMember):
    """Have a member whose keeper is gone leave the cluster."""

    kind: Literal["remove"] = "remove"
    TAKES_OUT: ClassVar[bool] = True


class Reload(Operation):
    """Have each PostgreSQL read its configuration files and certificates once more."""

    kind: Literal["reload"] = "reload"


class Restart(Operation):
    """Restart PostgreSQL, one member after the other: standbys first, the primary by a switchover."""

    kind: Literal["restart"] = "restart"
    uids: tuple[Name, ...] = Field(default=(), max_length=64, description="empty: all members")
    pending: bool = Field(default=False, description="only where parameters wait for a restart")
    EXCLUSIVE: ClassVar[bool] = True


class Switchover(Operation):
    """Another member becomes primary, and nothing is lost: ``to`` that one, or the best one on ``site``.

    ``drain_s`` is how long sessions may go on, in seconds; left out: ``drain_timeout`` of the spec.
    """

    TERM_COUNTS: ClassVar[bool] = True
    EXCLUSIVE: ClassVar[bool] = True

    kind: Literal["switchover"] = "switchover"
    to: Name | None = None
    site: Name | None = None
    drain_s: float | None = Field(default=None, ge=0, le=DRAIN_MAX_S)


AnyOperation = Annotated[
    Pause | Resume | Continue | Force | Fence | Unfence | Reinit | Remove | Reload | Restart | Switchover,
    Field(discriminator="kind"),
]


class Progress(Value):
    """One step of a request, in words."""

    at: AwareDatetime
    text: str


class Request(Document):
    """One operation asked for. Times are for people, but for ``not_before``: it begins no earlier than that.

    ``term`` is the one in which it was asked. ``parent`` names the request that this one is a part of.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    by: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    at: AwareDatetime
    term: int = Field(ge=0)
    operation: AnyOperation
    not_before: AwareDatetime | None = None
    parent: str = ""
    cancel: Word | None = None
    state: State = "pending"
    memo: dict[str, str] = Field(
        default_factory=dict,
        description="what the leader notes as it begins, by uid: which start or life",
    )
    progress: tuple[Progress, ...] = Field(default=(), max_length=PROGRESS_LIMIT)
    result: str = ""
    ended_at: AwareDatetime | None = None

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a request; raises InvalidDocument also when it is too long."""
        if len(raw) > REQUEST_LIMIT_BYTES:
            raise InvalidDocument(f"{cls.__name__}: longer than {REQUEST_LIMIT_BYTES} bytes")
        return super().from_bytes(raw)

    @property
    def kind(self) -> str:
        """The kind of the operation."""
        return self.operation.kind

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in {"pending", "running"}

    @property
    def takes_out(self) -> str | None:
        """The member that shall leave the sync set, while this is under way."""
        operation = self.operation
        if self.state != "running" or not operation.TAKES_OUT or not isinstance(operation, _OfMember):
            return None
        return operation.uid

    @property
    def word(self) -> Word:
        """The operator's word as it stands in a view."""
        return Word(by=self.by, at=self.at, request=self.id)

    def told(self, text: str, now: datetime) -> Request:
        """With one more line of progress, and under way; the same text twice in a row is one line."""
        if self.progress and self.progress[-1].text == _short(text) and self.state == "running":
            return self
        lines = (*self.progress, Progress(at=now, text=_short(text)))[-PROGRESS_LIMIT:]
        return self.changed(state="running", progress=lines)

    def ended(self, state: State, text: str, now: datetime) -> Request:
        """As it ends, with its result."""
        return self.changed(state=state, result=_short(text), ended_at=now)


class Asked(NamedTuple):
    """A request as it stands in the store, and the revision at which it does."""

    request: Request
    revision: int


class RequestUpdate(NamedTuple):
    """What becomes of a request that still stands at ``revision``; None: it is removed."""

    id: str
    revision: int
    request: Request | None


def update(asked: Asked, request: Request | None) -> RequestUpdate:
    """The update that puts a request in the place of the one that was read."""
    return RequestUpdate(asked.request.id, asked.revision, request)


def in_order(asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    """What has not ended: what is under way first, then by the time of asking."""
    open_ones = (each for each in asked if each.request.is_open)
    return tuple(sorted(open_ones, key=lambda a: (a.request.state != "running", a.request.at, a.request.id)))


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."
