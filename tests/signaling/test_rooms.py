"""Rooms: who gets in, who hears what, and that everybody's picture of the group is the true one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signaling.config import Limits
from signaling.messages import (
    MEMBERS_MAX,
    VERSION,
    Absent,
    Arrived,
    Departed,
    Failed,
    IceServer,
    IceServers,
    Join,
    Joined,
    Leave,
    MemberId,
    Move,
    Moved,
    MoveNotice,
    Presence,
    Removed,
    RenewIce,
    Signal,
    UpdateCard,
    join_transcript,
    member_id_of,
    move_transcript,
)
from signaling.notices import Entered, Exited, Group, Left, MovedElsewhere, Moving
from signaling.presence import Outgoing
from signaling.rooms import Rooms
from tests.support.registry import Registry

SERVER, NONCE = "covey.example", b"n" * 32
GROUP, OTHER_GROUP = b"g" * 32, b"h" * 32
KEY, WRONG_KEY = b"k" * 32, b"w" * 32
ANNA, BEN, CARLA = b"anna".ljust(32), b"ben".ljust(32), b"carla".ljust(32)
ANNAS, BENS, CARLAS = member_id_of(ANNA), member_id_of(BEN), member_id_of(CARLA)
HOME, ABROAD = "192.0.2.1", "198.51.100.7"
GENEROUS = Limits(
    messages_per_connection=(1e6, 10**6),
    cards_per_connection=(1e6, 10**6),
    joins_per_member=(1e6, 10**6),
)


def sign(key: bytes, message: bytes) -> bytes:
    """For these tests whoever knows a key's bytes can sign with it."""
    return hashlib.blake2b(message, key=key).digest()


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return sign(key, message) == signature


def a_join(identity: bytes = ANNA, **changes: Any) -> Join:
    """A Join as an honest member of the group signs it, and then changed."""
    fields: dict[str, Any] = {
        "version": VERSION,
        "name_id": changes.pop("name_id", GROUP),
        "group_key": changes.pop("group_key", KEY),
        "identity_key": identity,
        "create": changes.pop("create", True),
        "card": changes.pop("card", b"card of " + identity.strip()),
    }
    server_name, nonce = changes.pop("server_name", SERVER), changes.pop("nonce", NONCE)
    signed = {name: value for name, value in fields.items() if name != "version"}
    transcript = join_transcript(server_name=server_name, nonce=nonce, **signed)
    fields["group_signature"] = sign(fields["group_key"], transcript)
    fields["identity_signature"] = sign(identity, transcript)
    return Join(**(fields | changes))


class RememberedRooms(Rooms):
    """Rooms with a store beside them, which is told everything at once."""

    def __init__(self, *groups: Group, limits: Limits = GENEROUS, **settings_: Any) -> None:
        super().__init__(verify, limits=limits, **settings_)
        self.registry = Registry(list(groups))

    def remember(self) -> None:
        for notice in self.take_notices():
            self.registry.tell(notice)


def some_rooms(limits: Limits = GENEROUS, **settings_: Any) -> RememberedRooms:
    return RememberedRooms(limits=limits, **settings_)


def enter(
    rooms: RememberedRooms,
    connection: int,
    join: Join,
    *,
    address: str = HOME,
    now: float = 0.0,
    names: tuple[str, ...] = (SERVER,),
    takes_groups: bool = True,
    takes_members: bool = True,
) -> Outgoing:
    rooms.remember()
    return rooms.join(
        connection,
        join,
        rooms.registry.find_now(join.name_id),
        takes_groups=takes_groups,
        takes_members=takes_members,
        server_names=names,
        nonce=NONCE,
        address=address,
        now=now,
    )


def code_of(out: Outgoing) -> str:
    ((_, answer),) = out
    assert isinstance(answer, Failed), answer
    return answer.code


def with_members(*identities: bytes, limits: Limits = GENEROUS) -> RememberedRooms:
    """A group in which these are online, on connections 1, 2, 3."""
    rooms = some_rooms(limits)
    for number, identity in enumerate(identities, 1):
        enter(rooms, number, a_join(identity))
    return rooms


# --- who gets in ----------------------------------------------------------------------------


def test_a_group_is_made_only_for_who_agrees_to_start_it():
    rooms = some_rooms()
    assert code_of(enter(rooms, 1, a_join(create=False))) == "unknown_group"
    assert not rooms.is_joined(1)
    assert enter(rooms, 2, a_join(create=True)) == [(2, Joined((), (), True))]
    assert enter(rooms, 3, a_join(BEN, create=True))[0] == (
        3,
        Joined((Presence(ANNAS, b"card of anna", True),), (), False),
    )
    assert rooms.counts() == (1, 2)


def test_another_key_is_a_wrong_password():
    rooms = with_members(ANNA)
    assert code_of(enter(rooms, 2, a_join(BEN, group_key=WRONG_KEY))) == "wrong_password"
    assert code_of(enter(rooms, 3, a_join(ANNA, group_key=WRONG_KEY))) == "wrong_password"
    assert rooms.counts() == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"name_id": OTHER_GROUP},
        {"group_key": WRONG_KEY},
        {"identity_key": BEN},
        {"create": False},
        {"card": b"another card"},
        {"group_signature": bytes(64)},
        {"identity_signature": bytes(64)},
    ],
)
def test_what_was_signed_is_what_is_joined(change: dict[str, Any]):
    honest = a_join()
    fields = {name: getattr(honest, name) for name in honest.__struct_fields__}
    assert code_of(enter(some_rooms(), 1, Join(**(fields | change)))) == "bad_signature"


@pytest.mark.parametrize("change", [{"server_name": "evil.example"}, {"nonce": b"o" * 32}])
def test_a_join_is_for_one_server_and_one_connection(change: dict[str, Any]):
    assert code_of(enter(some_rooms(), 1, a_join(**change))) == "bad_signature"


def test_a_server_may_have_many_names():
    rooms = some_rooms()
    assert code_of(enter(rooms, 1, a_join(), names=("a.example", "b.example"))) == "bad_signature"
    out = enter(rooms, 2, a_join(), names=("a.example", SERVER))
    assert isinstance(out[0][1], Joined)


def test_another_version_is_refused():
    assert code_of(enter(some_rooms(), 1, a_join(version=VERSION + 1))) == "bad_message"


def test_a_full_group_takes_nobody_new_and_keeps_its_own():
    members = {member_id_of(bytes([number]) * 32): b"" for number in range(MEMBERS_MAX - 1)}
    rooms = RememberedRooms(Group(GROUP, KEY, members))
    assert isinstance(enter(rooms, 1, a_join(ANNA))[0][1], Joined)
    assert code_of(enter(rooms, 2, a_join(BEN))) == "group_full"
    assert isinstance(enter(rooms, 3, a_join(bytes(32)))[0][1], Joined)


def test_a_full_server_takes_no_new_group_and_keeps_the_old_ones():
    rooms = with_members(ANNA)
    other = a_join(BEN, name_id=OTHER_GROUP)
    assert code_of(enter(rooms, 2, other, takes_groups=False)) == "server_full"
    assert isinstance(enter(rooms, 3, a_join(BEN), takes_groups=False)[0][1], Joined)


def test_a_server_full_of_members_takes_nobody_new_and_keeps_its_own():
    rooms = with_members(ANNA)
    assert code_of(enter(rooms, 2, a_join(BEN), takes_members=False)) == "server_full"
    assert isinstance(enter(rooms, 3, a_join(ANNA), takes_members=False)[-1][1], Joined)


def granted(name_id: bytes, member: MemberId) -> IceServers:
    who = f"{name_id.hex()[:8]} {member.hex()[:8]}"
    return IceServers((IceServer(("turn:turn.example",), who, "password"),), 600.0)


def test_each_member_is_given_relays_of_its_own_at_joining_and_when_it_asks():
    rooms = some_rooms(grant=granted)
    for number, (join, member) in enumerate([(a_join(create=True), ANNAS), (a_join(BEN), BENS)]):
        own = granted(join.name_id, member)
        welcome = next(said for to, said in enter(rooms, number, join) if to == number)
        assert isinstance(welcome, Joined)
        assert (welcome.ice_servers, welcome.ice_lifetime_s) == (own.servers, 600.0)
        assert rooms.handle(number, RenewIce(), now=0.0) == [(number, own)]


# --- moving ---------------------------------------------------------------------------------


def a_move(number: int, url: str = "https://new.example", *, key: bytes = KEY) -> MoveNotice:
    notice = MoveNotice(1, number, url, bytes(64))
    return replace_signature(notice, sign(key, move_transcript(GROUP, notice)))


def replace_signature(notice: MoveNotice, signature: bytes) -> MoveNotice:
    return MoveNotice(notice.version, notice.number, notice.url, signature)


def test_a_move_is_told_to_everybody_there_and_to_who_comes_later():
    rooms = with_members(ANNA, BEN)
    move = a_move(5)
    assert rooms.handle(1, Move(move), now=0.0) == [(1, Moved(move)), (2, Moved(move))]
    welcome = dict(enter(rooms, 3, a_join(CARLA)))[3]
    assert isinstance(welcome, Joined)
    assert welcome.moved == move


def test_a_move_is_still_told_after_everybody_was_gone():
    rooms = with_members(ANNA)
    rooms.handle(1, Move(a_move(5)), now=0.0)
    rooms.disconnected(1)
    welcome = enter(rooms, 2, a_join(ANNA))[0][1]
    assert isinstance(welcome, Joined)
    assert welcome.moved == a_move(5)


@pytest.mark.parametrize("number", [1, 4, 5])
def test_an_older_move_changes_nothing_and_is_answered_with_the_latest(number: int):
    rooms = with_members(ANNA, BEN)
    rooms.handle(1, Move(a_move(5)), now=0.0)
    rooms.remember()
    old = a_move(number, "https://old.example")
    assert rooms.handle(2, Move(old), now=0.0) == [(2, Moved(a_move(5)))]
    assert rooms.take_notices() == []


def test_a_move_that_the_group_has_not_signed_is_refused():
    rooms = with_members(ANNA, BEN)
    assert code_of(rooms.handle(1, Move(a_move(5, key=ANNA)), now=0.0)) == "bad_signature"
    altered = MoveNotice(1, 5, "https://evil.example", a_move(5).signature)
    assert code_of(rooms.handle(2, Move(altered), now=0.0)) == "bad_signature"
    assert rooms.take_notices()[-1:] != [Moving(GROUP, altered)]


def test_a_move_of_another_group_is_refused():
    rooms = some_rooms()
    enter(rooms, 1, a_join(name_id=OTHER_GROUP))
    assert code_of(rooms.handle(1, Move(a_move(5)), now=0.0)) == "bad_signature"


def test_a_move_at_another_instance_is_told_here_once():
    rooms = with_members(ANNA, BEN)
    heard = MovedElsewhere(GROUP, a_move(5))
    assert rooms.heard(heard) == [(1, Moved(a_move(5))), (2, Moved(a_move(5)))]
    assert rooms.heard(heard) == rooms.heard(MovedElsewhere(GROUP, a_move(4))) == []
    assert rooms.heard(MovedElsewhere(OTHER_GROUP, a_move(9))) == []


def test_who_asks_for_relays_all_the_time_is_refused():
    rooms = some_rooms(grant=granted)
    enter(rooms, 1, a_join(create=True))
    times = Limits().grants_per_connection[1]
    for _ in range(times):
        assert isinstance(rooms.handle(1, RenewIce(), now=0.0)[0][1], IceServers)
    assert code_of(rooms.handle(1, RenewIce(), now=0.0)) == "rate_limited"


# --- guessers -------------------------------------------------------------------------------


def guess(rooms: RememberedRooms, *, address: str, times: int) -> str:
    join = a_join(CARLA, group_key=WRONG_KEY)
    return [code_of(enter(rooms, 100, join, address=address)) for _ in range(times)][-1]


def test_a_guesser_learns_nothing_more_after_its_tries_not_even_by_the_right_password():
    rooms = with_members(ANNA)
    assert guess(rooms, address=HOME, times=10) == "wrong_password"
    assert guess(rooms, address=HOME, times=1) == "rate_limited"
    answer = enter(rooms, 2, a_join(BEN), address=HOME)
    assert code_of(answer) == "rate_limited"
    assert isinstance(answer[0][1], Failed)
    assert 0 < answer[0][1].retry_after_s <= 3600
    assert isinstance(enter(rooms, 3, a_join(BEN), address=HOME, now=51.0)[0][1], Joined)


def test_nobody_who_guesses_locks_anybody_out():
    rooms = with_members(ANNA)
    for number in range(60):
        guess(rooms, address=f"203.0.113.{number}", times=1)
    guess(rooms, address=HOME, times=11)
    assert code_of(enter(rooms, 2, a_join(BEN), address=HOME)) == "rate_limited"
    assert isinstance(enter(rooms, 2, a_join(BEN), address=ABROAD)[0][1], Joined)
    out = enter(rooms, 3, a_join(ANNA), address=HOME)
    assert isinstance(out[1][1], Joined)


def test_who_only_claims_to_be_a_member_gains_nothing():
    rooms = with_members(ANNA)
    claim = a_join(ANNA, group_key=WRONG_KEY, identity_signature=bytes(64))
    assert code_of(enter(rooms, 2, claim)) == "bad_signature"


# --- who hears what -------------------------------------------------------------------------


def test_others_hear_who_arrives_and_who_departs():
    rooms = with_members(ANNA, BEN)
    assert enter(rooms, 3, a_join(CARLA))[1:] == [
        (connection, Arrived(CARLAS, b"card of carla"))
        for _, connection in sorted([(ANNAS, 1), (BENS, 2)])
    ]
    assert sorted(rooms.disconnected(3), key=lambda one: one[0]) == [
        (1, Departed(CARLAS)),
        (2, Departed(CARLAS)),
    ]
    assert rooms.disconnected(3) == []
    assert rooms.disconnected(77) == []


def test_a_signal_reaches_its_member_with_the_senders_true_id():
    rooms = with_members(ANNA, BEN)
    assert rooms.handle(1, Signal(BENS, b"sealed"), now=0.0) == [(2, Signal(ANNAS, b"sealed"))]


def test_a_signal_to_who_is_not_there_comes_back():
    rooms = with_members(ANNA, BEN)
    rooms.disconnected(2)
    for nobody in (BENS, CARLAS, ANNAS):
        assert rooms.handle(1, Signal(nobody, b""), now=0.0) == [(1, Absent(nobody))]


def test_nothing_crosses_from_group_to_group():
    rooms = with_members(ANNA)
    enter(rooms, 2, a_join(BEN, name_id=OTHER_GROUP))
    assert rooms.handle(2, Signal(ANNAS, b""), now=0.0) == [(2, Absent(ANNAS))]
    assert rooms.handle(2, UpdateCard(b"x"), now=0.0) == []
    assert rooms.disconnected(2) == []


def test_one_person_in_two_groups_is_two_members():
    rooms = with_members(ANNA)
    assert isinstance(enter(rooms, 2, a_join(ANNA, name_id=OTHER_GROUP))[0][1], Joined)
    assert rooms.is_joined(1)
    assert rooms.is_joined(2)


def test_a_new_connection_replaces_the_old_one_without_a_departure():
    rooms = with_members(ANNA, BEN)
    out = enter(rooms, 3, a_join(ANNA))
    assert out[0][0] == 1
    assert code_of(out[:1]) == "replaced"
    assert out[2:] == [(2, Arrived(ANNAS, b"card of anna"))]
    assert not rooms.is_joined(1)
    assert rooms.disconnected(1) == []
    assert rooms.handle(2, Signal(ANNAS, b""), now=0.0) == [(3, Signal(BENS, b""))]


def test_who_joins_sees_its_last_card_and_who_is_replaced_the_card_of_who_came():
    rooms = some_rooms()
    (_, first), *_ = enter(rooms, 1, a_join(ANNA, card=b"old"))
    assert isinstance(first, Joined)
    assert first.before == b""
    ((_, replaced), (_, second)) = enter(rooms, 2, a_join(ANNA, card=b"new"))
    assert isinstance(replaced, Failed)
    assert isinstance(second, Joined)
    assert (replaced.card, second.before) == (b"new", b"old")


def test_a_new_card_is_told_and_remembered():
    rooms = with_members(ANNA, BEN)
    assert rooms.handle(1, UpdateCard(b"new"), now=0.0) == [(2, Arrived(ANNAS, b"new"))]
    rooms.disconnected(1)
    ((_, welcome),) = enter(rooms, 3, a_join(CARLA))[:1]
    assert isinstance(welcome, Joined)
    assert Presence(ANNAS, b"new", False) in welcome.members


def test_who_leaves_is_forgotten_and_a_name_is_free_after_the_last():
    rooms = with_members(ANNA, BEN)
    assert rooms.handle(1, Leave(), now=0.0) == [(2, Removed(ANNAS))]
    assert not rooms.is_joined(1)
    assert rooms.handle(2, Leave(), now=0.0) == []
    assert rooms.counts() == (0, 0)
    rooms.remember()
    assert rooms.registry.by_name == {}
    out = enter(rooms, 3, a_join(CARLA, group_key=WRONG_KEY))
    assert out == [(3, Joined((), (), True))]


def test_a_room_closes_after_its_last_member_and_opens_as_it_was():
    rooms = with_members(ANNA, BEN)
    rooms.disconnected(1)
    assert rooms.is_open(GROUP)
    rooms.disconnected(2)
    assert not rooms.is_open(GROUP)
    assert rooms.counts() == (0, 0)
    assert code_of(enter(rooms, 3, a_join(CARLA, group_key=WRONG_KEY))) == "wrong_password"
    assert not rooms.is_open(GROUP)
    assert enter(rooms, 4, a_join(ANNA)) == [
        (4, Joined((Presence(BENS, b"card of ben", False),), (), False, before=b"card of anna"))
    ]


def test_to_join_twice_is_no_message():
    rooms = with_members(ANNA)
    assert code_of(rooms.handle(1, a_join(), now=0.0)) == "bad_message"


def test_only_what_changed_is_to_be_remembered():
    rooms = with_members(ANNA)
    rooms.disconnected(1)
    enter(rooms, 2, a_join(ANNA))
    rooms.handle(2, UpdateCard(b"card of anna"), now=0.0)
    rooms.handle(2, Signal(BENS, b""), now=0.0)
    rooms.handle(2, UpdateCard(b"new"), now=0.0)
    rooms.handle(2, Leave(), now=0.0)
    rooms.remember()
    assert rooms.registry.told == [
        Entered(GROUP, KEY, ANNAS, b"card of anna", "joins", True),
        Exited(GROUP, ANNAS),
        Entered(GROUP, KEY, ANNAS, b"card of anna", "joins", False),
        Entered(GROUP, KEY, ANNAS, b"new", "card", True),
        Left(GROUP, ANNAS),
    ]


def test_who_says_too_much_is_refused():
    rooms = with_members(ANNA, limits=replace(GENEROUS, messages_per_connection=(1.0, 2)))
    says = [rooms.handle(1, Signal(BENS, b""), now=now)[0][1] for now in (0.0, 0.0, 1.0, 1.0)]
    assert [type(said) for said in says] == [Absent, Absent, Absent, Failed]


def test_cards_are_dearer_than_signals():
    rooms = with_members(ANNA, limits=replace(GENEROUS, cards_per_connection=(0.1, 2)))
    for number in range(2):
        assert rooms.handle(1, UpdateCard(bytes([number])), now=0.0) == []
    assert code_of(rooms.handle(1, UpdateCard(b"another"), now=0.0)) == "rate_limited"


def test_a_group_takes_no_more_of_the_server_than_its_share_however_many_members_it_has():
    rooms = with_members(ANNA, BEN, limits=replace(GENEROUS, messages_per_group=(1.0, 3)))
    enter(rooms, 3, a_join(CARLA, name_id=OTHER_GROUP))
    says = [rooms.handle(number, Signal(CARLAS, b""), now=0.0)[0][1] for number in (1, 2, 1, 2)]
    assert [type(said) for said in says] == [Absent, Absent, Absent, Failed]
    assert isinstance(rooms.handle(3, Signal(ANNAS, b""), now=0.0)[0][1], Absent)
    assert isinstance(rooms.handle(1, Signal(CARLAS, b""), now=1.0)[0][1], Absent)


def test_signals_are_too_few_to_carry_data_through_the_server():
    rooms = with_members(ANNA, BEN, limits=replace(GENEROUS, signal_bytes_per_connection=(10, 100)))
    carried, now = 0, 0.0
    while now < 100.0:
        ((_, said),) = rooms.handle(1, Signal(BENS, bytes(90)), now=now)
        if isinstance(said, Failed):
            now += 1.0
        else:
            carried += 90
    assert carried <= 100 + 10 * 100 + 90


def test_who_comes_and_goes_all_the_time_waits_and_no_other_member_does():
    rooms = with_members(ANNA, BEN, limits=replace(GENEROUS, joins_per_member=(0.1, 3)))
    for number in range(3):
        assert isinstance(enter(rooms, 10 + number, a_join(ANNA))[1][1], Joined)
    assert code_of(enter(rooms, 20, a_join(ANNA))) == "rate_limited"
    assert rooms.is_joined(12)  # and stays where it is
    assert isinstance(enter(rooms, 21, a_join(BEN))[1][1], Joined)
    assert isinstance(enter(rooms, 22, a_join(ANNA), now=10.0)[1][1], Joined)


def test_nobody_else_uses_up_the_joins_of_a_member():
    rooms = with_members(ANNA, BEN, limits=replace(GENEROUS, joins_per_member=(0.1, 1)))
    for _ in range(5):
        enter(rooms, 10, a_join(ANNA, identity_signature=bytes(64)))
        enter(rooms, 10, a_join(ANNA, group_key=WRONG_KEY))
    assert isinstance(enter(rooms, 11, a_join(ANNA))[1][1], Joined)


# --- any order of everything ----------------------------------------------------------------

people = st.sampled_from([bytes([number]) * 32 for number in range(1, 6)])
groups = st.sampled_from([GROUP, OTHER_GROUP])


class Everybody(RuleBasedStateMachine):
    """Clients that believe what they hear must all know the true state of their group."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms = some_rooms(replace(GENEROUS, wrong_passwords_per_address=(1e6, 10**6)))
        self.numbers = 0
        self.who: dict[int, tuple[bytes, MemberId]] = {}
        self.pictures: dict[int, dict[MemberId, tuple[bytes, bool]]] = {}
        self.true: dict[bytes, dict[MemberId, bytes]] = {GROUP: {}, OTHER_GROUP: {}}

    def deliver(self, out: Outgoing) -> None:
        for connection, message in out:
            if isinstance(message, Failed):
                self.who.pop(connection, None)
                self.pictures.pop(connection, None)
                continue
            if isinstance(message, Joined):
                self.pictures[connection] = {
                    MemberId(one.member): (one.card, one.online) for one in message.members
                }
                continue
            picture = self.pictures[connection]
            match message:
                case Arrived(member, card):
                    picture[MemberId(member)] = (card, True)
                case Departed(member):
                    picture[MemberId(member)] = (picture[MemberId(member)][0], False)
                case Removed(member):
                    del picture[MemberId(member)]

    @rule(identity=people, name_id=groups, card=st.binary(max_size=3))
    def join(self, identity: bytes, name_id: bytes, card: bytes) -> None:
        self.numbers += 1
        out = enter(self.rooms, self.numbers, a_join(identity, name_id=name_id, card=card))
        self.deliver(out)
        self.who[self.numbers] = (name_id, member_id_of(identity))
        self.true[name_id][member_id_of(identity)] = card

    @rule(identity=people, name_id=groups)
    def guess(self, identity: bytes, name_id: bytes) -> None:
        if self.true[name_id]:
            self.numbers += 1
            join = a_join(identity, name_id=name_id, group_key=WRONG_KEY)
            assert code_of(enter(self.rooms, self.numbers, join)) == "wrong_password"

    @precondition(lambda self: self.who)
    @rule(data=st.data(), card=st.binary(max_size=3))
    def change_card(self, data: st.DataObject, card: bytes) -> None:
        connection = data.draw(st.sampled_from(sorted(self.who)))
        name_id, member = self.who[connection]
        self.deliver(self.rooms.handle(connection, UpdateCard(card), now=0.0))
        self.true[name_id][member] = card

    @precondition(lambda self: self.who)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.who)))
        del self.who[connection], self.pictures[connection]
        self.deliver(self.rooms.disconnected(connection))

    @precondition(lambda self: self.who)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.who)))
        name_id, member = self.who.pop(connection)
        del self.pictures[connection], self.true[name_id][member]
        self.deliver(self.rooms.handle(connection, Leave(), now=0.0))

    @precondition(lambda self: self.who)
    @rule(data=st.data(), identity=people)
    def signal(self, data: st.DataObject, identity: bytes) -> None:
        connection = data.draw(st.sampled_from(sorted(self.who)))
        name_id, sender = self.who[connection]
        target = member_id_of(identity)
        ((receiver, message),) = self.rooms.handle(connection, Signal(target, b"s"), now=0.0)
        if isinstance(message, Signal):
            assert self.who[receiver] == (name_id, target)
            assert message == Signal(sender, b"s")
        else:
            assert (receiver, message) == (connection, Absent(target))
            assert target == sender or (name_id, target) not in self.who.values()

    @invariant()
    def every_picture_is_true(self) -> None:
        online = set(self.who.values())
        assert len(online) == len(self.who)
        for connection, (name_id, me) in self.who.items():
            assert self.pictures[connection] == {
                member: (card, (name_id, member) in online)
                for member, card in self.true[name_id].items()
                if member != me
            }

    @invariant()
    def what_is_remembered_is_true(self) -> None:
        self.rooms.remember()
        remembered = {name: group.members for name, group in self.rooms.registry.by_name.items()}
        assert remembered == {name: members for name, members in self.true.items() if members}

    @invariant()
    def the_counts_are_right(self) -> None:
        assert self.rooms.counts() == (len({name for name, _ in self.who.values()}), len(self.who))


Everybody.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_everybodys_picture_is_true = Everybody.TestCase
