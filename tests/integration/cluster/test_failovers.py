"""Failovers that are hit again while they run: nothing acknowledged is lost, only the safe are promoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from common.model.view import ClusterView
from common.status.documents import Documents
from tests.support.cluster import Cluster, cluster


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def named_in(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term >= term and seen.view.primary is not None


def routed_after(term: int, seen: Documents) -> bool:
    return seen.view is not None and seen.view.term > term and seen.view.route is not None


async def crash_and_wait_for_a_route(running: Cluster) -> None:
    term = running.view.term
    await running.crash(running.primary)
    await running.until(lambda seen: routed_after(term, seen), "a route in a new term")


def test_a_candidate_that_dies_while_it_is_promoted_is_replaced(running: Cluster) -> None:
    """Its host is cut off the moment the view names it: another member goes on, with everything."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await running.crash(old)
            await running.until(lambda seen: named_in(term + 1, seen), "a candidate is named")
            candidate, named_in_term = running.primary, running.view.term
            await running.power_cut(candidate)
            await running.until(
                lambda seen: routed_after(named_in_term, seen), "a route after the candidate's term"
            )
            successor = running.primary
            await running.more_writes()
            await running.start(candidate)
            await running.until_well(term=named_in_term + 1)

        assert candidate != old
        assert successor != candidate

    running.run(story())


def test_an_old_primary_that_returns_in_the_middle_of_a_failover_becomes_a_standby(running: Cluster) -> None:
    """Its host is back while the others still seal or promote; it never serves in the old term again."""

    async def story() -> None:
        term, old = running.view.term, running.primary
        async with running.writing():
            await running.more_writes()
            await running.power_cut(old)
            await running.until(lambda seen: seen.view and seen.view.term > term, "sealing begins")
            await running.start(old)
            await running.until(lambda seen: routed_after(term, seen), "a route in a new term")
            first = running.primary
            await running.more_writes()
            await running.until_well(term=term + 1)

        assert first != old
        assert running.view.term == term + 1
        report = running.report(old)
        assert report is not None
        assert report.role == "standby"

    running.run(story())


def test_a_primary_that_crashes_before_its_sync_set_caught_up_loses_nothing(running: Cluster) -> None:
    """It crashes again and again, each time as soon as it has a route; the floor never falls.

    Whoever is promoted holds it: its timeline forks at the floor or beyond.
    """

    async def story() -> None:
        views: dict[int, ClusterView] = {}

        def note(seen: Documents) -> bool:
            if seen.view is not None:
                views[seen.view.generation] = seen.view
            return False

        async with running.writing():
            await running.more_writes()
            noting = asyncio.create_task(running.demo.observer.wait_for(note, 120.0, else_s=0.05))
            for _ in range(3):
                await crash_and_wait_for_a_route(running)
            noting.cancel()
            await running.more_writes()
            await running.until_well()

        floors = [view.floor for _, view in sorted(views.items())]
        assert floors == sorted(floors)
        for view in views.values():
            if view.primary is not None and view.primary.fork:
                held = [each.fork for each in view.lineage if each.term == view.term]
                assert all(fork >= view.floor for fork in held), view

    running.run(story())
