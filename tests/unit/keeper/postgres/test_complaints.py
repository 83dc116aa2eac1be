"""PostgreSQL's refusals, in an operator's terms."""

from __future__ import annotations

from keeper.postgres.complaints import complaints

PREFIX = "2026-03-01 03:00:00.338 GMT [3095] "

SAID = [
    f'{PREFIX}LOG:  skipping missing configuration file "/data/postgresql.auto.conf"',
    f'{PREFIX}LOG:  invalid value for parameter "shared_buffers": "12 parsecs"',
    f'{PREFIX}HINT:  Valid units for this parameter are "B", "kB", "MB", "GB", and "TB".',
    f'{PREFIX}LOG:  -4 is outside the valid range for parameter "max_connections" (1 .. 262143)',
    f'{PREFIX}LOG:  invalid value for parameter "TimeZone": "Mars/Base"',
    f'{PREFIX}FATAL:  configuration file "/data/judged.conf" contains errors',
]
"""As PostgreSQL 15 writes it."""


def test_each_complaint_has_field_value_and_rule() -> None:
    """Names as the operator wrote them; a hint is part of the rule."""
    given = {
        "Shared_Buffers": "12 parsecs",
        "max_connections": "-4",
        "timezone": "Mars/Base",
        "work_mem": "4MB",
    }
    size, number, zone = complaints(SAID, given)

    assert size == (
        "postgres.parameters.Shared_Buffers = '12 parsecs': "
        'invalid value for parameter "shared_buffers": "12 parsecs"; '
        'Valid units for this parameter are "B", "kB", "MB", "GB", and "TB"'
    )
    assert number == (
        "postgres.parameters.max_connections = '-4': "
        '-4 is outside the valid range for parameter "max_connections" (1 .. 262143)'
    )
    assert zone == (
        'postgres.parameters.timezone = \'Mars/Base\': invalid value for parameter "TimeZone": "Mars/Base"'
    )


def test_the_place_in_our_own_file_is_left_out() -> None:
    """Nobody but the keeper ever sees that file."""
    line = f'{PREFIX}LOG:  unrecognized configuration parameter "foo" in file "/data/judged.conf" line 3'

    assert complaints([line], {"foo": "1"}) == (
        "postgres.parameters.foo = '1': unrecognized configuration parameter \"foo\"",
    )


def test_a_parameter_that_the_operator_did_not_give_is_named_without_a_value() -> None:
    """One of pgha's own, which no release may refuse."""
    line = f'{PREFIX}LOG:  parameter "port" cannot be changed'

    assert complaints([line], {}) == ('postgres.parameters.port: parameter "port" cannot be changed',)


def test_what_names_no_parameter_is_no_complaint() -> None:
    """The program may have failed for another cause: a missing library, say."""
    assert complaints(["postgres: error while loading shared libraries", f"{PREFIX}HINT:  x", ""], {}) == ()
