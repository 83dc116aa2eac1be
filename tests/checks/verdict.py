"""What a checker says: which rule was broken, by which operations, in words a DBA can follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.checks.history import READS, Operation

SHOWN_OF_A_RULE = 5
"""A lost table makes one finding for each row; a reader needs the first few and the number."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: its stable code, a sentence, and the operations that show it."""

    rule: str
    text: str
    evidence: tuple[Operation, ...] = ()

    def lines(self) -> Iterator[str]:
        """The sentence, then each operation."""
        yield f"  {self.rule}: {self.text}"
        yield from (f"    {operation}" for operation in self.evidence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one checker found on one key.

    ``findings`` are violations; ``gaps`` say what the history is too thin to show.
    """

    checker: str
    key: str
    tally: str
    findings: tuple[Finding, ...]
    gaps: tuple[Finding, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing was violated and nothing was left open."""
        return not self.findings and not self.gaps

    @property
    def rules(self) -> set[str]:
        """The codes of all that was found."""
        return {each.rule for each in (*self.findings, *self.gaps)}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """One line when all is well; else each finding with its operations, of each rule the first few."""
        said = "VIOLATED" if self.findings else "NOT SHOWN" if self.gaps else "holds"
        yield f"{self.checker} {self.key}: {said} ({self.tally})"
        shown: Counter[str] = Counter()
        for finding in (*self.findings, *self.gaps):
            shown[finding.rule] += 1
            if shown[finding.rule] <= SHOWN_OF_A_RULE:
                yield from finding.lines()
        for rule, count in shown.items():
            if count > SHOWN_OF_A_RULE:
                yield f"  {rule}: {count - SHOWN_OF_A_RULE} more like these"


def tally_of(operations: Sequence[Operation]) -> str:
    """How many writes came to which outcome, and how many reads saw something."""
    writes = Counter(each.outcome for each in operations if not isinstance(each.action, READS))
    reads = sum(isinstance(each.action, READS) and each.outcome == "ok" for each in operations)
    shown = ", ".join(f"{writes[outcome]} {outcome}" for outcome in ("ok", "failed", "unknown"))
    return f"writes: {shown}; reads: {reads}"


def in_order(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Operations as they began, each once."""
    return tuple(sorted(set_of(operations), key=lambda each: (each.start_s, each.number)))


def set_of(operations: Iterable[Operation]) -> list[Operation]:
    """Each operation once; they hold mappings, so that they have no hash."""
    return list({id(each): each for each in operations}.values())
