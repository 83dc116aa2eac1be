"""The operator's lines of pg_hba.conf and pg_ident.conf on real servers: a bad one keeps nobody out."""

from __future__ import annotations

import psycopg
import pytest

from common.errors import InvalidSpec
from common.model.wal import ZERO
from tests.support.aio import LIMIT_S, run, until
from tests.support.postgres import BY_ITSELF, SPEC, Server, servers

TRUSTED = "host all guest 127.0.0.1/32 trust"
MAP = "corp /^(.*)@example\\.org$ \\1"

BAD = (
    ({"hba": (TRUSTED, "host all all 10.0.0.0/8 ldap")}, "postgres.hba: 'host all all 10.0.0.0/8 ldap'"),
    ({"ident": (MAP, "corp /( anna")}, "postgres.ident: 'corp /( anna'"),
)
"""What only PostgreSQL itself can tell."""


async def comes_in(member: Server) -> bool:
    """Whether the guest may."""
    try:
        await (
            await psycopg.AsyncConnection.connect(
                f"host=127.0.0.1 port={member.settings.port} user=guest dbname=postgres connect_timeout=10"
            )
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def files(member: Server) -> tuple[str, str]:
    return (member.data / "pg_hba.conf").read_text(), (member.data / "pg_ident.conf").read_text()


def test_a_bad_line_is_refused_by_name_and_the_former_files_serve_on_over_restarts_and_clones() -> None:
    """Also where it came while the server was down: it starts with what it took last."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            await one.value("CREATE ROLE guest LOGIN")
            before = await comes_in(one)
            good = SPEC.model_copy(update={"hba": (TRUSTED,), "ident": (MAP,)})
            await one.server.configure(good)
            await until(lambda: comes_in(one), bool, "the guest comes in")
            accepted = files(one)
            refused = []
            for fields, text in BAD:
                bad = good.model_copy(update=fields)
                with pytest.raises(InvalidSpec) as error:
                    await one.server.configure(bad)
                refused.append((text in str(error.value), files(one) == accepted))
                one.spec = bad
                await one.server.stop("fast", LIMIT_S)
                await one.start(writable=BY_ITSELF)
                refused.append((await comes_in(one), files(one) == accepted))
            two = group.make("two")
            await one.server.keep_slots({two.name(1): ZERO}, drop_others=False)
            source = one.source_for(two, 1)
            await two.server.clone(
                source, two.life, one.spec, progress=lambda _done, _all: None, timeout_s=60
            )
            two.spec = one.spec
            await two.start(source=source)
            maps = await one.value("SELECT count(*) FROM pg_ident_file_mappings WHERE map_name = 'corp'")

            assert not before
            assert refused == [(True, True)] * 4
            assert (await comes_in(two), files(two)) == (True, accepted)
            assert maps == 1

    run(story())


def test_files_that_no_server_took_are_not_started_with() -> None:
    """Edited by hand, say: pgha's own lines let the keeper in, and the spec's come back once it runs."""

    async def story() -> None:
        async with servers() as group:
            one = await group.primary()
            await one.value("CREATE ROLE guest LOGIN")
            good = SPEC.model_copy(update={"hba": (TRUSTED,)})
            await one.server.configure(good)
            await one.server.stop("fast", LIMIT_S)
            (one.data / "pg_hba.conf").write_text("nonsense\n")
            (one.data / "pg_ident.conf").write_text("pgha /( postgres\n")
            await one.start(writable=BY_ITSELF)
            without = await comes_in(one)
            await one.server.configure(good)
            await until(lambda: comes_in(one), bool, "the guest comes in again")

            assert not without

    run(story())
