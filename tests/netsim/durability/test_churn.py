"""When members are there."""

import math

import numpy as np
import pytest

from netsim.durability.churn import OUTAGE_PART, PROFILES, Weibull, sessions, with_outages

FITS = {
    "skype": (0.64, 10.86, 0.63, 9.48),
    "microsoft": (0.55, 35.3, 0.6, 9.34),
    "overnet": (0.85, 2.04, 0.44, 2.98),
}


@pytest.mark.parametrize("name", FITS)
def test_the_published_fits_give_the_availability_that_follows_from_their_means(name):
    shape_up, scale_up, shape_down, scale_down = FITS[name]
    up = scale_up * math.gamma(1 + 1 / shape_up)
    down = scale_down * math.gamma(1 + 1 / shape_down)
    hours = PROFILES[name].hours(np.random.default_rng(1), 200, 8766)
    assert hours.mean() == pytest.approx(up / (up + down), abs=0.02)


def test_sessions_are_as_long_as_they_were_drawn():
    hours = sessions(Weibull(5, 30), Weibull(5, 60))(np.random.default_rng(2), 300, 5000)
    begins = (hours[:, 1:] & ~hours[:, :-1]).sum()
    assert hours.sum() / begins == pytest.approx(30 * math.gamma(1.2), rel=0.06)


def test_members_of_an_office_are_away_at_night_and_at_weekends():
    hours = PROFILES["office"].hours(np.random.default_rng(3), 50, 7 * 24 * 20)
    week = hours.reshape(50, 20, 7, 24).mean(axis=(0, 1))
    assert week[:5, 9:17].min() > 0.7
    assert week[:, :7].max() == 0
    assert week[5:].max() < 0.1


def test_the_same_seed_gives_the_same_members_and_another_one_others():
    for churn in PROFILES.values():
        first, again, other = (
            churn.hours(np.random.default_rng(seed), 4, 2000) for seed in (7, 7, 8)
        )
        assert (first == again).all()
        assert (first != other).any()


def test_an_outage_takes_about_half_of_a_group_at_the_same_time():
    rng = np.random.default_rng(4)
    hours = with_outages(rng, np.ones((40 * 20, 8766), dtype=bool), 20).reshape(40, 20, -1)
    away = ~hours
    at_worst = away.sum(axis=1).max(axis=1)
    assert at_worst[at_worst > 0].mean() == pytest.approx(20 * OUTAGE_PART, rel=0.2)
    assert away.any(axis=(1, 2)).mean() == pytest.approx(1 - math.exp(-1), abs=0.2)
