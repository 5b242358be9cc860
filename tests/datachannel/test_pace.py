"""How fast a link has been in the last seconds."""

from __future__ import annotations

import pytest

from datachannel.pace import Pace


def test_a_new_link_has_no_pace_and_needs_no_time_to_have_passed():
    assert Pace(5.0).per_s(0, 5.0) == 0.0


def test_the_pace_is_that_of_the_last_seconds_only():
    pace = Pace(0.0)
    for second in range(0, 100, 5):
        pace.note(second * 1_000_000, float(second))
    assert pace.per_s(97_000_000, 97.0) == pytest.approx(1_000_000)
    for second in range(100, 115, 5):
        pace.note(97_000_000, float(second))
    assert pace.per_s(97_000_000, 116.0) == 0.0
