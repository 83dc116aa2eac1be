"""How long clients wait in each exercise: ``make bench-failover``.

Runs every exercise several times on one demo cluster, then leaves the cluster alone and counts what it
costs at rest. ``--write`` puts the table into docs/benchmarks.md, between its two marks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.model.keys import Keys
from common.model.spec import ClusterSpec
from common.runtime.clock import Clock, SystemClock
from keeper.postgres.programs import Programs, find_programs
from pgha.demo.accounting import Outcome
from pgha.demo.cluster import DemoCluster
from pgha.demo.exercises import Exercises
from pgha.demo.faults import FAULTS
from pgha.demo.layout import DEFAULT_PORT_BASE, plan_layout
from pgha.demo.output import Output
from pgha.demo.run import TIMINGS
from pgha.demo.services import CLUSTER, POSTGRES_USER
from pgha.demo.workload import Workload

PAGE: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"
REST_S: Final = 20.0
SETTLE_S: Final = 5.0

MEASURED: Final = tuple(name for name in FAULTS if name not in {"etcd-outage", "freeze", "deadman"})
"""Left out unless asked for: those that take a minute, and the one that needs ``async``."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what is asked for, and what each run gave."""

    text: str
    needed: str
    aim: str
    unit: str
    values: tuple[float, ...]
    limit: float

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def line(self) -> str:
        figures = (self.median, min(self.values), max(self.values))
        shown = " | ".join(f"{figure:.4g} {self.unit}".strip() for figure in figures)
        met = "yes" if self.median <= self.limit else "**no**"
        return f"| {self.text} | {self.needed} | {self.aim} | {shown} | {len(self.values)} | {met} |"


@dataclass(frozen=True, slots=True)
class Rest:
    """What the cluster costs when nobody uses it."""

    writes_per_s: float
    cpu_percent: Mapping[str, float]


def rows_of(outcomes: Mapping[str, Sequence[Outcome]], rest: Rest) -> list[Row]:
    """The table of the figures that were asked for."""
    rows: list[Row] = []

    def add(text: str, asked: tuple[str, str], unit: str, limit: float, values: Iterable[float]) -> None:
        found = tuple(values)
        if found:
            rows.append(Row(text, *asked, unit, found, limit))

    def gaps(name: str) -> list[float]:
        return [each.traffic.write_gap_s * 1000 for each in outcomes.get(name, ())]

    etcd, keeper_crash = outcomes.get("etcd", ()), outcomes.get("keeper-crash", ())
    back = [each.back_s for each in outcomes.get("crash", ()) if each.back_s is not None]
    lost = [len(each.lost) for several in outcomes.values() for each in several]
    add("`crash`: longest gap between acknowledged writes", ("400 ms", "200 ms"), "ms", 400, gaps("crash"))
    add("`host`: gap, default timings", ("4 s", "3 s"), "ms", 4000, gaps("host"))
    add("`sentinel`: gap (leader and primary die together)", ("5 s", "3.5 s"), "ms", 5000, gaps("sentinel"))
    add("`site`: gap, seen from the other site", ("5 s", "3.5 s"), "ms", 5000, gaps("site"))
    add("`etcd`: failed statements", ("0", "0"), "", 0, (_failed(each) for each in etcd))
    add("`etcd`: failovers", ("0", "0"), "", 0, (each.failovers for each in etcd))
    add("`etcd`: gap", ("500 ms", "100 ms"), "ms", 500, gaps("etcd"))
    outage = outcomes.get("etcd-outage", ())
    add("`etcd-outage` (60 s): failed statements", ("0", "0"), "", 0, (_failed(each) for each in outage))
    add("`etcd-outage`: gap", ("200 ms", ""), "ms", 200, gaps("etcd-outage"))
    add("`freeze`: gap", ("4 s", "3 s"), "ms", 4000, gaps("freeze"))
    add("`freeze`: acknowledged by the old primary", ("0", "0"), "", 0, _acks_from_old(outcomes))
    add("`keeper-crash`: gap", ("100 ms", ""), "ms", 100, gaps("keeper-crash"))
    add("`keeper-crash`: failovers", ("0", "0"), "", 0, (each.failovers for each in keeper_crash))
    add("`sync-standby`: gap", ("100 ms", "no stall"), "ms", 100, gaps("sync-standby"))
    for name in ("switchover", "rolling-restart"):
        refused = [each.traffic.unconnected for each in outcomes.get(name, ())]
        add(f"`{name}`: gap", ("1 s", "400 ms"), "ms", 1000, gaps(name))
        add(f"`{name}`: new connections that failed", ("0", "0"), "", 0, refused)
    add("acknowledged rows lost, all exercises", ("0", "0"), "", 0, lost)
    add("old primary streams again after `crash`", ("10 s", "3 s"), "s", 10, back)
    add("writes to etcd at rest, whole cluster", ("< 1 per s", ""), "per s", 1, [rest.writes_per_s])
    busiest = max(rest.cpu_percent, key=lambda name: rest.cpu_percent[name])
    add(
        f"CPU at rest, busiest service ({busiest})",
        ("< 1 % of a core", ""),
        "%",
        1,
        [rest.cpu_percent[busiest]],
    )
    return rows


def _acks_from_old(outcomes: Mapping[str, Sequence[Outcome]]) -> list[int]:
    return [each.acks_from_old for each in outcomes.get("freeze", ()) if each.acks_from_old is not None]


def _failed(outcome: Outcome) -> int:
    return outcome.traffic.errors + outcome.traffic.in_flight


def phase_lines(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Where the time of each kind of failover went, medians in milliseconds."""
    lines = ["| exercise | detect | seal | promote | route |", "|---|---|---|---|---|"]
    for name, several in outcomes.items():
        phases = [each.phases for each in several]
        columns = [
            [took for each in phases if (took := getattr(each, f"{part}_s")) is not None]
            for part in ("detect", "seal", "promote", "route")
        ]
        if all(columns):
            medians = " | ".join(f"{statistics.median(column) * 1000:.0f}" for column in columns)
            lines.append(f"| `{name}` | {medians} |")
    return lines


async def at_rest(cluster: DemoCluster, clock: Clock) -> Rest:
    """Leave the cluster alone and count."""
    await clock.sleep(SETTLE_S)
    prefix = Keys(CLUSTER).prefix
    pids = {name: service.pid for name, service in cluster.services.items() if service.pid is not None}
    revision = (await cluster.store.read(prefix)).revision
    used = {name: _cpu_s(pid) for name, pid in pids.items()}
    began_s = clock.monotonic()
    await clock.sleep(REST_S)
    took_s = clock.monotonic() - began_s
    spent = {name: (_cpu_s(pid) - used[name]) / took_s * 100 for name, pid in pids.items()}
    written = (await cluster.store.read(prefix)).revision - revision
    ours = {name: percent for name, percent in spent.items() if not name.startswith("etcd")}
    return Rest(written / took_s, ours)


def _cpu_s(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(
    names: Sequence[str], runs: int, port_base: int, postgres: Path | None
) -> tuple[dict[str, list[Outcome]], Rest, str]:
    """Run everything on one cluster; round by round, so that a busy minute does not hit one exercise."""
    clock = SystemClock()
    output = Output(clock, as_json=False)
    programs = find_programs(postgres)
    spec = ClusterSpec.from_plain({"timings": TIMINGS})
    cluster = DemoCluster(plan_layout([2, 2], 1, port_base), spec, programs, clock, output.step)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    try:
        await cluster.start()
        rest = await at_rest(cluster, clock)
        workload = Workload(cluster.layout.proxies, cluster.credentials, clock)
        await workload.create_table(cluster.layout.proxies[0].port)
        exercises = Exercises(cluster, workload, clock)
        for number in range(runs):
            output.step(f"round {number + 1} of {runs}")
            for name in names:
                outcome = await exercises.run(name)
                outcomes[name].append(outcome)
                output.result(outcome)
        etcd = (await cluster.store.members())[0].version
    finally:
        await cluster.end(keep=False)
    major = Programs(programs, POSTGRES_USER, Path("/")).major
    kernel = platform.release().partition("-")[0]
    machine = (
        f"PostgreSQL {major}, etcd {etcd}, Python {platform.python_version()}, Linux {kernel}, "
        f"{os.cpu_count()} processors, everything on one machine"
    )
    return outcomes, rest, machine


def page(outcomes: Mapping[str, Sequence[Outcome]], rest: Rest, machine: str) -> str:
    """The figures as Markdown."""
    lines = [
        f"{machine}.",
        "",
        "| | needed | aim | median | min | max | runs | met |",
        "|---|---|---|---|---|---|---|---|",
        *(row.line() for row in rows_of(outcomes, rest)),
        "",
        "Where the time went (medians, ms):",
        "",
        *phase_lines(outcomes),
        "",
        "CPU at rest, % of a core: "
        + ", ".join(f"{name} {percent:.2f}" for name, percent in sorted(rest.cpu_percent.items()))
        + ".",
    ]
    return "\n".join(lines)


def write_page(figures: str) -> None:
    """Replace what stands between the marks of docs/benchmarks.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5, help="runs of each exercise")
    parser.add_argument("--exercise", default=",".join(MEASURED), help="which ones, between commas")
    parser.add_argument("--port-base", type=int, default=DEFAULT_PORT_BASE)
    parser.add_argument("--postgres", type=Path, default=None, help="directory with PostgreSQL's programs")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    chosen = parser.parse_args()
    outcomes, rest, machine = asyncio.run(
        measure(chosen.exercise.split(","), chosen.runs, chosen.port_base, chosen.postgres)
    )
    figures = page(outcomes, rest, machine)
    sys.stdout.write(f"\n{figures}\n")
    if chosen.write:
        write_page(figures)
    return 1 if any(each.lost for several in outcomes.values() for each in several) else 0


if __name__ == "__main__":
    sys.exit(main())
