"""What a change of the spec will do, told beforehand."""

from __future__ import annotations

from typing import Any

from common.model.examination import HostExamination, Setting
from common.model.spec import ClusterSpec
from pgha.spec.diff import as_yaml, lines_of
from pgha.spec.effects import Effect, Judged, changed_parameters, effects
from pgha.specfile import parse_spec
from tests.support.builders import SANDUN_1, SANDUN_2, SHIQIAO_1, SHIQIAO_2, Scene
from tests.support.healthy import NOW


def spec(**plain: Any) -> ClusterSpec:
    return ClusterSpec.from_plain(plain)


def parameters(**values: str) -> ClusterSpec:
    return spec(postgres={"parameters": values})


def host(uid: str, **settings: Setting) -> HostExamination:
    return HostExamination(uid=uid, received=NOW, wall=NOW, architecture="x86_64", settings=settings)


HOSTS = {
    uid: host(
        uid,
        work_mem=Setting(value="4096", unit="kB", context="user"),
        max_connections=Setting(value=value, context="postmaster"),
        block_size=Setting(value="8192", context="internal"),
    )
    for uid, value in ((SANDUN_1, "100"), (SANDUN_2, "200"))
}


TAKEN = Judged(members=tuple(HOSTS))
"""PostgreSQL finds nothing wrong."""


def told(
    before: ClusterSpec,
    after: ClusterSpec,
    hosts: dict[str, HostExamination] | None = None,
    judged: Judged = TAKEN,
) -> list[Effect]:
    observed = Scene(spec=before).observed()
    return list(effects(before, after, observed, HOSTS if hosts is None else hosts, judged))


def test_a_parameter_is_reloaded_or_waits_for_a_restart_as_postgresql_says() -> None:
    """Only the members that do not have the value already need a restart."""
    found = told(spec(), parameters(work_mem="8MB", max_connections="200"))

    assert [(each.kind, each.members) for each in found] == [
        ("reload", (SANDUN_1, SANDUN_2)),
        ("restart", (SANDUN_1,)),
    ]
    assert "work_mem" in found[0].text
    assert "max_connections" in found[1].text


def test_what_postgresql_refuses_comes_first_with_the_members_that_refuse() -> None:
    """Releases differ, so members may."""
    wrong = "postgres.parameters.work_mem = 'much': invalid value"
    judged = Judged(TAKEN.members, {wrong: (SANDUN_2,)})
    found = told(spec(), parameters(work_mem="much"), judged=judged)

    assert found[0] == Effect(kind="refused", text=wrong, members=(SANDUN_2,))


def test_what_only_a_library_knows_is_a_warning() -> None:
    """PostgreSQL takes any name with a dot, and asks the library later."""
    (found,) = told(spec(), parameters(**{"auto_explain.log_min_duration": "1s"}))

    assert found.kind == "warning"
    assert found.text.startswith("auto_explain.log_min_duration: only a library")


def test_parameters_that_nobody_could_judge_are_a_warning() -> None:
    """Keepers of an older release, or hosts that do not answer."""
    found = told(spec(), parameters(work_mem="8MB"), judged=Judged())

    assert [each.kind for each in found] == ["warning", "reload"]
    assert "no PostgreSQL could be asked" in found[0].text


def test_without_a_keeper_nothing_is_guessed() -> None:
    """It says that nobody could be asked."""
    (found,) = told(spec(), parameters(work_mem="8MB"), {}, Judged())

    assert found.kind == "warning"
    assert "no keeper could be asked" in found.text


def test_names_differ_by_value_not_by_case() -> None:
    """PostgreSQL's names have none; one that is taken away counts."""
    assert changed_parameters(parameters(WORK_MEM="1MB"), parameters(work_mem="1MB")) == ()
    assert changed_parameters(parameters(a="1", b="1"), parameters(b="2")) == ("a", "b")


def test_a_change_of_durability_names_the_sync_set_that_follows() -> None:
    """By the decision core, with the members that stream now."""
    found = told(spec(), spec(durability={"survive": "node"}))

    assert (found[0].kind, found[0].members) == ("sync_set", (SANDUN_2, SHIQIAO_1, SHIQIAO_2))
    assert "from 1 of shiqiao-1, shiqiao-2" in found[0].text


def test_what_the_sentinels_would_say_then_is_said_before() -> None:
    """Two acknowledgements of one other site's two members; a mode that asks nobody."""
    found = told(spec(), spec(durability={"mode": "async"}))

    assert {"sync_set", "warning"} <= {each.kind for each in found}
    assert any("only the primary's lease" in each.text for each in found if each.kind == "warning")


def test_another_successor_is_named() -> None:
    """Priorities and no_failover show in who would take over."""
    found = told(spec(), spec(members=[{"uid": SANDUN_2, "no_failover": True}]))

    assert [(each.kind, each.text) for each in found] == [
        ("failover", "if the primary's host died, shiqiao-1 would take over, not sandun-2")
    ]


def test_a_change_after_which_nobody_may_take_over_says_nobody() -> None:
    """Not the primary itself, which the view goes on to name."""
    others = [{"uid": uid, "no_failover": True} for uid in (SANDUN_2, SHIQIAO_1, SHIQIAO_2)]
    (found,) = told(spec(), spec(members=others))

    assert found.text == "if the primary's host died, nobody would take over, not sandun-2"


def test_access_and_timings_say_when_they_take_effect() -> None:
    """A lease only with the next one, md5 with a warning."""
    access = told(
        spec(),
        spec(postgres={"hba": ["host all all 10.0.0.0/8 scram-sha-256"], "max_slot_wal_keep_size": "1GB"}),
    )
    md5 = told(spec(), spec(postgres={"md5_users": [{"user": "kong", "network": "10.0.0.0/8"}]}))
    timings = told(spec(), spec(timings={"lease_ttl": "5s", "park_limit": 7}))

    assert [each.kind for each in access] == ["reload", "reload"]
    assert [each.kind for each in md5] == ["reload", "warning"]
    assert [each.text for each in timings] == [
        "lease_ttl becomes 5s, from 3s, with the next lease that each service takes",
        "park_limit becomes 7, from 10000, at once",
    ]


def test_equal_specs_do_nothing() -> None:
    """No effect, no line of difference; and what is shown can be read back."""
    assert told(spec(), spec()) == []
    assert lines_of(spec(), spec(), ("a", "b")) == []
    assert lines_of(parameters(a="1", b="2"), parameters(b="2", a="1"), ("a", "b")) == []
    assert parse_spec(as_yaml(spec(durability={"acks": 2})), "x") == spec(durability={"acks": 2})


def test_a_difference_is_a_unified_diff_of_yaml() -> None:
    """As one knows it from patches."""
    lines = lines_of(spec(), spec(durability={"acks": 2}), ("in the store", "wanted"))

    assert lines[:2] == ["--- in the store", "+++ wanted"]
    assert "-  acks: 1" in lines
    assert "+  acks: 2" in lines
