"""What members say to each other: bytes and back, bounds, and arbitrary bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datachannel import frames
from datachannel import messages as m
from datachannel.errors import ProtocolError

names = st.binary(min_size=32, max_size=32)
headers = st.binary(max_size=m.HEADER_BYTES_MAX)
lengths = st.integers(0, m.SHARE_BYTES_MAX)
blocks = st.integers(0, m.SHARE_BYTES_MAX // m.BLOCK_BYTES)
sizes = st.integers(0, m.INT_MAX)
items = st.builds(m.Item, names, lengths)

requests = st.one_of(
    st.builds(m.Put, names, headers, lengths),
    st.builds(m.Get, names, blocks, blocks),
    st.builds(m.Delete, st.lists(names, max_size=5).map(tuple)),
    st.builds(m.List, st.binary(max_size=32), st.integers(1, m.LIST_ITEMS_MAX)),
    st.builds(m.RootPut, st.integers(1, m.ROOT_BYTES_MAX)),
    st.just(m.RootGet()),
    st.just(m.SpaceQuery()),
    st.just(m.FarewellsGet()),
    st.just(m.HandedOver()),
    st.builds(m.DutyPut, st.integers(1, m.DUTY_BYTES_MAX)),
    st.builds(m.DutyGet, names),
    st.builds(m.LeaseAsk, names, sizes),
    st.builds(
        m.ForOwner,
        names,
        st.one_of(
            st.builds(m.Put, names, headers, lengths),
            st.builds(m.Get, names, blocks, blocks),
            st.builds(m.List, st.binary(max_size=32), st.integers(1, m.LIST_ITEMS_MAX)),
        ),
    ),
    st.just(m.StatementsGet()),
)
answers = st.one_of(
    st.builds(m.Continue, lengths),
    st.just(m.Stored()),
    st.builds(m.Found, headers, lengths, st.lists(names, max_size=3).map(tuple)),
    st.builds(m.Deleted, st.integers(0, m.DELETE_NAMES_MAX)),
    st.builds(m.Listing, st.lists(items, max_size=5).map(tuple), st.booleans()),
    st.builds(m.Space, sizes, sizes, sizes),
    st.builds(m.Leased, st.integers(0, m.LEASE_S_MAX)),
    st.builds(m.Refused, st.sampled_from(m.REFUSAL_CODES), st.text(max_size=m.TEXT_CHARS_MAX)),
)


@given(requests)
def test_a_request_comes_back(request_: m.Request):
    assert m.decode_request(m.encode_message(request_)) == request_


@given(answers)
def test_an_answer_comes_back(answer: m.Answer):
    assert m.decode_answer(m.encode_message(answer)) == answer


@given(answers)
def test_an_answer_is_no_request(answer: m.Answer):
    with pytest.raises(ProtocolError):
        m.decode_request(m.encode_message(answer))


@given(requests)
def test_a_request_is_no_answer(request_: m.Request):
    with pytest.raises(ProtocolError):
        m.decode_answer(m.encode_message(request_))


@given(st.one_of(st.binary(max_size=200), st.one_of(requests, answers).map(m.encode_message)))
@example(b"\x91" * 5000)  # deep
@example(b"\xdd\xff\xff\xff\xff")  # an array that claims to be long
@example(b"\xc6\xff\xff\xff\xff")  # bytes that claim to be long
@example(bytes(m.MESSAGE_BYTES_MAX + 1))
def test_arbitrary_bytes_are_a_message_or_a_protocol_error(data: bytes):
    for decode in (m.decode_request, m.decode_answer):
        try:
            message = decode(data)
        except ProtocolError:
            continue
        assert decode(m.encode_message(message)) == message


@given(st.one_of(requests, answers).map(m.encode_message), st.data())
def test_a_cut_or_prolonged_message_is_a_protocol_error(data: bytes, draw: st.DataObject):
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    for wrong in (cut, data + b"\x00"):
        for decode in (m.decode_request, m.decode_answer):
            with pytest.raises(ProtocolError):
                decode(wrong)


@pytest.mark.parametrize(
    "message",
    [
        m.Delete((bytes(32),) * m.DELETE_NAMES_MAX),
        m.Listing((m.Item(bytes(32), m.SHARE_BYTES_MAX),) * m.LIST_ITEMS_MAX, more=True),
        m.Found(bytes(m.HEADER_BYTES_MAX), 1, (bytes(32),) * m.PROOF_HASHES_MAX),
        m.Refused("x" * 16, "\U0001f426" * m.TEXT_CHARS_MAX),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_largest_messages_fit_a_frame(message: m.Message):
    data = m.encode_message(message)
    assert len(frames.encode(frames.MESSAGE, 1, data)) <= frames.FRAME_BYTES_MAX


OUT_OF_BOUNDS = {
    "a short name": ["put", bytes(31), b"", 1],
    "a long name": ["get", bytes(33), 0, 0],
    "a long header": ["put", bytes(32), bytes(257), 1],
    "a long share": ["put", bytes(32), b"", m.SHARE_BYTES_MAX + 1],
    "a negative length": ["put", bytes(32), b"", -1],
    "a fraction of a length": ["put", bytes(32), b"", 1.5],
    "a block far out": ["get", bytes(32), m.SHARE_BYTES_MAX // m.BLOCK_BYTES + 1, 0],
    "many names": ["delete", [bytes(32)] * (m.DELETE_NAMES_MAX + 1)],
    "a long page": ["list", b"", m.LIST_ITEMS_MAX + 1],
    "an empty page": ["list", b"", 0],
    "an empty root": ["root_put", 0],
    "a large root": ["root_put", m.ROOT_BYTES_MAX + 1],
    "a field too many": ["root_get", 1],
    "a field too few": ["put", bytes(32)],
    "an unknown request": ["erase_everything"],
    "no tag": [],
    "an empty duty": ["duty_put", 0],
    "a large duty": ["duty_put", m.DUTY_BYTES_MAX + 1],
    "a duty of nobody": ["duty_get", b""],
    "a lease on a duty that cannot be": ["lease_ask", bytes(32), -1],
    "a deletion for an owner": ["for_owner", bytes(32), ["delete", [bytes(32)]]],
    "a root record for an owner": ["for_owner", bytes(32), ["root_put", 1]],
    "a request for an owner for an owner": [
        "for_owner",
        bytes(32),
        ["for_owner", bytes(32), ["list", b"", 1]],
    ],
    "a share out of bounds for an owner": ["for_owner", bytes(32), ["get", bytes(31), 0, 0]],
    "text for bytes": ["put", "x" * 32, b"", 1],
}


@pytest.mark.parametrize("case", OUT_OF_BOUNDS)
def test_a_request_out_of_bounds_is_a_protocol_error(case: str):
    with pytest.raises(ProtocolError):
        m.decode_request(msgspec.msgpack.encode(OUT_OF_BOUNDS[case]))


def test_an_error_quotes_little_of_what_was_sent_and_nothing_that_a_terminal_obeys():
    wrong = msgspec.msgpack.encode(["\x1b[31mred\n" + "x" * 50_000])
    for decode in (m.decode_request, m.decode_answer):
        with pytest.raises(ProtocolError) as caught:
            decode(wrong)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 2 * m.REASON_CHARS_MAX


def test_a_refusal_has_a_code_that_is_known_and_a_text_fit_for_a_terminal():
    refusal = m.Refused("new_code", "no\x1b[31m\nroom\u202e").as_refusal()
    assert (refusal.code, refusal.text) == ("internal", "no [31m room ")
    assert m.Refused("full", "").as_refusal().text == "full"


GOLDEN: dict[str, m.Request] = {
    "94a3676574c420" + "11" * 32 + "0502": m.Get(b"\x11" * 32, 5, 2),
    "94a3707574c420" + "22" * 32 + "c401ff" + "ce00010000": m.Put(b"\x22" * 32, b"\xff", 65536),
    "91a8726f6f745f676574": m.RootGet(),
    "91ae73746174656d656e74735f676574": m.StatementsGet(),
    "93a46c697374c400cd03e8": m.List(),
    "92a8647574795f707574cd012c": m.DutyPut(300),
    "93a96c656173655f61736bc420" + "11" * 32 + "07": m.LeaseAsk(b"\x11" * 32, 7),
    "93a9666f725f6f776e6572c420" + "11" * 32 + "93a46c697374c40005": m.ForOwner(
        b"\x11" * 32, m.List(b"", 5)
    ),
}


@pytest.mark.parametrize("bytes_", GOLDEN)
def test_the_bytes_of_a_request_stay_as_they_are(bytes_: str):
    assert m.encode_message(GOLDEN[bytes_]).hex() == bytes_
    assert m.decode_request(bytes.fromhex(bytes_)) == GOLDEN[bytes_]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10))
def test_usage_statements_come_back(statements: list[bytes]):
    assert m.split_statements(m.join_statements(statements)) == statements


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_usage_statements_or_a_protocol_error(data: bytes):
    try:
        statements = m.split_statements(data)
    except ProtocolError:
        return
    assert m.join_statements(statements) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00",
        b"\x00\x00\x40\x01" + bytes(m.STATEMENT_BYTES_MAX + 1),
        b"\x00\x00\x00\x01x" * (m.STATEMENTS_MAX + 1),
    ],
    ids=["an empty one", "a long one", "too many"],
)
def test_usage_statements_out_of_bounds_are_a_protocol_error(data: bytes):
    with pytest.raises(ProtocolError):
        m.split_statements(data)


def test_the_most_and_longest_usage_statements_come_back():
    statements = [bytes(m.STATEMENT_BYTES_MAX)] * m.STATEMENTS_MAX
    data = m.join_statements(statements)
    assert len(data) == m.STATEMENTS_BYTES_MAX
    assert m.split_statements(data) == statements
