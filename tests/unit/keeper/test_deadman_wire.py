"""The lines between keeper and deadman, and what the deadman is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.deadman.launch import command
from keeper.deadman.wire import (
    LINE_LIMIT_BYTES,
    Answer,
    Request,
    decode_answer,
    decode_request,
    encode,
)

REQUEST = Request(7, "arm", 812.123456789, 3.0)
ANSWER = Answer(id=7, state="armed", pid=42, deadline=812.123456789, margin_s=2.5, refused="x" * 300)


def test_messages_come_back_as_they_were_written() -> None:
    """A deadline to the last digit; one line each, within the limit."""
    lines = (encode(REQUEST), encode(ANSWER))

    assert decode_request(lines[0]) == REQUEST
    assert decode_answer(lines[1]) == ANSWER
    assert all(line.count(b"\n") == 1 and len(line) < LINE_LIMIT_BYTES for line in lines)


def test_what_another_release_added_is_ignored() -> None:
    """A keeper is upgraded beside a deadman that is armed."""
    request = json.dumps({"id": 1, "op": "status", "colour": "red"}).encode()
    answer = json.dumps({"id": 1, "state": "idle", "pid": 2, "colour": "red"}).encode()

    assert decode_request(request) == Request(1, "status")
    assert decode_answer(answer) == Answer(id=1, state="idle", pid=2)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"op": "arm"}',
        b'{"id": "x", "op": "arm"}',
        b'{"id": 1, "op": "arm", "deadline": "x"}',
    ],
)
def test_what_is_no_request_is_an_error(line: bytes) -> None:
    """One kind of error, whatever is wrong."""
    with pytest.raises(ValueError, match=r"."):
        decode_request(line)


def test_it_imports_nothing_but_the_standard_library() -> None:
    """What is installed around it can neither slow its start nor break it: it cannot even be found."""
    arguments = list(command(Path("/nowhere"), Path("/nowhere/data")))
    at = arguments.index("-c") + 1
    arguments[at] = arguments[at].replace(
        "sys.exit(main(sys.argv[2:]))", "import json; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    modules = json.loads(done.stdout)
    ours = {name for name in modules if name.partition(".")[0] in {"common", "keeper"}}
    others = {name.partition(".")[0] for name in modules} - {"common", "keeper", "__main__"}

    assert "keeper.deadman.watch" in ours
    assert others <= sys.stdlib_module_names
    assert "asyncio" not in others
    assert not {name for name in ours if name.startswith(("keeper.postgres.", "common.model."))}
