"""``pgha dsn``: what to write into a client's configuration."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from common.status.documents import Documents
from pgha.addresses import Address, Login, Wanted, spellings
from pgha.exits import Exit, fail
from pgha.options import Target, with_target
from pgha.output import Format, dump
from pgha.status.gather import read_cluster

Spelling = StrEnum("Spelling", ["URI", "KEYWORDS", "JDBC", "ENV", "KONG"])


@with_target
def dsn(
    target: Target,
    *,
    spelling: Annotated[
        Spelling | None, typer.Option("--for", help="Only this one, and nothing else on standard output.")
    ] = None,
    user: Annotated[str, typer.Option("-U", "--user", envvar="PGUSER", help="Role that connects.")] = "app",
    database: Annotated[
        str, typer.Option("-d", "--dbname", envvar="PGDATABASE", help="Database; left out: the user's name.")
    ] = "",
    site: Annotated[
        str | None, typer.Option(help="The client's site: what stands there is named first.")
    ] = None,
    direct: Annotated[
        Wanted | None,
        typer.Option(help="Past the proxies, to the members; the client looks for this kind of server."),
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to write it.")] = Format.TEXT,
) -> None:
    """Show how clients connect: as libpq's URI and keywords, JDBC's URL, shell variables, and for Kong.

    Through the proxies unless --direct is given; then nobody holds a client while there is no primary.
    Passwords are never shown: they belong into ~/.pgpass, PGPASSFILE, or the client's own secrets.
    """
    for field, value in (("--user", user), ("--dbname", database)):
        if any(ord(character) < ord(" ") for character in value):
            raise typer.BadParameter(f"{field} = {value!r}: must not contain control characters")
    if not user:
        raise typer.BadParameter("--user = '': must not be empty")
    if direct is not None and spelling is Spelling.KONG:
        raise typer.BadParameter("--for = 'kong': Kong knows one host, so it needs a proxy, not --direct")
    documents = target.run(lambda store: read_cluster(store, target.keys))
    if site is not None and site not in (known := _sites(documents, direct)):
        raise typer.BadParameter(f"--site = {site!r}: clients connect to nothing there; there are {known}")
    addresses = of_members(documents, site) if direct else of_proxies(documents, site)
    if not addresses:
        what = "no member" if direct else "no proxy has a live report (or take --direct read-write)"
        fail(f"cluster {target.keys.cluster}: {what}: nothing to connect to", Exit.FAILED)
    found = spellings(addresses, Login(user=user, database=database or user), direct)
    if spelling is not None:
        sys.stdout.write(found[spelling.value] + "\n")
    elif output is Format.TEXT:
        for name, text in found.items():
            sys.stdout.write(f"# {name}\n{text}\n\n")
    else:
        dump({"addresses": [each.model_dump() for each in addresses], **found}, output)


def _sites(documents: Documents, direct: Wanted | None) -> list[str]:
    members = documents.view.members if documents.view else ()
    return sorted({each.site for each in (members if direct else documents.proxies.values())})


def of_proxies(documents: Documents, site: str | None) -> list[Address]:
    """All proxies with a live report, those of the client's site first."""
    reports = sorted(documents.proxies.values(), key=lambda each: (each.site != site, each.site, each.uid))
    return [Address(host=each.host, port=each.port) for each in reports]


def of_members(documents: Documents, site: str | None) -> list[Address]:
    """All members, the primary first, then those of the client's site."""
    view = documents.view
    if view is None:
        return []
    primary = view.primary.uid if view.primary else ""
    ordered = sorted(
        view.members, key=lambda each: (each.uid != primary, each.site != site, each.site, each.uid)
    )
    return [Address(host=each.host, port=each.port) for each in ordered]
