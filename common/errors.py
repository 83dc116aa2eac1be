"""Errors grouped by who must act.

PghaError
├── StoreUnavailable      the store did not answer in time: try again later
│   └── UnknownOutcome    a write was sent and its answer was lost: read before writing again
├── Conflict              somebody else wrote first: read everything again, then decide
│   └── LostLeadership    this sentinel is no longer the leader
├── WatchLost             a watch has a gap: read everything again
├── LeaseExpired          the store no longer knows the lease: take a new one
├── PostgresUnavailable   PostgreSQL did not answer, or one of its programs failed: try again, and say so
│   └── PostgresSilent    there was no answer at all, not even an error: it may hang
├── DeadmanUnavailable    the deadman is gone, refuses or is silent: stop PostgreSQL while k = 0 is in force
├── PeerUnavailable       another service's API did not answer in time, or not usefully: try again
├── CannotListen          an address cannot be bound; the text names it, the reason and the setting
├── UnsafeOperation       an operator must decide; the text names the command that unblocks
├── InvalidSpec           the text names the field, the value and the rule
├── InvalidDocument       a stored document cannot be used; it counts as absent
└── InvariantViolated     a promise of the protocol is broken: stop the process
"""

from __future__ import annotations


class PghaError(Exception):
    """Base of every error that pgha raises on purpose."""


class StoreUnavailable(PghaError):
    """The store did not answer within the deadline; nothing was written."""


class UnknownOutcome(StoreUnavailable):
    """A write was sent but its answer never came: it may or may not have happened."""


class Conflict(PghaError):
    """A compare of the transaction failed: somebody else wrote first."""


class LostLeadership(Conflict):
    """The leader key is no longer ours: nothing may be written with the old token."""


class WatchLost(PghaError):
    """The watch was cancelled or its revisions were compacted: read everything again."""


class LeaseExpired(PghaError):
    """The lease is unknown to the store: what hung on it is gone."""


class PostgresUnavailable(PghaError):
    """PostgreSQL, or a program that comes with it, failed or did not answer in time."""


class PostgresSilent(PostgresUnavailable):
    """PostgreSQL gave no answer within the deadline, not even an error."""


class DeadmanUnavailable(PghaError):
    """The deadman is gone, refused, or did not answer in time: nothing but the keeper itself guards."""


class PeerUnavailable(PghaError):
    """Another service's API did not answer in time, or not with what was asked for."""


class CannotListen(PghaError):
    """An address cannot be bound; the message names it, the reason and the setting."""


class UnsafeOperation(PghaError):
    """Refused because it could lose data; the message names what a human can do."""


class InvalidSpec(PghaError):
    """The operator's input breaks a rule; the message names field, value and rule."""


class InvalidDocument(PghaError):
    """A document in the store is malformed or of a newer schema: it counts as absent."""


class InvariantViolated(PghaError):
    """Something that the protocol rules out was seen: the process stops rather than guess."""
