"""Logs: one line per event with its fields; for people on a terminal, JSON for everything else.

Lines of libraries (aiohttp, grpc, asyncio) go the same way. Secrets are taken out of every line, and
no line can end the program: a full disk or a reader that has gone loses lines, nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO, cast, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.runtime.tail import LogTail

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[str, ...]] = get_args(Level)

REDACTED: Final = "***"

_SECRET_NAME: Final = re.compile(r"passw|passfile|secret|token|credential|authorization", re.IGNORECASE)
_NAME_OF_A_PLACE: Final = re.compile(r"_(file|path|dir)$", re.IGNORECASE)
_SECRET_IN_TEXT: Final = re.compile(
    r"""(passw(?:or)?d["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|'')*'|[^\s&,;"']+)""", re.IGNORECASE
)
_SECRET_IN_URL: Final = re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@")


def configure_logging(service: str, uid: str, level: str, *, stream: TextIO | None = None) -> LogTail:
    """Send all logs of this process to ``stream``, standard error if left out; keep and return the last.

    ``level`` is one of LEVELS; raises ValueError for another.
    """
    if level not in LEVELS:
        raise ValueError(f"log_level = {level!r}: one of {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    stream = sys.stderr if stream is None else stream
    lines = _Lines(stream)
    tail = LogTail()
    prepare: list[Processor] = [*_prepare(service, uid, for_people=stream.isatty()), tail]
    render = _renderer(for_people=stream.isatty())
    structlog.configure(
        processors=[structlog.processors.add_log_level, *prepare, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", lines)),
        cache_logger_on_first_use=False,
    )
    _route_libraries(lines, number, prepare, render)
    return tail


def _route_libraries(lines: _Lines, number: int, prepare: list[Processor], render: Processor) -> None:
    """Make the standard library's logging, and with it every library's, write the same lines."""
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *prepare, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # One line per request of a health check would bury everything else.
    logging.getLogger("aiohttp.access").setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


def _prepare(service: str, uid: str, *, for_people: bool) -> list[Processor]:
    def name_the_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
        return {**first, "service": service, "uid": uid, **event}

    prepare: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        redact,
    ]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return [stamp, *prepare] if for_people else [stamp, name_the_service, *prepare]


def _renderer(*, for_people: bool) -> Processor:
    if for_people:
        # Plain: the pretty tracebacks show local variables, secrets among them.
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(default=str, ensure_ascii=False)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace what must not be read: the values of fields named like secrets, passwords inside texts.

    Numbers stay (a fencing token is no secret), and so do the names of files that hold one.
    """
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name) and not _NAME_OF_A_PLACE.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_IN_URL.sub(rf"\1{REDACTED}@", _SECRET_IN_TEXT.sub(rf"\1{REDACTED}", value))
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(name, inner) for inner in value]
    return _redacted(name, str(value))


class _Lines:
    """A stream that loses lines rather than raise."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()
