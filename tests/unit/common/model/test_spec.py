"""What operators may write, and what is refused with a sentence that helps them."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidDocument, InvalidSpec
from common.model.spec import ClusterSpec, MemberSpec

FENCE: dict[str, Any] = {
    "agent": "/usr/sbin/fence_ipmilan",
    "options": {"ip": "192.0.2.7", "lanplus": True, "ipport": 623},
    "password_file": "/etc/pgha/ipmi",
}

FULL: dict[str, Any] = {
    "sites": [{"name": "sandun"}, {"name": "shiqiao", "max_members": 3}],
    "members": [
        {"uid": "sandun-1", "site": "sandun", "priority": 5},
        {"uid": "shiqiao-1", "no_failover": True},
        {"uid": "shiqiao-2", "fence": {**FENCE, "timeout": "15s"}},
    ],
    "durability": {"survive": "node", "mode": "strict", "acks": 2},
    "timings": {"lease_ttl": "5s", "restart_after": "1500ms", "remove_after": "2d"},
    "postgres": {
        "parameters": {"work_mem": "64MB", "max_connections": 300, "jit": False},
        "hba": ["hostssl all all 10.0.0.0/8 scram-sha-256"],
        "md5_users": [{"user": "kong", "network": "10.1.0.0/16"}],
        "max_slot_wal_keep_size": "20GB",
    },
}


def refusal(plain: Any) -> str:
    with pytest.raises(InvalidSpec) as caught:
        ClusterSpec.from_plain(plain)
    return str(caught.value)


def fence(**fields: Any) -> dict[str, Any]:
    """A spec whose one member has a fence agent with some fields of its own."""
    return {"members": [{"uid": "a", "fence": {**FENCE, **fields}}]}


def test_an_empty_spec_is_the_defaults() -> None:
    """As the table of the protocol page has them."""
    spec = ClusterSpec.from_plain({})

    assert (spec.durability.survive, spec.durability.mode, spec.durability.acks) == (None, "degrade", 1)
    assert (spec.timings.lease_ttl_s, spec.timings.restart_after_s, spec.timings.degrade_after_s) == (3, 2, 2)
    assert (spec.timings.promote_timeout_s, spec.timings.park_timeout_s, spec.timings.park_limit) == (
        10,
        30,
        10_000,
    )
    assert spec.postgres.max_slot_wal_keep_size == 10 << 30


def test_a_spec_comes_back_from_the_store_as_it_was_written() -> None:
    """In the operators' spelling, with units."""
    spec = ClusterSpec.from_plain(FULL)
    plain = spec.to_plain()

    assert ClusterSpec.from_bytes(spec.to_bytes()) == spec
    assert ClusterSpec.from_plain(plain) == spec
    assert plain["timings"]["lease_ttl"] == "5s"
    assert plain["timings"]["restart_after"] == "1500ms"
    assert plain["postgres"]["max_slot_wal_keep_size"] == "20GB"


def test_parameters_are_texts_as_postgresql_writes_them() -> None:
    """YAML's numbers and booleans are taken as they are meant."""
    parameters = ClusterSpec.from_plain(FULL).postgres.parameters

    assert parameters == {"work_mem": "64MB", "max_connections": "300", "jit": "off"}


def test_a_member_without_an_entry_has_the_defaults() -> None:
    """Keepers need not be listed."""
    spec = ClusterSpec.from_plain(FULL)

    assert spec.member("sandun-1").priority == 5
    assert spec.member("sandun-1").fence is None
    assert spec.member("somebody") == MemberSpec(uid="somebody")


def test_a_fence_agent_is_told_its_options_line_by_line() -> None:
    """YAML's numbers and booleans as the agents read them."""
    member = ClusterSpec.from_plain(FULL).member("shiqiao-2")

    assert member.fence is not None
    assert member.fence.lines() == b"ip=192.0.2.7\nlanplus=on\nipport=623\n"
    assert member.fence.timeout_s == 15


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({"durabilty": {}}, ["durabilty", "unknown field"]),
        ({"durability": {"ack": 1}}, ["durability.ack", "unknown field"]),
        ({"durability": {"acks": 0}}, ["durability.acks", "0", "greater than or equal to 1"]),
        ({"durability": {"survive": "rack"}}, ["durability.survive", "'rack'", "'site' or 'node'"]),
        ({"durability": {"max_lag_on_failover": 1024}}, ["max_lag_on_failover", "1024", "needs a unit"]),
        ({"timings": {"lease_ttl": 3}}, ["timings.lease_ttl", "3", "needs a unit"]),
        ({"timings": {"lease_ttl": "3 sec"}}, ["timings.lease_ttl", "'3 sec'", "units ms, s"]),
        ({"timings": {"lease_ttl": "1s"}}, ["lease_ttl = 1s", "2s or more"]),
        ({"timings": {"lease_ttl": "2500ms"}}, ["lease_ttl = 2500ms", "whole seconds"]),
        ({"timings": {"restart_after": "0s"}}, ["restart_after", "more than 0"]),
        ({"timings": {"restart_after": "0.2ms"}}, ["restart_after", "whole milliseconds"]),
        ({"timings": {"proxy_timeout": "2s"}}, ["proxy_timeout = 2s", "two attestation periods"]),
        ({"timings": {"fence_after": "5s"}}, ["fence_after = 5s", "proxy_timeout = 5s", "let go first"]),
        ({"timings": {"park_limit": 70_000}}, ["timings.park_limit", "70000"]),
        ({"sites": [{"name": "a"}, {"name": "a"}]}, ["sites", "'a'", "more than once"]),
        ({"sites": [{}]}, ["sites.0.name", "required"]),
        ({"sites": [{"name": ""}]}, ["sites.0.name", "1 to 40"]),
        ({"members": [{"uid": "a"}, {"uid": "a"}]}, ["members", "'a'", "more than once"]),
        ({"members": [{"uid": "a-1"}, {"uid": "A_1"}]}, ["as PostgreSQL names them", "'a_1'"]),
        ({"members": [{"uid": "a b"}]}, ["members.0.uid", "'a b'"]),
        (
            {"sites": [{"name": "a"}], "members": [{"uid": "x", "site": "b"}]},
            ["uid 'x'", "site 'b'", "['a']"],
        ),
        ({"postgres": {"md5_users": [{"user": "a", "network": "10.0.0.1/8"}]}}, ["network", "host bits"]),
        ({"postgres": {"md5_users": [{"user": "a b", "network": "::/0"}]}}, ["md5_users.0.user"]),
        ({"postgres": {"max_slot_wal_keep_size": "10"}}, ["max_slot_wal_keep_size", "needs a number"]),
        (fence(agent="fence_ipmilan"), ["members.0.fence", "agent", "absolute path of a fence_"]),
        (fence(agent="/usr/sbin/../../tmp/fence_x"), ["agent", "absolute path"]),
        (fence(agent="/bin/sh"), ["agent", "fence_ program"]),
        (fence(options={"action": "on"}), ["options: action is chosen by pgha"]),
        (fence(options={"passwd": "x"}), ["options: passwd must not stand in the spec", "password_file"]),
        (fence(options={"snmp_community": "x"}), ["snmp_community must not stand in the spec"]),
        (fence(options={"ip": "a\naction=on"}), ["options: ip has a line end"]),
        (fence(options={"ip=a": "b"}), ["no name of an option"]),
        (fence(options={"ip": "a" * 9000}), ["longer than 8192 bytes"]),
        (fence(password_file="ipmi"), ["password_file = 'ipmi'", "absolute"]),
        (fence(timeout="0s"), ["timeout must be more than 0"]),
        (fence(timeout="11min"), ["at most 10min"]),
        ({"schema_version": 2}, ["schema_version = 2", "reads up to 1"]),
        ([], ["mapping"]),
    ],
)
def test_what_is_wrong_is_named_with_its_field_value_and_rule(plain: Any, words: list[str]) -> None:
    """So that nobody has to look it up."""
    said = refusal(plain)

    assert all(word in said for word in words), said


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Not one error per try."""
    said = refusal({"durability": {"acks": 0}, "timings": {"lease_ttl": 3}})

    assert "durability.acks" in said
    assert "timings.lease_ttl" in said


def test_a_stored_spec_with_an_unknown_field_counts_as_absent() -> None:
    """A setting that this release does not know must not be ignored in silence."""
    with pytest.raises(InvalidDocument, match="unknown field"):
        ClusterSpec.from_bytes(b'{"durabilty": {}}')
