"""For all tests: what a busy machine does to the time that an example takes is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples each time, like the simulator's seeds in CI, so that only a change can fail.
settings.register_profile(
    "pgha", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pgha")
