"""Running ``pgha`` against a cluster of the tests, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from typing import Any
from unittest import mock

from pgha.main import run
from tests.support.cluster import Cluster


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def pgha(cluster: Cluster, *arguments: str, **environment: str) -> Said:
    """Run one command to its end, with what else shall stand in the environment."""
    out, err = io.StringIO(), io.StringIO()
    named = cluster.environment | environment
    with (
        mock.patch.dict(os.environ, named),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(list(arguments))
    return Said(int(code), out.getvalue(), err.getvalue())
