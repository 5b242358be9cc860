"""Which homes can meet directly, and what their routers are told."""

from __future__ import annotations

import pytest

from netsim.lab.homes import TRAITS, Kind, every_pair, expected, rules

IPV4_NATS = (Kind.FULL_CONE, Kind.ADDRESS, Kind.PORT)


@pytest.mark.parametrize(("one", "other"), every_pair())
def test_who_calls_makes_no_difference(one, other):
    assert expected(one, other) == expected(other, one)


@pytest.mark.parametrize("one", IPV4_NATS)
@pytest.mark.parametrize("other", IPV4_NATS)
def test_homes_whose_port_is_the_same_for_everybody_meet_directly(one, other):
    assert expected(one, other) == "direct"


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        (Kind.FULL_CONE, "direct"),
        (Kind.ADDRESS, "direct"),
        (Kind.PORT, "relayed"),
        (Kind.SYMMETRIC, "relayed"),
    ],
)
def test_a_symmetric_home_meets_directly_whoever_lets_an_unknown_port_in(other, outcome):
    assert expected(Kind.SYMMETRIC, other) == outcome


@pytest.mark.parametrize("closed", [Kind.NO_UDP, Kind.WEB_ONLY])
@pytest.mark.parametrize("other", Kind)
def test_without_udp_everything_is_relayed(closed, other):
    assert expected(closed, other) == "relayed"


@pytest.mark.parametrize(("one", "other"), every_pair())
def test_without_a_relay_those_who_need_one_do_not_meet(one, other):
    alone = expected(one, other, relay=False)
    assert (alone or "relayed") == expected(one, other)


def test_ipv6_connects_what_it_reaches_and_nothing_else():
    assert expected(Kind.IPV6_ONLY, Kind.DUAL_STACK) == "direct"
    assert expected(Kind.IPV6_ONLY, Kind.IPV6_ONLY) == "direct"
    assert expected(Kind.IPV6_ONLY, Kind.FULL_CONE) == "relayed"


def test_every_kind_with_itself_and_each_other_is_a_pair_once():
    assert len(every_pair()) == 8 * 9 // 2
    assert len({frozenset(pair) for pair in every_pair()}) == 36


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_rules_for_what_it_has(kind):
    text = rules(kind, "192.168.1.2")
    assert ("table ip home" in text) == TRAITS[kind].ipv4
    assert ("table ip6 home" in text) == TRAITS[kind].ipv6
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("kind", [kind for kind in Kind if TRAITS[kind].ipv4])
def test_no_packet_from_outside_becomes_a_connection_of_the_router_itself(kind):
    assert "hook input priority 0; iifname wan ct state new drop" in rules(kind, "192.168.1.2")
