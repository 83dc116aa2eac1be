"""``pgha history``: what happened to the cluster, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from common.errors import InvalidDocument, WatchLost
from common.model.history import HistoryEvent
from common.store.port import KeyValue, Store
from pgha.exits import say
from pgha.options import Target, with_target
from pgha.output import Format, dump


@with_target
def history(
    target: Target,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many of the latest events.")] = 20,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with new events until Ctrl-C.")
    ] = False,
) -> None:
    """Show the cluster's history, oldest first."""

    async def show(store: Store) -> None:
        snapshot = await store.read(target.keys.history)
        events = read_events(snapshot.items)[-number:] if number else []
        if follow or output is Format.TEXT:
            for event in events:
                write(event, output)
        else:
            dump([event.model_dump(mode="json", exclude_none=True) for event in events], output)
        revision = snapshot.revision
        while follow:
            try:
                async for batch in store.watch(target.keys.history, after_revision=revision):
                    revision = batch.revision
                    for event in read_events(each.item for each in batch.events if each.kind == "put"):
                        write(event, output)
            except WatchLost:
                fresh = await store.read(target.keys.history)
                missed = [item for item in fresh.items if item.mod_revision > revision]
                for event in read_events(missed):
                    write(event, output)
                revision = fresh.revision

    try:
        target.run(show)
    except KeyboardInterrupt:
        raise typer.Exit from None


def read_events(items: Iterable[KeyValue]) -> list[HistoryEvent]:
    """Read events in the order of their generation; an unreadable one is named and left out."""
    found = []
    for item in items:
        try:
            found.append(HistoryEvent.from_bytes(item.value))
        except InvalidDocument as error:
            say(f"{item.key} cannot be read: {error}")
    return sorted(found, key=lambda event: event.generation)


def write(event: HistoryEvent, output: Format) -> None:
    """Write one event: a line of text, a JSON line, or a YAML document."""
    if output is not Format.TEXT:
        dump(event.model_dump(mode="json", exclude_none=True), output, one_line=True)
        return
    at = event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    phases = ", ".join(f"{name.removesuffix('_ms')} {took:.0f} ms" for name, took in event.phases_ms.items())
    reason = f" [{event.reason}]" if event.reason else ""
    line = f"{at}  {event.generation:>5}  term {event.term:<3}  {event.kind:<18}  {event.text}{reason}"
    typer.echo(f"{line} ({phases})" if phases else line)
