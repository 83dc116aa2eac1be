"""Prefixes as ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.store.keyspace import prefix_range


@given(prefix=st.text(min_size=1), key=st.text())
def test_a_key_lies_in_the_range_exactly_when_it_has_the_prefix(prefix: str, key: str) -> None:
    """For every text, in the order of bytes that etcd uses."""
    first, end = prefix_range(prefix)

    for candidate in (key, prefix + key):
        raw = candidate.encode()
        assert (first <= raw < end) == raw.startswith(prefix.encode())


def test_no_prefix_is_every_key() -> None:
    """As etcd writes it: from the zero byte to the zero byte."""
    assert prefix_range("") == (b"\0", b"\0")
