"""``pgha spec``: what the operator wants of the cluster, shown, compared, changed, and put back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.errors import InvalidSpec
from common.model.past_spec import PastSpec
from common.model.spec import ClusterSpec
from pgha.exits import Exit, fail, say
from pgha.options import Target, input_file, with_target
from pgha.output import Format, console, dump
from pgha.spec.change import Manner, Preview, carry_out, existing, preview, read, show_diff
from pgha.spec.change import show as show_preview
from pgha.spec.check import check
from pgha.spec.diff import as_yaml, lines_of
from pgha.spec.editor import edit as run_editor
from pgha.spec.editor import write_draft
from pgha.spec.store import StoredSpec
from pgha.specfile import parse_spec, read_spec
from pgha.status.render import new_table

app = typer.Typer(help="Show, compare, change and put back what the operator wants.", rich_markup_mode=None)

Output = Annotated[Format, typer.Option("-o", "--output", help="How to write it.")]
File = Annotated[
    Path, typer.Argument(callback=input_file, help="A spec as YAML or JSON; '-': standard input.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]
By = Annotated[str | None, typer.Option("--by", help="Your name, for the history.")]


def _found(target: Target) -> StoredSpec:
    return target.run(lambda store: read(target, store))


def _numbered(target: Target, found: StoredSpec, number: int) -> PastSpec:
    past = found.numbered(number)
    if past is None:
        known = f"{found.past[0].number} to {found.latest}" if found.past else "none yet"
        raise typer.BadParameter(
            f"NUMBER = {number}: cluster {target.keys.cluster} keeps no such spec; it keeps {known}"
        )
    return past


@app.command()
@with_target
def show(
    target: Target,
    *,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="An earlier one, by its number.")
    ] = None,
    output: Output = Format.YAML,
) -> None:
    """Print the spec in the store, or an earlier one, defaults included."""
    found = _found(target)
    spec = existing(target, found) if number is None else _numbered(target, found, number).spec
    dump(spec.to_plain(), Format.JSON if output is Format.JSON else Format.YAML)


@app.command()
@with_target
def diff(
    target: Target,
    *,
    file: Annotated[
        Path | None, typer.Argument(callback=input_file, help="A spec as YAML or JSON; '-': standard input.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="Compare an earlier one with the present one.")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Show how a file differs from the spec in the store and what applying it would do.

    With --number: how the present spec differs from an earlier one. Exit code 0: nothing differs; 1:
    something does.
    """
    if (file is None) == (number is None):
        raise typer.BadParameter("give either FILE or --number")
    found = _found(target)
    now = existing(target, found)
    if number is not None:
        past = _numbered(target, found, number)
        names = (f"spec {past.number}", "in the store")
        seen = Preview(found, now, tuple(lines_of(past.spec, now, names)), ())
    else:
        wanted = _checked(file)
        seen = target.run(lambda store: preview(store, target, found, wanted))
    if output is not Format.TEXT:
        dump(seen.to_plain(), output)
    elif number is not None:
        show_diff(seen.diff, console())
    elif seen.diff:
        show_preview(seen, console())
    raise typer.Exit(Exit.DIFFERENT if seen.diff else Exit.HEALTHY)


def _checked(file: Path | None) -> ClusterSpec:
    spec = read_spec(file) if file is not None else ClusterSpec()
    check(spec)
    return spec


@app.command()
@with_target
def apply(
    target: Target,
    *,
    file: Annotated[
        Path,
        typer.Option(
            "-f", "--file", callback=input_file, help="A spec as YAML or JSON; '-': standard input."
        ),
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    output: Output = Format.TEXT,
) -> None:
    """Replace the spec by that of a file: the file is the whole spec, what it leaves out gets its default.

    Shows what differs and what that will do, and asks. If somebody else writes meanwhile, nothing is written.
    """
    wanted = _checked(file)
    found = _found(target)
    existing(target, found)
    carry_out(target, found, wanted, Manner("apply", by, yes, dry_run, output))


@app.command()
@with_target
def edit(target: Target, *, yes: Yes = False, by: By = None) -> None:
    """Open the spec in $VISUAL or $EDITOR; then show what differs, what that will do, and ask.

    A mistake is named and the editor can be opened again. The text stays in its file until it is written.
    """
    found = _found(target)
    before = existing(target, found)
    draft = write_draft(as_yaml(before))
    while True:
        run_editor(draft)
        try:
            wanted = parse_spec(draft.read_text(encoding="utf-8"), "the edited spec")
            check(wanted)
            break
        except (InvalidSpec, UnicodeDecodeError) as error:
            say(str(error))
            if not sys.stdin.isatty() or not typer.confirm("Open the editor again?", default=True):
                fail(f"nothing was written; your text is in {draft}")
    try:
        carry_out(target, found, wanted, Manner("edit", by, yes, dry_run=False, output=Format.TEXT))
    except BaseException:
        say(f"your text is in {draft}")
        raise
    draft.unlink()


@app.command()
def validate(file: File) -> None:
    """Check a spec file and say every field that breaks a rule; nothing is written.

    Fields, parameters that pgha sets itself, and lines for pg_hba.conf. Whether PostgreSQL knows a
    parameter is only seen against a cluster: pgha spec diff FILE.
    """
    _checked(file)
    typer.echo(f"{file}: a valid spec")


@app.command()
@with_target
def history(
    target: Target,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many of the latest.")] = 20,
    output: Output = Format.TEXT,
) -> None:
    """Show who wrote which spec, oldest first; the last one is in force."""
    found = _found(target)
    shown = found.past[-number:] if number else ()
    if output is not Format.TEXT:
        dump([each.model_dump(mode="json", exclude={"spec", "schema_version"}) for each in shown], output)
        return
    table = new_table("NUMBER>", "WRITTEN", "BY", "HOW", "LINES>")
    for each in shown:
        before = found.numbered(each.number - 1)
        lines = lines_of(before.spec, each.spec, ("", "")) if before else []
        changed = sum(line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"} for line in lines)
        at = each.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(each.number), at, each.by or "-", each.how, str(changed) if before else "-")
    console().print(table if shown else "nothing is kept yet: the next change will be")


@app.command()
@with_target
def rollback(
    target: Target,
    *,
    number: Annotated[
        int | None, typer.Argument(min=1, help="Number of an earlier spec; left out: the one before.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    output: Output = Format.TEXT,
) -> None:
    """Put an earlier spec back, as a new one: shows what differs and what that will do, and asks."""
    found = _found(target)
    wanted = found.before_present if number is None else number
    if number is None and wanted < 1:
        fail(f"cluster {target.keys.cluster} keeps no spec before the present one (pgha spec history)")
    past = _numbered(target, found, wanted)
    check(past.spec)
    carry_out(target, found, past.spec, Manner(f"rollback to {past.number}", by, yes, dry_run, output))
