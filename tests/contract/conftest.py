"""What must keep the contracts: memory and every etcd on this machine; PostgreSQL, real and simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.postgres_backends import Backend as PostgresBackend
from tests.contract.postgres_real import RealPostgres
from tests.contract.postgres_simulated import SimulatedPostgres
from tests.contract.store_backends import Backend, EtcdBackend, MemoryBackend, SimBackend
from tests.support.etcd import EtcdServer, etcd_binaries


@pytest.fixture(
    scope="session", params=["memory", "simulated", *(f"etcd-{name}" for name in etcd_binaries())]
)
def store_backend(request: Any) -> Iterator[Backend]:
    """One store for all contract tests; each test has a prefix of its own."""
    if request.param == "memory":
        yield MemoryBackend()
        return
    if request.param == "simulated":
        yield SimBackend()
        return
    binary = etcd_binaries()[request.param.removeprefix("etcd-")]
    with EtcdServer(binary) as server:
        yield EtcdBackend(server)


@pytest.fixture(params=["real", "simulated"])
def postgres_backend(request: Any) -> PostgresBackend:
    """One kind of PostgreSQL; each test has servers of its own."""
    return RealPostgres() if request.param == "real" else SimulatedPostgres()
