"""What a failed call of etcd proves."""

from __future__ import annotations

import pytest

from common.store.etcd.api import grpc
from common.store.etcd.failures import classify

Code = grpc.StatusCode


class Error:
    """A grpc error as the library raises it."""

    def __init__(self, code: object, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> object:
        return self._code

    def details(self) -> str | None:
        return self._details


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (Code.CANCELLED, "Channel closed!"),
        (Code.UNAVAILABLE, "Socket closed"),
        (Code.UNAVAILABLE, "etcdserver: request timed out"),
        (Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"),
        (Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost"),
        (Code.UNAVAILABLE, "etcdserver: server stopped"),
        (Code.UNAVAILABLE, "etcdserver: leader changed"),
        (Code.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"),
        (Code.UNKNOWN, "anything new"),
        (Code.INTERNAL, None),
    ],
)
def test_an_answer_that_never_came_proves_nothing(code: object, details: str | None) -> None:
    """Whatever is not known to be proof leaves the outcome open, and another member may be asked."""
    failure = classify(Error(code, details))

    assert not failure.nothing_written
    assert not failure.final
    assert failure.text


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: connection refused"),
        (Code.UNAVAILABLE, "etcdserver: no leader"),
        (Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests"),
        (Code.UNKNOWN, "raft proposal dropped"),
    ],
)
def test_a_request_that_was_never_proposed_may_go_to_another_member(code: object, details: str) -> None:
    """It was not sent, or refused before it reached Raft's log."""
    failure = classify(Error(code, details))

    assert failure.nothing_written
    assert not failure.final


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"),
        (Code.PERMISSION_DENIED, "etcdserver: permission denied"),
        (Code.INVALID_ARGUMENT, "etcdserver: request is too large"),
        (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"),
    ],
)
def test_a_refusal_is_final_on_every_member(code: object, details: str) -> None:
    """Nothing was written, and asking elsewhere changes nothing."""
    failure = classify(Error(code, details))

    assert failure.nothing_written
    assert failure.final
    assert not failure.wants_token


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.UNAUTHENTICATED, "etcdserver: invalid auth token"),
        (Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"),
        (Code.INVALID_ARGUMENT, "etcdserver: user name is empty"),
    ],
)
def test_an_old_token_asks_for_a_new_one(code: object, details: str) -> None:
    """The call may be repeated with it: nothing was written."""
    failure = classify(Error(code, details))

    assert failure.wants_token
    assert failure.nothing_written


def test_an_unknown_lease_is_told_apart() -> None:
    """The caller takes a new lease instead of waiting for the store."""
    assert classify(Error(Code.NOT_FOUND, "etcdserver: requested lease not found")).lease_gone
    assert not classify(Error(Code.NOT_FOUND, "etcdserver: member not found")).lease_gone


def test_a_corrupt_member_says_the_same_wherever_the_call_goes() -> None:
    """The alarm CORRUPT stops the whole cluster; what came before it is open."""
    failure = classify(Error(Code.DATA_LOSS, "etcdserver: corrupt cluster"))

    assert failure.final
    assert not failure.nothing_written
