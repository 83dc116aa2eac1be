"""The first packet of a client, whatever it sends."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pgwire import MAX_STARTUP_BYTES, NotPostgres, Opening, error_response, read_opening

STARTUP_BODY = b"user\0kong\0database\0kong\0\0"


def packet(code: int, body: bytes = b"") -> bytes:
    return struct.pack("!iI", 8 + len(body), code) + body


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (packet(196608, STARTUP_BODY), Opening.STARTUP),
        (packet(196610, STARTUP_BODY), Opening.STARTUP),
        (packet(80877103), Opening.SSL),
        (packet(80877104), Opening.GSSENC),
        (packet(80877102, b"\0" * 8), Opening.CANCEL),
        (packet(80877102, b"\0" * 36), Opening.CANCEL),
    ],
    ids=["3.0", "3.2", "ssl", "gssenc", "cancel", "cancel with a long key"],
)
def test_every_beginning_is_known_in_whatever_pieces_it_comes(data: bytes, kind: Opening) -> None:
    """Complete at its last byte, not before, and what follows is not part of it."""
    for length in range(len(data)):
        assert read_opening(data[:length]) is None

    assert read_opening(data) == (kind, len(data))
    assert read_opening(data + b"more") == (kind, len(data))


def test_a_bare_tls_handshake_is_known_by_its_first_byte() -> None:
    """Clients of PostgreSQL 17 can begin with it."""
    assert read_opening(b"\x16\x03\x01") == (Opening.TLS, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "bytes"),
        (packet(0x00020000, STARTUP_BODY), "protocol 2.0"),
        (struct.pack("!iI", MAX_STARTUP_BYTES + 5, 196608), "10005 bytes"),
        (struct.pack("!iI", 7, 196608), "7 bytes"),
        (struct.pack("!iI", -1, 196608), "-1 bytes"),
        (packet(80877103, b"x"), "ssl request of 9 bytes"),
        (packet(80877102, b"x"), "cancel request of 9 bytes"),
    ],
)
def test_what_is_no_postgresql_is_refused_from_its_header_on(data: bytes, words: str) -> None:
    """Before the body is waited for, and saying what it was."""
    with pytest.raises(NotPostgres, match=words):
        read_opening(data)


def test_the_longest_packet_that_postgresql_takes_is_taken() -> None:
    """The limit does not count the length field."""
    data = packet(196608, b"x" * (MAX_STARTUP_BYTES + 4 - 8))

    assert read_opening(data) == (Opening.STARTUP, MAX_STARTUP_BYTES + 4)


@given(st.binary(max_size=64))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    """It says what it is, that more is needed, or that it is not PostgreSQL."""
    try:
        found = read_opening(data)
    except NotPostgres:
        return

    assert found is None or 0 < found[1] <= len(data)


@given(st.binary(max_size=64), st.integers(0, 64))
def test_what_is_known_of_a_beginning_stays_true_when_more_comes(data: bytes, cut: int) -> None:
    """A verdict on a part is the verdict on the whole."""

    def verdict(part: bytes) -> object:
        try:
            found = read_opening(part)
        except NotPostgres:
            return NotPostgres
        return found and (found[0], found[0] is Opening.TLS or found[1])

    early = verdict(data[:cut])

    assert early is None or early == verdict(data)


@given(st.text())
def test_an_error_is_framed_as_the_manual_says_whatever_its_text(text: str) -> None:
    """Type, length, fields of one letter and a string each, a zero."""
    raw = error_response("57P03", text)
    length = struct.unpack_from("!i", raw, 1)[0]
    fields = raw[5:-1].split(b"\0")

    assert raw[:1] == b"E"
    assert length == len(raw) - 1
    assert [field[:1] for field in fields] == [b"S", b"V", b"C", b"M", b""]
    assert raw.endswith(b"\0\0")
