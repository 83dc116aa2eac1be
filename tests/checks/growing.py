"""What sets and lists that only grow have in common: every element is written once and then stays.

The last step, :func:`against_time`, is what makes the verdict exact. What the reads saw puts all operations
into phases: what was written before the smallest read, that read, what was written between it and the next
one, and so on. Within a phase any order that agrees with the clock will do; so an order of everything
exists if and only if nothing of a later phase ended before something of an earlier phase began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.checks.history import Add, Append, Element, Elements, MalformedHistory, Members, Operation
from tests.checks.verdict import Finding, in_order


@dataclass(frozen=True, slots=True)
class Reading:
    """A read that succeeded; ``members`` are the elements that it saw."""

    operation: Operation
    seen: tuple[Element, ...]
    members: frozenset[Element]


@dataclass(frozen=True, slots=True)
class Growing:
    """The operations on one set or list.

    ``writes``: acknowledged and unknown ones, by element. ``readings``: by their start.
    """

    writes: Mapping[Element, Operation]
    failed: Mapping[Element, Operation]
    readings: tuple[Reading, ...]

    @property
    def acknowledged(self) -> list[tuple[Element, Operation]]:
        """Acknowledged writes, by their end."""
        found = [(element, each) for element, each in self.writes.items() if each.outcome == "ok"]
        return sorted(found, key=lambda pair: pair[1].end_s)


def sort_out(operations: Sequence[Operation]) -> Growing:
    """Put the operations on one key in order.

    Raises MalformedHistory when two writes of one element may both have had an effect: then it cannot be
    told which of them a read saw. An attempt that failed may be made again.
    """
    writes: dict[Element, Operation] = {}
    failed: dict[Element, Operation] = {}
    readings: list[Reading] = []
    for each in operations:
        match each.action:
            case Add(_, element) | Append(_, element):
                if each.outcome == "failed":
                    failed[element] = each
                elif element in writes:
                    first = writes[element].number
                    raise MalformedHistory(
                        each.number, "element", f"{element!r} is also written by line {first}"
                    )
                else:
                    writes[element] = each
            case Members(_, seen) | Elements(_, seen):
                if seen is not None:
                    readings.append(Reading(each, seen, frozenset(seen)))
            case _:
                raise MalformedHistory(each.number, "op", "not an operation on a set or list")
    return Growing(writes, failed, tuple(sorted(readings, key=lambda reading: reading.operation.start_s)))


def findings_of_reads(growing: Growing) -> Iterator[Finding]:
    """What single reads show: elements that stand there twice, that nobody wrote, that are missing."""
    known = growing.writes.keys()
    for reading in growing.readings:
        if len(reading.seen) != len(reading.members):
            yield _repeated(reading)
        if not reading.members <= known:
            yield from _from_nowhere(reading, growing)
    yield from missing(growing)


def _repeated(reading: Reading) -> Finding:
    twice = [element for element, count in Counter(reading.seen).items() if count > 1]
    shown = ", ".join(repr(element) for element in twice[:3])
    return Finding("duplicate", f"a read saw {shown} more than once", (reading.operation,))


def _from_nowhere(reading: Reading, growing: Growing) -> Iterator[Finding]:
    for element in sorted(reading.members - growing.writes.keys(), key=str):
        write = growing.failed.get(element)
        if write is None:
            yield Finding(
                "never-written", f"a read saw {element!r}, which nobody wrote", (reading.operation,)
            )
        else:
            text = f"a read saw {element!r}, whose write had failed: it must have no effect"
            yield Finding("failed-but-seen", text, (write, reading.operation))


def missing(growing: Growing) -> Iterator[Finding]:
    """Elements that were acknowledged before a read began which lacks them; the first such read of each."""
    acknowledged = growing.acknowledged
    due: set[Element] = set()
    found: dict[Element, Reading] = {}
    count = 0
    for reading in growing.readings:
        while count < len(acknowledged) and acknowledged[count][1].end_s < reading.operation.start_s:
            due.add(acknowledged[count][0])
            count += 1
        if not due <= reading.members:
            for element in due - reading.members:
                found.setdefault(element, reading)
    last = growing.readings[-1] if growing.readings else None
    for element, reading in sorted(found.items(), key=lambda pair: growing.writes[pair[0]].end_s):
        write = growing.writes[element]
        acked, began = f"{write.end_s:.6f} s", f"{reading.operation.start_s:.6f} s"
        text = f"{element!r} was acknowledged at {acked}; the read that began at {began} lacks it"
        if last is not None and element in last.members:
            yield Finding("stale-read", f"{text}; the last read has it", (write, reading.operation))
        else:
            yield Finding("lost", f"{text}, and so does the last read", (write, reading.operation))


def not_looked_for(growing: Growing) -> Iterator[Finding]:
    """Without a read at the end nothing is known of what was acknowledged since the last one."""
    last_s = max((reading.operation.start_s for reading in growing.readings), default=None)
    unseen = [write for _, write in growing.acknowledged if last_s is None or write.end_s >= last_s]
    if unseen:
        text = (
            f"{len(unseen)} elements were acknowledged after the last read had begun: nobody looked for them"
        )
        yield Finding("not-looked-for", text, (unseen[-1],))


def against_time(phases: Iterable[Sequence[Operation]]) -> Iterator[tuple[Operation, Operation]]:
    """Pairs of operations whose order by what was seen is not that of the clock.

    The first belongs to an earlier phase, yet it began only after the second had ended. At most one pair
    for each second operation, with the first that began last.
    """
    latest: Operation | None = None
    for phase in phases:
        if latest is not None:
            for each in phase:
                if each.effect_by_s < latest.start_s:
                    yield latest, each
        for each in phase:
            if latest is None or each.start_s > latest.start_s:
                latest = each


def explained(first: Operation, second: Operation) -> Finding | None:
    """Say what is wrong with a pair of :func:`against_time`; None where :func:`missing` has said it."""
    both = in_order((first, second))
    ended, began = f"{second.end_s:.6f} s", f"{first.start_s:.6f} s"
    match first.action, second.action:
        case ((Members() | Elements()), (Add() | Append())):
            return None
        case ((Members(_, fewer) | Elements(_, fewer)), (Members(_, more) | Elements(_, more))):
            gone = next(element for element in more or () if element not in (fewer or ()))
            text = (
                f"{gone!r} was seen by a read that ended at {ended}; the read that began at {began} lacks it"
            )
            return Finding("went-back", text, both)
        case ((Add(_, element) | Append(_, element)), (Members() | Elements())):
            text = f"a read that ended at {ended} saw {element!r}, whose write began only at {began}"
            return Finding("seen-too-early", text, both)
        case ((Add(_, later) | Append(_, later)), (Add(_, sooner) | Append(_, sooner))):
            text = f"{sooner!r} was acknowledged at {ended}, before the write of {later!r} began at {began}, "
            return Finding("out-of-order", f"{text}but the reads show {later!r} first", both)
        case _:
            raise TypeError(f"{first} and {second} belong to nothing that grows")
