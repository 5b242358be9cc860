"""The statistical model and the real code, on the same hours: they agree within a stated error."""

from __future__ import annotations

import pytest

from netsim.world.compare import compare

AT_ONCE_ERROR = 0.05
SIZE_ERROR = 0.15
"""Of expansion and of bytes moved, relative."""


@pytest.mark.slow
def test_the_model_and_the_real_members_come_to_about_the_same_figures():
    found = compare("microsoft", members=6, days=6, seeds=range(1, 2))
    assert found.real.at_once == pytest.approx(found.model.at_once, abs=AT_ONCE_ERROR)
    assert found.real.expansion == pytest.approx(found.model.expansion, rel=SIZE_ERROR)
    assert found.real.moved == pytest.approx(found.model.moved, rel=SIZE_ERROR)
    assert found.real.lost == found.model.lost == 0
