"""A service's own directory without a disk: what a virtual clock needs, which waits for no thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class MemoryDisk:
    """The Disk port in memory: a write is durable at once, and outlives the service that made it."""

    files: dict[str, str] = field(default_factory=dict)
    """Name and JSON, so that nothing is kept which a file could not hold."""

    async def read(self, name: str) -> dict[str, Any] | None:
        value: dict[str, Any] | None = json.loads(self.files.get(name, "null"))
        return value

    async def write(self, name: str, value: Mapping[str, Any]) -> None:
        self.files[name] = json.dumps(value)

    async def remove(self, name: str) -> None:
        self.files.pop(name, None)
