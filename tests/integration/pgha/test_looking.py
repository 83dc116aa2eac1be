"""The commands that only look, on a real cluster: topology, dsn, query."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgha.demo.services import CLIENT
from tests.support.cluster import Cluster, cluster
from tests.support.commands import Said, pgha


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def query(running: Cluster, *arguments: str, **environment: str) -> Said:
    """Run SQL as the demo's clients."""
    password = str(conninfo_to_dict(running.demo.credentials)["password"])
    login = {"PGUSER": CLIENT, "PGDATABASE": CLIENT, "PGPASSWORD": password}
    return pgha(running, "query", *arguments, **login | environment)


# topology


def test_the_tree_shows_every_member_with_what_it_follows(running: Cluster) -> None:
    """As text and as JSON, on a cluster that is well."""
    text, tree = pgha(running, "topology"), pgha(running, "topology", "-o", "json").json
    nodes = [node for site in tree["sites"] for node in site["members"]]

    assert text.code == 0
    assert f"streams from {running.primary}" in text.out
    assert [site["name"] for site in tree["sites"]] == ["sandun", "shiqiao"]
    assert {node["row"]["uid"] for node in nodes if node["follows"] == running.primary} == set(
        running.standbys
    )
    assert all(node["streams"] for node in nodes if node["follows"])
    assert all(node["row"]["figures"] == "live" for node in nodes)


# dsn


@pytest.mark.parametrize("spelling", ["uri", "keywords"])
def test_what_dsn_writes_is_what_libpq_connects_with(running: Cluster, spelling: str) -> None:
    """Through the proxy, and direct to a standby, with nothing added but the password."""
    password = str(conninfo_to_dict(running.demo.credentials)["password"])
    found = {}
    for kind, options in {"proxy": [], "standby": ["--direct", "standby"]}.items():
        said = pgha(running, "dsn", "--for", spelling, "-U", CLIENT, *options)
        with psycopg.connect(said.out.strip(), password=password) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
            found[kind] = row is not None and row[0]

    assert found == {"proxy": False, "standby": True}


def test_all_spellings_are_shown_and_no_password(running: Cluster) -> None:
    """Direct connections name the primary first."""
    text = pgha(running, "dsn")
    direct = pgha(running, "dsn", "--direct", "read-write", "-o", "json").json
    port = running.demo.layout.proxies[0].port

    assert text.code == 0
    assert re.findall(r"^# (\w+)$", text.out, re.MULTILINE) == ["uri", "keywords", "jdbc", "env", "kong"]
    assert f"pg_port = {port}" in text.out
    assert "password" not in text.out.lower()
    assert direct["addresses"][0]["port"] == running.demo.layout.keeper(running.primary).port
    assert len(direct["addresses"]) == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--site", "mars"], "--site = 'mars'"),
        (["-U", ""], "--user = ''"),
        (["-d", "a\nb"], "--dbname"),
        (["--for", "kong", "--direct", "any"], "--for = 'kong'"),
        (["--direct", "best"], "best"),
    ],
)
def test_wrong_arguments_of_dsn_are_named(running: Cluster, arguments: list[str], named: str) -> None:
    """Field, value, rule; nothing on standard output."""
    said = pgha(running, "dsn", *arguments)

    assert said.code == 64
    assert named in said.err
    assert said.out == ""


# query


def test_sql_runs_on_the_primary_and_with_m_on_any_member(running: Cluster) -> None:
    """The default is where writes go."""
    sql = "SELECT pg_is_in_recovery() AS recovery"
    standby = running.standbys[0]
    here = query(running, sql, "-o", "json").json
    there = query(running, sql, "-m", standby, "-o", "json").json

    assert (here["member"], here["results"][0]["rows"]) == (running.primary, [[False]])
    assert (there["member"], there["results"][0]["rows"]) == (standby, [[True]])
    assert here["results"][0]["columns"] == ["recovery"]


def test_several_statements_give_a_result_each(running: Cluster) -> None:
    """Together they are one transaction: what fails undoes what came before."""
    made = query(running, "CREATE TABLE looked (id int); INSERT INTO looked VALUES (1), (2); TABLE looked")
    failed = query(running, "DELETE FROM looked; SELECT 1/0")
    left = query(running, "SELECT count(*) FROM looked", "-o", "json").json

    assert made.code == 0
    assert made.out.splitlines() == ["CREATE TABLE", "INSERT 0 2", "id", "--", "1", "2", "(2 rows)"]
    assert failed.code == 1
    assert "division by zero (SQLSTATE 22012)" in failed.err
    assert left["results"][0]["rows"] == [[2]]


def test_a_statement_that_fails_is_one_line(running: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """The driver has nothing to add to it."""
    said = query(running, "SELEC 1")

    assert said.code == 1
    assert said.err.count("\n") == 1
    assert 'syntax error at or near "SELEC" (SQLSTATE 42601)' in said.err
    assert caplog.records == []


def test_a_transaction_that_is_left_open_is_undone(running: Cluster) -> None:
    """As with ``psql -c``: nobody has said COMMIT."""
    left_open = query(running, "BEGIN; CREATE TABLE left_open (id int)")
    found = query(running, "SELECT to_regclass('left_open') IS NULL", "-o", "json").json

    assert left_open.code == 0
    assert found["results"][0]["rows"] == [[True]]


def test_rows_beyond_the_limit_are_dropped_and_what_the_sql_did_stays(running: Cluster) -> None:
    """To cancel it would have undone the INSERT."""
    query(running, "CREATE TABLE many (id int)")
    said = query(
        running, "INSERT INTO many SELECT generate_series(1, 5000) RETURNING id", "--limit", "3", "-o", "json"
    )
    count = query(running, "SELECT count(*) FROM many", "-o", "json").json

    assert said.code == 0
    assert said.json["results"][0]["rows"] == [[1], [2], [3]]
    assert said.json["results"][0]["cut"] is True
    assert "only the first 3 rows are shown" in said.err
    assert count["results"][0]["rows"] == [[5000]]


def test_sql_comes_from_a_file_too(running: Cluster, tmp_path: Path) -> None:
    """A file that is no text is refused."""
    good, bad = tmp_path / "good.sql", tmp_path / "bad.sql"
    good.write_text("SELECT 'ü' AS letter;\n")
    bad.write_bytes(b"\xff\xfe\x00")

    assert "ü" in query(running, "-f", str(good)).out
    assert query(running, "-f", str(bad)).code == 64


def test_a_statement_has_a_deadline(running: Cluster) -> None:
    """The server itself ends it, so nothing goes on behind the command's back."""
    began = time.monotonic()
    said = query(running, "SELECT pg_sleep(600)", "--timeout", "0.5")

    assert said.code == 1
    assert "statement timeout" in said.err
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], 64, "argument or by --file"),
        (["SELECT 1", "-f", "-"], 64, "argument or by --file"),
        (["  "], 64, "SQL = ''"),
        (["SELECT 1", "-m", "mars"], 64, "--member = 'mars'"),
        (["SELECT 1", "--limit", "0"], 64, "limit"),
        (["SELEC 1"], 1, "syntax error"),
        (["COPY (SELECT 1) TO STDOUT"], 1, "use psql"),
        (["SELECT 1", "-U", "nobody_here"], 1, "nobody_here"),
    ],
)
def test_wrong_sql_and_arguments_end_with_one_line(
    running: Cluster, arguments: list[str], code: int, named: str
) -> None:
    """What is wrong with the command is 64, what the server refuses is 1."""
    said = query(running, *arguments)

    assert said.code == code
    assert named in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_without_a_primary_the_code_says_so(running: Cluster) -> None:
    """A cluster that does not exist has none either."""
    assert query(running, "SELECT 1", "--cluster", "other").code == 2
    assert pgha(running, "dsn", "--cluster", "other").code == 1
