"""Timings for clusters on a busy machine."""

from __future__ import annotations

PATIENT = {"hang_timeout": "60s", "proxy_timeout": "30s", "fence_after": "60s", "park_timeout": "120s"}
"""For stories in which nobody falls silent: that a machine is busy must not look as if somebody did."""
