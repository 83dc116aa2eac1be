"""What keeper and deadman say to each other: JSON, one line each way, over a Unix socket in the root.

A request is ``{"id": 7, "op": "arm", "deadline": 812.25, "limit_s": 3.0}``; ``op`` is one of
``arm``, ``disarm`` and ``status``. Each is answered, in order, with its id, the state after it, and
``refused`` when it changed nothing. Unknown fields are ignored, so that a keeper can be upgraded beside
a deadman that is armed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

PROTOCOL: Final = 1
LINE_LIMIT_BYTES: Final = 2048


def socket_path(root: Path) -> Path:
    """Where the deadman of a root directory listens; shorter than PostgreSQL's own socket there."""
    return root / "deadman.sock"


def lock_path(root: Path) -> Path:
    """The lock that makes it the only one; it ends with the process."""
    return root / "deadman.lock"


def log_path(root: Path) -> Path:
    """What it says of itself."""
    return root / "deadman.log"


@dataclass(frozen=True, slots=True)
class Request:
    """What a keeper asks. ``deadline`` is in seconds of CLOCK_BOOTTIME."""

    id: int
    op: str
    deadline: float = 0.0
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How things stand after a request.

    ``margin_s`` is None while idle; ``fired`` counts the deadlines that passed in this process's life;
    ``killed`` how many processes the last of them ended; ``left`` says what was left at the last look.
    ``locked`` and ``priority`` are what it got against starvation.
    """

    id: int
    state: str
    pid: int
    deadline: float = 0.0
    margin_s: float | None = None
    fired: int = 0
    killed: int = 0
    left: str = "none"
    locked: bool = False
    priority: str = "normal"
    refused: str = ""
    protocol: int = PROTOCOL


def encode(message: Request | Answer) -> bytes:
    """One line."""
    return json.dumps(asdict(message)).encode() + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request; raises ValueError for what is none."""
    request = Request(**_known(line, Request))
    if not isinstance(request.id, int) or not all(
        isinstance(value, int | float) for value in (request.deadline, request.limit_s)
    ):
        raise ValueError("a request needs numbers")
    return request


def decode_answer(line: bytes) -> Answer:
    """Read an answer; raises ValueError for what is none."""
    return Answer(**_known(line, Answer))


def _known(line: bytes, kind: type[Request | Answer]) -> dict[str, Any]:
    plain = json.loads(line)
    if not isinstance(plain, dict):
        raise ValueError("not a mapping")  # noqa: TRY004 - one error for whatever is wrong
    known = {field.name: plain[field.name] for field in fields(kind) if field.name in plain}
    if missing := {"id", "op" if kind is Request else "state"} - known.keys():
        raise ValueError(f"{missing} missing")
    return known
