"""Who calls whom, and what is left when it went wrong. In virtual time, on links in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import calls, signals
from datachannel import mesh as mesh_module
from datachannel.calls import SETTLED_S, rotated
from datachannel.errors import LinkClosed, Unavailable
from datachannel.mesh import Mesh
from datachannel.messages import SpaceQuery
from datachannel.signals import AttemptId, SignalBox
from signaling.messages import IceServer, MemberId
from tests.support.members import a_member, counted_bytes
from tests.support.memory_link import MemoryLink
from tests.support.sctp_harness import run_virtual
from tests.support.signal_hub import Air, Hub, MemoryEngine

WALL_CLOCK_S = 1_800_000_000.0


async def no_requests(remote: MemberId, request: Any, stream: Any) -> None:
    raise AssertionError("nobody asks for anything here")


class Member:
    """A running mesh and all that belongs to it."""

    def __init__(self, world: World, name: str) -> None:
        self.credentials = a_member(name)
        self.id = self.credentials.member_id
        self.port = world.hub.port(self.credentials)
        self.engine = MemoryEngine(world.air, name)
        self.mesh = Mesh(
            credentials=self.credentials,
            rendezvous=self.port,
            handler=no_requests,
            random_bytes=counted_bytes(name),
            wall_clock=lambda: WALL_CLOCK_S + asyncio.get_running_loop().time(),
            engine=self.engine,
        )
        self.running = asyncio.get_running_loop().create_task(self.mesh.run())


class World:
    """Some members, in the order of their ids; use as an async context manager."""

    def __init__(self, names: str = "anna ben") -> None:
        self.hub, self.air = Hub(), Air()
        self._names = names.split()

    async def __aenter__(self) -> World:
        self.members = sorted((Member(self, name) for name in self._names), key=lambda m: m.id)
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.members:
            await member.mesh.close()
            await member.running
            assert all(attempt.closed for attempt in member.engine.attempts)
        assert not self.air.waiting


def in_world(main: Callable[[World], Awaitable[None]], names: str = "anna ben") -> None:
    async def run() -> None:
        async with World(names) as world:
            await main(world)

    run_virtual(run())


async def unavailable(member: Member, other: MemberId, **timeout: float) -> tuple[str, float]:
    """That no session comes: why, and after how long."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(Unavailable) as caught:
        await member.mesh.session(other, **timeout)
    return str(caught.value), loop.time() - started


@pytest.mark.parametrize("caller", [0, 1], ids=["the lower id", "the higher id"])
def test_either_one_gets_a_session_and_the_lower_id_offers(caller):
    async def main(world: World) -> None:
        low, high = world.members
        one, other = (low, high) if caller == 0 else (high, low)
        session = await one.mesh.session(other.id)
        assert session.remote == other.id
        assert [attempt.offerer for attempt in low.engine.attempts] == [True]
        assert [attempt.offerer for attempt in high.engine.attempts] == [False]
        assert (await other.mesh.session(one.id)).remote == one.id
        assert len(low.engine.attempts) == 1
        assert [link.state for link in one.mesh.links()] == ["open"]

    in_world(main)


def test_two_who_dial_each_other_at_the_same_time_make_one_connection():
    async def main(world: World) -> None:
        low, high = world.members
        first, second = await asyncio.gather(low.mesh.session(high.id), high.mesh.session(low.id))
        assert (first.remote, second.remote) == (high.id, low.id)
        await asyncio.sleep(10)
        assert not first.closed
        assert not second.closed
        assert len(low.engine.attempts) == len(high.engine.attempts) == 1

    in_world(main)


@settings(max_examples=50, deadline=None)
@given(
    delays=st.lists(st.sampled_from([[0.0], [0.05], [0.3], [1.0], [0.0, 0.2], []]), max_size=8),
    head_start=st.sampled_from([-1.0, -0.11, 0.0, 0.1, 0.11, 1.0]),
)
def test_dialling_each_other_ends_with_one_session_whatever_happens_to_signals(delays, head_start):
    async def main(world: World) -> None:
        low, high = world.members
        fates = iter(delays)
        world.hub.carry = lambda *_: next(fates, [0.0])

        async def want(one: Member, other: Member, after_s: float) -> None:
            await asyncio.sleep(after_s)
            for _ in range(4):
                try:
                    await one.mesh.session(other.id, timeout_s=20)
                    return
                except Unavailable:
                    await asyncio.sleep(1)
            raise AssertionError("no session came about")

        await asyncio.gather(
            want(low, high, max(head_start, 0.0)), want(high, low, max(-head_start, 0.0))
        )
        await asyncio.sleep(20)
        ends = await low.mesh.session(high.id), await high.mesh.session(low.id)
        assert [end.closed for end in ends] == [False, False]
        open_links = [
            attempt
            for member in (low, high)
            for attempt in member.engine.attempts
            if not attempt.closed
        ]
        assert len(open_links) == 2

    in_world(main)


@pytest.mark.parametrize(
    ("is_relayed", "outcome"), [(True, "relay"), (False, "direct"), (None, "unknown")]
)
def test_how_a_link_came_about_is_reported_once_by_who_offered(
    is_relayed: bool | None, outcome: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MemoryLink, "is_relayed", is_relayed)

    async def main(world: World) -> None:
        low, high = world.members
        await high.mesh.session(low.id)
        await asyncio.sleep(SETTLED_S + 0.1)
        assert (low.port.outcomes, high.port.outcomes) == ([outcome], [])

    in_world(main)


@pytest.mark.parametrize(("later", "outcome"), [(False, "direct"), (None, "relay")])
def test_the_path_that_a_link_settles_on_is_reported_or_else_its_first(
    later: bool | None, outcome: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MemoryLink, "is_relayed", True)

    async def main(world: World) -> None:
        low, high = world.members
        await high.mesh.session(low.id)
        await asyncio.sleep(0.1)
        monkeypatch.setattr(MemoryLink, "is_relayed", later)
        await asyncio.sleep(SETTLED_S)
        assert low.port.outcomes == [outcome]

    in_world(main)


def test_a_link_that_does_not_come_about_is_reported_too():
    async def main(world: World) -> None:
        low, high = world.members
        low.engine.fails = True
        await unavailable(low, high.id)
        assert low.port.outcomes[0] == "failed"
        assert high.port.outcomes == []

    in_world(main)


def test_callers_at_the_same_time_share_one_session():
    async def main(world: World) -> None:
        low, high = world.members
        sessions = await asyncio.gather(*(high.mesh.session(low.id) for _ in range(5)))
        assert len({id(session) for session in sessions}) == 1
        assert await high.mesh.session(low.id) is sessions[0]

    in_world(main)


def test_strangers_and_absent_friends_are_unavailable_at_once():
    async def main(world: World) -> None:
        low, high = world.members
        assert (await unavailable(low, MemberId(bytes(32))))[1] == 0
        high.port.known.online = False
        reason, took_s = await unavailable(low, high.id)
        assert "not online" in reason
        assert took_s == 0

    in_world(main)


@pytest.mark.parametrize("caller", [0, 1], ids=["the lower id", "the higher id"])
def test_who_does_not_answer_is_given_up_after_15_s(caller):
    async def main(world: World) -> None:
        one, other = world.members[caller], world.members[1 - caller]
        world.hub.carry = lambda *_: []
        _, took_s = await unavailable(one, other.id)
        assert took_s == pytest.approx(15, abs=0.2)
        (link,) = one.mesh.links()
        assert link.state == "failed"
        assert link.failure in (
            "the friend did not answer the call",
            "the friend did not call back",
        )
        await asyncio.sleep(7)
        assert one.mesh.links()[0].failed_s_ago == pytest.approx(7)

    in_world(main)


@pytest.mark.parametrize("caller", [0, 1], ids=["the lower id", "the higher id"])
@pytest.mark.parametrize(
    ("urls", "why"),
    [
        (
            ("stun:192.0.2.1",),
            "no direct path to the friend was found, and the server has no relay",
        ),
        (("turn:192.0.2.1",), "no path to the friend was found, not even through the relay"),
    ],
)
def test_why_the_last_attempt_failed_is_remembered_until_one_succeeds(caller, urls, why):
    async def main(world: World) -> None:
        low, high = world.members
        one, other = world.members[caller], world.members[1 - caller]
        for member in (low, high):
            member.port.ice_servers = (IceServer(urls),)
            member.engine.hangs = True
        assert (await unavailable(one, other.id))[0] == why
        await asyncio.sleep(1)  # who answers began a little later
        for member in (low, high):
            assert [(link.state, link.failure) for link in member.mesh.links()] == [("failed", why)]
            member.engine.hangs = False
        await one.mesh.session(other.id)
        assert [(link.state, link.failure) for link in one.mesh.links()] == [("open", "")]

    in_world(main)


def test_an_attempt_that_hangs_is_given_up_and_the_next_one_is_new():
    async def main(world: World) -> None:
        low, high = world.members
        low.engine.hangs = True
        _, took_s = await unavailable(low, high.id)
        assert took_s == pytest.approx(15, abs=0.2)
        low.engine.hangs = False
        await low.mesh.session(high.id)
        assert len(low.engine.attempts) == 2

    in_world(main)


def test_a_bug_in_the_engine_is_logged_and_the_next_attempt_works(caplog):
    async def main(world: World) -> None:
        low, high = world.members
        real = low.engine.attempt

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        low.engine.attempt = broken  # type: ignore[method-assign, assignment]
        await unavailable(low, high.id)
        low.engine.attempt = real  # type: ignore[method-assign]
        await low.mesh.session(high.id)

    in_world(main)
    assert "ZeroDivisionError" in caplog.text


def test_a_caller_gives_up_earlier_than_the_attempt_if_it_wants():
    async def main(world: World) -> None:
        low, high = world.members
        low.engine.gather_s = 3
        _, took_s = await unavailable(low, high.id, timeout_s=1)
        assert took_s == pytest.approx(1)
        await low.mesh.session(high.id)  # the same attempt went on
        assert len(low.engine.attempts) == 1

    in_world(main)


def test_no_way_to_the_server_is_unavailable():
    async def main(world: World) -> None:
        low, high = world.members
        for one, other in ((low, high), (high, low)):
            one.port.connected = False
            reason, took_s = await unavailable(one, other.id)
            assert "no connection to the server" in reason
            assert took_s < 1
            one.port.connected = True

    in_world(main)


def test_please_call_is_said_again_when_it_was_lost():
    async def main(world: World) -> None:
        low, high = world.members
        lost = iter([[]])
        world.hub.carry = lambda *_: next(lost, [0.0])
        started = asyncio.get_running_loop().time()
        await high.mesh.session(low.id)
        assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=0.5)

    in_world(main)


@pytest.mark.parametrize("who", [0, 1], ids=["the lower id", "the higher id"])
def test_who_lost_its_end_dials_again_and_the_old_link_is_closed(who):
    async def main(world: World) -> None:
        low, high = world.members
        await low.mesh.session(high.id)
        old = await low.mesh.session(high.id), await high.mesh.session(low.id)
        one, other = world.members[who], world.members[1 - who]
        one.engine.attempts[0].link._lose()  # the other end does not hear of it
        await asyncio.sleep(0.1)
        new = await one.mesh.session(other.id)
        await asyncio.sleep(1)
        assert new not in old
        assert all(session.closed for session in old)
        assert await other.mesh.session(one.id) is not old[1 - who]
        assert len(low.engine.attempts) == 2

    in_world(main)


def test_a_broken_link_is_noticed_and_cleaned_up():
    async def main(world: World) -> None:
        low, high = world.members
        session = await low.mesh.session(high.id)
        high.engine.attempts[0].link.cut()
        await asyncio.sleep(0.1)
        assert session.closed
        assert low.mesh.links() == high.mesh.links() == []
        assert low.engine.attempts[0].closed

    in_world(main)


def test_a_friend_that_fell_silent_is_noticed_within_seconds():
    async def main(world: World) -> None:
        low, high = world.members
        session = await low.mesh.session(high.id)
        for member in (low, high):
            member.engine.attempts[0].link.stall()
        await asyncio.sleep(15)
        assert not session.closed
        await asyncio.sleep(11)
        assert session.closed
        assert low.mesh.links() == high.mesh.links() == []
        assert not (await low.mesh.session(high.id)).closed

    in_world(main)


def test_an_idle_session_is_closed_and_a_new_one_made_on_demand():
    async def main(world: World) -> None:
        low, high = world.members
        session = await low.mesh.session(high.id)
        await asyncio.sleep(55)
        assert not session.closed
        await asyncio.sleep(15)
        assert session.closed
        assert low.mesh.links() == high.mesh.links() == []
        assert await low.mesh.session(high.id) is not session

    in_world(main)


def test_another_fingerprint_than_the_one_on_the_channel_is_refused():
    async def main(world: World) -> None:
        low, high = world.members
        connect = low.mesh._calls._connect

        async def connect_past_another(friend, trying, role, local, remote):
            seen = signals.Description(
                remote.username, remote.password, b"\x66" * 32, remote.setup, ()
            )
            return await connect(friend, trying, role, local, seen)

        low.mesh._calls._connect = connect_past_another  # type: ignore[method-assign]
        reason, _ = await unavailable(low, high.id)
        assert "not the friend" in reason
        assert not any(link.state == "open" for link in high.mesh.links())

    in_world(main)


def test_a_link_to_another_member_than_the_one_called_is_refused():
    async def main(world: World) -> None:
        low, _, high = world.members
        low.mesh._calls._credentials = a_member(
            "mallory"
        )  # on the channel only: signals stay low's
        reason, _ = await unavailable(high, low.id, timeout_s=30)
        assert reason
        assert not any(link.state == "open" for link in high.mesh.links())

    in_world(main, "anna ben carl")


def test_a_friend_that_says_nothing_on_the_channel_is_given_up():
    async def main(world: World) -> None:
        low, high = world.members

        async def mute(*_: object) -> None:
            await asyncio.sleep(1000)

        high.mesh._calls._connect = mute  # type: ignore[method-assign, assignment]
        _, took_s = await unavailable(low, high.id)
        assert took_s == pytest.approx(15, abs=0.2)

    in_world(main)


def test_signals_of_strangers_and_replayed_ones_are_not_acted_upon(caplog):
    async def main(world: World) -> None:
        low, high = world.members
        await low.mesh.session(high.id)
        for sender, to, blob in list(world.hub.carried):
            world.hub.ports[to].on_signal(sender, blob)
        stranger = SignalBox(a_member("mallory"), random_bytes=counted_bytes("m"))
        now = WALL_CLOCK_S + asyncio.get_running_loop().time()
        blob = stranger.seal(low.id, AttemptId(bytes(16)), signals.PleaseCall(), now=now).blob
        low.port.on_signal(a_member("mallory").member_id, blob)
        low.port.on_signal(high.id, blob)
        low.port.on_signal(high.id, b"noise")
        await asyncio.sleep(10)
        assert len(low.engine.attempts) == len(high.engine.attempts) == 1

    in_world(main)
    assert caplog.text.count("refused (replay)") == 2  # one at each end


def test_an_offer_from_the_higher_id_and_an_answer_to_another_offer_are_ignored():
    async def main(world: World) -> None:
        low, high = world.members
        box = SignalBox(high.credentials, random_bytes=counted_bytes("second box"))
        now = WALL_CLOCK_S + asyncio.get_running_loop().time()
        description = await high.engine.attempt(
            low.id, offerer=True, ice_servers=[]
        ).local_description()
        attempt = AttemptId(bytes(16))
        for payload in (
            signals.Offer(description),
            signals.Answer(bytes(32), description),
            signals.Decline("busy"),
            signals.MoreCandidates((), complete=True),
        ):
            low.port.on_signal(high.id, box.seal(low.id, attempt, payload, now=now).blob)
        await asyncio.sleep(1)
        assert low.engine.attempts == []
        await high.engine.attempts[0].close()

        high.port.on_signal = lambda *_: None  # type: ignore[method-assign]
        dialling = asyncio.get_running_loop().create_task(unavailable(low, high.id))
        await asyncio.sleep(1)
        trying = low.mesh._calls._calls[high.id].trying
        assert trying is not None
        wrong = signals.Answer(b"\x01" * 32, description)
        low.port.on_signal(high.id, box.seal(low.id, trying.id, wrong, now=now + 1).blob)
        await asyncio.sleep(0.1)
        assert not trying.answer.done()
        await dialling

    in_world(main)


def test_a_friend_without_room_declines_and_the_caller_need_not_wait(monkeypatch):
    monkeypatch.setattr(calls, "ATTEMPTS_MAX", 0)

    async def main(world: World) -> None:
        low, high = world.members
        reason, took_s = await unavailable(low, high.id)
        assert "no room" in reason
        assert took_s < 1

    in_world(main)


def test_a_link_on_which_requests_wait_without_a_sign_is_given_up(monkeypatch):
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    async def main(world: World) -> None:
        one, other = world.members
        other.mesh._handler = never
        session = await one.mesh.session(other.id)
        async with await session.open(SpaceQuery()) as stream:
            began = asyncio.get_running_loop().time()
            with pytest.raises(Unavailable):
                await stream.receive()
            took_s = asyncio.get_running_loop().time() - began
        assert mesh_module.STUCK_S <= took_s < mesh_module.STUCK_S + 10.0
        assert session.closed

    in_world(main)


def test_only_so_many_links_are_kept_and_the_idlest_goes(monkeypatch):
    monkeypatch.setattr(mesh_module, "LINKS_MAX", 2)

    async def main(world: World) -> None:
        me, *others = world.members
        sessions = []
        for other in others:
            sessions.append(await me.mesh.session(other.id))
            await asyncio.sleep(1)
        assert [session.closed for session in sessions] == [True, False, False]

    in_world(main, "anna ben carl dora")


def test_closing_tells_everybody_who_waits():
    async def main(world: World) -> None:
        low, high = world.members
        low.engine.hangs = True
        waiting = asyncio.get_running_loop().create_task(unavailable(low, high.id))
        await asyncio.sleep(1)
        await low.mesh.close()
        _, took_s = await waiting
        assert took_s == pytest.approx(1, abs=0.1)
        assert (await unavailable(low, high.id))[1] == 0

    in_world(main)


def test_cancelling_closes_every_link():
    async def main(world: World) -> None:
        low, high = world.members
        session = await low.mesh.session(high.id)
        low.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await low.running
        assert session.closed
        with pytest.raises(LinkClosed):
            low.engine.attempts[0].link.send(b"x")
        await asyncio.sleep(0.1)
        assert not any(link.state == "open" for link in high.mesh.links())
        low.running = asyncio.get_running_loop().create_task(asyncio.sleep(0))

    in_world(main)


def test_each_attempt_starts_with_another_server():
    async def main(world: World) -> None:
        low, high = world.members
        low.port.ice_servers = servers = tuple(
            IceServer(urls=(f"stun:{name}",), username="", credential="") for name in "abc"
        )
        low.engine.fails = True
        for _ in range(4):
            await unavailable(low, high.id)
            await asyncio.sleep(20)
        assert [tried[0] for tried in low.engine.servers] == [*servers, servers[0]]
        assert all(
            sorted(s.urls for s in tried) == [s.urls for s in servers]
            for tried in low.engine.servers
        )

    in_world(main)
    assert rotated([], 7) == []
