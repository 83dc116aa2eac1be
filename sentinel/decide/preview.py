"""What would be done about an operation, by the documents of a cluster: for dry runs and questions. Pure."""

from __future__ import annotations

from datetime import datetime

from common.model.requests import AnyOperation
from common.status.documents import Documents
from sentinel.decide.observed import Observed
from sentinel.decide.operations.answers import Plan
from sentinel.decide.requests import plan_of


def preview(documents: Documents, operation: AnyOperation, now: datetime) -> Plan:
    """The plan of the leader, made by the leader's own rules.

    Durations are not known here, so what the leader finds when it begins may still differ.
    """
    view, spec = documents.view, documents.spec
    if view is None or spec is None:
        return Plan(refused=f"cluster {documents.cluster} has no view yet")
    observed = Observed(
        cluster=documents.cluster,
        spec=spec,
        view=view,
        keepers=documents.keepers,
        requests=documents.requests,
        now=now,
    )
    return plan_of(observed, view, operation)
