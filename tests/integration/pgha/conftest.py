"""What all tests of commands need."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def children_can_be_interrupted() -> Iterator[None]:
    """Also where the tests run in the background: a shell has such programs ignore SIGINT, children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
