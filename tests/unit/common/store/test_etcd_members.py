"""What an answer of etcd says of its members beyond what the generated code knows."""

from __future__ import annotations

import pytest

from common.store.etcd.api import rpc
from common.store.etcd.store import _learns


@pytest.mark.parametrize(("wire", "learns"), [(b"\x28\x01", True), (b"\x28\x00", False), (b"", False)])
def test_a_learner_is_told_from_a_member_with_a_vote(wire: bytes, learns: bool) -> None:
    """Field 5 of ``Member``, ``isLearner``, as etcd 3.4 and later send it: a varint."""
    assert _learns(rpc.Member.FromString(b"\x12\x01a" + wire)) is learns
