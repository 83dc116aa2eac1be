"""A simulated etcd: members on hosts, a leader that a majority follows, and all that goes wrong with it.

A request goes to one member, which asks the leader, which asks a majority. It is carried out once or never,
but maybe long after its client has given up, and its answer may be lost: the client must not assume either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from common.errors import PghaError
from tests.sim.clock import SimClock
from tests.sim.etcd_data import EtcdData, SimBackup
from tests.sim.loop import SimLoop
from tests.sim.network import ETCD, RETRANSMISSION_S, Network
from tests.sim.process import Process

TICK_S: Final = 0.1
LOOKS_AT_LEASES_EVERY_S: Final = 0.5
ELECTION_TIMEOUT_S: Final = 1.0
MIN_TTL_S: Final = 2.0
"""etcd's own least TTL with its default election timeout."""
FSYNC_S: Final = 0.001
FORGOTTEN_AFTER_S: Final = 60.0
"""How long a kernel goes on sending what nobody acknowledges, after its process has given it up."""
PROPOSAL_LIVES_S: Final = 1.0
"""How long a leader that has lost its majority holds on to what it could not commit."""

DOUBLED_WITHIN_S: Final = 4.0
"""How late the second of two equal requests sets out at most."""

OnElection = Literal["extend", "keep", "revoke"]


class Refused(Exception):
    """A member said no before anything was done: it is down, or has no leader."""


@dataclass(slots=True)
class Request:
    """One request of a client; ``settle`` hears a result or an error once, ``is_wanted`` until then."""

    host: str
    member: str
    work: Callable[[EtcdData], Any]
    settle: Callable[[Any, BaseException | None], None]
    is_wanted: Callable[[], bool]
    sent_at: float
    late: bool = False
    """Whether it is carried out when it arrives after its client has given it up."""
    may_double: bool = False
    """Whether its client asks other members for the same as well when it is slow."""
    era: int = 0


class SimEtcd:
    """The servers. ``data`` is what a majority agrees on; clients are :class:`tests.sim.store.SimStore`."""

    def __init__(
        self, loop: SimLoop, network: Network, chance: random.Random, members: Sequence[str]
    ) -> None:
        self.loop = loop
        self.network = network
        self.clock = SimClock(loop)
        self.data = EtcdData(self.clock, min_ttl_s=MIN_TTL_S)
        self.members = tuple(members)
        self.leader: str | None = self.members[0]
        self.on_election: OnElection = "extend"
        self.fsync_s = FSYNC_S
        self.watch_lag_s = 0.0
        self.lost_requests = 0.0
        self.lost_answers = 0.0
        self.doubled = 0.0
        """Share of the requests that may be done twice which are, the second time late."""
        self.late_share = 0.5
        self.deaf: dict[str, None] = {}
        """Hosts whose watches bring nothing while their calls succeed."""
        self.in_write: dict[str, tuple[str, Callable[[], None]]] = {}
        """What befalls a host just before it sends its next write of a key."""
        self.in_keepalive: dict[str, Callable[[], None]] = {}
        """What befalls a host just before it sends its next keepalive."""
        self.elections = 0
        self._chance = chance
        self._processes = {host: network.start(host, "etcd") for host in self.members}
        self._trouble_since: float | None = None
        self._patience_s = ELECTION_TIMEOUT_S
        self._looked_at = 0.0
        self._era = 0
        self._streams: dict[Callable[[PghaError | None], None], str] = {}
        loop.world_after(TICK_S, self._tick)

    # Members and their leader.

    def process(self, member: str) -> Process:
        """The process of a member, to stop, continue or kill it."""
        return self._processes[member]

    def restart(self, member: str) -> None:
        """Start a member again that is dead."""
        if self._processes[member].is_dead:
            self._processes[member] = self.network.start(member, "etcd")

    def stop(self) -> None:
        """Kill every member: an outage."""
        for process in self._processes.values():
            process.kill()

    def start(self) -> None:
        """Start every member that is dead and whose host has power."""
        for member in self.members:
            if self.network.is_up(member):
                self.restart(member)

    def is_live(self, member: str) -> bool:
        """Whether a member runs."""
        return self._processes[member].is_running and self.network.is_up(member)

    def _hears(self, one: str, other: str) -> bool:
        network = self.network
        return one == other or (network.is_open(one, other, ETCD) and network.is_open(other, one, ETCD))

    def _has_majority(self, member: str) -> bool:
        heard = sum(self.is_live(other) and self._hears(member, other) for other in self.members)
        return self.is_live(member) and 2 * heard > len(self.members)

    def _tick(self) -> None:
        self.loop.world_after(TICK_S, self._tick)
        now = self.loop.time()
        if self.leader is not None and self._has_majority(self.leader):
            self._trouble_since = None
            if now - self._looked_at >= LOOKS_AT_LEASES_EVERY_S - TICK_S / 2:
                self._looked_at = now
                self.data.sweep()
        elif self._trouble_since is None:
            self._trouble_since = now
            self._patience_s = ELECTION_TIMEOUT_S * (1 + self._chance.random())
        elif now - self._trouble_since >= self._patience_s:
            self._elect()

    def _elect(self) -> None:
        candidates = [member for member in self.members if self._has_majority(member)]
        if not candidates:
            self.leader = self._trouble_since = None
            return
        self.leader = candidates[int(self._chance.random() * len(candidates))]
        self.elections += 1
        self._trouble_since = None
        if self.on_election == "extend":
            self.data.extend_leases()
        elif self.on_election == "revoke":
            self.data.revoke_leases()

    def serves(self, member: str) -> bool:
        """Whether a member is in contact with a leader that has a majority."""
        leader = self.leader
        return (
            leader is not None
            and self.is_live(member)
            and self._hears(member, leader)
            and self._has_majority(leader)
        )

    def _round_s(self, member: str) -> float | None:
        """How long a member takes to have something agreed upon; None when it cannot now."""
        if self.leader is None or not self.serves(member):
            return None
        path, leader = self.network.path, self.leader
        rounds = []
        for other in self.members:
            there, back = path(leader, other, ETCD), path(other, leader, ETCD)
            if there is not None and back is not None and self.is_live(other) and other != leader:
                rounds.append(there + back)
        needed = len(self.members) // 2
        to_leader, back = path(member, leader, ETCD), path(leader, member, ETCD)
        if to_leader is None or back is None or len(rounds) < needed:
            return None
        agreed_s = sorted(rounds)[needed - 1] if needed else 0.0
        return to_leader + agreed_s + self.fsync_s + back

    # Requests.

    def ask(self, request: Request) -> None:
        """Let a request go its way; nothing of it needs the client's process any more."""
        if self.doubled and request.may_double and self._chance.random() < self.doubled:
            again = replace(request, is_wanted=lambda: False, late=True, era=self._era)
            self.loop.world_after(
                DOUBLED_WITHIN_S * self._chance.random(), self._send, again, RETRANSMISSION_S
            )
        if self.lost_requests and self._chance.random() < self.lost_requests:
            return
        request.era = self._era
        request.late = self._chance.random() < self.late_share
        self._send(request, RETRANSMISSION_S)

    def _send(self, request: Request, pause_s: float) -> None:
        delay_s = self.network.path(request.host, request.member, ETCD)
        if delay_s is not None:
            self.loop.world_after(delay_s, self._arrive, request)
        elif self.loop.time() - request.sent_at < FORGOTTEN_AFTER_S:
            self.loop.world_after(pause_s, self._send, request, 2 * pause_s)

    def _arrive(self, request: Request) -> None:
        process = self._processes[request.member]
        if not self.network.is_open(request.host, request.member, ETCD):
            self._send(request, RETRANSMISSION_S)
        elif process.is_dead:
            self._answer(request, None, Refused(f"{request.member} does not listen"))
        elif not process.is_running:
            if self.loop.time() - request.sent_at < FORGOTTEN_AFTER_S:
                self.loop.world_after(TICK_S, self._arrive, request)
        elif self.leader is None:
            self._answer(request, None, Refused(f"{request.member} has no leader"))
        elif request.is_wanted() or request.late:
            self._propose(request, self.loop.time() + PROPOSAL_LIVES_S)

    def _propose(self, request: Request, until: float) -> None:
        round_s = self._round_s(request.member)
        if round_s is not None:
            self.loop.world_after(round_s, self._apply, request, until)
        elif self.loop.time() < until:
            self.loop.world_after(TICK_S, self._propose, request, until)

    def _apply(self, request: Request, until: float) -> None:
        if request.era != self._era:
            return
        if not self.serves(request.member):
            self._propose(request, until)
            return
        try:
            result, error = request.work(self.data), None
        except PghaError as refusal:
            result, error = None, refusal
        if not (self.lost_answers and self._chance.random() < self.lost_answers):
            self._answer(request, result, error)

    def _answer(self, request: Request, result: Any, error: BaseException | None) -> None:
        if not request.is_wanted():
            return
        delay_s = self.network.path(request.member, request.host, ETCD)
        if delay_s is None:
            self.loop.world_after(RETRANSMISSION_S, self._answer, request, result, error)
        else:
            self.loop.world_after(delay_s, self._deliver, request, result, error)

    def _deliver(self, request: Request, result: Any, error: BaseException | None) -> None:
        if not self.network.is_open(request.member, request.host, ETCD):
            self._answer(request, result, error)
        elif request.is_wanted():
            request.settle(result, error)

    # What happens to all clients.

    def add_stream(self, end: Callable[[PghaError | None], None], host: str) -> None:
        """Know a watch, to be ended with the others."""
        self._streams[end] = host

    def drop_stream(self, end: Callable[[PghaError | None], None]) -> None:
        """Forget a watch."""
        self._streams.pop(end, None)

    def end_streams(self, error: PghaError | None = None, *, host: str = "") -> None:
        """End all watches, or one host's: clients resume, or, given an error such as WatchLost, cannot."""
        for end, held_by in list(self._streams.items()):
            if host in {"", held_by}:
                del self._streams[end]
                end(error)

    def restore(self, backup: SimBackup, *, cluster_id: int | None = None, bump_revision: int = 0) -> None:
        """Put a backup in the place of what is there; every member is started anew for that."""
        self._era += 1
        self.end_streams()
        self.stop()
        self.data.go_back(backup, cluster_id=cluster_id, bump_revision=bump_revision)
        self.start()
