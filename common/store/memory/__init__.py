"""The Store port in memory, for tests and the simulator."""

from common.store.memory.client import MemoryStore
from common.store.memory.server import Backup, MemoryEtcd

__all__ = ["Backup", "MemoryEtcd", "MemoryStore"]
