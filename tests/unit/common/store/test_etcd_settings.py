"""Settings of etcd: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.store.etcd.settings import Address, EtcdSettings


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "file.pem"
    path.write_text("x")
    return path


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("http://10.0.0.1:2379", "ipv4:10.0.0.1:2379"),
        ("10.0.0.1", "ipv4:10.0.0.1:2379"),
        ("https://etcd.sandun.example:12379/", "dns:///etcd.sandun.example:12379"),
        ("http://[fd00::1]:2379", "ipv6:[fd00::1]:2379"),
    ],
)
def test_an_endpoint_is_an_address_or_a_name_with_a_port(endpoint: str, target: str) -> None:
    """The port is etcd's own when it is left out."""
    assert Address.parse(endpoint).target == target


@pytest.mark.parametrize(
    "endpoint",
    ["", "ftp://a:1", "http://", "http://a:port", "http://a:99999", "http://a/path", "http://u@a:1", "a b"],
)
def test_what_is_no_endpoint_is_refused_with_an_example(endpoint: str) -> None:
    """The sentence shows how to write one."""
    with pytest.raises(ValidationError, match="is no etcd endpoint: write it as http://host:2379"):
        EtcdSettings(endpoints=("http://127.0.0.1:2379", endpoint))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"endpoints": ()}, "name at least one etcd endpoint"),
        ({"endpoints": ("http://a", "a:2379")}, "an etcd endpoint is named twice"),
        ({"endpoints": ("http://a", "https://b")}, "endpoints mix http:// and https://"),
        ({"tls_cert_file": "PEM"}, "tls_cert_file and tls_key_file go together"),
        ({"tls_key_file": "PEM"}, "tls_cert_file and tls_key_file go together"),
        ({"tls_ca_file": "/nowhere/ca.pem"}, "tls_ca_file = /nowhere/ca.pem: there is no such file"),
        ({"endpoints": ("http://a",), "tls_ca_file": "PEM"}, "the endpoints say http://"),
        ({"user": "pgha"}, "user = pgha: a user needs password or password_file"),
        ({"password": "x"}, "a password without a user"),
        ({"user": "pgha", "password": "x", "password_file": "PEM"}, "not in both"),
        (
            {"user": "pgha", "password_file": "/nowhere/pw"},
            "password_file = /nowhere/pw: there is no such file",
        ),
        ({"timeout_s": 0}, "greater than 0"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(pem: Path, settings: dict[str, Any], sentence: str) -> None:
    """At start, not at the first call."""
    given = {name: pem if value == "PEM" else value for name, value in settings.items()}

    with pytest.raises(ValidationError, match=sentence):
        EtcdSettings(**given)


def test_endpoints_may_come_as_one_text_with_commas() -> None:
    """As an environment variable gives them."""
    settings = EtcdSettings.model_validate({"endpoints": "http://a:1, http://b:2,"})

    assert settings.endpoints == ("http://a:1", "http://b:2")
    assert not settings.uses_tls


def test_tls_follows_from_https_or_from_its_files(pem: Path) -> None:
    """A bare host:port with a CA file is with TLS too."""
    assert EtcdSettings(endpoints=("https://a",)).uses_tls
    assert EtcdSettings(endpoints=("a:2379",), tls_ca_file=pem).uses_tls
    assert not EtcdSettings(endpoints=("a:2379",)).uses_tls


def test_a_password_is_never_shown_and_its_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """So that a changed password needs no restart."""
    path = tmp_path / "password"
    path.write_text("first\n")
    settings = EtcdSettings(user="pgha", password_file=path)
    first = settings.read_password()
    path.write_text("second\n")

    assert (first, settings.read_password()) == ("first", "second")
    assert "hidden" not in repr(EtcdSettings.model_validate({"user": "pgha", "password": "hidden"}))
