"""The import of python-etcd3's generated API."""

from __future__ import annotations

import os
import subprocess
import sys

_PROBE = """
import os
import common.store.etcd
from google.protobuf.internal import api_implementation
print(api_implementation.Type(), os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"))
"""


def test_the_python_runtime_of_protobuf_is_chosen_for_this_process_and_not_for_its_children() -> None:
    """Whatever the environment says, without a warning, and children find what the parent was given."""
    for given in (None, "upb"):
        environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": given or ""}
        if given is None:
            del environment["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _PROBE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (done.stdout.split(), done.stderr) == (["python", str(given)], "")
