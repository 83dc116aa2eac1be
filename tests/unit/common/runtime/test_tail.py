"""The lines that a process keeps of its log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from common.runtime.logging import configure_logging
from common.runtime.tail import KEPT_LINES, SHOWN_LINES, VALUE_LIMIT_CHARACTERS, LogTail


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def filled(count: int) -> LogTail:
    tail = LogTail()
    for number in range(1, count + 1):
        tail(None, "info", {"event": f"e{number}"})
    return tail


def test_only_the_newest_lines_are_kept_and_numbers_go_on() -> None:
    """Memory has a limit; a reader can ask for what came after what it has."""
    said = filled(KEPT_LINES + 10).since(KEPT_LINES + 7)

    assert said["last"] == KEPT_LINES + 10
    assert [line["number"] for line in said["lines"]] == [KEPT_LINES + 8, KEPT_LINES + 9, KEPT_LINES + 10]
    assert len(filled(KEPT_LINES + 10).since(0)["lines"]) == SHOWN_LINES
    assert LogTail().since(5) == {"last": 0, "lines": []}


def test_what_is_kept_can_be_sent_and_is_short() -> None:
    """Whatever a line holds becomes JSON of bounded length."""
    tail = LogTail()
    tail(None, "info", {"event": "x" * 10_000, "where": {"a": 1}, "who": object(), "_record": object()})
    (line,) = tail.since(0)["lines"]

    assert len(line["event"]) == VALUE_LIMIT_CHARACTERS
    assert line["where"] == "a=1"
    assert "_record" not in line
    json.dumps(line)


def test_what_is_logged_is_kept_without_its_secrets() -> None:
    """The tail hangs behind all that takes them out; lines of libraries come, too, and no debug lines."""
    tail = configure_logging("keeper", "sandun-1", "info", stream=io.StringIO())
    structlog.get_logger().info("connects", dsn="host=x password=hunter2", password="hunter2")
    structlog.get_logger().debug("too much")
    logging.getLogger("library").warning("password=hunter2")
    first, second = tail.since(0)["lines"]

    assert (first["event"], first["level"], first["uid"]) == ("connects", "info", "sandun-1")
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"
    assert "hunter2" not in json.dumps([first, second])
