"""Bugs of a proxy: whom it goes on sending clients to."""

from __future__ import annotations

from typing import Final

from proxy.route import Decision, Seen, Target
from tests.sim.canaries import Canary, attribute


def _stays_over_a_term(self: Decision, session: Target) -> bool:
    """A session ends only when another route takes its place."""
    return not self.cuts_all and self.target in {None, session}


def _stays_for_ever(self: Decision, session: Target) -> bool:
    del session
    return not self.cuts_all


CANARIES: Final = (
    Canary(
        "ignore_the_term",
        "a proxy keeps its sessions when a view with a newer term comes, until that has a route",
        frozenset({"I5"}),
        lambda: attribute(Decision, "may_stay", _stays_over_a_term),
    ),
    Canary(
        "keep_sessions_over_a_term",
        "a session stays where it is, whatever the route of the new term",
        frozenset({"I5"}),
        lambda: attribute(Decision, "may_stay", _stays_for_ever),
    ),
    Canary(
        "serve_unproven_route",
        "a proxy goes on serving a route that nothing proves any more",
        frozenset({"I5"}),
        lambda: attribute(Seen, "is_proven", property(lambda _: True)),
    ),
)
