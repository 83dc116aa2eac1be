"""What a line of the log looks like, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from common.runtime.logging import LEVELS, configure_logging

_log = structlog.get_logger()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    access_level = logging.getLogger("aiohttp.access").level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(access_level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("keeper", "sandun-1", "info", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_event_fields_and_who_speaks(stream: io.StringIO) -> None:
    """Time first, so that a person can read it too."""
    _log.info("promoted", term=4, took_s=0.18)

    (line,) = lines(stream)
    assert list(line)[:5] == ["timestamp", "level", "event", "service", "uid"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "promoted",
        "service": "keeper",
        "uid": "sandun-1",
        "term": 4,
        "took_s": 0.18,
    }


def test_on_a_terminal_a_line_is_for_people() -> None:
    """Without braces, and without the name of the one service that runs there."""
    stream = Terminal()
    configure_logging("keeper", "sandun-1", "info", stream=stream)

    _log.info("promoted", term=4)

    assert "promoted" in stream.getvalue()
    assert "{" not in stream.getvalue()
    assert "sandun-1" not in stream.getvalue()


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_holds_for_us_and_for_libraries(level: str) -> None:
    """Nothing below it is written, everything from it on is."""
    stream = io.StringIO()
    configure_logging("keeper", "sandun-1", level, stream=stream)

    for name in LEVELS:
        getattr(_log, name)("ours")
        getattr(logging.getLogger("grpc"), name)("theirs")

    written = [(line["event"], line["level"]) for line in lines(stream)]
    expected = LEVELS[LEVELS.index(level) :]
    assert written == [(event, name) for name in expected for event in ("ours", "theirs")]


def test_an_unknown_level_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="'loud': one of debug, info, warning, error"):
        configure_logging("keeper", "sandun-1", "loud")


def test_lines_of_libraries_look_like_ours() -> None:
    """With their logger's name and arguments; warnings come the same way."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging("keeper", "sandun-1", "info", stream=stream)
        logging.getLogger("aiohttp.server").warning("bad request from %s", "10.0.0.1")
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    first, second = lines(stream)
    assert (first["event"], first["logger"]) == ("bad request from 10.0.0.1", "aiohttp.server")
    assert first["service"] == "keeper"
    assert "DeprecationWarning: old" in second["event"]


def test_requests_are_not_logged_one_by_one(stream: io.StringIO) -> None:
    """Health checks would bury everything else."""
    logging.getLogger("aiohttp.access").info("GET /healthz")

    assert lines(stream) == []


def test_values_of_secret_names_are_replaced_at_any_depth(stream: io.StringIO) -> None:
    """Whatever their type, unless it is a number: a fencing token is no secret."""
    _log.info(
        "configured",
        password="hunter2",
        replication_passwd=b"hunter2",
        etcd={"user": "pgha", "Password": "hunter2", "tokens": ["hunter2"]},
        secret=SecretStr("hunter2"),
        passfile="*:*:*:replica:hunter2",
        token=77,
        members=[{"authorization": "Bearer hunter2"}],
    )

    (line,) = lines(stream)
    assert "hunter2" not in stream.getvalue()
    assert line["password"] == "***"
    assert line["etcd"] == {"user": "pgha", "Password": "***", "tokens": "***"}
    assert line["token"] == 77


def test_names_of_files_with_secrets_are_no_secrets(stream: io.StringIO) -> None:
    """They are what one looks for when a password is wrong."""
    _log.info("reads", password_file=Path("/etc/pgha/replication"))

    assert lines(stream)[0]["password_file"] == "/etc/pgha/replication"


@pytest.mark.parametrize(
    "text",
    [
        "host=a password=hunter2 port=5432",
        "host=a password='hun\\'ter2 hunter2' port=5432",
        "PGPASSWORD=hunter2",
        "ALTER ROLE x PASSWORD = 'hunter2'",
        '{"password": "hunter2"}',
        "postgresql://app:hunter2@a/app",
    ],
)
def test_passwords_inside_texts_are_replaced(stream: io.StringIO, text: str) -> None:
    """In events, fields and tracebacks, of libraries too."""
    _log.info(text, conninfo=text)
    logging.getLogger("grpc").error(text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        _log.exception("failed")

    assert len(lines(stream)) == 3
    assert "hunter2" not in stream.getvalue()
    assert "Traceback" in lines(stream)[2]["exception"]


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_tracebacks_show_no_local_variables(make: type[io.StringIO]) -> None:
    """Among them are secrets."""
    stream = make()
    configure_logging("keeper", "sandun-1", "info", stream=stream)

    def fail(secret_of_this_frame: str) -> None:
        raise RuntimeError("failed") from ValueError(len(secret_of_this_frame))

    try:
        fail("hunter" + "2")
    except RuntimeError:
        _log.exception("crashed")

    assert "RuntimeError: failed" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    """A full disk or a reader that has gone loses lines, nothing else."""
    configure_logging("keeper", "sandun-1", "info", stream=FullDisk())

    _log.error("lost")
    logging.getLogger("aiohttp").error("lost too")
