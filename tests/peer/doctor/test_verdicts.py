"""From what was measured to what is said: one claim for each kind of trouble."""

from __future__ import annotations

import pytest

from datachannel.engine import LinkInfo
from peer.doctor import paths, verdicts
from peer.doctor.findings import Finding, conclusion
from peer.doctor.paths import RouterTried, StunTried, TurnTried
from peer.doctor.verdicts import Disk, FriendCalled, Reached
from signaling.messages import MemberId

GB = 10**9
HOME = ("192.168.1.2",)
SEEN = ("192.0.2.7", 4711)
TURN = "turn:turn.example.org"


def level(finding: Finding | None) -> str:
    assert finding is not None
    assert finding.text.endswith((".", "!"))
    assert finding.level == "ok" or finding.advice, "who is warned is told what to do"
    return finding.level


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        (Reached("https://example.org"), "ok"),
        (Reached("http://192.168.1.5:8000"), "ok"),
        (Reached("http://localhost:8000"), "ok"),
        (Reached("http://example.org"), "warning"),
        (Reached("https://example.org", took_s=4.0), "warning"),
        (Reached("https://example.org", "it does not answer", "Wait."), "problem"),
    ],
)
def test_a_server_is_judged_by_its_answer_and_by_who_can_listen(reached: Reached, expected: str):
    assert level(verdicts.server(reached)) == expected


@pytest.mark.parametrize(
    ("ahead_s", "expected", "says"),
    [
        (0.4, "ok", "agrees"),
        (-6.0, "warning", "6 seconds behind"),
        (29.0, "warning", "29 seconds ahead of"),
        (31.0, "problem", "31 seconds ahead of"),
        (-7200.0, "problem", "2 hours behind"),
        (40_000_000.0, "problem", "463 days ahead of"),
    ],
)
def test_a_clock_is_a_problem_before_friends_refuse_what_it_dates(ahead_s, expected, says):
    finding = verdicts.clock(ahead_s)
    assert level(finding) == expected
    assert says in finding.text


def test_without_anybodys_clock_nothing_is_said_of_ours():
    assert verdicts.clock(None) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Disk(100 * GB, 90e6), ["ok", "ok"]),
        (Disk(30 * GB, 90e6), ["warning", "ok"]),  # 40 GB are still promised
        (Disk(1 * GB, 90e6), ["problem", "ok"]),
        (Disk(100 * GB, 5e6), ["ok", "warning"]),
        (Disk(1 * GB, None), ["problem"]),
        (Disk(0, None, "Read-only file system"), ["problem"]),
    ],
)
def test_a_disk_has_room_for_what_is_still_promised_and_is_fast(found: Disk, expected: list[str]):
    assert [level(one) for one in verdicts.disk(found, offer=50 * GB, used=10 * GB)] == expected


def test_each_friend_who_is_there_is_told_of_and_those_away_are_counted():
    link = LinkInfo(MemberId(b"1" * 32), "aiortc", "open", rtt_s=0.02, relayed=True)
    found = verdicts.friends(
        [
            FriendCalled("ben", True, link),
            FriendCalled("cy", True, None, "the friend did not answer the call"),
            FriendCalled("di", False, None),
        ]
    )
    assert [level(one) for one in found] == ["ok", "warning", "ok"]
    assert found[0].text == "ben is reached through the relay by aiortc, round trip 20 ms."
    assert "did not answer" in found[1].text
    assert level(verdicts.friends([])[0]) == "warning"
    assert level(verdicts.friends([FriendCalled("di", False, None)])[0]) == "warning"


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ([StunTried("stun:a", SEEN), StunTried("stun:b", SEEN)], "ok"),
        ([StunTried("stun:a", SEEN), StunTried("stun:b", None)], "warning"),
        ([StunTried("stun:a", None)], "warning"),
        ([], "warning"),
    ],
)
def test_stun_tells_whether_udp_comes_back(tried: list[StunTried], expected: str):
    assert level(paths.stun(tried)) == expected


def nat(*seen: tuple[str, int] | None, local: tuple[str, ...] = HOME) -> Finding | None:
    tried = [StunTried(f"stun:{number}", one) for number, one in enumerate(seen)]
    return paths.nat(local, tried, has_relay=False)


def test_the_router_shows_by_what_several_servers_see():
    for finding, says in (
        (nat(SEEN, SEEN), "one port for all friends"),
        (nat(SEEN), "only with two STUN addresses"),
        (nat(SEEN, None), "only with two STUN addresses"),
        (nat(SEEN, ("192.0.2.7", 4712)), "symmetric"),
        (nat(SEEN, SEEN, local=("192.0.2.7",)), "public address"),
    ):
        assert finding is not None
        assert says in finding.text
    assert level(nat(SEEN, ("192.0.2.7", 4712))) == "warning"
    assert nat(None) is None


def test_no_relay_is_a_problem_only_where_nothing_else_gets_out():
    assert [level(one) for one in paths.turn([], udp_blocked=False)] == ["warning"]
    assert [level(one) for one in paths.turn([], udp_blocked=True)] == ["problem"]


def test_one_way_to_the_relay_that_works_is_enough():
    silent, good = TurnTried(TURN, "UDP", "it does not answer"), TurnTried(TURN, "TLS")
    assert [level(one) for one in paths.turn([silent, good], udp_blocked=True)] == ["warning", "ok"]
    assert [level(one) for one in paths.turn([silent], udp_blocked=True)] == ["problem"]


def test_a_router_that_opens_no_port_is_no_trouble():
    def told(tried: RouterTried | None) -> str:
        finding = paths.router(tried, public=False, wanted=True)
        assert finding is not None
        assert finding.level == "ok"
        return finding.text

    assert "none answers" in told(None)
    assert "it says no" in told(RouterTried("UPnP", "", "it says no"))
    assert "8.8.8.8" in told(RouterTried("UPnP", "8.8.8.8"))
    assert "another router" in told(RouterTried("NAT-PMP", "192.168.0.3"))
    assert "among customers" in told(RouterTried("NAT-PMP", "100.64.3.4"))
    assert paths.router(None, public=True, wanted=True) is None
    off = paths.router(None, public=False, wanted=False)
    assert off is not None
    assert "turned off" in off.text


def test_only_a_problem_makes_it_fail():
    fine = Finding("Disk", "ok", "It is.")
    odd = Finding("NAT", "warning", "It is odd.", "Look.")
    bad = Finding("Clock", "problem", "It is wrong.", "Set it.")
    assert conclusion([fine])["message"] == "Everything is as it should be."
    assert conclusion([fine, odd]) | {"ok": True} == conclusion([fine, odd])
    last = conclusion([fine, odd, bad])
    assert (last["ok"], last["message"]) == (False, "1 problem found, and 1 warning.")
    assert last["next_step"] == "Set it."
