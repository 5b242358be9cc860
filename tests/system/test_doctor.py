"""`covey doctor` against a real server and a real coturn."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.group import LocalGroup, MemberProcess, covey
from datachannel import webrtc_probe
from netsim.lab.homes import Kind
from netsim.lab.network import PROBE_ADDRESSES, SERVER_IPV4, Network, network
from signaling.messages import IceServer, MemberId
from signaling.turn import Relays, TurnConfig
from tests.support.raw_client import free_port
from tests.support.turn_server import turn_server

pytestmark = [pytest.mark.system, pytest.mark.slow]


def doctor(*options: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    done = subprocess.run(
        covey("--json", *options), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_a_member_of_a_small_group_without_stun_is_told_so_and_has_no_problem(group: LocalGroup):
    anna, ben = group.join_all("anna", "ben")
    group.wait_online(anna, 1)
    for member in (anna, ben):  # with an agent
        code, answer = doctor("--home", str(member.home), "doctor")
        assert code == 0, answer
        levels = {one["about"]: one["level"] for one in answer["findings"]}
        assert levels["Server"] == levels["Clock"] == levels["Group"] == levels["Disk"] == "ok"
        assert levels["STUN"] == levels["TURN"] == "warning"
        assert levels["Friends"] == "ok"
    anna.stop()
    code, answer = doctor("--home", str(anna.home), "doctor")  # and without one
    assert code == 0, answer


def test_it_works_before_joining_and_fails_when_the_server_does_not_answer(tmp_path: Path):
    nobody = f"http://127.0.0.1:{free_port()}"
    code, answer = doctor("--home", str(tmp_path / "home"), "doctor", "--server", nobody)
    assert code == 1
    assert answer["findings"][0]["level"] == "problem"
    assert not (tmp_path / "home").exists()


@contextmanager
def public_servers(lab: Network, folder: Path) -> Iterator[str]:
    """A signaling server that names two STUN addresses, and those."""
    folder.mkdir()
    addresses = PROBE_ADDRESSES[:2]
    listening = [f"--listening-ip={address}" for address in addresses]
    stun = ("turnserver", "-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", *listening)
    named = [part for address in addresses for part in ("--stun", f"stun:{address}:3478")]
    serve = covey(
        *("serve", "--host", SERVER_IPV4, "--port", "8000", "--data", str(folder / "data")), *named
    )
    with (
        lab.public.running(*stun, f"--pidfile={folder / 'pid'}", f"--log-file={folder / 'log'}"),
        lab.public.running(*serve, stdout=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        yield server.stdout.readline().decode().strip()


def test_it_tells_the_kinds_of_routers_apart(tmp_path: Path):
    expected = {
        Kind.PORT: ("ok", "one port for all friends"),
        Kind.SYMMETRIC: ("warning", "symmetric"),
        Kind.NO_UDP: None,
    }
    (tmp_path / "password").write_text("gravel-pelican-oboe-thirteen")
    with network() as lab, public_servers(lab, tmp_path / "public") as url:
        for kind, nat in expected.items():
            home = lab.add_home(kind)
            member = MemberProcess(kind, tmp_path / kind, None, home.computer.inside([]))
            how = ("--space", "100MB", "--name", kind, "--create", "--server", url)
            words = ("--words-file", str(tmp_path / f"{kind}.words"))
            password = ("--password-file", str(tmp_path / "password"))
            member.run("join", "The Homes", *how, *words, *password)
            command = [*member.within, *covey("--json", "--home", str(member.home), "doctor")]
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            told = {one["about"]: one for one in json.loads(done.stdout)["findings"]}
            if nat is None:
                assert "NAT" not in told
                assert told["STUN"]["level"] == "warning"
                assert told["TURN"]["level"] == "problem"
                assert done.returncode == 1
            else:
                assert told["NAT"]["level"] == nat[0]
                assert nat[1] in told["NAT"]["text"]
                assert told["STUN"]["text"] == f"Friends see this computer at {home.public_ipv4}."
                assert done.returncode == 0, told


async def test_stun_and_turn_of_a_real_coturn_are_told_from_what_is_not_there(tmp_path: Path):
    member = MemberId(b"1" * 32)
    with turn_server(tmp_path / "coturn", "--allow-loopback-peers") as coturn:
        tcp = coturn.url.replace("udp", "tcp")
        turn = TurnConfig((coturn.url, tcp), coturn.secret)
        given, *_ = Relays((), turn, time.time).grant(b"g" * 32, member).servers
        dead = f"turn:127.0.0.1:{free_port()}?transport=udp"
        async with asyncio.timeout(60):
            local, seen = await webrtc_probe.seen_from([coturn.url, dead])
            assert set(local) == {"127.0.0.1"}
            (answer,) = seen[coturn.url]
            assert answer is not None
            assert answer[0] == "127.0.0.1"
            assert seen[dead] == [None]
            assert await webrtc_probe.why_no_relay(given, coturn.url) == ""
            assert await webrtc_probe.why_no_relay(given, tcp) == ""
            stranger = IceServer(given.urls, given.username, "not its password")
            refused = await webrtc_probe.why_no_relay(stranger, coturn.url)
            assert refused == "it refuses this member"
            assert await webrtc_probe.why_no_relay(given, dead) == "it does not answer"
            away = dead.replace("udp", "tcp")
            assert await webrtc_probe.why_no_relay(given, away) == "it cannot be connected to"
            nowhere = "turn:nowhere.invalid"
            assert await webrtc_probe.why_no_relay(given, nowhere) == "its name is not known"
