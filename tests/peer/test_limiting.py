"""Limits as a person writes them, and that they outlast the process."""

from __future__ import annotations

import pytest

from datachannel.bandwidth import Limits
from datachannel.throttle import Throttle
from peer.limiting import Limiting, rate_of
from peer.politeness import LOOPBACK, Traffic
from peer.service import Problem
from peer.state import Config, Secrets, StateFolder

CONFIG = Config(group="smiths", server="lan", member_name="anna", offer_bytes=1, created_ns=1)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5Mbit", 625_000.0),
        ("5 mbit/s", 625_000.0),
        ("800kbps", None),
        ("2MB", 2_000_000.0),
        ("1.5Gbit", 187_500_000.0),
        ("400kB/s", 400_000.0),
    ],
)
def test_speeds_are_read_as_people_write_them(text, rate):
    if rate is None:
        with pytest.raises(Problem, match="no speed"):
            rate_of(text)
    else:
        assert rate_of(text) == rate


def test_none_lifts_a_limit():
    assert rate_of("none") is None


@pytest.mark.parametrize("text", ["", "fast", "5", "-5Mbit", "5Mbit; rm", "1e9Mbit", "5 Tbit"])
def test_what_is_no_speed_is_refused_in_words(text):
    with pytest.raises(Problem, match="is no speed"):
        rate_of(text)


def test_a_limit_below_which_no_backup_ends_is_refused():
    with pytest.raises(Problem, match="128 kbit/s"):
        rate_of("100kbit")


async def test_what_is_not_named_stays_and_what_is_named_is_kept_first():
    kept: list[Limits] = []

    async def keep(limits: Limits) -> None:
        kept.append(limits)

    throttle = Throttle(Limits(down_bytes_per_s=1e6, spare=True))
    answer = await Limiting(throttle, keep).change("8Mbit", "", None)
    assert kept == [throttle.limits] == [Limits(1e6, 1e6, spare=True)]
    assert (answer["up_bytes_per_s"], answer["spare"]) == (1e6, True)
    with pytest.raises(Problem):
        await Limiting(throttle, keep).change("none", "nonsense", False)
    assert throttle.limits == kept[-1]


def test_limits_outlast_the_process(tmp_path):
    state = StateFolder(tmp_path / "home")
    state.create(CONFIG, Secrets(b"m" * 32, b"s" * 32, b"b" * 32, b"n" * 16))
    assert state.config().limits == Limits(spare=True)
    state.update_config(limits=Limits(up_bytes_per_s=625_000.0))
    assert StateFolder(tmp_path / "home").config().limits == Limits(up_bytes_per_s=625_000.0)
    state.update_config(limits=Limits(spare=True))
    assert state.config().limits == Limits(spare=True)


def test_traffic_only_grows_and_leaves_the_loopback_out():
    traffic = Traffic()
    first, second = traffic(), traffic()
    assert min(first) >= 0
    assert second >= first
    assert [name for name in ("lo", "lo0", "Loopback Pseudo-Interface 1") if LOOPBACK.match(name)]
    assert not LOOPBACK.fullmatch("wlo1")
