"""What the doctor looks at, in which order, and what it leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from datachannel.errors import Unavailable
from peer.doctor.examine import Insight, examine_member, examine_outside
from peer.doctor.paths import Address, RouterTried
from peer.doctor.probes import measure_disk
from peer.doctor.verdicts import Disk, Reached
from peer.service import Event
from signaling.messages import IceServer, MemberId

SEEN = ("192.0.2.7", 4711)


class Lab:
    """Probes that find what a test says."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Address | None]] = {}
        self.no_relay: dict[str, str] = {}
        self.local = ["192.168.1.2"]
        self.asked: list[str] = []
        self.asked_router = False

    async def server(self, url: str) -> Reached:
        return Reached(url, clock_ahead_s=0.0)

    async def seen_from(
        self, urls: Sequence[str]
    ) -> tuple[Sequence[str], Mapping[str, Sequence[Address | None]]]:
        self.asked = list(urls)
        return self.local, {url: self.seen.get(url, []) for url in urls}

    async def why_no_relay(self, server: IceServer, url: str) -> str:
        return self.no_relay.get(url, "")

    def transport_of(self, url: str) -> str:
        return "TLS" if url.startswith("turns:") else "UDP"

    async def router(self) -> RouterTried | None:
        self.asked_router = True
        return None

    async def disk(self) -> Disk:
        return Disk(100 * 10**9, 90e6)


async def nobody(member: MemberId) -> object:
    raise Unavailable("the friend is not online")


def insight(*urls: str, server: str = "https://example.org", connected: bool = True) -> Insight:
    return Insight(
        server=server,
        connected=connected,
        near_only=False,
        refusal="",
        ice_servers=[IceServer((url,)) for url in urls],
        friends=[],
        links=list,
        call=nobody,
        offer_bytes=0,
        used_bytes=0,
        maps_ports=True,
    )


def told(lab: Lab, known: Insight) -> tuple[list[tuple[str, str]], Event]:
    events: list[Event] = []
    last = asyncio.run(examine_member(lab, known, events.append))
    return [(event["about"], event["level"]) for event in events], last


def test_all_is_looked_at_and_relays_over_udp_are_asked_for_our_address_too():
    lab = Lab()
    urls = ("stun:a", "turn:b", "turns:c")
    lab.seen = {"stun:a": [SEEN], "turn:b": [SEEN]}
    findings, last = told(lab, insight(*urls))
    assert [about for about, _ in findings] == [
        *("Server", "Clock", "Group", "STUN", "NAT", "TURN", "TURN", "Router", "Disk", "Disk"),
        "Friends",
    ]
    assert lab.asked == ["stun:a", "turn:b"]
    assert last["ok"]


def test_a_server_whose_name_leads_nowhere_counts_as_silent():
    findings, _ = told(Lab(), insight("stun:a"))
    assert ("STUN", "warning") in findings


def test_without_udp_and_without_a_relay_there_is_a_problem():
    lab = Lab()
    lab.seen = {"stun:a": [None]}
    findings, last = told(lab, insight("stun:a"))
    assert ("TURN", "problem") in findings
    assert not last["ok"]


def test_a_computer_with_a_public_address_has_no_router_to_ask():
    lab = Lab()
    lab.seen, lab.local = {"stun:a": [SEEN]}, ["192.0.2.7"]
    findings, _ = told(lab, insight("stun:a"))
    assert "Router" not in dict(findings)
    assert not lab.asked_router


def test_who_is_not_let_in_is_told_so_and_the_rest_is_looked_at():
    findings, last = told(Lab(), insight("stun:a", connected=False))
    assert ("Group", "problem") in findings
    assert "STUN" not in dict(findings)  # nobody named any server yet
    assert "Disk" in dict(findings)
    assert not last["ok"]


def test_on_a_network_without_a_server_the_group_says_what_to_do():
    findings, _ = told(Lab(), insight(server="lan", connected=False))
    assert findings[0] == ("Group", "problem")


@pytest.mark.parametrize("server", ["https://example.org", None])
def test_before_joining_a_server_is_looked_at_if_there_is_one(server: str | None):
    events: list[Event] = []
    last = asyncio.run(examine_outside(Lab(), server, events.append, maps_ports=True))
    assert [event["about"] for event in events] == [
        *(["Server", "Clock"] if server else []),
        *("Router", "Disk", "Disk"),
    ]
    assert last["ok"]


def test_a_real_disk_is_measured_and_nothing_is_left_on_it(tmp_path: Path):
    times = iter([1.0, 3.0])
    found = measure_disk(tmp_path / "not" / "yet", now=lambda: next(times), random_bytes=bytes)
    assert found.write_rate == (32 << 20) / 2
    assert found.free > 0
    assert not list(tmp_path.iterdir())
