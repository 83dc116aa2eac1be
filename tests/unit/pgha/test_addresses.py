"""Connection strings: libpq reads back what was meant."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgha.addresses import Address, Login, Wanted, spellings

TWO = (Address(host="10.0.0.1", port=5432), Address(host="fd00::2", port=6432))
APP = Login(user="app", database="shop")


@pytest.mark.parametrize("spelling", ["uri", "keywords"])
@pytest.mark.parametrize("wanted", [None, *Wanted])
def test_libpq_reads_every_spelling_alike(spelling: str, wanted: Wanted | None) -> None:
    """Hosts in order, ports beside them, and what kind of server is looked for."""
    read = conninfo_to_dict(spellings(TWO, APP, wanted)[spelling])

    assert read["host"] == "10.0.0.1,fd00::2"
    assert read["port"] == "5432,6432"
    assert (read["user"], read["dbname"]) == ("app", "shop")
    assert read.get("target_session_attrs") == (wanted.value if wanted else None)


@pytest.mark.parametrize("name", ["o'brien", "a b", "x@y/z:1", "ü%", "back\\slash"])
@pytest.mark.parametrize("spelling", ["uri", "keywords"])
def test_names_are_quoted_as_each_spelling_asks(name: str, spelling: str) -> None:
    """A role or a database may be called anything."""
    read = conninfo_to_dict(spellings(TWO, Login(user=name, database=name), None)[spelling])

    assert (read["user"], read["dbname"]) == (name, name)


def test_jdbc_names_the_kind_of_server_its_own_way() -> None:
    """``targetServerType`` only where the client must look for itself."""
    through, direct = spellings(TWO, APP, None)["jdbc"], spellings(TWO, APP, Wanted.PREFER_STANDBY)["jdbc"]

    assert through == "jdbc:postgresql://10.0.0.1:5432,[fd00::2]:6432/shop?user=app&connectTimeout=40"
    assert "targetServerType=preferSecondary" in direct
    assert "connectTimeout=3" in direct


def test_kong_gets_one_host_and_only_a_proxy() -> None:
    """It has no list of hosts, and cannot look for a primary."""
    assert (
        "pg_host = 10.0.0.1\npg_port = 5432\npg_user = app\npg_database = shop"
        in spellings(TWO, APP, None)["kong"]
    )
    assert "kong" not in spellings(TWO, APP, Wanted.ANY)


def test_shell_variables_survive_any_name() -> None:
    """A quote in a name does not end the quoting."""
    shown = spellings(TWO, Login(user="o'x", database="d"), Wanted.STANDBY)["env"]

    assert "export PGUSER='o'\\''x'" in shown
    assert "export PGTARGETSESSIONATTRS='standby'" in shown
