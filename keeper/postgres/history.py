"""Timeline history files in pg_wal: reading them, and steering which number a promotion takes.

PostgreSQL takes the first number after its own for which no history file exists
(``findNewestTimeLine`` in timeline.c). An empty file therefore reserves a number; the same file
would make a *start* in recovery wait for ever for a timeline that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from common.errors import InvariantViolated
from common.model.wal import Lsn, Switch, parse_history
from common.runtime.disk import Owner, give, sync_directory

_FILE = re.compile(r"^([0-9A-F]{8})\.history$")


def history_file(data: Path, timeline: int) -> Path:
    """Where the history of a timeline stands."""
    return data / "pg_wal" / f"{timeline:08X}.history"


def read_history(data: Path, timeline: int) -> tuple[Switch, ...]:
    """The history of a timeline; timeline 1 has none.

    Raises InvariantViolated when it is missing: nothing can be said of such data.
    """
    if timeline == 1:
        return ()
    path = history_file(data, timeline)
    try:
        return without_empty_steps(parse_history(path.read_text()))
    except FileNotFoundError as error:
        raise InvariantViolated(f"the server is on timeline {timeline}, but {path} is missing") from error


def without_empty_steps(history: Iterable[Switch]) -> tuple[Switch, ...]:
    """Leave out timelines on which nothing was written.

    A standby that had learnt of a new timeline, and was promoted itself before anything of it came,
    names it as its parent, left at the very point where it began.
    """
    steps: list[Switch] = []
    for switch in history:
        if not steps or switch.lsn != steps[-1].lsn:
            steps.append(switch)
    return tuple(steps)


def histories(data: Path) -> dict[int, tuple[Switch, ...]]:
    """Every real (not empty) history file of a data directory."""
    found = {}
    for path in (data / "pg_wal").glob("*.history"):
        match = _FILE.match(path.name)
        text = path.read_text() if match else ""
        if match and text:
            found[int(match[1], 16)] = parse_history(text)
    return found


def remove_empty_above(data: Path, greatest_in_use: int) -> tuple[int, ...]:
    """Before a start in recovery: remove the empty files above the greatest real timeline."""
    real = max([greatest_in_use, *histories(data)])
    empty = []
    for path in (data / "pg_wal").glob("*.history"):
        match = _FILE.match(path.name)
        if match and int(match[1], 16) > real and path.stat().st_size == 0:
            empty.append(int(match[1], 16))
    _remove(data, empty)
    return tuple(sorted(empty))


def reserve_below(data: Path, current: int, wanted: int, owner: Owner, *, archiving: bool) -> None:
    """Make ``wanted`` the first free number after ``current``, and have a file for each one below.

    With archiving on each empty file is archived too, or a restore to ``latest`` stops at the gap.
    No fsync: they count for the promotion that follows, which fsyncs the directory itself.
    Raises InvariantViolated when the wanted number is taken, or is not above the current one.
    """
    target = history_file(data, wanted)
    if wanted <= current or (target.exists() and target.stat().st_size > 0):
        raise InvariantViolated(
            f"timeline {wanted} cannot be the next after {current}: "
            + (f"{target} exists" if wanted > current else "timelines only grow")
        )
    _remove(data, [wanted] if target.exists() else [])
    _complete_below(data, current, owner)
    for timeline in range(current + 1, wanted):
        path = history_file(data, timeline)
        if path.exists():
            continue
        _appear(path, owner)
        if archiving:
            _appear(data / "pg_wal" / "archive_status" / f"{path.name}.ready", owner)


def _complete_below(data: Path, current: int, owner: Owner) -> None:
    """Have the history files that a clone lacks: it is given that of its source's timeline alone.

    A standby asks its primary for each number between its own timeline and the primary's that it has no
    file of, and cannot follow where one is missing (``WalRcvFetchTimeLineHistoryFiles`` in walreceiver.c).
    What lies on the way to the current timeline is said by its own file; other numbers are empty as those
    that are reserved. None is archived: that was the business of whoever made it.
    """
    own = history_file(data, current)
    lines = own.read_text().splitlines(keepends=True) if own.exists() else []
    starts = {steps[0].timeline: at for at, line in enumerate(lines) if (steps := parse_history(line))}
    for timeline in range(2, current):
        path = history_file(data, timeline)
        if not path.exists():
            _appear(path, owner, "".join(lines[: starts.get(timeline, 0)]))


def _appear(path: Path, owner: Owner, content: str = "") -> None:
    """Create a file, as a rule an empty one, that is its owner's from its first moment.

    A server in recovery looks for these files at any time, and one that it may not open ends it.
    """
    temporary = path.with_name("pgha.new")
    temporary.touch(mode=0o600)
    temporary.write_text(content)
    give(temporary, owner)
    temporary.rename(path)


def abandoned(
    files: Mapping[int, tuple[Switch, ...]], current: int, lineage: Collection[int]
) -> tuple[int, ...]:
    """Timelines that a standby has heard of and that the lineage does not contain.

    A standby sets its mind on the newest timeline that branches off its own, and then follows no
    other (``rescanLatestTimeLine`` in xlogrecovery.c).
    """
    return tuple(sorted(timeline for timeline in files if timeline > current and timeline not in lineage))


def leads_past(files: Mapping[int, tuple[Switch, ...]], current: int, position: Lsn) -> tuple[int, ...]:
    """Timelines that branch off ``current`` beyond ``position``.

    A promotion would write a history that leaves such a timeline before the point where it began.
    """
    return tuple(
        sorted(
            timeline
            for timeline, history in files.items()
            if timeline > current
            and any(switch.timeline == current and switch.lsn > position for switch in history)
        )
    )


def forget(data: Path, timelines: Collection[int]) -> None:
    """Remove the history files of abandoned timelines; the server must not run."""
    _remove(data, timelines)


def _remove(data: Path, timelines: Collection[int]) -> None:
    for timeline in timelines:
        history_file(data, timeline).unlink(missing_ok=True)
    if timelines:
        sync_directory(data / "pg_wal")
