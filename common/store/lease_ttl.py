"""How long a lease the operators want, read from the spec before a lease is taken."""

from __future__ import annotations

import structlog

from common.errors import InvalidDocument
from common.model.keys import Keys
from common.model.spec import ClusterSpec, Timings
from common.store.port import Store

_log = structlog.get_logger()


async def lease_ttl_of_spec(store: Store, keys: Keys) -> int:
    """Return ``timings.lease_ttl`` in seconds, the default where no usable spec stands.

    A changed spec counts from the next lease that a service takes. Raises StoreUnavailable.
    """
    for item in (await store.read(keys.spec)).items:
        if item.key == keys.spec:
            try:
                return int(ClusterSpec.from_bytes(item.value).timings.lease_ttl_s)
            except InvalidDocument as error:
                _log.warning("spec_unusable", error=str(error))
    return int(Timings().lease_ttl_s)
