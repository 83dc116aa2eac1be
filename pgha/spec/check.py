"""Whether a spec would be taken, beyond the shape of its fields: the keepers' own rules. Pure."""

from __future__ import annotations

from common.model.spec import ClusterSpec
from keeper.postgres.access import render_hba, render_ident
from keeper.postgres.parameters import check_parameters


def check(spec: ClusterSpec) -> None:
    """Apply the rules for parameters, pg_hba and pg_ident lines; raises InvalidSpec as a keeper would."""
    check_parameters(spec.postgres.parameters)
    render_hba(spec.postgres, "postgres")
    render_ident(spec.postgres, (), "postgres")
