"""What is amiss with the documents and with the services around PostgreSQL. Pure."""

from __future__ import annotations

from typing import Final

from common.model.keys import Keys
from common.model.reasons import Reason
from common.status.documents import Documents, no_spec

SENTINELS_AT_LEAST: Final = 2
"""The smallest number that survives a loss."""


def can_be_decided(documents: Documents) -> bool:
    """Whether there is what a decision must be made from.

    A view that cannot be read is a cluster that cannot be seen: nothing is concluded from the members
    that then seem to be without one, least of all that they should be emptied. Nor does a cluster begin
    beside a keeper that cannot be understood: it may hold the data of one that has lost its view.
    """
    return (
        documents.spec is not None
        and not documents.view_is_malformed
        and not _unreadable_at_the_beginning(documents)
    )


def _unreadable_at_the_beginning(documents: Documents) -> list[str]:
    """The keepers whose report cannot be read while there is no view yet."""
    prefix = Keys(documents.cluster).keepers
    subjects = [reason.subject for reason in documents.malformed if reason.subject.startswith(prefix)]
    return [subject.removeprefix(prefix) for subject in subjects] if documents.view is None else []


def around_postgresql(documents: Documents) -> tuple[Reason, ...]:
    """Name the documents that cannot be used, and the services that are missing or complain."""
    found = list(documents.malformed)
    if documents.spec is None and not documents.spec_is_malformed:
        found.append(no_spec(documents.cluster))
    if unreadable := _unreadable_at_the_beginning(documents):
        found.append(
            Reason(
                code="keeper_not_understood",
                severity="critical",
                subject=unreadable[0],
                text=f"no data are created while the report of {', '.join(unreadable)} cannot be read: "
                "there may be data already",
                fix="bring all services to one release, or delete the report if no such keeper runs",
            )
        )
    if len(documents.sentinels) < SENTINELS_AT_LEAST:
        found.append(
            Reason(
                code="single_sentinel",
                severity="warning",
                text="only one sentinel has a live report: if it dies, nothing fails over",
                fix="start pgha-sentinel on another site",
            )
        )
    if not documents.proxies:
        found.append(
            Reason(
                code="no_proxy",
                severity="warning",
                text="no proxy has a live report",
                fix="start pgha-proxy beside the clients",
            )
        )
    found += [reason for report in documents.proxies.values() for reason in report.reasons]
    return tuple(found)
