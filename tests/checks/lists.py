"""Lists that are only appended to: whether all reads are prefixes of one order that the clock allows.

Exact: there are findings if and only if the history is not linearizable. Linear in the number of
operations and of elements read, but for sorting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from tests.checks.growing import (
    Growing,
    Reading,
    against_time,
    explained,
    findings_of_reads,
    not_looked_for,
    sort_out,
)
from tests.checks.history import Element, Operation
from tests.checks.verdict import Finding, Verdict, in_order, tally_of


def check_list(key: str, operations: Sequence[Operation]) -> Verdict:
    """Judge the appends to one list, and the reads of it; raises MalformedHistory."""
    growing = sort_out(operations)
    found = list(findings_of_reads(growing))
    # A read with an element twice has been found already; it says nothing more of the order.
    readings = [each for each in growing.readings if len(each.seen) == len(each.members)]
    longest = max(readings, key=lambda each: len(each.seen), default=None)
    if longest is not None:
        fitting: list[Reading] = []
        for each in readings:
            if longest.seen[: len(each.seen)] == each.seen:
                fitting.append(each)
            else:
                found.append(_not_a_prefix(each, longest))
        pairs = against_time(_phases(growing, longest.seen, fitting))
        found += [finding for pair in pairs if (finding := explained(*pair)) is not None]
    return Verdict("list", key, tally_of(operations), tuple(found), tuple(not_looked_for(growing)))


def _not_a_prefix(reading: Reading, longest: Reading) -> Finding:
    pairs = enumerate(zip_longest(reading.seen, longest.seen), 1)
    place, (here, there) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    text = f"two reads disagree on the order: at place {place} one saw {here!r}, the longest one {there!r}"
    return Finding("not-a-prefix", text, in_order((reading.operation, longest.operation)))


def _phases(
    growing: Growing, order: Sequence[Element], readings: Sequence[Reading]
) -> Iterator[Sequence[Operation]]:
    by_length: dict[int, list[Operation]] = defaultdict(list)
    for reading in readings:
        by_length[len(reading.seen)].append(reading.operation)
    yield by_length[0]
    for length, element in enumerate(order, 1):
        write = growing.writes.get(element)
        if write is not None:
            yield [write]
        if length in by_length:
            yield by_length[length]
    read = set(order)
    # An unknown append that no read saw need never have happened.
    yield [write for element, write in growing.acknowledged if element not in read]
