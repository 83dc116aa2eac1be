"""Who may come in: pgha's own lines first, the operator's, then SCRAM for everybody."""

from __future__ import annotations

import pytest

from common.errors import InvalidSpec
from common.model.spec import Md5User, PostgresSpec
from keeper.postgres.access import render_hba, render_ident


def rules(spec: PostgresSpec | None = None) -> list[str]:
    text = render_hba(spec or PostgresSpec(), "postgres")
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_superuser_comes_by_the_local_socket_alone() -> None:
    """The first line that fits decides, and nothing before these lines can."""
    assert rules()[:3] == [
        'local all "postgres" peer map=pgha',
        'local replication "postgres" peer map=pgha',
        'host all "postgres" all reject',
    ]


def test_everybody_else_needs_a_scram_password() -> None:
    """Without any line of the operator."""
    assert rules()[-2:] == ["local all all scram-sha-256", "host all all all scram-sha-256"]


def test_an_old_client_may_use_md5_from_its_own_network() -> None:
    """For the named user only, before the general rule."""
    found = rules(PostgresSpec(md5_users=(Md5User(user="kong", network="10.1.0.0/16"),)))

    assert 'host all "kong" 10.1.0.0/16 md5' in found
    assert found.index('host all "kong" 10.1.0.0/16 md5') < len(found) - 2


@pytest.mark.parametrize(
    "line",
    [
        "host all all 10.0.0.0/8 scram-sha-256",
        "host all all 10.0.0.0 255.0.0.0 md5",
        "host all all ::1/128 trust",
        "hostssl app,other +staff samenet cert map=x",
        'local "my db" "my user" peer',
        "host all all .example.org scram-sha-256  # a comment",
    ],
)
def test_a_line_of_the_operator_stands_after_ours(line: str) -> None:
    """Of every shape that PostgreSQL takes."""
    found = rules(PostgresSpec(hba=(line,)))

    assert found[-3] == line.split("#", maxsplit=1)[0].strip()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# only a comment",
        "hosts all all 10.0.0.0/8 trust",
        "host all all 10.0.0.0/8",
        "host all all 10.0.0.0/33 trust",
        "host all all 10.0.0.0 trust",
        "host all all",
        "local all all",
        "local all all whatever",
        "host all @file 10.0.0.0/8 trust",
        "local all all peer\nlocal all all trust",
        "local all all peer map=\\",
        'host all "a 10.0.0.0/8 trust',
    ],
)
def test_a_line_that_postgres_would_refuse_is_refused(line: str) -> None:
    """With it, PostgreSQL would not start."""
    with pytest.raises(InvalidSpec, match=r"postgres\.hba"):
        rules(PostgresSpec(hba=(line,)))


def test_the_listed_users_of_the_system_are_the_superuser() -> None:
    """Each once."""
    text = render_ident(PostgresSpec(), ["root", "postgres", "root"], "postgres")

    assert text.splitlines()[1:] == ['pgha "postgres" "postgres"', 'pgha "root" "postgres"']


def test_maps_of_the_operator_stand_after_ours() -> None:
    """With patterns, as PostgreSQL has them."""
    lines = (r"corp /^(.*)@example\.org$ \1", 'corp "anna b" anna  # a comment')
    text = render_ident(PostgresSpec(ident=lines), ["postgres"], "postgres")

    assert text.splitlines()[1:] == [
        'pgha "postgres" "postgres"',
        r"corp /^(.*)@example\.org$ \1",
        'corp "anna b" anna',
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("", "must hold a rule"),
        ("corp anna", "not 2 words"),
        ("corp anna anna more", "not 4 words"),
        ("pgha anna postgres", "pgha's own"),
        ('"pgha" anna postgres', "pgha's own"),
        ("include other file", "must not name other files"),
        ("corp @users anna", "must not name other files"),
        ("corp anna anna\npgha anna postgres", "must be one line"),
        ("corp anna \\", "must not go on"),
        ('corp "anna anna', "a quote is not closed"),
    ],
)
def test_a_map_that_would_let_others_in_or_keep_pgha_out_is_refused(line: str, rule: str) -> None:
    """Who is the superuser is said by pgha alone."""
    with pytest.raises(InvalidSpec, match=r"postgres\.ident") as refused:
        render_ident(PostgresSpec(ident=(line,)), ["postgres"], "postgres")

    assert rule in str(refused.value)
