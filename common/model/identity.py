"""Which store this is, and whether it is still the one that a service knew (protocol, section 2). Pure.

A service remembers on disk which store it obeyed (the random ``store-id`` and etcd's cluster id) and the
newest view it obeyed there. What contradicts that memory, a store that was restored from a backup above all,
suspends it, until an operator accepts exactly the store that is seen now. An acceptance counts only for a
service that has obeyed nothing newer than what the operator was shown, so one that comes back out of a backup
is void.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import Field

from common.model.base import Document, Value
from common.model.reasons import SUSPENDED, Reason
from common.model.view import ClusterView

ACCEPT: Final = "pgha resume --accept-restored-store"

DIFFERENCES_LIMIT: Final = 5
"""So many are remembered; the first ones are those that tell what happened."""

NOT_FOLLOWED: Final = "no sentinel has written the view yet that follows the operator's word"

_DIGEST_CHARACTERS: Final = 16


class StoreMemory(Value):
    """What one service remembers of the store; empty and zero where it knows nothing yet.

    ``suspended`` says what was found wrong; it stays over restarts, until an operator confirms.
    """

    store_id: str = ""
    cluster_id: str = Field(default="", description="etcd's, in hexadecimal")
    generation: int = Field(default=0, description="of the newest view obeyed")
    term: int = 0
    view_digest: str = Field(default="", description="of that view as it stood in the store")
    suspended: tuple[str, ...] = ()

    def obeyed(self, generation: int, term: int, digest: str) -> StoreMemory:
        """The memory once a view is obeyed."""
        return self.changed(generation=generation, term=max(self.term, term), view_digest=digest)


class Acceptance(Document):
    """An operator's word that the store seen now is the right one, and what was the newest view.

    ``generation`` and ``term`` are the highest that anybody remembered. ``view`` is the newest one that a
    keeper has obeyed: what the cluster is, whatever the store says; absent where no keeper has obeyed any.
    ``view_revision`` is the mod revision of the view that stood in the store, 0 for none. ``without`` names
    keepers that the operator has declared lost for good.
    """

    by: str
    at: datetime
    store_id: str
    cluster_id: str
    generation: int
    term: int
    view: ClusterView | None = None
    view_revision: int = 0
    without: tuple[str, ...] = ()

    def counts(self, store_id: str, cluster_id: str, generation: int) -> bool:
        """Whether it accepts this store, for somebody who has obeyed views up to this generation."""
        return (self.store_id, self.cluster_id) == (store_id, cluster_id) and self.generation >= generation


@dataclass(frozen=True, slots=True)
class ShownView:
    """The view as it stands in the store: enough of it to be compared."""

    generation: int
    term: int
    digest: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a store shows of itself. ``view`` is None where there is none, or none that can be read."""

    store_id: str
    cluster_id: str
    view: ShownView | None = None
    view_is_malformed: bool = False
    went_backwards: str = ""
    acceptance: Acceptance | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``memory`` must be durable before anything is done because of it.

    ``problems``: why the service is suspended, empty when the store may be obeyed. ``accepted``: an
    operator's acceptance covers this service; problems that are left then wait for the view that follows it.
    """

    memory: StoreMemory
    problems: tuple[str, ...] = ()
    accepted: bool = False


def digest_of(raw: bytes) -> str:
    """A short digest of a JSON document, the same for every release and however it is laid out.

    It is made of the document as stored: a release that knows fewer fields drops some when it reads.
    """
    try:
        canonical = json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode()
    except ValueError:
        canonical = raw
    return hashlib.sha256(canonical).hexdigest()[:_DIGEST_CHARACTERS]


def differences(memory: StoreMemory, shown: Shown) -> Iterator[str]:
    """Say each way in which a store is not the one that is remembered."""
    if memory.cluster_id and shown.cluster_id != memory.cluster_id:
        yield f"etcd cluster id {shown.cluster_id} instead of {memory.cluster_id}"
    if memory.store_id and shown.store_id != memory.store_id:
        yield f"store-id {shown.store_id or '(none)'} instead of {memory.store_id}"
    view = shown.view
    if view is None:
        if memory.generation and not shown.view_is_malformed:
            yield f"no view, but generation {memory.generation} was obeyed"
    elif view.generation < memory.generation:
        yield f"generation {view.generation}, but generation {memory.generation} was obeyed"
    elif view.term < memory.term:
        yield f"term {view.term}, but term {memory.term} was obeyed"
    elif view.generation == memory.generation and memory.view_digest not in {"", view.digest}:
        yield f"another view of generation {view.generation} than the one that was obeyed"


def judge(memory: StoreMemory, shown: Shown) -> Verdict:
    """Say whether this store may be obeyed, and what is to be remembered from now on."""
    acceptance = shown.acceptance
    accepted = acceptance is not None and acceptance.counts(
        shown.store_id, shown.cluster_id, memory.generation
    )
    backwards = (shown.went_backwards,) if shown.went_backwards else ()
    found = dict.fromkeys((*memory.suspended, *differences(memory, shown), *backwards))
    if acceptance is not None and accepted:
        if found and acceptance.view is not None and not _follows(acceptance, shown):
            suspended = tuple(found)[:DIFFERENCES_LIMIT]
            return Verdict(memory.changed(suspended=suspended), (NOT_FOLLOWED,), accepted=True)
        memory = memory.changed(store_id=shown.store_id, cluster_id=shown.cluster_id, suspended=())
        return Verdict(memory, tuple(differences(memory, shown)), accepted=True)
    if found:
        problems = tuple(found)[:DIFFERENCES_LIMIT]
        return Verdict(memory.changed(suspended=problems), problems)
    return Verdict(
        memory.changed(
            store_id=memory.store_id or shown.store_id, cluster_id=memory.cluster_id or shown.cluster_id
        )
    )


def _follows(acceptance: Acceptance, shown: Shown) -> bool:
    """Whether the view is one that was written because of this acceptance, or later.

    The one before it may be of the backup, and be another than the one that the cluster goes on in.
    """
    return shown.view is not None and shown.view.generation > acceptance.generation


def suspended_because(uid: str, problems: tuple[str, ...], *, accepted: bool = False) -> Reason:
    """Why a service is suspended, and the command that ends it."""
    if accepted:
        return Reason(
            code=SUSPENDED,
            severity="critical",
            subject=uid,
            text=f"{uid} is suspended: it has the operator's word for this store and waits for the view that "
            f"follows it: {'; '.join(problems)}",
            fix=f"if this stays, see that a sentinel leads, and run {ACCEPT} again",
        )
    return Reason(
        code=SUSPENDED,
        severity="critical",
        subject=uid,
        text=f"{uid} is suspended, nothing is promoted, rewound or cloned: "
        f"the store is not the one it knew: {'; '.join(problems)}",
        fix=f"find out who restored or replaced etcd; if this store is to be used from now on: {ACCEPT}",
    )
