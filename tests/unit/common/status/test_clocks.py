"""How far clocks are apart, and from when on that is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.status.clocks import ClockOffset, apart_s, clocks_apart, offset_of
from tests.support.healthy import NOW


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@pytest.mark.parametrize("ahead_s", [0.0, 5.0, -0.25])
@pytest.mark.parametrize(
    ("there_s", "work_s", "back_s"), [(0.01, 0.5, 0.01), (0.04, 0.0, 0.0), (0.0, 2.0, 0.06)]
)
def test_an_offset_is_found_within_its_error(
    ahead_s: float, there_s: float, work_s: float, back_s: float
) -> None:
    """However long the host works on its answer, and whichever way is the slower one."""
    received = NOW + after(there_s + ahead_s)
    found = offset_of(NOW, there_s + work_s + back_s, received, received + after(work_s))

    assert found.error_s == pytest.approx((there_s + back_s) / 2, abs=1e-5)
    assert abs(found.ahead_s - ahead_s) <= found.error_s + 1e-5


def test_two_clocks_are_apart_by_what_is_certain() -> None:
    """The errors of both are taken off; less than nothing is nothing."""
    assert apart_s(ClockOffset(0.5, 0.05), ClockOffset(-0.5, 0.05)) == pytest.approx(0.9)
    assert apart_s(ClockOffset(0.05, 0.05), ClockOffset(0.0, 0.05)) == 0


@pytest.mark.parametrize(("apart", "is_said"), [(0.05, False), (0.12, True), (-3.0, True)])
def test_a_warning_names_who_is_behind_whom(apart: float, is_said: bool) -> None:
    """From a tenth of a second on."""
    offsets = {"a": ClockOffset(0.0, 0.005), "b": ClockOffset(apart, 0.005), "c": ClockOffset(0.0, 0.005)}
    said = clocks_apart(offsets)

    assert (said is not None) == is_said
    if said is not None:
        assert said.subject == ("b" if apart < 0 else "a")
        assert said.severity == "warning"


def test_one_clock_alone_is_never_apart() -> None:
    """Nor is none."""
    assert clocks_apart({}) is None
    assert clocks_apart({"a": ClockOffset(1000.0, 0.0)}) is None
