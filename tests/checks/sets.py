"""Sets that only grow: whether all reads fit one order of the additions, with nothing acknowledged missing.

Exact: there are findings if and only if the history is not linearizable. Linear in the number of
operations and of elements read, but for sorting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def check_set(key: str, operations: Sequence[Operation]) -> Verdict:
    """Judge the additions to one set, and the reads of it; raises MalformedHistory."""
    growing = sort_out(operations)
    chain, forks = _chain(growing)
    found = [*findings_of_reads(growing), *forks]
    pairs = against_time(_phases(growing, chain))
    found += [finding for pair in pairs if (finding := explained(*pair)) is not None]
    return Verdict("set", key, tally_of(operations), tuple(found), tuple(not_looked_for(growing)))


def _chain(growing: Growing) -> tuple[list[Reading], list[Finding]]:
    """Reads from the smallest to the largest, each containing the one before; and those that do not fit."""
    chain: list[Reading] = []
    forks: list[Finding] = []
    for reading in sorted(growing.readings, key=lambda each: len(each.members)):
        if not chain or chain[-1].members <= reading.members:
            chain.append(reading)
        else:
            forks.append(_fork(chain[-1], reading))
    return chain, forks


def _fork(one: Reading, other: Reading) -> Finding:
    only_one = min(one.members - other.members, key=str)
    only_other = min(other.members - one.members, key=str)
    text = (
        f"one read saw {only_one!r} without {only_other!r}, another {only_other!r} without {only_one!r}: "
        "no order of the additions explains both"
    )
    return Finding("fork", text, in_order((one.operation, other.operation)))


def _phases(growing: Growing, chain: Sequence[Reading]) -> Iterator[list[Operation]]:
    before: frozenset[Element] = frozenset()
    for reading in chain:
        if reading.members != before:
            new = (growing.writes.get(element) for element in reading.members - before)
            yield sorted((each for each in new if each is not None), key=lambda each: each.number)
            before = reading.members
        yield [reading.operation]
    # An unknown addition that no read saw need never have happened.
    yield [write for element, write in growing.acknowledged if element not in before]
