"""Messages: what is written is read back, and nothing else is read."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signaling.messages import (
    CARD_BYTES_MAX,
    MEMBERS_MAX,
    MESSAGE_BYTES_MAX,
    MOVE_NUMBER_MAX,
    SERVER_MESSAGE_BYTES_MAX,
    SIGNAL_BYTES_MAX,
    Absent,
    Arrived,
    Challenge,
    Departed,
    Failed,
    FromClient,
    FromServer,
    IceServer,
    IceServers,
    Join,
    Joined,
    Leave,
    MessageError,
    Move,
    Moved,
    MoveNotice,
    Presence,
    Removed,
    RenewIce,
    Signal,
    UpdateCard,
    decode_from_client,
    decode_from_server,
    decode_move,
    encode,
    encode_move,
    join_transcript,
    member_id_of,
    move_transcript,
)

ids = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)
cards = st.binary(max_size=200)
blobs = st.binary(max_size=500)
texts = st.text(max_size=50)
versions = st.integers(0, 2**32)

move_notices = st.builds(
    MoveNotice, st.integers(1, 2**31), st.integers(1, MOVE_NUMBER_MAX), texts, signatures
)
from_client: st.SearchStrategy[FromClient] = st.one_of(
    st.builds(Join, versions, ids, ids, ids, st.booleans(), cards, signatures, signatures),
    st.builds(Signal, ids, blobs),
    st.builds(UpdateCard, cards),
    st.just(Leave()),
    st.just(RenewIce()),
    st.builds(Move, move_notices),
)
ice_servers = st.builds(IceServer, st.lists(texts, max_size=8).map(tuple), texts, texts)
presences = st.builds(Presence, ids, cards, st.booleans())
from_server: st.SearchStrategy[FromServer] = st.one_of(
    st.builds(Challenge, versions, texts, ids),
    st.builds(
        Joined,
        st.lists(presences, max_size=5).map(tuple),
        st.lists(ice_servers, max_size=3).map(tuple),
        st.booleans(),
        st.floats(0, 7 * 86_400),
        st.none() | move_notices,
    ),
    st.builds(Moved, move_notices),
    st.builds(IceServers, st.lists(ice_servers, max_size=3).map(tuple), st.floats(0, 7 * 86_400)),
    st.builds(Failed, texts, texts, st.floats(0, 86_400)),
    st.builds(Signal, ids, blobs),
    st.builds(Arrived, ids, cards),
    st.builds(Departed, ids),
    st.builds(Absent, ids),
    st.builds(Removed, ids),
)


@given(from_client)
def test_what_a_client_says_is_what_the_server_reads(message: FromClient):
    assert decode_from_client(encode(message)) == message


@given(from_server)
def test_what_the_server_says_is_what_a_client_reads(message: FromServer):
    assert decode_from_server(encode(message)) == message


def packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


ENDLESS = b"\xdd\xff\xff\xff\xff"  # the head of an array of 2^32 - 1 items


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x81\xa4type" + b"\x91" * 10_000)
@example(b"\x82\xa4type\xa6joined\xa7members" + ENDLESS)
@example(b"\x82\xa4type\xa6joined\xa3odd" + b"\x91" * 10_000)
@example(b"\x82\xa4type\xa6signal\xa4blob\xc6\xff\xff\xff\xff")
@example(b"\x82\xa4type\xa6failed\xa4code\xa2\xff\xfe")
@example(packed({"type": "failed", "code": "x", "retry_after_s": float("nan")}))
def test_arbitrary_bytes_raise_nothing_but_message_error(data: bytes):
    for decode in (decode_from_client, decode_from_server):
        try:
            decode(data)
        except MessageError:
            continue


@given(st.one_of(from_client, from_server), st.data())
def test_a_damaged_message_raises_nothing_but_message_error(
    message: FromClient | FromServer, data: st.DataObject
):
    good = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(good[: data.draw(st.integers(0, len(good)))])
    for decode in (decode_from_client, decode_from_server):
        for damaged in (bytes(good), cut):
            try:
                decode(damaged)
            except MessageError:
                continue


SOMEBODY = bytes(32)


@pytest.mark.parametrize(
    "message",
    [
        Signal(SOMEBODY, bytes(SIGNAL_BYTES_MAX + 1)),
        UpdateCard(bytes(CARD_BYTES_MAX + 1)),
        Signal(bytes(31), b""),
        Signal(bytes(33), b""),
        Challenge(1, "a server says this", bytes(32)),
        Joined((), (), False),
        Join(1, SOMEBODY, SOMEBODY, bytes(31), False, b"", bytes(64), bytes(64)),
        Join(1, SOMEBODY, SOMEBODY, SOMEBODY, False, b"", bytes(63), bytes(64)),
    ],
)
def test_a_client_may_not_say(message: FromClient | FromServer):
    with pytest.raises(MessageError):
        decode_from_client(encode(message))


@pytest.mark.parametrize(
    "message",
    [
        Leave(),
        Joined((Presence(SOMEBODY, b"", True),) * (MEMBERS_MAX + 1), (), False),
        Joined((), (IceServer(("stun:a",)),) * 9, False),
        Joined((), (IceServer(("stun:a",) * 9),), False),
        Arrived(SOMEBODY, bytes(CARD_BYTES_MAX + 1)),
        Failed("x" * 1000),
        Failed("rate_limited", "", -1.0),
        Failed("rate_limited", "", 1e9),
        Challenge(1, "x" * 1000, bytes(32)),
    ],
)
def test_a_server_may_not_say(message: FromClient | FromServer):
    with pytest.raises(MessageError):
        decode_from_server(encode(message))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "leave", "more": 1},
        {"type": "nothing we know"},
        {"type": 7},
        {"member": SOMEBODY, "blob": b""},
        {"type": "signal", "member": SOMEBODY},
        {"type": "signal", "member": "a text of thirty-two letters ...", "blob": b""},
        ["leave"],
        None,
    ],
)
def test_what_is_not_exactly_a_message_is_none(fields: object):
    with pytest.raises(MessageError):
        decode_from_client(packed(fields))


A_JOIN: dict[str, object] = {
    "type": "join",
    "version": 1,
    "name_id": SOMEBODY,
    "group_key": SOMEBODY,
    "identity_key": SOMEBODY,
    "create": False,
    "card": b"",
    "group_signature": bytes(64),
    "identity_signature": bytes(64),
}
A_PRESENCE: dict[str, object] = {"member": SOMEBODY, "card": b"", "online": True}
AN_ICE_SERVER: dict[str, object] = {"urls": ["stun:a"], "username": "", "credential": ""}


A_MOVE: dict[str, object] = {
    "version": 1,
    "number": 1,
    "url": "https://new.example",
    "signature": bytes(64),
}


def joined_with(**fields: object) -> dict[str, object]:
    return {"type": "joined", "members": [], "ice_servers": [], "created": False} | fields


def signal_with(**fields: object) -> dict[str, object]:
    return {"type": "signal", "member": SOMEBODY, "blob": b""} | fields


BOUNDS: list[tuple[str, Callable[[object], dict[str, object]], object, list[object]]] = [
    *[
        (f"join.{name}", lambda value, name=name: A_JOIN | {name: value}, right, wrong)
        for name, right, wrong in [
            ("name_id", bytes(32), [b"", bytes(31), bytes(33)]),
            ("group_key", bytes(32), [b"", bytes(31), bytes(33)]),
            ("identity_key", bytes(32), [b"", bytes(31), bytes(33)]),
            ("group_signature", bytes(64), [b"", bytes(63), bytes(65)]),
            ("identity_signature", bytes(64), [b"", bytes(63), bytes(65)]),
            ("card", bytes(CARD_BYTES_MAX), [bytes(CARD_BYTES_MAX + 1)]),
            ("version", 2**63 - 1, ["1", 1.5, None]),
            ("create", True, [1, None, "yes"]),
        ]
    ],
    ("update.card", lambda v: {"type": "card", "card": v}, b"x" * 4096, [b"x" * 4097]),
    ("signal.blob", lambda v: signal_with(blob=v), b"x" * 16384, [b"x" * 16385]),
    ("signal.member", lambda v: signal_with(member=v), bytes(32), [bytes(31), bytes(33)]),
    *[
        (
            f"{kind}.member",
            lambda value, kind=kind: {"type": kind, "member": value},
            bytes(32),
            [b"", bytes(31), bytes(33)],
        )
        for kind in ("departed", "absent", "removed")
    ],
    (
        "arrived.member",
        lambda v: {"type": "arrived", "member": v, "card": b""},
        bytes(32),
        [bytes(31), bytes(33)],
    ),
    (
        "arrived.card",
        lambda v: {"type": "arrived", "member": SOMEBODY, "card": v},
        bytes(CARD_BYTES_MAX),
        [bytes(CARD_BYTES_MAX + 1)],
    ),
    (
        "challenge.nonce",
        lambda v: {"type": "challenge", "version": 1, "server_name": "", "nonce": v},
        bytes(32),
        [b"", bytes(31), bytes(33)],
    ),
    (
        "challenge.server_name",
        lambda v: {"type": "challenge", "version": 1, "server_name": v, "nonce": SOMEBODY},
        "x" * 255,
        ["x" * 256],
    ),
    ("failed.code", lambda v: {"type": "failed", "code": v}, "x" * 400, ["x" * 401]),
    ("failed.text", lambda v: {"type": "failed", "code": "", "text": v}, "x" * 400, ["x" * 401]),
    (
        "failed.retry_after_s",
        lambda v: {"type": "failed", "code": "", "retry_after_s": v},
        86_400.0,
        [-0.1, 86_400.5, float("inf"), float("-inf"), float("nan")],
    ),
    *[
        (name, build, bytes(CARD_BYTES_MAX), [bytes(CARD_BYTES_MAX + 1), "x"])
        for name, build in [
            ("failed.card", lambda v: {"type": "failed", "code": "", "card": v}),
            ("joined.before", lambda v: joined_with(before=v)),
        ]
    ],
    (
        "joined.members",
        lambda v: joined_with(members=v),
        [A_PRESENCE] * MEMBERS_MAX,
        [[A_PRESENCE] * (MEMBERS_MAX + 1), [A_PRESENCE] * 10_000],
    ),
    (
        "presence.member",
        lambda v: joined_with(members=[A_PRESENCE | {"member": v}]),
        bytes(32),
        [bytes(31), bytes(33)],
    ),
    (
        "presence.card",
        lambda v: joined_with(members=[A_PRESENCE | {"card": v}]),
        bytes(CARD_BYTES_MAX),
        [bytes(CARD_BYTES_MAX + 1)],
    ),
    (
        "joined.ice_servers",
        lambda v: joined_with(ice_servers=v),
        [AN_ICE_SERVER] * 8,
        [[AN_ICE_SERVER] * 9],
    ),
    ("joined.moved", lambda v: joined_with(moved=v), A_MOVE, [{}, 1, A_MOVE | {"more": 1}]),
    ("moved.notice", lambda v: {"type": "moved", "notice": v}, A_MOVE, [{}, None, b""]),
    *[
        (
            f"movenotice.{name}",
            lambda v, name=name: {"type": "moved", "notice": A_MOVE | {name: v}},
            right,
            wrong,
        )
        for name, right, wrong in [
            ("version", 2**31, [0, -1, 2**31 + 1, "1"]),
            ("number", MOVE_NUMBER_MAX, [0, -1, MOVE_NUMBER_MAX + 1, 1.5]),
            ("url", "x" * 400, ["x" * 401, b"x"]),
            ("signature", bytes(64), [bytes(63), bytes(65)]),
        ]
    ],
    (
        "joined.ice_lifetime_s",
        lambda v: joined_with(ice_lifetime_s=v),
        604_800.0,
        [-0.1, 604_800.5, float("inf"), float("nan"), "1"],
    ),
    (
        "iceservers.servers",
        lambda v: {"type": "ice_servers", "servers": v, "lifetime_s": 0.0},
        [AN_ICE_SERVER] * 8,
        [[AN_ICE_SERVER] * 9],
    ),
    (
        "iceservers.lifetime_s",
        lambda v: {"type": "ice_servers", "servers": [], "lifetime_s": v},
        604_800.0,
        [-0.1, 604_800.5, float("inf"), float("nan"), "1"],
    ),
    (
        "ice.urls",
        lambda v: joined_with(ice_servers=[AN_ICE_SERVER | {"urls": v}]),
        ["x" * 400] * 8,
        [["x"] * 9, ["x" * 401]],
    ),
    *[
        (
            f"ice.{name}",
            lambda v, name=name: joined_with(ice_servers=[AN_ICE_SERVER | {name: v}]),
            "x" * 400,
            ["x" * 401],
        )
        for name in ("username", "credential")
    ],
]


@pytest.mark.parametrize(
    ("build", "right", "wrong"), [b[1:] for b in BOUNDS], ids=[b[0] for b in BOUNDS]
)
def test_every_field_has_exactly_its_bound(
    build: Callable[[object], dict[str, object]], right: object, wrong: list[object]
):
    kind = build(right)["type"]
    decoders = {"join": [decode_from_client], "card": [decode_from_client]}
    both = {"signal": [decode_from_client, decode_from_server]}
    for decode in (decoders | both).get(str(kind), [decode_from_server]):
        decode(packed(build(right)))
        for value in wrong:
            with pytest.raises(MessageError):
                decode(packed(build(value)))


def test_no_field_was_forgotten_among_the_bounds():
    """A field that is added to a message needs a bound, and a place in the table above."""
    kinds = [Join, Joined, Challenge, Failed, Signal, UpdateCard, Arrived, Departed, Absent]
    kinds += [Removed, Leave]
    names = {Presence: "presence", IceServer: "ice", UpdateCard: "update"}
    bounded = {bound[0] for bound in BOUNDS}
    free = {"challenge.version", "joined.created", "presence.online"}
    for kind in [*kinds, Moved, MoveNotice, IceServers, RenewIce, Presence, IceServer]:
        for field in kind.__struct_fields__:
            assert f"{names.get(kind, kind.__name__.lower())}.{field}" in bounded | free


def test_the_largest_honest_messages_fit():
    everybody = tuple(
        Presence(bytes([number]) * 32, bytes(CARD_BYTES_MAX), True) for number in range(255)
    )
    full = Joined(everybody, (), False)
    assert len(encode(full)) <= SERVER_MESSAGE_BYTES_MAX
    assert decode_from_server(encode(full)) == full
    join = Join(1, SOMEBODY, SOMEBODY, SOMEBODY, True, bytes(CARD_BYTES_MAX), bytes(64), bytes(64))
    assert len(encode(join)) <= MESSAGE_BYTES_MAX
    assert len(encode(Signal(SOMEBODY, bytes(SIGNAL_BYTES_MAX)))) <= MESSAGE_BYTES_MAX


def test_more_than_a_frame_is_not_even_looked_at():
    with pytest.raises(MessageError, match="a message of"):
        decode_from_client(encode(Leave()) + bytes(MESSAGE_BYTES_MAX))
    with pytest.raises(MessageError, match="a message of"):
        decode_from_server(encode(Departed(SOMEBODY)) + bytes(SERVER_MESSAGE_BYTES_MAX))


def test_the_bytes_on_the_wire_are_these():
    """Members of two versions of this program must understand each other."""
    signal = Signal(bytes(range(32)), b"sealed")
    assert encode(signal).hex() == (
        "83a474797065a67369676e616ca66d656d626572c420" + bytes(range(32)).hex() + "a4626c6f62"
        "c4067365616c6564"
    )
    assert member_id_of(bytes(32)).hex() == (
        "a143d8fabc3a728c3b0a1a7793b3bd685e4e4b3d130ad6e654819164b9a8d245"
    )
    assert join_transcript(**TRANSCRIPT).hex() == (
        "636f766579206a6f696e5048dd022f0512d46062acb1cb866bcd3af71a9e80f4f1c5d2b9503b"
        "e4b71e933d20c140ce8d8af4070976760455644aead846fa30728f06f25eece868d26a1e"
    )


TRANSCRIPT = {
    "server_name": "covey.example",
    "nonce": bytes(32),
    "name_id": b"\1" * 32,
    "group_key": b"\2" * 32,
    "identity_key": b"\3" * 32,
    "create": True,
    "card": b"card",
}


@pytest.mark.parametrize("field", TRANSCRIPT)
def test_the_signed_transcript_depends_on_every_field(field: str):
    value = TRANSCRIPT[field]
    other = (not value) if isinstance(value, bool) else value[:-1]
    assert join_transcript(**TRANSCRIPT) != join_transcript(**(TRANSCRIPT | {field: other}))


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_no_byte_of_a_transcript_moves_to_its_neighbour(one: bytes, two: bytes, moved: bytes):
    fields = TRANSCRIPT | {"nonce": one + moved, "name_id": two}
    shifted = TRANSCRIPT | {"nonce": one, "name_id": moved + two}
    same = fields["nonce"] == shifted["nonce"]
    assert (join_transcript(**fields) == join_transcript(**shifted)) == same


def test_member_ids_have_a_purpose_of_their_own():
    assert member_id_of(b"\1" * 32) != member_id_of(b"\2" * 32)
    assert len(member_id_of(bytes(32))) == 32


def test_the_largest_notice_of_a_move_fits_where_it_is_kept():
    notice = MoveNotice(2**31, MOVE_NUMBER_MAX, "\u00fc" * 400, bytes(64))
    assert decode_move(encode_move(notice)) == notice
    with pytest.raises(MessageError):
        decode_move(encode_move(notice) + b"x")


@given(move_notices, move_notices, ids, ids)
def test_a_move_is_signed_with_all_that_is_in_it(
    one: MoveNotice, other: MoveNotice, group: bytes, other_group: bytes
):
    same = group == other_group and msgspec.structs.replace(one, signature=other.signature) == other
    assert (move_transcript(group, one) == move_transcript(other_group, other)) == same
