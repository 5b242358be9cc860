"""The NAT lab is what it says: its NATs, its lines, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from netsim.lab.homes import TRAITS, Kind
from netsim.lab.line import Conditions
from netsim.lab.network import PROBE_ADDRESSES, SERVER_IPV4, Home, Network, network
from netsim.lab.spaces import call

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.quiet]

PROBE = (sys.executable, "-m", "netsim.lab.probe")


def classified(lab: Network, home: Home) -> str:
    """What the home's NAT does, as a probe at home finds it."""
    with lab.public.running(*PROBE, "serve", *PROBE_ADDRESSES, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        return home.computer.run(*PROBE, "classify", *PROBE_ADDRESSES[:2]).strip()


@pytest.mark.parametrize("kind", [kind for kind in Kind if TRAITS[kind].ipv4])
def test_a_home_behaves_as_its_kind(kind):
    traits = TRAITS[kind]
    with network() as lab:
        found = classified(lab, lab.add_home(kind))
    assert found == (f"{traits.mapping}/{traits.filtering}" if traits.mapping else "blocked")


def wired(lab: Network, conditions: Conditions, rate: str = "") -> Home:
    home = lab.add_home(Kind.PORT, conditions)
    if rate:
        home.limit(rate)
    return home


def pinged(home: Home, count: int = 200) -> tuple[int, list[float]]:
    """How many of so many pings were answered, and their round trips in milliseconds, in order of
    their answers."""
    text = home.computer.run(
        *("sh", "-c", f"ping -n -i 0.005 -c {count} -W 1 {SERVER_IPV4} || true")
    )
    found = re.findall(r"icmp_seq=(\d+) .*time=([\d.]+) ms", text)
    return len(found), [float(time_ms) for _, time_ms in found]


def test_a_wire_delays_both_ways_and_jitters_within_bounds():
    with network() as lab:
        count, times_ms = pinged(wired(lab, Conditions(delay_s=0.025, jitter_s=0.005)))
    assert count == 200
    assert min(times_ms) >= 50.0
    assert statistics.median(times_ms) < 65.0
    assert max(times_ms) - min(times_ms) > 3.0


def test_a_wire_loses_what_it_is_told_to():
    with network() as lab:
        count, _ = pinged(wired(lab, Conditions(loss=0.1)), count=400)
    assert 0.70 < count / 400 < 0.90  # there and back: 81 % come through


def test_a_wire_that_is_cut_carries_nothing_until_it_is_mended():
    with network() as lab:
        home = wired(lab, Conditions())
        assert home.wire is not None
        assert pinged(home, 5)[0] == 5
        home.wire.cut()
        assert pinged(home, 5)[0] == 0
        home.wire.set(Conditions())
        assert pinged(home, 5)[0] == 5


TAKE = """
import socket
taker = socket.create_server(("", 9))
print("ready", flush=True)
connection, _ = taker.accept()
while connection.recv(1 << 20):
    pass
"""
SEND = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 9))
began = time.monotonic()
for _ in range(int(sys.argv[2])):
    connection.sendall(bytes(1 << 20))
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
print(time.monotonic() - began)
"""


def carried_mbit_per_s(lab: Network, home: Home, megabytes: int) -> float:
    """How fast one TCP connection takes so much from a home to the public segment."""
    with lab.public.running(sys.executable, "-c", TAKE, stdout=subprocess.PIPE) as taker:
        assert taker.stdout is not None
        assert taker.stdout.readline() == b"ready\n"
        took = home.computer.run(sys.executable, "-c", SEND, SERVER_IPV4, str(megabytes))
    return megabytes * (1 << 20) * 8 / 1e6 / float(took)


def test_a_wire_carries_a_hundred_megabits_a_second_over_ten_milliseconds():
    with network() as lab:
        assert carried_mbit_per_s(lab, wired(lab, Conditions(delay_s=0.005)), 60) >= 100


def test_a_slow_line_is_as_slow_as_it_was_made():
    with network() as lab:
        home = lab.add_home(Kind.PORT)
        home.limit("10mbit")
        assert 8.0 < carried_mbit_per_s(lab, home, 2) < 11.0


def fail_in_a_lab() -> None:
    with (
        network() as lab,
        lab.add_home(Kind.DUAL_STACK, Conditions()).computer.running("sleep", "1000"),
    ):
        raise ZeroDivisionError


def test_nothing_of_a_lab_stays_when_it_fails_within():
    with pytest.raises(ZeroDivisionError):
        fail_in_a_lab()
    mine = f"cvy{os.getpid()}-"
    assert mine not in call("ip", "netns", "list")
    assert not list(Path("/etc/netns").glob(f"{mine}*"))


KILLED = """
import os, signal
from netsim.lab.homes import Kind
from netsim.lab.network import network
with network() as lab, lab.add_home(Kind.PORT).computer.running("sleep", "1000"):
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_lab_takes_away_what_a_killed_one_left():
    done = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, check=False, text=True
    )
    left = f"cvy{done.stdout.strip()}-"
    assert left in call("ip", "netns", "list")
    with network():
        assert left not in call("ip", "netns", "list")
