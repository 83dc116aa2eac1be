"""Where things lie under a keeper's root directory.

``data``      the data directory
``data.new``  a clone or initdb under way
``data.old``  what a clone replaced, until the clone runs
``state``     the keeper's own memory (0700)
``socket``    the Unix socket; only PostgreSQL's user and root can enter
``passwords`` a libpq password file, for the WAL receiver and the programs
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import InvalidSpec
from common.runtime.disk import Owner, give

SOCKET_PATH_LIMIT_BYTES: Final = 107
"""Linux's limit for the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one keeper."""

    root: Path

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def new(self) -> Path:
        """Where a clone or initdb is built."""
        return self.root / "data.new"

    @property
    def old(self) -> Path:
        """What the last clone replaced."""
        return self.root / "data.old"

    @property
    def state(self) -> Path:
        """The keeper's own memory."""
        return self.root / "state"

    @property
    def socket(self) -> Path:
        """Directory of the Unix socket."""
        return self.root / "socket"

    @property
    def passwords(self) -> Path:
        """A password file as libpq reads it."""
        return self.root / "passwords"

    @property
    def log(self) -> Path:
        """What PostgreSQL says."""
        return self.root / "postgres.log"

    def check(self, port: int) -> None:
        """Raise InvalidSpec when the root cannot serve."""
        if not self.root.is_absolute():
            raise InvalidSpec(f"root = {self.root}: must be an absolute path")
        path = os.fsencode(self.socket / f".s.PGSQL.{port}")
        if len(path) > SOCKET_PATH_LIMIT_BYTES:
            raise InvalidSpec(
                f"root = {self.root}: the Unix socket's path would have {len(path)} bytes, Linux allows "
                f"{SOCKET_PATH_LIMIT_BYTES}; choose a root shorter by "
                f"{len(path) - SOCKET_PATH_LIMIT_BYTES} bytes"
            )
        if "'" in str(self.root) or "\n" in str(self.root):
            raise InvalidSpec(f"root = {str(self.root)!r}: must not contain quotes or line ends")

    def create(self, owner: Owner) -> None:
        """Create what must exist before anything else; PostgreSQL's user can pass through the root."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        if not self.socket.exists():
            self.socket.mkdir(mode=0o700)
        self.socket.chmod(0o700)
        give(self.socket, owner)
