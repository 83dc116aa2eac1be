"""Names that nobody has used before."""

from __future__ import annotations

import re
import uuid

from common.runtime.ids import new_id, new_incarnation, new_secret


def test_an_incarnation_is_eight_hex_digits() -> None:
    """As slots and application names carry it."""
    made = {new_incarnation() for _ in range(100)}

    assert len(made) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in made)


def test_an_id_is_a_random_uuid() -> None:
    """Never the same twice."""
    first, second = new_id(), new_id()

    assert first != second
    assert uuid.UUID(first).version == 4


def test_a_secret_is_long_and_needs_no_quoting() -> None:
    """Not in a connection string, a passfile or a shell."""
    first, second = new_secret(), new_secret()

    assert first != second
    assert re.fullmatch("[A-Za-z0-9_-]{32}", first)
