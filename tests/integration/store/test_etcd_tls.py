"""TLS with client certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from common.errors import StoreUnavailable
from common.store.etcd import EtcdSettings, open_store
from common.store.port import Put
from tests.support.aio import run
from tests.support.etcd import EtcdServer


@dataclass(frozen=True)
class Secured:
    """An etcd that demands a client certificate, and the files to reach it."""

    server: EtcdServer
    ca: Path
    cert: Path
    key: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    ca, cert, key = directory / "ca.pem", directory / "client.pem", directory / "client-key.pem"
    authority.cert_pem.write_to_path(ca)
    client = authority.issue_cert("client@pgha.example")
    client.cert_chain_pems[0].write_to_path(cert)
    client.private_key_pem.write_to_path(key)
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.cert_chain_pems[0].write_to_path(directory / "server.pem")
    server.private_key_pem.write_to_path(directory / "server-key.pem")
    arguments = (
        f"--cert-file={directory}/server.pem",
        f"--key-file={directory}/server-key.pem",
        f"--trusted-ca-file={ca}",
        "--client-cert-auth",
    )
    with EtcdServer(scheme="https", arguments=arguments) as etcd:
        yield Secured(etcd, ca, cert, key)


def try_to_write(settings: EtcdSettings) -> bytes:
    async def story() -> bytes:
        store = open_store(settings)
        try:
            await store.transact([], [Put("/tls/a", b"1")])
            return (await store.read("/tls/")).items[0].value
        finally:
            await store.close()

    return run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_with_a_certificate_is_let_in(secured: Secured, host: str) -> None:
    """By address and by name, as the server's certificate says."""
    settings = EtcdSettings(
        endpoints=(f"https://{host}:{secured.server.client_port}",),
        tls_ca_file=secured.ca,
        tls_cert_file=secured.cert,
        tls_key_file=secured.key,
        timeout_s=30,
    )

    assert try_to_write(settings) == b"1"


def test_a_client_without_a_certificate_is_refused(secured: Secured) -> None:
    """The store counts as out of reach, and nothing was written."""
    settings = EtcdSettings(endpoints=(secured.server.url,), tls_ca_file=secured.ca, timeout_s=3)

    with pytest.raises(StoreUnavailable):
        try_to_write(settings)


def test_a_server_that_our_authority_did_not_sign_is_refused(secured: Secured, tmp_path: Path) -> None:
    """Whoever listens there instead of etcd learns nothing, and the error says why."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    settings = EtcdSettings(
        endpoints=(secured.server.url,),
        tls_ca_file=stranger,
        tls_cert_file=secured.cert,
        tls_key_file=secured.key,
        timeout_s=3,
    )

    async def story() -> None:
        store = open_store(settings)
        try:
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
                await store.read("/")
        finally:
            await store.close()

    run(story())


def test_renewed_certificates_are_used_without_a_restart(secured: Secured, tmp_path: Path) -> None:
    """A service runs for longer than its certificate: the files are read again after a failure."""
    ca, cert, key = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    stranger = trustme.CA()
    own = stranger.issue_cert("client@pgha.example")
    ca.write_bytes(secured.ca.read_bytes())
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    settings = EtcdSettings(
        endpoints=(secured.server.url,), tls_ca_file=ca, tls_cert_file=cert, tls_key_file=key, timeout_s=3
    )

    async def story() -> None:
        store = open_store(settings)
        try:
            with pytest.raises(StoreUnavailable):
                await store.read("/")
            cert.write_bytes(secured.cert.read_bytes())
            key.write_bytes(secured.key.read_bytes())
            await store.read("/")
        finally:
            await store.close()

    run(story())


def test_a_certificate_that_cannot_be_read_any_more_is_told_as_unavailable(
    secured: Secured, tmp_path: Path
) -> None:
    """A file that goes while a service runs does not end it; all works again when the file is back."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(secured.ca.read_bytes())
    settings = EtcdSettings(
        endpoints=(secured.server.url,), tls_ca_file=ca, tls_cert_file=secured.cert, tls_key_file=secured.key
    )
    ca.unlink()

    async def story() -> None:
        store = open_store(settings)
        try:
            with pytest.raises(StoreUnavailable, match=r"TLS file .*ca\.pem"):
                await store.read("/")
            with pytest.raises(StoreUnavailable, match=r"TLS file .*ca\.pem"):
                await store.transact([], [Put("/tls/a", b"")])
            ca.write_bytes(secured.ca.read_bytes())
            await store.read("/")
        finally:
            await store.close()

    run(story())
