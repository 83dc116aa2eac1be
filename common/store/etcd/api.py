"""python-etcd3's generated API, imported so that it works with today's protobuf and grpc.

Import :data:`rpc` and :data:`grpc` from here and from nowhere else: three variables of the
environment count at the first import of protobuf and grpc.

- The generated code is older than what protobuf's C runtime accepts; the Python runtime takes it. Its
  speed is enough: a message of this API takes well under a millisecond. The choice is taken back after
  the import, since children inherit it: an archive_command may be a Python program with protobuf of its own.
- grpc's fork handlers make children crash that are started the ordinary way; nothing here needs them.
- grpc writes failed connections to stderr in a form of its own; every one of them comes back as an
  error as well, and stderr belongs to the service's log.
"""

from __future__ import annotations

import os
import warnings

_PROTOBUF_RUNTIME = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"

_set_before = os.environ.get(_PROTOBUF_RUNTIME)
os.environ[_PROTOBUF_RUNTIME] = "python"
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

with warnings.catch_warnings():
    warnings.filterwarnings(
        "ignore", message="Call to deprecated create function", category=DeprecationWarning
    )
    import grpc.aio
    from etcd3 import etcdrpc as rpc
    from google.protobuf.unknown_fields import UnknownFieldSet

if _set_before is None:
    del os.environ[_PROTOBUF_RUNTIME]
else:
    os.environ[_PROTOBUF_RUNTIME] = _set_before

__all__ = ["UnknownFieldSet", "grpc", "rpc"]
