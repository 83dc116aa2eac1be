"""The state of a cluster as text that is read at three in the morning."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.model.reasons import Reason, Severity
from common.status.model import Health, KeeperRow, StatusView

HEALTH_STYLE: dict[Health, str] = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "no_primary": "bold red",
    "suspended": "bold red",
}
SEVERITY_STYLE: dict[Severity, str] = {"critical": "bold red", "warning": "yellow", "info": "dim"}


def render(view: StatusView, console: Console) -> None:
    """Write headline, keepers, proxies, sentinels, store, and then why it is so and what to do."""
    console.print(headline(view.cluster, view.health, view.term, view.phase))
    for line in _summary(view):
        console.print(line)
    for table in (_keepers(view), _proxies(view), _sentinels(view), _store(view)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    reasons(view.reasons, console)


def headline(cluster: str, health: Health, term: int, phase: str) -> Text:
    """How the cluster is, in one line."""
    words: dict[Health, str] = {
        "healthy": "healthy",
        "degraded": "degraded",
        "no_primary": "NO PRIMARY",
        "suspended": "SUSPENDED, nothing fails over",
    }
    return Text.assemble(
        ("cluster ", "bold"),
        (cluster, "bold"),
        ": ",
        (words[health], HEALTH_STYLE[health]),
        f", term {term}, {phase}" if term else "",
    )


def _summary(view: StatusView) -> Iterable[str]:
    if view.primary is None:
        yield "primary:  none"
    else:
        serves = f"writers go to {view.route}" if view.route else "no route: writers wait"
        yield f"primary:  {view.primary} ({view.primary_site or 'site unknown'}), {serves}"
    yield f"leader:   {view.leader or 'none, so nothing is repaired'}"
    if view.sync:
        current, *pending = view.sync
        yield (
            f"sync set: {_set(current.k, current.members)}"
            + "".join(f", changing to {_set(each.k, each.members)}" for each in pending)
            + (f", mode {view.mode}" if view.mode else "")
        )


def _set(k: int, members: tuple[str, ...]) -> str:
    if k == 0:
        return "nobody (a lease protects commits)"
    return f"{k} of {', '.join(members) or 'nobody'}"


def new_table(*columns: str) -> Table:
    """An empty table as all commands write them; ``>`` at the end of a name puts its column to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        name, right = column.removesuffix(">"), column.endswith(">")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    return table


def _keepers(view: StatusView) -> Table:
    table = new_table(
        "KEEPER", "SITE", "ADDRESS", "ROLE", "STATE", "TL>", "LSN", "LAG>", "LAG TIME>", "SYNC", "REPORT>"
    )
    for row in view.keepers:
        style = "" if row.state == "running" else SEVERITY_STYLE["warning"]
        table.add_row(
            row.uid,
            row.site or "-",
            row.address or "-",
            Text(row.role, "bold" if row.role == "primary" else ""),
            Text(f"{row.state} ({row.progress})" if row.progress else row.state, style),
            "-" if row.timeline is None else str(row.timeline),
            _lsn(row),
            "-" if row.lag_bytes is None else size(row.lag_bytes),
            "-" if row.lag_s is None else age(row.lag_s),
            "sync member" if row.sync == "sync" else row.sync,
            "-" if row.age_s is None else f"{age(row.age_s)} ago",
        )
    return table


def _lsn(row: KeeperRow) -> str:
    """A figure that is as old as the report says so: the report's age stands in its own column."""
    if row.lsn is None:
        return "-"
    return str(row.lsn) if row.figures == "live" else f"{row.lsn} (reported)"


def _proxies(view: StatusView) -> Table:
    table = new_table("PROXY", "SITE", "ADDRESS", "ROUTE", "TERM>", "SESSIONS>", "PARKED>", "REPORT>")
    for row in view.proxies:
        table.add_row(
            row.uid,
            row.site,
            row.address,
            row.route or Text("none", SEVERITY_STYLE["warning"]),
            str(row.term or "-"),
            str(row.sessions),
            str(row.parked),
            f"{age(row.age_s)} ago",
        )
    return table


def _sentinels(view: StatusView) -> Table:
    table = new_table("SENTINEL", "SITE", "ROLE", "REPORT>")
    for row in view.sentinels:
        table.add_row(row.uid, row.site, "leader" if row.leader else "ready", f"{age(row.age_s)} ago")
    return table


def _store(view: StatusView) -> Table:
    table = new_table("ETCD", "NAME", "ROLE", "VERSION", "STATE")
    for row in view.store:
        style = SEVERITY_STYLE["warning"] if row.problem else ""
        table.add_row(
            row.endpoint,
            row.name or "-",
            "leader" if row.leader else "-" if row.problem else "member",
            row.version or "-",
            Text(row.problem or "answers", style),
        )
    return table


def reasons(said: tuple[Reason, ...], console: Console) -> None:
    """Each reason, and what to do."""
    if not said:
        console.print("nothing to report")
    for reason in said:
        console.print(
            Text.assemble((f"{reason.severity}: ", SEVERITY_STYLE[reason.severity]), reason.text),
            soft_wrap=True,
        )
        if reason.fix:
            console.print(f"    to do: {reason.fix}", soft_wrap=True)


def size(size_bytes: int) -> str:
    """Bytes in a unit that a person takes in at a glance."""
    if size_bytes < 1 << 10:
        return f"{size_bytes} B"
    for unit, factor in (("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30)):
        if size_bytes < factor << 10:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes / (1 << 40):.1f} TB"


def age(seconds: float) -> str:
    """Seconds in a unit that a person takes in at a glance."""
    minute, hour, day = 60, 3600, 86400
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    if seconds < 2 * hour:
        return f"{seconds / minute:.0f} min"
    return f"{seconds / hour:.0f} h" if seconds < 2 * day else f"{seconds / day:.0f} d"
