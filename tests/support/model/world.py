"""What the keepers of a model share: time, the network, and the servers that it connects."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.model.postgres import Server, connected


@dataclass
class World:
    """Time in seconds, fresh numbers, who cannot reach whom, and the data directory of each host.

    A frozen host does nothing and answers nobody; on a slow one no start and no promotion ends.
    """

    now: float = 0.0
    counter: int = 0
    cut: set[frozenset[str]] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    servers: dict[str, Server] = field(default_factory=dict)
    deadlines: dict[str, float] = field(default_factory=dict)
    """When the deadman of each host that has one armed kills; it goes on until it is disarmed."""

    def kill_overdue(self) -> None:
        """Let each deadman do what it must, before anything else moves on its host."""
        for uid, deadline in self.deadlines.items():
            if self.now >= deadline and uid not in self.frozen and uid in self.servers:
                self.servers[uid].end_processes()

    def fresh(self) -> int:
        self.counter += 1
        return self.counter

    def reaches(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cut and not {one, other} & self.frozen

    def answers(self, one: str, other: str) -> bool:
        """Whether PostgreSQL of ``other`` gives ``one`` an answer, be it an error."""
        return other in self.servers and self.servers[other].running and self.reaches(one, other)

    def upstream_of(self, uid: str) -> Server | None:
        """The server that a standby is connected to and gets WAL from."""
        standby = self.servers.get(uid)
        if standby is None or standby.following is None or not self.reaches(uid, standby.following.uid):
            return None
        upstream = self.servers.get(standby.following.uid)
        return upstream if connected(standby, upstream) else None

    def flushed(self, primary_uid: str) -> dict[str, int]:
        """How far each connected standby has flushed, by the name it connects with."""
        primary = self.servers.get(primary_uid)
        return {
            server.following.name: server.end
            for uid, server in self.servers.items()
            if primary is not None and server.following and self.upstream_of(uid) is primary
        }
