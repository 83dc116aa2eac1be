"""What is amiss around PostgreSQL, and when nothing may be decided at all."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.reasons import Reason
from common.status.documents import Documents
from sentinel.services import around_postgresql, can_be_decided
from tests.support import healthy

BAD = Reason(code="malformed_document", severity="critical", subject="/pgha/demo/x", text="bad")
SAID = Reason(code="route_old", severity="warning", subject="proxy-sandun", text="old")


def codes(found: Documents) -> list[str]:
    return [reason.code for reason in around_postgresql(found)]


def test_with_all_services_there_is_nothing_to_say() -> None:
    """And all may be decided."""
    assert codes(healthy.documents()) == []
    assert can_be_decided(healthy.documents())


@pytest.mark.parametrize(
    "lacking",
    [{"spec": None}, {"spec": None, "spec_is_malformed": True}, {"view": None, "view_is_malformed": True}],
    ids=str,
)
def test_without_spec_or_with_a_view_that_cannot_be_read_nothing_is_decided(
    lacking: dict[str, Any],
) -> None:
    """The cluster is there, though it cannot be seen."""
    assert not can_be_decided(healthy.documents(**lacking))


def test_without_a_view_a_cluster_may_begin() -> None:
    """There is none yet."""
    assert can_be_decided(healthy.documents(view=None))


def test_no_cluster_begins_beside_a_keeper_that_cannot_be_understood() -> None:
    """It may hold the data of a cluster that has lost its view; with a view it is merely absent."""
    bad = BAD.model_copy(update={"subject": "/pgha/demo/keepers/sandun-2"})
    beginning = healthy.documents(view=None, malformed=(bad,))
    running = healthy.documents(malformed=(bad,))

    assert not can_be_decided(beginning)
    assert codes(beginning) == ["malformed_document", "keeper_not_understood"]
    assert can_be_decided(running)
    assert codes(running) == ["malformed_document"]


def test_what_cannot_be_read_and_what_is_missing_is_named() -> None:
    """And what the proxies say themselves."""
    bare = healthy.documents(spec=None, sentinels={"s1": healthy.sentinel("sandun")}, proxies={})
    telling = healthy.documents(
        malformed=(BAD,), proxies={"proxy-sandun": healthy.proxy("sandun", reasons=(SAID,))}
    )

    assert codes(bare) == ["no_spec", "single_sentinel", "no_proxy"]
    assert codes(telling) == ["malformed_document", "route_old"]


def test_a_spec_that_cannot_be_read_is_not_called_missing() -> None:
    """The advice to write a first one would be wrong."""
    assert codes(healthy.documents(spec=None, spec_is_malformed=True, malformed=(BAD,))) == [
        "malformed_document"
    ]
