"""What a keeper can be told to do next, and what the plan is made from. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.model.reasons import Reason
from common.model.reports import PostgresRole, PostgresState, PromotionReport, SealReport, SwitchingReport
from common.model.view import Primary
from common.model.wal import Switch


@dataclass(frozen=True, slots=True)
class Upstream:
    """Whom a standby follows, and the name of its slot and connection there."""

    uid: str
    host: str
    port: int
    name: str
    term: int


@dataclass(frozen=True, slots=True)
class Life:
    """One life of the data directory.

    ``term`` is the one in which it began; ``complete`` is false until PostgreSQL has accepted a
    connection on it: before that it may need WAL that only its source has.
    """

    incarnation: str
    term: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What a keeper knows of its own host.

    ``unclaimed`` says why the directory is in another life than is remembered; ``life`` is None then.
    ``busy`` names long work under way (clone, rewind), empty when there is none; ``hanging`` says that a
    primary does not do what a server that lives does. ``following`` is
    what the running PostgreSQL is configured to follow, None for nothing. ``seal`` belongs to this
    start of PostgreSQL. ``guarded``: its end is in sight (:mod:`keeper.lease_fence`). ``phase_seen_s``
    is for how long the present phase has been known here. ``switching`` is what was done in the last attempt
    at a switchover, ``shutting_down`` that its fast stop is under way; ``clients`` how many sessions are
    open, ``sees_store`` whether the view is what the store shows now.
    """

    uid: str
    state: PostgresState
    role: PostgresRole | None = None
    start_id: str | None = None
    life: Life | None = None
    unclaimed: str = ""
    system_identifier: str | None = None
    sealed_term: int = 0
    seal: SealReport | None = None
    promotion: PromotionReport | None = None
    timeline: int = 0
    history: tuple[Switch, ...] = ()
    following: Upstream | None = None
    busy: str = ""
    hanging: bool = False
    phase_seen_s: float = 0.0
    retry_in_s: float = 0.0
    failed_rewinds: int = 0
    restart_after_s: float = field(default=2.0)
    guarded: bool = False
    switching: SwitchingReport | None = None
    shutting_down: bool = False
    clients: int = 0
    sees_store: bool = True


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now; the reason says why, and is reported when it is more than information."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin a new life on the directory as it lies there, now that it is known to be this cluster's."""

    why: str


@dataclass(frozen=True, slots=True)
class Initialize:
    """Create the first data directory of the cluster; it counts as promoted on timeline 1."""

    term: int


@dataclass(frozen=True, slots=True)
class StartStandby:
    """Start with ``standby.signal`` written first, following nobody unless ``upstream`` is given."""

    upstream: Upstream | None
    why: str


@dataclass(frozen=True, slots=True)
class StartWritable:
    """Start without ``standby.signal``: only after a finished promotion in the view's own term (I6)."""

    term: int


@dataclass(frozen=True, slots=True)
class Guard:
    """Have the deadman armed, before anything is done that only a lease protects (``k = 0``)."""

    term: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End every process of the data directory."""

    why: str


@dataclass(frozen=True, slots=True)
class ShutDown:
    """Stop a primary in PostgreSQL's own order, so that the target gets everything; not awaited."""

    attempt: int


@dataclass(frozen=True, slots=True)
class NoteShutDown:
    """Find out whether a primary that does not run was shut down in order, and report it for an attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Kill what is left of a server that was stopping: nobody waits for it any more."""

    why: str


@dataclass(frozen=True, slots=True)
class Seal:
    """Enter a term: store the promise, then take no WAL from anybody, then report the final position."""

    term: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Become primary on exactly this timeline, forking from exactly this point."""

    term: int
    primary: Primary


@dataclass(frozen=True, slots=True)
class ConfirmPromotion:
    """PostgreSQL has left recovery while nobody watched: check timeline and fork, then record it finished."""

    term: int
    primary: Primary


@dataclass(frozen=True, slots=True)
class Follow:
    """Stream from the primary."""

    upstream: Upstream


@dataclass(frozen=True, slots=True)
class Clone:
    """Begin a new life: copy the primary into a directory beside the old one, then swap."""

    upstream_uid: str
    term: int
    why: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """Begin a new life: turn the directory back to the fork and take the primary's changes."""

    upstream_uid: str
    term: int
    why: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Be the primary: keep slots and sync set as the view says."""

    term: int


Step = (
    Wait
    | Claim
    | Initialize
    | StartStandby
    | StartWritable
    | Guard
    | Stop
    | ShutDown
    | NoteShutDown
    | Finish
    | Seal
    | Promote
    | ConfirmPromotion
    | Follow
    | Clone
    | Rewind
    | Serve
)
