"""Sealing, following and promoting a simulated standby."""

from __future__ import annotations

from collections.abc import Collection

from common.errors import InvariantViolated, PostgresUnavailable
from common.model.wal import ZERO
from keeper.postgres.history import abandoned, leads_past
from keeper.postgres.port import FinalPosition, Promoted, PromotionOrder, Source
from keeper.postgres.waiting import Deadline
from tests.sim.postgres.link import Link
from tests.sim.postgres.server import Server


async def seal(link: Link, timeout_s: float) -> FinalPosition:
    """Cut a running standby off from every source of WAL and say where its own ends."""
    deadline = Deadline(link.clock, timeout_s, "the seal")
    await _forget_source(link)
    _terminate(link.running)
    server = await link.ask()
    if not server.in_recovery:
        raise PostgresUnavailable("PostgreSQL is not in recovery: a primary cannot seal")
    await link.until(
        server, deadline, lambda: server.running.source is None, "the empty upstream is not shown yet"
    )
    server.startup.resume()
    await link.until(server, deadline, lambda: server.startup.source is None, "the reload is not handled")
    await receivers_end(link, server, deadline)
    await link.until(server, deadline, lambda: server.startup.has_run_dry, "replay has not come to its end")
    server = await link.ask()
    if not server.in_recovery:
        raise PostgresUnavailable("PostgreSQL is not in recovery any more")
    directory = server.directory
    history = directory.history(server.timeline)
    return FinalPosition(directory.system_identifier, server.timeline, history, server.replayed)


async def receivers_end(link: Link, server: Server, deadline: Deadline) -> None:
    """Wait until no WAL receiver is left, one that is still connecting included."""
    while server.startup.receiver is not None:
        _terminate(server)
        await link.until(
            server, deadline, lambda: server.startup.receiver is None, "a WAL receiver has not ended"
        )


async def _forget_source(link: Link) -> None:
    await link.write_source(None)
    link.host.present.alter_system.clear()
    link.running.reload()


def _terminate(server: Server) -> None:
    receiver = server.startup.receiver
    if receiver is not None:
        server.life.do(receiver.terminate)


async def follow(link: Link, source: Source, lineage: Collection[int], timeout_s: float) -> None:
    """Write the upstream, make it run, and leave abandoned timelines behind."""
    deadline = Deadline(link.clock, timeout_s, "following a primary")
    server = await link.ask()
    if not server.in_recovery:
        raise PostgresUnavailable("PostgreSQL is not in recovery: it must be started as a standby to follow")
    without = abandoned(server.directory.real_histories, server.timeline, lineage)
    await link.write_source(source)
    link.host.present.alter_system.clear()
    if without:
        await link.restart_in_recovery(without=without, timeout_s=timeout_s)
    else:
        link.running.reload()
    now = link.running
    await link.until(
        now, deadline, lambda: now.running.source == source, "a new connection does not show the upstream"
    )
    await link.ask()


async def promote(link: Link, order: PromotionOrder, timeout_s: float) -> Promoted:
    """Promote as ordered and check what came of it; one that has ended already is only checked."""
    deadline = Deadline(link.clock, timeout_s, "the promotion")
    server = await link.ask()
    if not server.in_recovery:
        return await check_promotion(link, order)
    timeline = _check_position(server, order)
    files = server.directory.real_histories
    if leads_past(files, timeline, order.fork):
        without = abandoned(files, timeline, ())
        await link.restart_in_recovery(without=without, timeout_s=deadline.left_s)
    await link.write_sync(order.sync)
    link.host.present.alter_system.pop("synchronous_standby_names", None)
    server = link.running
    server.reload()
    await _reserve_below(link, timeline, order.timeline)
    await link.until(
        server, deadline, lambda: server.running.sync == order.sync, "the sync setting is not shown yet"
    )
    await link.ask()
    hears = link.host.fleet.on_promote
    if hears is not None:
        hears(link.host, server.directory)
    server.life.do(server.startup.promote)
    await link.until(server, deadline, lambda: not server.in_recovery, "recovery has not ended")
    return await check_promotion(link, order)


def _check_position(server: Server, order: PromotionOrder) -> int:
    if server.startup.paused:
        raise PostgresUnavailable("replay is paused: this standby has not been sealed")
    if server.replayed != order.fork:
        raise PostgresUnavailable(
            f"replay stands at {server.replayed}, but promotion from {order.fork} was ordered"
        )
    return server.timeline


async def _reserve_below(link: Link, current: int, wanted: int) -> None:
    files = link.host.present.histories
    if wanted <= current or files.get(wanted):
        raise InvariantViolated(f"timeline {wanted} cannot be the next after {current}")
    await link.host.write_to_disk()
    files.pop(wanted, None)
    own = files.get(current, ())
    before = {switch.timeline: own[:at] for at, switch in enumerate(own)}
    for timeline in range(2, current):
        files.setdefault(timeline, before.get(timeline, ()))
    for timeline in range(current + 1, wanted):
        files.setdefault(timeline, ())


async def check_promotion(link: Link, order: PromotionOrder) -> Promoted:
    """Check timeline and fork point of a server that is out of recovery."""
    server = await link.ask()
    if server.in_recovery:
        raise PostgresUnavailable("the promotion has not ended: PostgreSQL is in recovery")
    history = server.directory.history(server.timeline)
    fork = history[-1].lsn if history else ZERO
    if (server.timeline, fork) != (order.timeline, order.fork):
        await link.kill()
        raise InvariantViolated(
            f"PostgreSQL came up on timeline {server.timeline} from {fork}, "
            f"but timeline {order.timeline} from {order.fork} was ordered; it has been killed"
        )
    return Promoted(server.timeline, fork, history)
