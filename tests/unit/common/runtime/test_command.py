"""What of a command's output is kept, and that no secret is in it."""

from __future__ import annotations

import pytest

from common.runtime.command import Tail

SECRET = "open sesame"


def kept(*chunks: bytes, secret: str = SECRET, limit_bytes: int = 100) -> str:
    tail = Tail(secret, limit_bytes)
    for chunk in chunks:
        tail.add(chunk)
    return tail.text()


def test_the_end_is_kept() -> None:
    """Errors stand at the end; memory has a limit."""
    assert kept(b"a" * 1000, b"b" * 60, b"the end", limit_bytes=20) == "b" * 13 + "the end"


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_is_taken_out_wherever_it_was_cut(cut: int) -> None:
    """A pipe gives what it has."""
    raw = f"login with {SECRET} failed".encode()
    at = raw.index(SECRET.encode()) + cut

    assert kept(raw[:at], raw[at:]) == "login with *** failed"


@pytest.mark.parametrize("more", range(30))
def test_no_part_of_a_secret_is_left_at_the_beginning(more: int) -> None:
    """Where the kept part begins in the midst of it."""
    text = kept(f"{SECRET}".encode() + b"x" * more, b"y" * 10, limit_bytes=20)

    assert not set(text) - set("xy*")


def test_no_beginning_of_a_secret_is_left_at_the_end() -> None:
    """Where the agent was killed in the midst of it."""
    assert kept(b"login with open ses") == "login with ***"


def test_without_a_secret_nothing_is_replaced() -> None:
    """Not every agent has a password."""
    assert kept(b" as it came \n", secret="") == "as it came"


def test_what_is_no_text_is_shown_all_the_same() -> None:
    """An agent may write anything."""
    assert kept(b"\xff\xfe ok") == "\ufffd\ufffd ok"
