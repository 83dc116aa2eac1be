"""Registers whose values are written once each: whether the history is linearizable, and why not.

P. Gibbons and E. Korach, Testing Shared Memories, SIAM J. Comput. 26 (1997): all operations on one
value form a cluster. Its zone reaches from the first end in it to the last start. If the end comes first,
the zone is forward: the register must hold this value throughout. Else it is backward: there is an instant at
which all of the cluster could have happened at once. An order exists if and only if no read ends before the
write of its value starts, no two forward zones overlap, and no backward zone lies within a forward one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.checks.history import Element, MalformedHistory, Operation, Read, Write
from tests.checks.verdict import Finding, Verdict, in_order, tally_of


@dataclass(frozen=True, slots=True)
class Cluster:
    """All operations on one value; None is the value before the first write, which has no write.

    ``first_ended``: the operation that ended first, None for the beginning of all; ``last_started``: the one
    that started last.
    """

    value: Element | None
    write: Operation | None
    first_ended: Operation | None
    last_started: Operation

    @classmethod
    def of(cls, value: Element | None, write: Operation | None, reads: Sequence[Operation]) -> Cluster:
        """Gather the operations on one value, of which there is at least one."""
        several = [*([] if write is None else [write]), *reads]
        first = min(several, key=lambda each: each.effect_by_s)
        last = max(several, key=lambda each: each.start_s)
        return cls(value, write, None if write is None else first, last)


@dataclass(frozen=True, slots=True)
class Zone:
    """From the first end in a cluster to the last start."""

    end_s: float
    start_s: float
    cluster: Cluster


def check_register(key: str, operations: Sequence[Operation]) -> Verdict:
    """Judge the writes and reads of one register; raises MalformedHistory."""
    writes, failed, reads = _sorted_out(operations)
    found: list[Finding] = []
    reads_of: dict[Element | None, list[Operation]] = {}
    for read, value in reads:
        finding = _impossible(read, value, writes, failed)
        if finding is None:
            reads_of.setdefault(value, []).append(read)
        else:
            found.append(finding)
    clusters = [Cluster.of(value, writes.get(value), seen) for value, seen in reads_of.items()]
    # An unknown write that nobody read need never have happened.
    clusters += [
        Cluster.of(value, write, ())
        for value, write in writes.items()
        if value not in reads_of and write.outcome == "ok"
    ]
    found += [_explained(one, other) for one, other in conflicts([_zone(each) for each in clusters])]
    return Verdict("register", key, tally_of(operations), tuple(found))


_Writes = Mapping[Element | None, Operation]


def _sorted_out(
    operations: Sequence[Operation],
) -> tuple[_Writes, _Writes, list[tuple[Operation, Element | None]]]:
    writes: dict[Element | None, Operation] = {}
    failed: dict[Element | None, Operation] = {}
    reads: list[tuple[Operation, Element | None]] = []
    for each in operations:
        match each.action:
            case Write(_, value):
                if each.outcome == "failed":
                    failed[value] = each
                elif value in writes:
                    first = writes[value].number
                    raise MalformedHistory(each.number, "value", f"{value!r} is also written by line {first}")
                else:
                    writes[value] = each
            case Read(_, seen):
                if each.outcome == "ok":
                    reads.append((each, seen))
            case _:
                raise MalformedHistory(each.number, "op", "not an operation on a register")
    return writes, failed, reads


def _impossible(read: Operation, value: Element | None, writes: _Writes, failed: _Writes) -> Finding | None:
    write = writes.get(value)
    if value is None or (write is not None and read.end_s >= write.start_s):
        return None
    if write is not None:
        ended, began = f"{read.end_s:.6f} s", f"{write.start_s:.6f} s"
        text = f"a read that ended at {ended} saw {value!r}, whose write began only at {began}"
        return Finding("seen-too-early", text, (read, write))
    if value in failed:
        text = f"a read saw {value!r}, whose write had failed: it must have no effect"
        return Finding("failed-but-seen", text, (failed[value], read))
    return Finding("never-written", f"a read saw {value!r}, which nobody wrote", (read,))


def _zone(cluster: Cluster) -> Zone:
    first = cluster.first_ended
    end_s = -math.inf if first is None else first.effect_by_s
    return Zone(end_s, cluster.last_started.start_s, cluster)


def conflicts(zones: Sequence[Zone]) -> Iterator[tuple[Cluster, Cluster]]:
    """Pairs of clusters, each of which would have to come before the other one.

    Not every such pair, but at least one if there is any. Something precedes something else only if it
    ended before the other started: zones that merely touch are no conflict.
    """
    forward = sorted((each for each in zones if each.end_s < each.start_s), key=lambda each: each.end_s)
    reach: list[Zone] = []
    """Of the forward zones up to each one, that which reaches furthest."""
    for zone in forward:
        furthest = reach[-1] if reach else zone
        if zone.end_s < furthest.start_s and zone is not furthest:
            yield furthest.cluster, zone.cluster
        reach.append(max(furthest, zone, key=lambda each: each.start_s))
    ends = [zone.end_s for zone in forward]
    for zone in zones:
        if zone.end_s >= zone.start_s:
            before = bisect_left(ends, zone.start_s)
            if before and zone.end_s < reach[before - 1].start_s:
                yield reach[before - 1].cluster, zone.cluster


def _explained(one: Cluster, other: Cluster) -> Finding:
    """Say why neither of two values can have been the register's before the other one."""
    text = f"{_before(one, other)}; {_before(other, one)}"
    evidence = (one.first_ended, other.last_started, other.first_ended, one.last_started)
    return Finding("not-linearizable", text, in_order(each for each in evidence if each is not None))


def _before(one: Cluster, other: Cluster) -> str:
    ended, started = one.first_ended, other.last_started
    order = f"{_value(one)} came before {_value(other)}"
    if ended is None:
        return f"{order}, as before everything"
    did = "written" if ended is one.write else "read"
    does = "written" if started is other.write else "read"
    return (
        f"{order}: it had been {did} by {ended.end_s:.6f} s (line {ended.number}), and {_value(other)} was "
        f"{does} by an operation that began only at {started.start_s:.6f} s (line {started.number})"
    )


def _value(cluster: Cluster) -> str:
    return "the empty register" if cluster.value is None else repr(cluster.value)
