"""From etcd's answers to batches."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import WatchLost
from common.store.etcd.api import rpc
from common.store.etcd.watch import batch_of, same_store
from common.store.port import Event, KeyValue


def answer(header_revision: int, *mod_revisions: int) -> Any:
    response = rpc.WatchResponse(header=rpc.ResponseHeader(revision=header_revision))
    for revision in mod_revisions:
        event = response.events.add()
        event.kv.key, event.kv.value = b"/a", str(revision).encode()
        event.kv.create_revision, event.kv.mod_revision = 1, revision
    return response


def test_a_batch_reaches_to_its_last_event_and_not_to_the_revision_in_the_header() -> None:
    """The header names the store's newest, which may lie beyond events that are still on their way."""
    batch = batch_of(answer(99, 5, 6), position=4)

    assert batch is not None
    assert batch.revision == 6
    assert batch.events[0] == Event("put", KeyValue("/a", b"5", 1, 5))


def test_what_was_handed_out_before_is_not_handed_out_again() -> None:
    """Whatever a resumed stream sends."""
    batch = batch_of(answer(9, 5, 6, 7), position=6)

    assert batch is not None
    assert [event.item.value for event in batch.events] == [b"7"]
    assert batch_of(answer(9, 5, 6), position=6) is None


def test_an_answer_without_events_is_no_batch() -> None:
    """The confirmation that a watch was created, or a progress notification."""
    assert batch_of(answer(50), position=4) is None


def header(cluster_id: int, revision: int) -> Any:
    return rpc.ResponseHeader(cluster_id=cluster_id, revision=revision)


def test_a_stream_goes_on_only_in_the_store_in_which_the_one_before_ended() -> None:
    """Another cluster id, or a revision before the position, is another history: everything is read anew."""
    assert same_store(header(7, 50), 0, 50) == 7
    assert same_store(header(7, 60), 7, 50) == 7
    with pytest.raises(WatchLost, match="cluster id 8 instead of 7"):
        same_store(header(8, 60), 7, 50)
    with pytest.raises(WatchLost, match="revision 49, behind 50"):
        same_store(header(7, 49), 7, 50)
