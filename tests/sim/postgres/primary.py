"""Sync sets, confirmations, slots and checkpoints of a simulated primary."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from common.errors import PostgresUnavailable
from common.model.names import StandbyName, parse_standby_name, standby_name
from common.model.wal import Lsn
from keeper.postgres.port import SyncSetting
from keeper.postgres.waiting import Deadline
from tests.sim.postgres.directory import KeptSlot
from tests.sim.postgres.link import Link
from tests.sim.postgres.server import Server

SENDER_GRACE_S = 1.0


async def apply_sync(
    link: Link, target: SyncSetting, in_force: Collection[SyncSetting], timeout_s: float
) -> Lsn:
    """Make ``target`` the set that every commit waits for (protocol 6, step 2)."""
    deadline = Deadline(link.clock, timeout_s, f"applying the sync set {target.k} of {len(target.names)}")
    await link.write_sync(target)
    link.host.present.alter_system.pop("synchronous_standby_names", None)
    server = link.running
    server.reload()
    await link.until(
        server, deadline, lambda: server.running.sync == target, "a new connection does not show it"
    )
    await link.ask()
    named = target.names.union(*(each.names for each in in_force))
    older = [sender for sender in server.senders.values() if sender.name in named]
    record = await _write_record(server, deadline)
    grace = Deadline(link.clock, min(SENDER_GRACE_S, timeout_s), "the grace of older WAL senders")

    def outdated_are_gone() -> bool:
        return all(sender.ended or sender.flush >= record for sender in older)

    try:
        await link.until(server, grace, outdated_are_gone, "")
    except PostgresUnavailable:
        for sender in older:
            if not sender.ended and sender.flush < record:
                sender.terminate()
    await link.until(
        server, deadline, outdated_are_gone, f"an older WAL sender neither confirms {record} nor ends"
    )
    if target.k > 0 and any(each.k == 0 for each in in_force):
        # A checkpoint cannot end before the checkpointer has handled the reload.
        await link.until(server, deadline, lambda: server.sync_rep.defined, "the checkpoint has not ended")
        await _run_checkpoint(link, server)
    position = server.directory.wal.flushed
    await _flushed(link, server, [target], position, deadline)
    return position


async def confirm(link: Link, sets: Collection[SyncSetting], timeout_s: float) -> Lsn:
    """Write a record and wait until ``k`` different members of every set have flushed it."""
    deadline = Deadline(link.clock, timeout_s, "confirming a new record")
    server = await link.ask()
    record = await _write_record(server, deadline)
    await _flushed(link, server, sets, record, deadline)
    return record


async def _write_record(server: Server, deadline: Deadline) -> Lsn:
    """A message and a transaction at ``synchronous_commit = local``; flushed when this returns."""
    if server.in_recovery:
        raise PostgresUnavailable("PostgreSQL: recovery is in progress")
    record = server.insert("message")
    loop = asyncio.get_running_loop()
    flushed = loop.create_future()

    def done() -> None:
        if not flushed.done():
            flushed.set_result(None)

    server.flush(record.end, done)
    ended = asyncio.ensure_future(server.ends.wait(deadline.left_s))
    try:
        await asyncio.wait({flushed, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
    if not flushed.done():
        raise PostgresUnavailable("PostgreSQL did not flush a record in time, or has ended")
    return record.end


async def _flushed(
    link: Link, server: Server, sets: Collection[SyncSetting], position: Lsn, deadline: Deadline
) -> None:
    def lacking() -> list[SyncSetting]:
        past = {sender.name for sender in server.senders.values() if sender.flush >= position}
        return [each for each in sets if len(_members(past & each.names)) < each.k]

    def words() -> str:
        first = lacking()[0]
        return f"fewer than {first.k} of {sorted(first.names) or ['nobody']} have flushed {position}"

    await link.until(server, deadline, lambda: not lacking(), words)


def _members(names: Iterable[str]) -> set[str]:
    parsed = ((name, parse_standby_name(name)) for name in names)
    return {found.member if found else name for name, found in parsed}


async def checkpoint(link: Link, timeout_s: float) -> None:
    """Run CHECKPOINT."""
    server = await link.ask()
    delay_s = server.engine.draw(server.engine.delays.checkpoint_s)
    await link.clock.sleep(min(delay_s, timeout_s))
    await _run_checkpoint(link, await link.ask())


async def _run_checkpoint(link: Link, server: Server) -> None:
    while server.host.disk_hangs:
        try:
            await link.host.write_to_disk()
        except OSError as error:
            raise PostgresUnavailable(f"PostgreSQL: could not write: {error}") from error
    if not server.life.is_over:
        server.checkpoint()


async def copy_slots(link: Link, term: int) -> tuple[str, ...]:
    """Copy, for each life of a member, its newest older slot to its name in ``term``."""
    server = await link.ask()
    slots = server.directory.slots
    newest: dict[tuple[str, str], StandbyName] = {}
    for slot_name, slot in slots.items():
        name = parse_standby_name(slot_name)
        if name is None or name.term >= term or slot.restart_lsn is None or slot.lost:
            continue
        life = (name.member, name.incarnation)
        if life not in newest or newest[life].term < name.term:
            newest[life] = name
    made = []
    for name in newest.values():
        target = standby_name(name.member, name.incarnation, term)
        if target not in slots:
            await link.host.write_to_disk()
            slots[target] = KeptSlot(slots[standby_name(*name)].restart_lsn)
        made.append(target)
    return tuple(sorted(made))


async def keep_slots(link: Link, wanted: Mapping[str, Lsn], *, drop_others: bool) -> None:
    """Create what is missing, advance on a standby, and drop what is ours and no longer wanted."""
    server = await link.ask()
    directory = server.directory
    for name, position in wanted.items():
        slot = directory.slots.get(name)
        active = server.is_active(name)
        if slot is None or (slot.lost and not active):
            await link.host.write_to_disk()
            directory.slots[name] = KeptSlot(directory.control.redo_lsn)
        elif server.in_recovery and not active:
            target = Lsn(min(position, server.replayed))
            if slot.restart_lsn is not None and target > slot.restart_lsn:
                slot.restart_lsn = target
    if drop_others:
        for name in list(directory.slots):
            if name not in wanted and parse_standby_name(name) is not None and not server.is_active(name):
                await link.host.write_to_disk()
                if not server.is_active(name):
                    directory.slots.pop(name, None)
