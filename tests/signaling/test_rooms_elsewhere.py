"""Several instances at one real Redis, step by step: in the end every picture is the true one.

Here the steps are in the hands of hypothesis: when an instance's notices reach Redis, when it hears
of the others', and when it dies. What is in between is as in `stores/shared.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from signaling.messages import (
    Absent,
    Arrived,
    Departed,
    Failed,
    Joined,
    Leave,
    MemberId,
    Removed,
    Signal,
    UpdateCard,
    member_id_of,
)
from signaling.notices import EnteredElsewhere, Found, Notice, Undelivered
from signaling.presence import Outgoing
from signaling.rooms import Rooms
from signaling.stores import scripts
from tests.signaling.test_rooms import (
    ANNA,
    BEN,
    BENS,
    CARLA,
    GENEROUS,
    GROUP,
    KEY,
    NONCE,
    SERVER,
    WRONG_KEY,
    a_join,
    verify,
)
from tests.support.redis_server import RedisServer, redis_server

INSTANCES = 3


class Instance:
    """Rooms, what they have to tell Redis, and what Redis has to tell them."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.session = world, name.rjust(16, "0")
        self.rooms = Rooms(verify, limits=GENEROUS, is_shared=True)
        self.queue: deque[Notice] = deque()
        self.channel = world.client.pubsub()
        self.channel.subscribe(f"covey:to:{self.session}")
        assert self.channel.get_message(timeout=5)

    def work(self) -> None:
        """One notice reaches Redis."""
        if self.queue:
            script, arguments = scripts.call_of(self.queue.popleft())
            if script:
                self.world.run(script, self.session, *arguments)
            else:
                self.world.client.publish(*arguments)  # type: ignore[arg-type]

    def hear(self) -> bool:
        """All that Redis has said to it; whether there was something."""
        self.world.client.publish(f"covey:to:{self.session}", b"that is all")
        heard_something = False
        while (message := self.channel.get_message(timeout=5)) is not None:
            if message["data"] == b"that is all":
                return heard_something
            heard = scripts.parse(message["data"], self.session)
            assert heard is not None
            heard_something = True
            self.deliver(self.rooms.heard(heard))
        raise AssertionError("Redis says nothing any more")

    def find(self) -> Found:
        """As the store finds: after all that was told before."""
        if self.rooms.is_open(GROUP):
            return Found(None)
        while self.queue:
            self.work()
        group, online = self.world.look()
        return Found(group, {m: at for m, at in online.items() if at != self.session})

    def deliver(self, out: Outgoing) -> None:
        self.queue.extend(self.rooms.take_notices())
        self.world.deliver(out)


class World:
    """One Redis, and clients that believe what they hear."""

    def __init__(self, server: RedisServer) -> None:
        self.client = redis.Redis(port=server.port)
        self.client.flushall()
        self.instances = [Instance(self, str(number)) for number in range(INSTANCES)]
        self.pictures: dict[int, dict[MemberId, tuple[bytes, bool]]] = {}
        self.who: dict[int, tuple[Instance, MemberId]] = {}
        self.failures: list[str] = []
        self.numbers = 0

    def run(self, script: str, *arguments: bytes | str) -> object:
        return self.client.eval(scripts.SCRIPTS[script], 0, *arguments)

    def look(self):
        picture, _ = self.run("find", GROUP)  # type: ignore[misc]
        return scripts.parse_picture(GROUP, picture)

    def join(self, at: int, identity: bytes = ANNA, card: bytes = b"card", key: bytes = KEY) -> int:
        instance = self.instances[at]
        self.numbers += 1
        number = self.numbers
        self.who[number] = (instance, member_id_of(identity))
        found = instance.find()
        join = a_join(identity, card=card, group_key=key)
        instance.deliver(
            instance.rooms.join(
                number, join, found, server_names=(SERVER,), nonce=NONCE, address="a", now=0.0
            )
        )
        return number

    def deliver(self, out: Outgoing) -> None:
        for connection, message in out:
            match message:
                case Failed(code):
                    self.failures.append(code)
                    del self.who[connection]
                    self.pictures.pop(connection, None)
                case Joined(members):
                    self.pictures[connection] = {
                        MemberId(one.member): (one.card, one.online) for one in members
                    }
                case Arrived(member, card):
                    self.pictures[connection][MemberId(member)] = (card, True)
                case Departed(member):
                    picture = self.pictures[connection]
                    picture[MemberId(member)] = (picture[MemberId(member)][0], False)
                case Removed(member):
                    del self.pictures[connection][MemberId(member)]
                case _:
                    pass

    def settle(self) -> None:
        """Until nothing is on its way any more."""
        is_quiet = False
        while not is_quiet:
            is_quiet = True
            for instance in self.instances:
                while instance.queue:
                    instance.work()
                    is_quiet = False
                is_quiet = not instance.hear() and is_quiet

    def die(self, at: int) -> None:
        """An instance is killed, with all that it had to tell; another one comes, and reaps."""
        instance = self.instances[at]
        for number, (where, _) in list(self.who.items()):
            if where is instance:
                del self.who[number]
                self.pictures.pop(number, None)
        instance.channel.close()
        self.numbers += 1
        self.instances[at] = Instance(self, str(1000 + self.numbers))
        while self.run("reap", instance.session, "1"):
            pass

    def check(self) -> None:
        """Everybody knows all of the truth, once nothing is on its way."""
        group, online = self.look()
        here = {member: at.session for at, member in self.who.values()}
        assert len(here) == len(self.who), "a member is connected twice"
        assert here == online
        for number, (_, me) in self.who.items():
            assert group is not None
            assert self.pictures[number] == {
                member: (card, member in here)
                for member, card in group.members.items()
                if member != me
            }

    def close(self) -> None:
        for instance in self.instances:
            instance.channel.close()
        self.client.close()


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as made:
        Everywhere.server = made
        yield made


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    made = World(server)
    yield made
    made.close()


def test_who_joins_elsewhere_replaces_itself_here(world: World):
    world.join(0, ANNA)
    world.join(1, BEN)
    world.settle()
    world.join(1, ANNA)
    world.settle()
    assert world.failures == ["replaced"]
    world.check()


def test_who_joins_at_two_instances_at_the_same_time_stays_at_one(world: World):
    world.join(0, ANNA)
    world.join(1, ANNA)
    world.settle()
    assert world.failures == ["replaced"]
    assert len(world.who) == 1
    world.check()


def test_two_groups_of_one_name_end_as_one(world: World):
    world.join(0, ANNA)
    world.join(1, BEN, key=WRONG_KEY)
    world.settle()
    assert world.failures == ["internal"], "who was later is asked to come again"
    world.join(1, BEN, key=WRONG_KEY)
    assert world.failures == ["internal", "wrong_password"]
    world.check()


def test_a_signal_finds_its_member_at_another_instance_and_says_so_when_that_has_died(
    world: World,
):
    anna = world.join(0, ANNA)
    world.join(1, BEN)
    world.settle()
    first, second = world.instances[:2]
    first.deliver(first.rooms.handle(anna, Signal(BENS, b"sealed"), now=0.0))
    first.work()
    message = second.channel.get_message(timeout=5)
    heard = scripts.parse(message["data"], second.session)
    assert heard is not None
    ((_, signal),) = second.rooms.heard(heard)
    assert signal == Signal(member_id_of(ANNA), b"sealed")
    world.die(1)
    world.settle()
    world.check()


def test_who_came_here_from_an_instance_that_died_is_not_said_to_be_absent(world: World):
    anna = world.join(0, ANNA)
    world.join(1, BEN)
    world.settle()
    first, dead = world.instances[0], world.instances[1].session
    world.join(0, BEN)  # since the other one has died
    lost = Undelivered(GROUP, member_id_of(ANNA), BENS, dead)
    assert first.rooms.heard(lost) == []
    assert world.pictures[anna][BENS] == (b"card", True)


def test_who_is_absent_with_its_instance_has_departed_for_all_and_arrives_when_told_again(
    world: World,
):
    anna, carla = world.join(0, ANNA), world.join(0, CARLA)
    world.join(1, BEN)
    world.settle()
    first, gone = world.instances[0], world.instances[1].session
    lost = Undelivered(GROUP, member_id_of(ANNA), BENS, gone)
    out = first.rooms.heard(lost)
    assert out[0] == (anna, Absent(BENS))
    assert sorted(out[1:], key=lambda one: one[0]) == [
        (anna, Departed(BENS)),
        (carla, Departed(BENS)),
    ]
    again = EnteredElsewhere(GROUP, BENS, b"card", "another session!", "again")
    assert sorted(first.rooms.heard(again), key=lambda one: one[0]) == [
        (anna, Arrived(BENS, b"card")),
        (carla, Arrived(BENS, b"card")),
    ]


people = st.sampled_from([bytes([number]) * 32 for number in range(1, 5)])
places = st.integers(0, INSTANCES - 1)


class Everywhere(RuleBasedStateMachine):
    """Anything, anywhere, in any order, with everything on its way for as long as it likes."""

    server: ClassVar[RedisServer]

    @initialize()
    def begin(self) -> None:
        self.world = World(self.server)

    @rule(at=places, identity=people, card=st.binary(max_size=2))
    def join(self, at: int, identity: bytes, card: bytes) -> None:
        self.world.join(at, identity, card)

    @rule(data=st.data(), what=st.sampled_from(["card", "leaves", "goes", "signals"]))
    def act(self, data: st.DataObject, what: str) -> None:
        world = self.world
        if not world.who:
            return
        number = data.draw(st.sampled_from(sorted(world.who)))
        instance, _ = world.who[number]
        if what == "card":
            out = instance.rooms.handle(number, UpdateCard(data.draw(st.binary(max_size=2))), now=0)
        elif what == "signals":
            friend = data.draw(people)
            out = instance.rooms.handle(number, Signal(member_id_of(friend), b"s"), now=0)
        else:
            del world.who[number], world.pictures[number]
            leaves = what == "leaves"
            out = (
                instance.rooms.handle(number, Leave(), now=0)
                if leaves
                else instance.rooms.disconnected(number)
            )
        instance.deliver(out)

    @rule(at=places)
    def work(self, at: int) -> None:
        self.world.instances[at].work()

    @rule(at=places)
    def hear(self, at: int) -> None:
        self.world.instances[at].hear()

    @rule(at=places)
    def die(self, at: int) -> None:
        self.world.die(at)

    @rule()
    def settle(self) -> None:
        self.world.settle()
        self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.check()
            assert set(self.world.failures) <= {"replaced", "internal"}
            self.world.close()


Everywhere.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_everybodys_picture_is_true_in_the_end_wherever_they_are = pytest.mark.slow(Everywhere.TestCase)
