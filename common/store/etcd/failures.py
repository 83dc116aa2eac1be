"""What a failed call proves: whether anything was written, and whether another endpoint may do better.

etcd's errors are listed in its ``api/v3rpc/rpctypes/error.go``. A write passes its checks (leader
known, quota, authentication, size), is proposed to Raft, and is then applied on every member alike.
Refusals come before the proposal, or out of the apply itself, and prove that nothing was written.
After the proposal the member only waits: "request timed out" in its three forms, "server stopped",
a broken connection and a passed deadline say nothing about the entry in the log. So the rule is a
list of what is proof; whatever is not on it leaves the outcome unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.store.etcd.api import grpc

_Code = grpc.StatusCode

NO_SPACE = (
    "etcd is read-only, its space quota is used up (alarm NOSPACE): compact and defragment it, "
    "then run `etcdctl alarm disarm`"
)

_REFUSALS = frozenset(
    {
        _Code.INVALID_ARGUMENT,
        _Code.NOT_FOUND,
        _Code.ALREADY_EXISTS,
        _Code.PERMISSION_DENIED,
        _Code.UNAUTHENTICATED,
        _Code.FAILED_PRECONDITION,
        _Code.OUT_OF_RANGE,
        _Code.UNIMPLEMENTED,
    }
)
# The first is grpc's own: no connection was ready, so the request never left this process.
_NOT_HERE = (
    "failed to connect to all addresses",
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "raft proposal dropped",
)
_TOKEN_REFUSED = ("invalid auth token", "revision of auth store is old", "user name is empty")


@dataclass(frozen=True, slots=True)
class Failure:
    """What one failed call says.

    ``nothing_written``: it proves that this request changed nothing. ``final``: every member would
    say the same. ``wants_token``: a new authentication token may help. ``lease_gone``: the lease
    that it names is unknown.
    """

    text: str
    nothing_written: bool
    final: bool
    wants_token: bool = False
    lease_gone: bool = False


def classify(error: Any) -> Failure:
    """Say what a grpc error proves."""
    code, details = error.code(), error.details() or ""
    if "database space exceeded" in details:
        return Failure(NO_SPACE, nothing_written=True, final=True)
    if any(text in details for text in _NOT_HERE):
        return Failure(details, nothing_written=True, final=False)
    if code in _REFUSALS:
        return Failure(
            details or code.name,
            nothing_written=True,
            final=True,
            wants_token=any(text in details for text in _TOKEN_REFUSED),
            lease_gone="requested lease not found" in details,
        )
    return Failure(details or code.name, nothing_written=False, final=code is _Code.DATA_LOSS)
