"""``python -m tests.checks FILE``: judge the history of a run.

Exit code 0: every verdict is good; 1: something was violated, or the history cannot show that all is
well; 64: wrong usage, or a file that is no history.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.checks.check import check
from tests.checks.history import MalformedHistory
from tests.checks.jsonlines import read_history

HOLDS: Final = 0
VIOLATED: Final = 1
USAGE: Final = 64


def main(arguments: Sequence[str]) -> int:
    """Print one verdict for each key, the bad ones with all that shows them."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        return _refused(
            "usage: python -m tests.checks FILE (a history as JSON lines, see tests/checks/jsonlines.py)"
        )
    [name] = arguments
    try:
        verdicts = check(read_history(Path(name)))
    except OSError as error:
        return _refused(f"{name}: {error.strerror}")
    except MalformedHistory as error:
        return _refused(f"{name}: {error}")
    if not verdicts:
        sys.stdout.write(f"{name}: NOT SHOWN: no operation stands in it\n")
        return VIOLATED
    for verdict in verdicts:
        sys.stdout.write(f"{verdict}\n")
    return HOLDS if all(verdict.holds for verdict in verdicts) else VIOLATED


def _refused(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
