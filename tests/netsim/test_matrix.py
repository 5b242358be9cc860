"""What the lab complains about."""

from __future__ import annotations

import pytest

from netsim.lab.homes import Kind
from netsim.lab.matrix import Meeting, complaints, median_connect_s

PORT, SYMMETRIC = Kind.PORT, Kind.SYMMETRIC


def meeting(outcome, connect_s=1.0, *, wanted="direct", failure=""):
    return Meeting(PORT, SYMMETRIC, wanted, outcome, connect_s, 1.0, (), failure)


def test_nothing_is_said_of_what_is_as_it_should_be():
    assert complaints([meeting("direct"), meeting("relayed", wanted="relayed")]) == []


def test_who_cannot_meet_and_reads_so_is_as_it_should_be():
    impossible = meeting(None, 15.0, wanted=None, failure="no direct path to the friend was found")
    assert complaints([meeting("direct"), impossible]) == []
    assert median_connect_s([meeting("direct"), impossible]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        meeting("relayed"),
        meeting("direct", wanted="relayed"),
        meeting("direct", 20.1),
        meeting(None, 15.0, failure="nothing came"),
        meeting("direct", wanted=None),
    ],
)
def test_what_is_not_as_it_should_be_is_told(wrong):
    (text,) = complaints([meeting("direct"), meeting("direct"), wrong])
    assert "port and symmetric" in text


def test_a_slow_half_is_told():
    assert "half of all pairs" in complaints([meeting("direct", 4.1)])[0]
