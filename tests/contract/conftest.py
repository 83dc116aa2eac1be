"""The stores that must keep the contract: memory, and every etcd on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.store_backends import Backend, EtcdBackend, MemoryBackend
from tests.support.etcd import EtcdServer, etcd_binaries


@pytest.fixture(scope="session", params=["memory", *(f"etcd-{name}" for name in etcd_binaries())])
def store_backend(request: Any) -> Iterator[Backend]:
    """One store for all contract tests; each test has a prefix of its own."""
    if request.param == "memory":
        yield MemoryBackend()
        return
    binary = etcd_binaries()[request.param.removeprefix("etcd-")]
    with EtcdServer(binary) as server:
        yield EtcdBackend(server)
