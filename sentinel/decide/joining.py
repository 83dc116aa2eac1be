"""May a keeper become a member, as the first one or later? One rule for both."""

from __future__ import annotations

from collections.abc import Sequence

from common.model.names import member_name
from common.model.reasons import Reason
from common.model.reports import KeeperReport
from common.model.spec import ClusterSpec
from common.model.view import Member

DEFAULT_SITE_LIMIT = 7
"""Members of one site where the spec does not list sites."""


def member_of(report: KeeperReport) -> Member:
    """The view's entry for a keeper as it reports itself."""
    return Member(
        uid=report.uid,
        site=report.site,
        host=report.host,
        port=report.port,
        incarnation=report.incarnation,
    )


def why_not_join(
    spec: ClusterSpec,
    report: KeeperReport,
    *,
    members: Sequence[Member] = (),
    system_identifier: str | None = None,
) -> Reason | None:
    """The reason for which a keeper may not become a member; None when it may.

    ``members`` are those of the cluster that it would join, ``system_identifier`` names their data;
    before the cluster's data exist there is nobody and nothing to compare with.
    """
    return (
        _by_name(report, members)
        or _by_data(report, system_identifier)
        or _by_site(spec, report, sum(member.site == report.site for member in members))
    )


def _refused(report: KeeperReport, code: str, text: str, fix: str) -> Reason:
    return Reason(code=code, severity="warning", subject=report.uid, text=f"{report.uid} {text}", fix=fix)


def _by_name(report: KeeperReport, members: Sequence[Member]) -> Reason | None:
    name = member_name(report.uid)
    alike = next((member for member in members if member_name(member.uid) == name), None)
    if alike is None:
        return None
    return _refused(
        report,
        "name_taken",
        f"cannot join: PostgreSQL would call it {name!r}, as it calls {alike.uid}",
        "give one of the two keepers another uid",
    )


def _by_data(report: KeeperReport, system_identifier: str | None) -> Reason | None:
    if report.system_identifier not in {None, system_identifier}:
        return _refused(
            report,
            "foreign_data",
            f"holds data of another cluster: system identifier {report.system_identifier}, "
            f"ours is {system_identifier or 'not created yet'}",
            f"give {report.uid} an empty directory, or the name of its own cluster",
        )
    if report.state == "failed" and report.incarnation is None:
        return _refused(
            report,
            "unusable_directory",
            "cannot join: its directory holds something that it may not touch",
            f"give {report.uid} an empty directory, and start its keeper again",
        )
    return None


def _by_site(spec: ClusterSpec, report: KeeperReport, there: int) -> Reason | None:
    wanted = spec.member(report.uid).site
    if wanted is not None and wanted != report.site:
        return _refused(
            report,
            "wrong_site",
            f"says that it stands on site {report.site}, but the spec says {wanted}",
            "correct the keeper's --site or the spec",
        )
    if spec.sites and report.site not in {site.name for site in spec.sites}:
        return _refused(
            report,
            "unknown_site",
            f"stands on site {report.site!r}, which the spec does not list",
            "add the site to the spec, or correct the keeper's --site",
        )
    limit = site_limit(spec, report.site)
    if there >= limit:
        return _refused(
            report,
            "site_full",
            f"cannot join: site {report.site} has its {limit} members",
            "raise max_members of the site in the spec",
        )
    return None


def site_limit(spec: ClusterSpec, name: str) -> int:
    """How many members one site may have."""
    return next((site.max_members for site in spec.sites if site.name == name), DEFAULT_SITE_LIMIT)
