"""What was acknowledged, by whom, and what clients were told: the truth that no client sees as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.sim.postgres.backend import Outcome
from tests.sim.postgres.directory import Directory
from tests.sim.postgres.wal import Record


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One commit that a server acknowledged; ``is_promised`` when ``k >= 1`` standbys had to have it."""

    number: int
    host: str
    at_s: float
    record: Record
    is_promised: bool


@dataclass
class Ledger:
    """All commits of a run. ``told`` is what each client heard of its own."""

    acknowledged: dict[int, Acknowledged] = field(default_factory=dict)
    told: dict[int, Outcome] = field(default_factory=dict)
    by_proxy: dict[int, str] = field(default_factory=dict)
    told_at_s: dict[int, float] = field(default_factory=dict)
    _numbers: int = 0

    def next_number(self) -> int:
        """A number that nobody has committed yet."""
        self._numbers += 1
        return self._numbers

    @property
    def attempts(self) -> int:
        """How many commits were tried."""
        return self._numbers

    def hear(self, number: int, outcome: Outcome, at_s: float) -> None:
        """A client was told; only the first answer counts."""
        if number not in self.told:
            self.told[number], self.told_at_s[number] = outcome, at_s

    def missing_from(self, directory: Directory) -> list[Acknowledged]:
        """The promised commits that a directory lacks, a twin of the same number being no copy."""
        return [each for each in self._lacking(directory) if each.is_promised]

    def of(self, host: str, *, lacking_in: Directory) -> list[Acknowledged]:
        """The commits, promised or not, that a host acknowledged and a directory lacks."""
        return [each for each in self._lacking(lacking_in) if each.host == host]

    def _lacking(self, directory: Directory) -> list[Acknowledged]:
        held = set(map(id, directory.wal.records))
        return [each for each in self.acknowledged.values() if id(each.record) not in held]

    def counted(self, outcome: Outcome) -> int:
        """How many clients were told so."""
        return sum(each == outcome for each in self.told.values())
