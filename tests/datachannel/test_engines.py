"""Which engine makes a link, and that the fast one is not trusted before it was tried."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import pytest

from datachannel import engines, libdatachannel_trial
from datachannel.channel_link import RECEIVED_BYTES_MAX, RECEIVED_FRAMES_MAX
from datachannel.engines import BestEngine
from datachannel.errors import Unavailable
from datachannel.messages import Get
from datachannel.session import STREAMS_MAX, Session
from datachannel.signals import Candidate, Description
from signaling.messages import IceServer, MemberId
from tests.support.sctp_harness import run_virtual

BEN, CAT = MemberId(b"b" * 32), MemberId(b"c" * 32)
HOST = Candidate("host", "192.0.2.1", 4000, 100, "1")
HOST_IPV6 = Candidate("host", "2001:db8::1", 4000, 100, "1")
RELAY = Candidate("relay", "198.51.100.2", 4000, 10, "3")
OUTSIDE = Candidate("srflx", "198.51.100.1", 4000, 90, "2")
STUN = IceServer(("stun:stun.example:3478",))
TURN_UDP = IceServer(("turn:turn.example:3478",), "u", "c")
TURN_TCP = IceServer(("turn:turn.example:3478?transport=tcp",), "u", "c")
TURN_TLS = IceServer(("turns:turn.example:5349",), "u", "c")


class ScriptedEngine:
    """Finds the candidates it is told to, and connects or not as it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.finds: tuple[Candidate, ...] = (HOST, OUTSIDE)
        self.connects = True
        self.open: list[ScriptedAttempt] = []

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> ScriptedAttempt:
        attempt = ScriptedAttempt(self)
        self.open.append(attempt)
        return attempt


class ScriptedAttempt:
    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self.later: list[Candidate] = []

    async def local_description(self, offer: Description | None = None) -> Description:
        return Description(
            "user", "p" * 22, self._engine.name.encode()[:1] * 32, "actpass", self._engine.finds
        )

    async def connect(self, remote: Description) -> str:
        if not self._engine.connects:
            raise Unavailable("no path")
        return self._engine.name

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        self.later += candidates

    async def close(self) -> None:
        if self in self._engine.open:
            self._engine.open.remove(self)


class Both:
    """A fast and a plain engine, and the choice between them."""

    def __init__(self) -> None:
        self.fast, self.plain = ScriptedEngine("fast"), ScriptedEngine("plain")
        self.looked = 0
        self.best = BestEngine(find_fast=self._find, plain=self.plain)

    async def _find(self) -> ScriptedEngine:
        self.looked += 1
        await asyncio.sleep(1)
        return self.fast

    async def taken(self, *servers: IceServer, member: MemberId = BEN) -> str:
        """The engine of the next attempt, which is made and closed."""
        attempt = self.best.attempt(member, offerer=True, ice_servers=servers)
        try:
            described = await attempt.local_description()
            try:
                return await attempt.connect(described)
            except Unavailable:
                return "none"
        finally:
            await attempt.close()
            assert not self.fast.open + self.plain.open


def test_the_fast_engine_is_taken_where_it_works_and_looked_for_once():
    async def main():
        both = Both()
        assert both.best.name == "plain"
        taken = await asyncio.gather(*(both.taken(STUN, TURN_UDP, TURN_TLS) for _ in range(3)))
        assert taken == ["fast"] * 3
        assert both.looked == 1
        assert both.best.name == "fast"

    run_virtual(main())


@pytest.mark.parametrize("servers", [[TURN_TCP], [TURN_TLS], [STUN, TURN_TCP, TURN_TLS]])
def test_the_plain_engine_is_taken_when_relays_are_offered_over_tcp_or_tls_alone(servers):
    async def main():
        assert await Both().taken(*servers) == "plain"

    run_virtual(main())


@pytest.mark.parametrize(
    ("finds", "engine"),
    [
        ((HOST_IPV6, RELAY), "plain"),
        ((HOST_IPV6, HOST, RELAY), "fast"),
        ((HOST_IPV6,), "fast"),
    ],
)
def test_the_plain_engine_takes_over_where_the_fast_one_has_a_relay_that_it_cannot_use(
    finds, engine
):
    async def main():
        both = Both()
        both.fast.finds = finds
        assert await both.taken(STUN, TURN_UDP) == engine

    run_virtual(main())


def test_the_plain_engine_takes_over_when_no_server_answers_the_fast_one_over_udp():
    async def main():
        both = Both()
        both.fast.finds = (HOST,)
        assert await both.taken(STUN, TURN_UDP, TURN_TLS) == "plain"
        both.fast.finds = (HOST, OUTSIDE)
        assert await both.taken(STUN, TURN_UDP, TURN_TLS, member=CAT) == "plain"
        await asyncio.sleep(engines.PLAIN_S)
        assert await both.taken(STUN, TURN_UDP, TURN_TLS) == "fast"

    run_virtual(main())


def test_silent_servers_are_no_reason_when_the_plain_engine_has_no_other_way_either():
    async def main():
        both = Both()
        both.fast.finds = (HOST,)
        assert await both.taken(STUN, TURN_UDP) == "fast"
        assert await both.taken() == "fast"

    run_virtual(main())


def test_the_plain_engine_takes_over_when_the_fast_one_finds_no_address():
    async def main():
        both = Both()
        both.fast.finds = ()
        assert await both.taken() == "plain"

    run_virtual(main())


def test_after_a_failure_the_other_engine_has_its_turn_with_that_friend():
    async def main():
        both = Both()
        both.fast.connects = False
        assert [await both.taken() for _ in range(3)] == ["none", "plain", "plain"]
        both.fast.connects, both.plain.connects = True, False
        assert await both.taken(member=CAT) == "fast"
        assert [await both.taken() for _ in range(2)] == ["none", "fast"]

    run_virtual(main())


def test_a_friend_that_was_away_is_called_with_the_fast_engine_again_after_a_while():
    async def main():
        both = Both()
        both.fast.connects = False
        assert await both.taken() == "none"
        both.fast.connects = True
        assert await both.taken() == "plain"
        await asyncio.sleep(engines.PLAIN_S)
        assert await both.taken() == "fast"

    run_virtual(main())


def test_an_attempt_that_its_caller_gave_up_counts_as_failed():
    async def main():
        both = Both()

        async def never(self, remote):
            await asyncio.sleep(3600)

        attempt = both.best.attempt(BEN, offerer=True, ice_servers=())
        described = await attempt.local_description()
        both.fast.open[0].connect = never.__get__(both.fast.open[0])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await attempt.connect(described)
        await attempt.close()
        assert await both.taken() == "plain"

    run_virtual(main())


def test_later_candidates_reach_the_engine_that_was_taken():
    async def main():
        both = Both()
        both.fast.finds = ()
        attempt = both.best.attempt(BEN, offerer=True, ice_servers=())
        await attempt.add_candidates([HOST], complete=False)
        await attempt.local_description()
        await attempt.add_candidates([OUTSIDE], complete=True)
        assert both.plain.open[0].later == [OUTSIDE]
        await attempt.close()

    run_virtual(main())


def test_an_engine_that_cannot_be_loaded_is_no_reason_to_fail(caplog):
    async def main():
        async def broken():
            raise ImportError("libssl.so.3: cannot open shared object file")

        plain = ScriptedEngine("plain")
        attempt = BestEngine(find_fast=broken, plain=plain).attempt(
            BEN, offerer=True, ice_servers=()
        )
        assert await attempt.connect(await attempt.local_description()) == "plain"

    run_virtual(main())
    assert "could not be loaded" in caplog.text


# The trial


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
        ("raise ImportError", "ended with 1"),
        ("import time; time.sleep(60)", "took too long"),
    ],
)
async def test_a_trial_that_crashes_fails_or_hangs_says_no(body, said, monkeypatch, caplog):
    monkeypatch.setattr(libdatachannel_trial, "TRIAL_S_MAX", 1.0)
    command = (sys.executable, "-S", "-c", body)
    version = libdatachannel_trial.PACKAGE_VERSION
    assert not await libdatachannel_trial.works(version, command=command)
    assert said in caplog.text


async def test_another_version_than_the_engine_was_written_for_is_not_even_tried(caplog):
    assert not await libdatachannel_trial.works("2027.1.1", command=("false",))
    assert "2027.1.1 is installed" in caplog.text


async def test_an_engine_that_is_not_installed_is_nothing_to_complain_about(caplog):
    assert not await libdatachannel_trial.works(None)
    assert not caplog.text


# Why no correct friend overruns a link


@pytest.mark.parametrize("size", [1, 16 * 1024, 60 * 1024])
def test_what_credits_allow_to_wait_in_a_link_is_less_than_what_cuts_a_friend_off(size):
    """Both sides open all streams they may; one sends until no credit is left, the other reads
    nothing of it."""
    sender, reader = Session(initiator=True, now=0.0), Session(initiator=False, now=0.0)
    streams = [sender.open(Get(b"n" * 32)) for _ in range(STREAMS_MAX)]
    waiting = sender.frames_to_send(0.0, 1 << 30)
    theirs = [reader.open(Get(b"n" * 32)) for _ in range(STREAMS_MAX)]
    for frame in reader.frames_to_send(0.0, 1 << 30):
        sender.receive(frame, 0.0)
    for stream in streams + theirs:
        while sender.can_send(stream, size):
            sender.send_data(stream, bytes(size))
            waiting += sender.frames_to_send(0.0, 1 << 30)
    assert len(waiting) >= 2 * STREAMS_MAX * 17
    assert len(waiting) + 1024 < RECEIVED_FRAMES_MAX
    assert sum(map(len, waiting)) < RECEIVED_BYTES_MAX
