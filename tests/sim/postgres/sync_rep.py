"""Synchronous replication on a primary, to the letter of syncrep.c: who waits, and who lets go of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from common.model.wal import ZERO, Lsn

if TYPE_CHECKING:
    from tests.sim.postgres.sender import Sender


class SyncRep:
    """The queue of commits that wait.

    ``defined`` is the flag in shared memory that the checkpointer keeps: until it has handled a reload
    backends go by the old value. ``released`` never goes back; ``waiting`` is for who looks on.
    """

    def __init__(self, *, defined: bool) -> None:
        self.defined = defined
        self.released = ZERO
        self.waiting: list[tuple[Lsn, Callable[[], None]]] = []

    def wait(self, position: Lsn, release: Callable[[], None]) -> None:
        """Call ``release`` once enough standbys have flushed ``position``; at once when nobody is counted."""
        if not self.defined or position <= self.released:
            release()
        else:
            self.waiting.append((position, release))

    def forget(self, release: Callable[[], None]) -> None:
        """A wait was cut short."""
        self.waiting = [each for each in self.waiting if each[1] != release]

    def define(self, *, defined: bool) -> None:
        """What the checkpointer does at a reload: with nobody to count it lets everybody go."""
        self.defined = defined
        if not defined:
            self._let_go(lambda _: True)

    def heard(self, by: Sender, senders: Iterable[Sender]) -> None:
        """A WAL sender has got a confirmation (``SyncRepReleaseWaiters``).

        It goes by its own copy of ``k``; whether another sender counts is what that one took from its
        own copy. Senders are counted, not members.
        """
        if not by.counts or by.state != "streaming" or by.settings.k == 0:
            return
        counted = (sender for sender in senders if sender.counts and sender.state == "streaming")
        flushed = [sender.flush for sender in counted if sender.flush]
        if len(flushed) < by.settings.k:
            return
        position = sorted(flushed, reverse=True)[by.settings.k - 1]
        if position > self.released:
            self.released = position
            self._let_go(lambda waits_for: waits_for <= position)

    def _let_go(self, of: Callable[[Lsn], bool]) -> None:
        free = [release for position, release in self.waiting if of(position)]
        self.waiting = [each for each in self.waiting if not of(each[0])]
        for release in free:
            release()
