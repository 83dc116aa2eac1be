"""``pgha spec`` on a real cluster: what it says beforehand is what happens."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common.model.spec import ClusterSpec
from common.store.port import Put
from tests.support.aio import until
from tests.support.cluster import KEYS, SPEC, Cluster, cluster, small_layout
from tests.support.commands import Said, pgha


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(small_layout((1, 1))) as made:
        yield made


@pytest.fixture(autouse=True)
def spec_as_it_was(running: Cluster) -> Iterator[None]:
    yield
    stored = Put(KEYS.spec, SPEC.to_bytes())
    running.run(running.demo.store.transact([], [stored]))


def changed(file: Path, *, parameters: dict[str, str] | None = None, **fields: object) -> Path:
    """The cluster's spec in a file, with something changed."""
    plain = SPEC.to_plain()
    plain["postgres"]["parameters"] |= parameters or {}
    file.write_text(yaml.safe_dump(plain | fields))
    return file


def in_store(running: Cluster) -> ClusterSpec:
    shown = pgha(running, "spec", "show", "-o", "json")
    return ClusterSpec.from_plain(shown.json)


def edited(running: Cluster, editor: str, *arguments: str) -> Said:
    return pgha(running, "spec", "edit", "--yes", "--by", "ann", *arguments, VISUAL="", EDITOR=editor)


def test_what_needs_a_restart_is_told_and_what_is_reloaded_is_in_force(
    running: Cluster, tmp_path: Path
) -> None:
    """As the running PostgreSQL says, and then as it does."""
    file = changed(tmp_path / "spec.yaml", parameters={"work_mem": "6MB", "max_connections": "60"})
    diff = pgha(running, "spec", "diff", str(file))
    said = pgha(running, "spec", "apply", "-f", str(file), "--yes", "--by", "ann", "-o", "json")
    effects = {each["kind"]: each for each in said.json["effects"]}
    members = [running.primary, *running.standbys]

    async def settled() -> None:
        for uid in members:
            look = functools.partial(running.value, uid, "SELECT current_setting('work_mem')")
            await until(look, "6MB".__eq__, "work_mem is in force")
        await running.until(
            lambda _: {f"restart_pending {uid}" for uid in members} <= running.reasons().keys(),
            "every member waits for a restart",
        )

    assert diff.code == 1
    assert "+    work_mem: 6MB" in diff.out
    assert "restart: max_connections takes effect on each member only with its next restart" in diff.out
    assert said.code == 0
    assert effects["reload"]["members"] == sorted(members)
    assert effects["restart"]["members"] == sorted(members)
    running.run(settled())


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"no_such_parameter": "1"}, "unrecognized configuration parameter"),
        ({"max_connections": "-4"}, "outside the valid range"),
        ({"shared_buffers": "12 parsecs"}, "Valid units for this parameter are"),
        ({"block_size": "4096"}, "cannot be changed"),
    ],
    ids=["name", "range", "unit", "fixed"],
)
def test_what_postgresql_would_refuse_is_refused_before_it_is_written(
    running: Cluster, tmp_path: Path, parameters: dict[str, str], rule: str
) -> None:
    """PostgreSQL itself is asked, on every member: field, value, rule, and who says so."""
    file = changed(tmp_path / "spec.yaml", parameters=parameters)
    ((name, value),) = parameters.items()
    members = ", ".join(sorted([running.primary, *running.standbys]))
    said = pgha(running, "spec", "apply", "-f", str(file), "--yes")
    dry = pgha(running, "spec", "apply", "-f", str(file), "--dry-run", "-o", "json")
    diff = pgha(running, "spec", "diff", str(file))

    assert (said.code, dry.code, diff.code) == (1, 1, 1)
    assert f"nothing was written: postgres.parameters.{name} = {value!r}: " in said.err
    assert rule in said.err
    assert f"(says PostgreSQL of {members})" in said.err
    assert (dry.json["effects"][0]["kind"], dry.json["written"]) == ("refused", None)
    assert f"refused: postgres.parameters.{name}" in diff.out
    assert in_store(running) == SPEC


def test_a_change_of_the_sync_set_is_told_and_comes(running: Cluster, tmp_path: Path) -> None:
    """``async`` asks nobody; the preview said so."""
    file = changed(tmp_path / "spec.yaml", durability={"survive": "node", "mode": "async"})
    said = pgha(running, "spec", "apply", "-f", str(file), "--yes", "-o", "json")
    (effect,) = [each for each in said.json["effects"] if each["kind"] == "sync_set"]

    assert "the sync set becomes nobody" in effect["text"]
    running.run(running.until(lambda seen: seen.view and seen.view.sync.target.k == 0, "nobody is asked"))


def test_a_dry_run_and_an_unanswered_question_change_nothing(running: Cluster, tmp_path: Path) -> None:
    """Without a terminal nobody can be asked, so --yes is needed."""
    file = changed(tmp_path / "spec.yaml", parameters={"work_mem": "7MB"})
    dry = pgha(running, "spec", "apply", "-f", str(file), "--dry-run")
    unasked = pgha(running, "spec", "apply", "-f", str(file))
    same = pgha(running, "spec", "apply", "-f", str(changed(tmp_path / "same.yaml")), "--yes")

    assert (dry.code, unasked.code, same.code) == (0, 64, 0)
    assert "dry run: nothing was written" in dry.out
    assert "give --yes" in unasked.err
    assert "nothing differs" in same.out
    assert in_store(running) == SPEC


def test_the_history_shows_who_wrote_what_and_any_of_it_can_be_put_back(
    running: Cluster, tmp_path: Path
) -> None:
    """A rollback is a change like any other, with a number of its own."""
    number = pgha(running, "spec", "history", "-o", "json").json[-1]["number"]
    file = changed(tmp_path / "spec.yaml", parameters={"work_mem": "9MB"})
    assert pgha(running, "spec", "apply", "-f", str(file), "--yes", "--by", "ann").code == 0
    back = pgha(running, "spec", "rollback", "--yes", "--by", "bob")
    rows = pgha(running, "spec", "history", "-o", "json").json
    text = pgha(running, "spec", "history", "-n", "2")

    assert back.code == 0
    assert "-    work_mem: 9MB" in back.out
    assert [(row["by"], row["how"].partition(" to ")[0]) for row in rows[-2:]] == [
        ("ann", "apply"),
        ("bob", "rollback"),
    ]
    assert rows[-1]["number"] > number
    assert len(text.out.splitlines()) == 3
    assert in_store(running) == SPEC
    assert pgha(running, "spec", "diff", "--number", str(rows[-2]["number"])).code == 1
    assert "work_mem: 9MB" in pgha(running, "spec", "show", "--number", str(rows[-2]["number"])).out


def test_edit_opens_the_editor_and_writes_what_comes_of_it(running: Cluster) -> None:
    """EDITOR may have arguments; what is left unchanged writes nothing."""
    said = edited(running, "sed -i 's/acks: 1/acks: 2/'")
    same = edited(running, "true")

    assert said.code == 0
    assert "+  acks: 2" in said.out
    assert in_store(running).durability.acks == 2
    assert "nothing differs" in same.out


@pytest.mark.parametrize(
    ("editor", "named"),
    [
        ("sed -i 's/acks: 1/acks: many/'", "durability.acks = 'many'"),
        ("sed -i 's/parameters:/parameters: {fsync: off}/; /shared_buffers\\|max_connections/d'", "fsync"),
        ("sed -i '1i : ['", "neither YAML nor JSON"),
        ("false", "ended with status 1"),
        ("/no/such/editor", "cannot be started"),
        ("vi 'unbalanced", "is no command"),
    ],
    ids=["value", "managed", "no yaml", "editor fails", "no editor", "no command"],
)
def test_an_edit_that_goes_wrong_writes_nothing_and_loses_nothing(
    running: Cluster, editor: str, named: str
) -> None:
    """The mistake is named, and where the text is."""
    said = edited(running, editor)

    assert said.code == 1
    assert named in said.err
    assert in_store(running) == SPEC
    if "is no command" not in named:
        kept = Path(said.err.rsplit("your text is in ", 1)[1].strip().rstrip(")"))
        assert "durability" in kept.read_text()
        kept.unlink()


def test_who_was_overtaken_writes_nothing(running: Cluster, tmp_path: Path) -> None:
    """The editor stands open while somebody else applies a spec."""
    other = changed(tmp_path / "other.yaml", timings={"park_timeout": "20s", "calm_after": "0.1s"})
    script = tmp_path / "editor.py"
    script.write_text(
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'pgha', 'spec', 'apply', '-f', {str(other)!r}, '--yes'],"
        " check=True, stdout=subprocess.DEVNULL)\n"
        "text = open(sys.argv[1]).read().replace('acks: 1', 'acks: 2')\n"
        "open(sys.argv[1], 'w').write(text)\n"
    )
    said = edited(running, f"{sys.executable} {script}")

    assert said.code == 1
    assert "somebody else has changed the spec meanwhile" in said.err
    assert "your text is in" in said.err
    assert in_store(running).durability.acks == 1
    assert in_store(running).timings.park_timeout_s == 20


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["diff"], 64, "FILE or --number"),
        (["diff", "-", "--number", "1"], 64, "FILE or --number"),
        (["apply"], 64, "--file"),
        (["apply", "-f", "/no/such/file"], 64, "no such file"),
        (["show", "--number", "99999"], 64, "NUMBER = 99999"),
        (["rollback", "99999"], 64, "NUMBER = 99999"),
        (["rollback", "0"], 64, "greater than or equal to 1"),
        (["history", "-n", "-1"], 64, "greater than or equal to 0"),
        (["show", "--cluster", "other"], 1, "has no spec"),
        (["rollback", "--cluster", "other"], 1, "keeps no spec"),
        (["history", "--cluster", "other"], 0, ""),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrong_arguments_are_named(running: Cluster, arguments: list[str], code: int, named: str) -> None:
    """Field, value and rule in one line."""
    said = pgha(running, "spec", *arguments)

    assert said.code == code
    assert named in said.err
    assert said.err.count("\n") == bool(code)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("postgres: {parameters: {fsync: off}}", "postgres.parameters.fsync = 'off': managed by pgha"),
        ("postgres: {parameters: {max_wal_senders: 3}}", "must be 16 or more"),
        ("postgres: {hba: ['host all all 10.0.0.300/8 md5']}", "postgres.hba"),
    ],
)
def test_what_the_keepers_would_refuse_is_refused_before_it_is_written(
    running: Cluster, content: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By validate without a cluster, and by apply."""
    for arguments in (["validate", "-"], ["apply", "--yes", "-f", "-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(content))
        said = pgha(running, "spec", *arguments)

        assert said.code == 1
        assert named in said.err
    assert in_store(running) == SPEC
