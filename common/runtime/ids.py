"""Names that nobody has used before: the one place that asks the system for randomness."""

from __future__ import annotations

import secrets
import uuid


def new_incarnation() -> str:
    """The id of one life of a data directory: 8 hex digits (protocol, section 1)."""
    return secrets.token_hex(4)


def new_id() -> str:
    """A random UUID: a store's id, a request's, a change's, a nonce."""
    return str(uuid.uuid4())


def new_secret() -> str:
    """A password that nobody guesses: 24 random bytes, in characters that need no quoting."""
    return secrets.token_urlsafe(24)
