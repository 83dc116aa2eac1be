"""One change of the spec from its preview to the write: what differs, what it will do, the question."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from common.model.spec import ClusterSpec
from common.runtime.clock import SystemClock
from common.store.port import Store
from pgha.examine import examine
from pgha.exits import Exit, fail
from pgha.explain.explanation import observe
from pgha.options import Target
from pgha.output import Format, console, dump
from pgha.spec.diff import lines_of
from pgha.spec.effects import Effect, Judged, changed_parameters, effects
from pgha.spec.judge import judge
from pgha.spec.store import Signature, StoredSpec, read_stored, write_spec
from pgha.status.gather import ask_live, read_cluster

STYLE_OF_LINE = {"+": "green", "-": "red", "@": "cyan"}
STYLE_OF_EFFECT = {"refused": "bold red", "restart": "bold yellow", "warning": "yellow", "sync_set": "bold"}


@dataclass(frozen=True)
class Preview:
    """A change that could be made: from what was read to what is wanted."""

    found: StoredSpec
    wanted: ClusterSpec
    diff: tuple[str, ...]
    effects: tuple[Effect, ...]

    def to_plain(self) -> dict[str, Any]:
        """For ``-o json``."""
        return {
            "changed": bool(self.diff),
            "diff": list(self.diff),
            "effects": [each.model_dump(mode="json") for each in self.effects],
        }


@dataclass(frozen=True)
class Manner:
    """How a change is made. ``how`` goes into the history; ``dry_run`` shows it and changes nothing."""

    how: str
    by: str | None
    yes: bool
    dry_run: bool
    output: Format


def existing(target: Target, found: StoredSpec) -> ClusterSpec:
    """The spec that was read; ends the command where there is none, or none that can be read."""
    if found.problem:
        fail(
            f"the spec of cluster {target.keys.cluster} cannot be read: {found.problem} "
            "(pgha spec rollback NUMBER puts one back that could)"
        )
    if found.spec is None:
        fail(f"cluster {target.keys.cluster} has no spec (pgha init writes one)")
    return found.spec


async def preview(store: Store, target: Target, found: StoredSpec, wanted: ClusterSpec) -> Preview:
    """Find out what would change, and what that would do."""
    before = found.spec or ClusterSpec()
    diff = tuple(lines_of(before, wanted, ("in the store", "wanted")))
    if not diff:
        return Preview(found, wanted, (), ())
    clock = SystemClock()
    documents = await read_cluster(store, target.keys)
    keepers = documents.keepers.values()
    examined = await examine(keepers, changed_parameters(before, wanted), clock)
    hosts = {uid: host for uid, host in examined.hosts.items() if host.settings or not host.problem}
    judged = Judged()
    if before.postgres.parameters != wanted.postgres.parameters:
        judged = await judge(keepers, wanted.postgres)
    observed = observe(documents, await ask_live(keepers, clock))
    return Preview(found, wanted, diff, effects(before, wanted, observed, hosts, judged))


def carry_out(target: Target, found: StoredSpec, wanted: ClusterSpec, manner: Manner) -> None:
    """Show a change, ask, and write it against exactly what was shown; ends the command."""
    seen = target.run(lambda store: preview(store, target, found, wanted))
    if not seen.diff:
        _say_done(manner, seen, None, "nothing differs: nothing was written")
        return
    if manner.output is Format.TEXT:
        show(seen, console())
    refused = [each for each in seen.effects if each.kind == "refused"]
    if refused:
        if manner.output is not Format.TEXT:
            dump({**seen.to_plain(), "written": None}, manner.output)
        said = "; ".join(f"{each.text} (says PostgreSQL of {', '.join(each.members)})" for each in refused)
        fail(f"nothing was written: {said}")
    if manner.dry_run:
        _say_done(manner, seen, None, "dry run: nothing was written")
        return
    if not manner.yes:
        if manner.output is not Format.TEXT or not sys.stdin.isatty():
            fail(
                "nothing was written: nobody can be asked here; give --yes, or --dry-run to look", Exit.USAGE
            )
        typer.confirm("Write it?", abort=True)
    signature = Signature(manner.by or getpass.getuser(), SystemClock().wall(), manner.how)
    number = target.run(lambda store: write_spec(store, target.keys, found, wanted, signature))
    _say_done(manner, seen, number, f"wrote spec {number} of cluster {target.keys.cluster}")


def _say_done(manner: Manner, seen: Preview, number: int | None, text: str) -> None:
    if manner.output is Format.TEXT:
        typer.echo(text)
    else:
        dump({**seen.to_plain(), "written": number}, manner.output)


def show(seen: Preview, screen: Console) -> None:
    """Write the diff in colours, and below it what will happen."""
    show_diff(seen.diff, screen)
    screen.print("\nwhat it will do:")
    for each in seen.effects:
        members = f" ({', '.join(each.members)})" if each.members else ""
        line = Text.assemble(
            (each.kind.replace("_", " "), STYLE_OF_EFFECT.get(each.kind, "")), f": {each.text}{members}"
        )
        screen.print("  ", line, sep="", soft_wrap=True)
    if not seen.effects:
        screen.print("  nothing that can be told beforehand")


def show_diff(lines: tuple[str, ...], screen: Console) -> None:
    """Write a unified diff in colours."""
    for line in lines:
        screen.print(Text(line, STYLE_OF_LINE.get(line[:1], "")), soft_wrap=True)


async def read(target: Target, store: Store) -> StoredSpec:
    """Read the spec and those before it."""
    return await read_stored(store, target.keys)
