"""``pgha query``: run SQL on the primary, or on any member."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.status.documents import Documents
from pgha.exits import Exit, fail, say
from pgha.options import Target, input_file, with_target
from pgha.output import Format, dump
from pgha.query.render import as_plain, text
from pgha.query.run import Server, run_sql
from pgha.status.gather import read_cluster


@with_target
def query(
    target: Target,
    *,
    statements: Annotated[
        str | None, typer.Argument(metavar="SQL", help="One or more statements; or take --file.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", callback=input_file, help="SQL; '-': standard input."),
    ] = None,
    member: Annotated[
        str | None, typer.Option("-m", "--member", help="This member instead of the primary.")
    ] = None,
    user: Annotated[str | None, typer.Option("-U", "--user", help="Role; left out: as libpq has it.")] = None,
    database: Annotated[
        str | None, typer.Option("-d", "--dbname", help="Database; left out: as libpq has it.")
    ] = None,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=0.1, max=86400, help="Seconds to connect, and for the SQL."),
    ] = 10.0,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rows that are shown at most.")] = 1000,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Run SQL on the primary, or with -m on any member, and show the rows.

    It connects to that server itself, not through a proxy. The password comes from PGPASSWORD or
    ~/.pgpass, as with psql. Several statements are one transaction unless they say BEGIN and COMMIT. Exit
    code 1 when the server refuses it, 2 when there is no primary.
    """
    if (statements is None) == (file is None):
        raise typer.BadParameter("give the SQL either as an argument or by --file")
    wanted = statements if statements is not None else _read(file)
    if not wanted.strip():
        raise typer.BadParameter("SQL = '': there is no statement in it")
    documents = target.run(lambda store: read_cluster(store, target.keys))
    server = find_server(documents, member, user, database)
    results = run_sql(server, wanted, timeout_s=timeout_s, limit=limit)
    if output is Format.TEXT:
        for result in results:
            sys.stdout.write(text(result) + "\n")
    else:
        dump({"member": server.uid, "results": [as_plain(result) for result in results]}, output)
    if any(result.cut for result in results):
        say(f"only the first {limit} rows are shown: see --limit")


def _read(file: Path | None) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" or file is None else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"--file = {file}: is not UTF-8: {error}") from error


def find_server(documents: Documents, member: str | None, user: str | None, database: str | None) -> Server:
    """The primary that has the route, or the member named; ends the command when there is none."""
    view = documents.view
    if member is not None:
        entry = view.member(member) if view else None
        if entry is None:
            known = ", ".join(each.uid for each in view.members) if view else "none"
            raise typer.BadParameter(f"--member = {member!r}: no member of this cluster; there are {known}")
        return Server(entry.uid, entry.host, entry.port, user, database, writable=False)
    if view is None or view.route is None:
        fail(
            f"cluster {documents.cluster} has no primary now (pgha status says why); -m UID asks one member",
            Exit.NO_PRIMARY,
        )
    return Server(view.route.uid, view.route.host, view.route.port, user, database, writable=True)
