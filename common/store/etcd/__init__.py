"""The Store port on etcd."""

from common.store.etcd.settings import EtcdSettings
from common.store.etcd.store import EtcdStore, open_store

__all__ = ["EtcdSettings", "EtcdStore", "open_store"]
