"""``pgha explain`` on a real cluster: what it foretells is what happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.status.documents import Documents
from tests.support.cluster import Cluster, cluster
from tests.support.commands import pgha


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_it_says_why_this_primary_and_what_would_follow(running: Cluster) -> None:
    """As text and as JSON, of a cluster that is well."""
    text, said = pgha(running, "explain"), pgha(running, "explain", "-o", "json").json

    assert text.code == 0
    assert "it stays primary as long as it is well" in text.out
    assert "site shiqiao" in text.out
    assert said["primary"] == running.primary
    assert said["since"] is not None
    assert "is its first primary" in said["why"]
    assert {each["name"] for each in said["consequences"]} == {
        *(member.uid for member in running.view.members),
        "sandun",
        "shiqiao",
    }
    assert all(each["stays"] for each in said["consequences"] if each["name"] in running.standbys)


@pytest.mark.parametrize("name", ["nobody", "SANDUN", "sandun-1 "])
def test_a_name_that_nothing_has_is_refused_with_those_there_are(running: Cluster, name: str) -> None:
    """Field, value, and what would do."""
    said = pgha(running, "explain", name)

    assert said.code == 64
    assert f"NAME = {name!r}" in said.err
    assert "there are" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_what_is_foretold_of_the_primarys_host_happens(running: Cluster) -> None:
    """Its power is cut, and the member that was named takes over with the sync set that was named."""
    old, term = running.primary, running.view.term
    foretold = pgha(running, "explain", old, "-o", "json").json

    def followed(seen: Documents) -> bool:
        return seen.view is not None and seen.view.term > term and seen.view.route is not None

    async def story() -> None:
        await running.power_cut(old)
        await running.until(followed, "somebody takes over")

    running.run(story())
    kinds = [event.kind for event in running.run(running.history()) if event.term > term]

    assert foretold["primary"] == running.primary
    assert not foretold["stays"]
    assert foretold["route"] == f"{running.view.route.host}:{running.view.route.port}"  # type: ignore[union-attr]
    assert [step["kind"] for step in foretold["steps"]][:3] == kinds[:3]


def test_a_cluster_that_does_not_exist_has_reasons_and_no_consequences(running: Cluster) -> None:
    """A name mistyped is seen at once."""
    said = pgha(running, "explain", "--cluster", "other", "-o", "json")

    assert said.code == 0
    assert said.json["consequences"] == []
    assert "no_spec" in {reason["code"] for reason in said.json["reasons"]}
